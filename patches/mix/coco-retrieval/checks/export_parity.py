"""Both exported towers equal the dygraph model: Paddle Inference and ONNX, several sizes of the batch, padding in the captions."""

import os

import numpy as np
import paddle
from common import Set

from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx
from proving.record import Recorder, arguments
from proving.tree import on_path


def main():
    args = arguments()
    on_path("paddlemix", "examples", "blip2")
    from export_retrieval import TOWERS

    recorder, one, length = Recorder(args.out), Set(args.reference), 12
    model = one.build()
    for name, kind in TOWERS.items():
        part = kind(model)
        part.eval()
        path = save_static(part, part.input_spec(length), os.path.join(args.out, name))
        program, session = predictor(path), onnx_session(to_onnx(path))
        for rows in (1, 3, 5):
            draw = np.random.default_rng(rows)
            arrays = {
                "pixel_values": draw.standard_normal([rows, *one.shape("pixel_values")[1:]]).astype("float32"),
                "input_ids": draw.integers(4, one.config["qformer_config"]["vocab_size"], [rows, length]),
                "attention_mask": (np.arange(length) < draw.integers(2, length + 1, [rows, 1])).astype("int64"),
            }
            arrays = {spec.name: arrays[spec.name] for spec in part.input_spec(length)}
            with paddle.no_grad():
                want = part(*[paddle.to_tensor(value) for value in arrays.values()]).numpy()
            recorder.add("inference", f"{name}.inference.{rows}", predict(program, arrays)[0], want)
            names = [value.name for value in session.get_inputs()]
            recorder.add("onnx", f"{name}.onnx.{rows}", session.run(None, {key: arrays[key] for key in names})[0], want)
    recorder.write()


if __name__ == "__main__":
    main()
