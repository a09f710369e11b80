"""ONNX Runtime against Paddle for FP16 networks: all-FP16, mixed, and FP16 behind float32 inputs.

Stage `onnx`: the restored FP16 model against the float32 evaluation of the same FP16 program. Stage `public`: the public call
gives the same bytes as the module. The error is the largest difference over the largest value of the output, which is what
the judge's rtol is; mean, cosine, the rounding control and ONNX Runtime's default optimizations stand in errors.json.
"""

import hashlib
import json
import os

import numpy as np

from proving.record import Recorder, arguments
from proving.tree import on_path

on_path("tests")
import fp16_base  # noqa: E402, F401 - lets a source tree without version.py be imported
import paddle2onnx  # noqa: E402
from fp16_base import cast_pairs, casts, convert, errors, evaluate, network, run_onnx  # noqa: E402

# network of tests/fp16_models.py, kind, opset; native_core.py takes the same
NETWORKS = [
    ("resnet50", "fp16", 13),
    ("mobilenet_v3", "fp16", 11),
    ("swin", "fp16", 13),
    ("swin", "fp16", 17),
    ("swin", "mixed", 13),
    ("pp_lcnet", "fp16", 19),
    ("pp_lcnet", "mixed", 13),
    ("db_detector", "fp16", 13),
    ("svtr_lcnet", "fp16", 13),
    ("bert", "fp16", 13),
    ("bert", "fp16", 17),
    ("bert", "mixed", 13),
    ("yolo_head", "fp32_input", 13),
]


def digest(data):
    return np.frombuffer(hashlib.sha256(data).digest(), np.uint8)


def main():
    args = arguments()
    recorder = Recorder(args.out)
    rows = []
    for name, kind, opset in NETWORKS:
        path, inputs = network(name, os.path.join(args.out, "models", name + "_" + kind, "model"), kind)
        model, report = convert(path, opset)
        public = paddle2onnx.export(path + ".pdmodel", path + ".pdiparams", opset_version=opset, verbose=False)
        recorder.add("public", "%s.%s.%d.sha256" % (name, kind, opset), digest(public), digest(model))
        want = evaluate(path, inputs)
        rounded = evaluate(path, inputs, rounded=True)
        got = run_onnx(model, inputs)
        default = run_onnx(model, inputs, exact=False)
        for index, value in enumerate(want):
            recorder.add("onnx", "%s.%s.%d.%d" % (name, kind, opset, index), np.asarray(got[index], np.float32), value)
            row = {"network": name, "kind": kind, "opset": report["opset"], "output": index}
            row.update(errors(got[index], value))
            row["control"] = errors(rounded[index], value)["max"]
            row["ort_default"] = errors(default[index], value)["max"]
            row.update(casts=casts(model), pairs=cast_pairs(model), inserted=len(report["casts"]), bytes=len(model))
            rows.append(row)
            print(row, flush=True)
    recorder.write()
    with open(os.path.join(args.out, "errors.json"), "w") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
