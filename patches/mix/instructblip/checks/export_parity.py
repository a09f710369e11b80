"""The exported image encoder, Q-Former and projection equal the dygraph model: Paddle Inference and ONNX, several sizes of batch and
text, padding in the text."""

import os

import numpy as np
import paddle
from common import Set

from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx
from proving.record import Recorder, arguments
from proving.tree import on_path


def main():
    args = arguments()
    on_path("paddlemix", "examples", "instructblip")
    from export import ImageFeatures, input_spec

    recorder = Recorder(args.out)
    model = Set(args.reference, "opt").build()
    part = ImageFeatures(model)
    part.eval()
    path = save_static(part, input_spec(model.config), os.path.join(args.out, "static"))
    program = predictor(path)
    session = onnx_session(to_onnx(path))
    for rows, length in ((1, 1), (2, 7), (3, 12)):
        draw = np.random.default_rng(rows)
        arrays = {
            "pixel_values": draw.standard_normal([rows, 3, 42, 42]).astype("float32"),
            "qformer_input_ids": draw.integers(4, 60, [rows, length]),
            "qformer_attention_mask": (np.arange(length) < draw.integers(1, length + 1, [rows, 1])).astype("int64"),
        }
        with paddle.no_grad():
            want = part(*[paddle.to_tensor(value) for value in arrays.values()]).numpy()
        recorder.add("inference", f"inference.{rows}x{length}", predict(program, arrays)[0], want)
        names = [value.name for value in session.get_inputs()]
        recorder.add("onnx", f"onnx.{rows}x{length}", session.run(None, {name: arrays[name] for name in names})[0], want)
    recorder.write()


if __name__ == "__main__":
    main()
