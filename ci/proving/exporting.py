"""Export a model to a Paddle program and to ONNX, and run both."""

import os
from typing import Any, List, Mapping, Optional, Sequence, Union

import numpy as np

Arrays = Union[Sequence[np.ndarray], Mapping[str, np.ndarray]]


def save_static(model: Any, input_spec: Sequence[Any], directory: str, name: str = "model") -> str:
    """`paddle.jit.save` in eval mode; returns the path prefix. None in a spec's shape is a dynamic size."""
    import paddle

    path = os.path.join(directory, name)
    was_training = model.training
    model.eval()
    try:
        static = paddle.jit.to_static(model, input_spec=list(input_spec), full_graph=True)
        paddle.jit.save(static, path)
        if hasattr(model.forward, "rollback"):
            model.forward.rollback()  # to_static replaced the forward of the caller's own model
    finally:
        if was_training:
            model.train()
    program_file(path)
    return path


def program_file(path: str) -> str:
    """The program of a path prefix: .json (3.x) or .pdmodel (2.6)."""
    for suffix in (".json", ".pdmodel"):
        if os.path.isfile(path + suffix):
            return path + suffix
    raise FileNotFoundError("no %s.json and no %s.pdmodel; call save_static first" % (path, path))


def _feed(names: Sequence[str], arrays: Arrays) -> List[np.ndarray]:
    if isinstance(arrays, Mapping):
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError("the program wants inputs %s; %s are missing" % (list(names), missing))
        return [np.ascontiguousarray(arrays[name]) for name in names]
    if len(arrays) != len(names):
        raise ValueError("the program wants %d inputs (%s), got %d" % (len(names), list(names), len(arrays)))
    return [np.ascontiguousarray(array) for array in arrays]


def predictor(path: str, onednn: bool = False) -> Any:
    """A Paddle Inference predictor on the CPU.

    oneDNN is off unless asked for: paddle 3.x turns it on by default, and there it fails for some programs and gives wrong
    numbers for others without a word.
    """
    import paddle
    from paddle import inference

    if onednn and int(paddle.__version__.split(".")[0]) >= 3:
        raise ValueError("onednn=True is for paddle 2.6 only: 3.x gives wrong results with it; check paddle.__version__ first")
    config = inference.Config(program_file(path), path + ".pdiparams")
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if onednn:
        config.enable_mkldnn()
    elif hasattr(config, "disable_mkldnn"):
        config.disable_mkldnn()
    return inference.create_predictor(config)


def predict(ready: Any, arrays: Arrays) -> List[np.ndarray]:
    """Outputs of a predictor, in the order of the program."""
    names = ready.get_input_names()
    for name, array in zip(names, _feed(names, arrays)):
        ready.get_input_handle(name).copy_from_cpu(array)
    ready.run()
    return [ready.get_output_handle(name).copy_to_cpu() for name in ready.get_output_names()]


def run_inference(path: str, arrays: Arrays, onednn: bool = False) -> List[np.ndarray]:
    """Outputs of the saved program; `arrays` in the order of its inputs, or by name."""
    return predict(predictor(path, onednn), arrays)


def to_onnx(path: str, out: Optional[str] = None, opset: int = 13) -> str:
    """Convert a saved program to ONNX with paddle2onnx; returns the file."""
    import inspect

    import paddle2onnx

    out = out or path + ".onnx"
    options = {"opset_version": opset, "enable_onnx_checker": True}
    if "optimize_tool" in inspect.signature(paddle2onnx.export).parameters:
        options["optimize_tool"] = "None"  # its default installs packages with pip while it converts
    paddle2onnx.export(program_file(path), path + ".pdiparams", out, **options)
    if not os.path.isfile(out):
        raise RuntimeError("paddle2onnx wrote no %s; its log above says which operator it does not know" % out)
    return out


def onnx_session(path: str) -> Any:
    """An onnxruntime session on the CPU, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_onnx(path: str, arrays: Arrays) -> List[np.ndarray]:
    """Outputs of an ONNX file; `arrays` in the order of its inputs, or by name."""
    session = onnx_session(path)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, _feed(names, arrays))))
