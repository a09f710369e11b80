"""ONNX Runtime against Paddle for FP16 networks: all-FP16, mixed, and FP16 behind float32 inputs.

Stage `onnx`: the FP16 model against the float32 evaluation of the same FP16 program. The error is the largest difference over the
largest value of the output, which is what the judge's rtol is; mean, cosine, the rounding control, with `--nodes` the error node by node,
and ONNX Runtime's default optimizations stand in errors.json.
"""

import json
import os

import numpy as np
from package import assemble

from proving.record import Recorder, arguments

# network of tests/fp16_models.py, kind, opset
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


def without_roi(model):
    """The model for onnx.reference, whose Resize reads the empty `roi` that a converter writes where none is meant."""
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) > 1:
            node.input[1] = ""
    return model.SerializeToString()


def main():
    args = arguments(lambda parser: parser.add_argument("--nodes", action="store_true", help="node by node too: half an hour"))
    assemble(args.out)
    import onnx
    from fp16_base import cast_pairs, casts, convert, errors, evaluate, network, opset_of, run_nodes, run_onnx

    recorder = Recorder(args.out)
    rows = []
    for name, kind, opset in NETWORKS:
        path, inputs = network(name, os.path.join(args.out, "models", name + "_" + kind, "model"), kind)
        model = convert(path, opset)
        onnx.checker.check_model(model, full_check=True)
        want = evaluate(path, inputs)
        rounded = evaluate(path, inputs, rounded=True)
        got = run_onnx(model, inputs)
        default = run_onnx(model, inputs, exact=False)
        nodes = run_nodes(without_roi(onnx.load_from_string(model)), inputs) if args.nodes else None
        for index, value in enumerate(want):
            recorder.add("onnx", "%s.%s.%d.%d" % (name, kind, opset, index), np.asarray(got[index], np.float32), value)
            row = {"network": name, "kind": kind, "opset": opset_of(model), "output": index}
            row.update(errors(got[index], value))
            if nodes:
                row["nodes"] = errors(nodes[index], value)["max"]
            row["control"] = errors(rounded[index], value)["max"]
            row["ort_default"] = errors(default[index], value)["max"]
            row.update(casts=casts(model), pairs=cast_pairs(model), bytes=len(model))
            rows.append(row)
            print(row, flush=True)
    recorder.write()
    with open(os.path.join(args.out, "errors.json"), "w") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
