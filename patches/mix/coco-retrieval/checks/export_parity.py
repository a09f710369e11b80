"""Both exported towers equal the dygraph model: Paddle Inference and ONNX, several sizes of the batch, padding in the captions.

The programs run in a process of their own, which knows nothing of the model: files alone are there.
"""

import os
import subprocess
import sys

import numpy as np

from proving.record import Recorder, arguments

LENGTH, ROWS = 12, (1, 3, 5)


def made(args):
    """{key of a run: outputs of the dygraph model}; the programs and the inputs of each run are written to args.out."""
    import paddle
    from common import Set

    from proving.exporting import save_static, to_onnx
    from proving.tree import on_path

    on_path("paddlemix", "examples", "blip2")
    from export_retrieval import TOWERS

    one, want = Set(args.reference), {}
    model = one.build()
    for name, kind in TOWERS.items():
        part = kind(model)
        part.eval()
        spec = part.input_spec(LENGTH)
        to_onnx(save_static(part, spec, os.path.join(args.out, name)))
        for rows in ROWS:
            draw = np.random.default_rng(rows)
            arrays = {
                "pixel_values": draw.standard_normal([rows, *one.shape("pixel_values")[1:]]).astype("float32"),
                "input_ids": draw.integers(4, one.config["qformer_config"]["vocab_size"], [rows, LENGTH]),
                "attention_mask": (np.arange(LENGTH) < draw.integers(2, LENGTH + 1, [rows, 1])).astype("int64"),
            }
            arrays = {value.name: arrays[value.name] for value in spec}
            np.savez(os.path.join(args.out, f"{name}.{rows}.in.npz"), **arrays)
            with paddle.no_grad():
                want[name, rows] = part(*[paddle.to_tensor(value) for value in arrays.values()]).numpy()
    return want


def apart(args):
    """The process of the programs: an .npz of inputs in, an .npz of both outputs out."""
    from proving.exporting import onnx_session, predict, predictor

    for name in ("image", "text"):
        path = os.path.join(args.out, name, "model")
        program, session = predictor(path), onnx_session(path + ".onnx")
        for rows in ROWS:
            with np.load(os.path.join(args.out, f"{name}.{rows}.in.npz")) as stored:
                arrays = dict(stored)
            names = [value.name for value in session.get_inputs()]
            found = {"inference": predict(program, arrays)[0], "onnx": session.run(None, {key: arrays[key] for key in names})[0]}
            np.savez(os.path.join(args.out, f"{name}.{rows}.out.npz"), **found)
    loaded = [name for name in sys.modules if name.split(".")[0] in ("paddlemix", "paddlenlp")]
    assert not loaded, loaded


def main():
    args = arguments(lambda parser: parser.add_argument("--apart", action="store_true", help="run what is in --out"))
    if args.apart:
        apart(args)
        return
    recorder, want = Recorder(args.out), made(args)
    words = [sys.executable, os.path.abspath(__file__), "--out", args.out, "--apart"]
    if subprocess.run(words).returncode:
        sys.exit("the exported programs do not run in a process of their own; what it said stands above")
    for (name, rows), value in want.items():
        with np.load(os.path.join(args.out, f"{name}.{rows}.out.npz")) as found:
            for stage in ("inference", "onnx"):
                recorder.add(stage, f"{name}.{stage}.{rows}", found[stage], value)
    recorder.write()


if __name__ == "__main__":
    main()
