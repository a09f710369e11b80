"""The C++ core that was built from this branch, and the Python path, on the same models.

PADDLE2ONNX_CORE names the built module (paddle2onnx_cpp2py_export*.so). Where it is not set the check ends as an error that says so:
the core needs the submodules of Paddle2ONNX, which neither the release nor a shallow fork holds.

Each network, and each operator of tests/fp16_scan.py, is converted twice by that core: as it is, and lowered to FP32 and restored. Both
must have the types that the program has and the same FP16 weights, and agree with Paddle.
"""

import argparse
import json
import os
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

from proving.record import arguments, write_metrics
from proving.tree import on_path

if not os.path.isfile(os.environ.get("PADDLE2ONNX_CORE", "")):
    raise SystemExit(
        "error: PADDLE2ONNX_CORE does not name a built core\n"
        "  want  the module that `python setup.py build_ext` makes from this branch, with its submodules (third_party/)\n"
        "  next  PADDLE2ONNX_CORE=/path/to/paddle2onnx_cpp2py_export.so make check-onnx-fp16 ARGS='--base fork --no-cache'"
    )
on_path("tests")
import fp16_scan  # noqa: E402
from fp16_base import cast_pairs, casts, convert, errors, evaluate, network, run_onnx  # noqa: E402
from paddle2onnx import fp16  # noqa: E402
from parity import NETWORKS  # noqa: E402
from scan import RESULTS, markdown  # noqa: E402


def weights(model):
    """Sorted bytes of the FP16 constants of more than 8 elements."""
    graph = onnx.ModelProto.FromString(model).graph
    tensors = list(graph.initializer) + [node.attribute[0].t for node in graph.node if node.op_type == "Constant"]
    halves = [numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT16]
    return sorted(np.sort(value.view(np.uint16), axis=None).tobytes() for value in halves if value.size > 8)


def ports(model):
    graph = onnx.ModelProto.FromString(model).graph
    return [[info.type.tensor_type.elem_type for info in infos] for infos in (graph.input, graph.output)]


def compare(name, kind, opset, folder):
    """Rows of both paths for a network, and whether they agree."""
    path, inputs = network(name, os.path.join(folder, name + "_" + kind, "model"), kind)
    want, control = evaluate(path, inputs), evaluate(path, inputs, rounded=True)
    rows, models, outputs = [], {}, {}
    for way in ("native", "restored"):
        model, report = convert(path, opset, restore=way == "restored")
        onnx.checker.check_model(model, full_check=True)
        models[way], outputs[way] = model, run_onnx(model, inputs)
        found = [errors(got, value) for got, value in zip(outputs[way], want)]
        rows.append(
            {
                "network": name,
                "kind": kind,
                "path": way,
                "opset": report["opset"],
                "max": max(row["max"] for row in found),
                "mean": max(row["mean"] for row in found),
                "cosine": min(row["cosine"] for row in found),
                "control": max(errors(got, value)["max"] for got, value in zip(control, want)),
                "casts": casts(model),
                "pairs": cast_pairs(model),
                "bytes": len(model),
            }
        )
    one, other = models["native"], models["restored"]
    gap = max(errors(got, value)["max"] for got, value in zip(outputs["native"], outputs["restored"]))
    same = {"types": ports(one) == ports(other), "weights": weights(one) == weights(other), "gap": gap}
    rows[0].update(same)
    return rows


def scan(opsets):
    """Rows of fp16_scan.table() for both paths; each program is saved and evaluated once."""
    native, restored = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(fp16_scan.CASES):
            case = fp16_scan.Case(name, folder)
            for opset in opsets:
                native.append(fp16_scan.run(case, opset, restore=False))
                restored.append(fp16_scan.run(case, opset, restore=True))
    return native, restored


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scan", default="13,17")
    args = arguments(parser=parser)
    assert fp16.native(), "the core was built without the edits of this change: it has no native_fp16"
    rows, invalid = [], []
    for name, kind, opset in NETWORKS:
        try:
            rows.extend(compare(name, kind, opset, args.out))
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            invalid.append([name, kind, opset, str(error)])
            print(invalid[-1], flush=True)
    opsets = [int(value) for value in args.scan.split(",")]
    native, restored = scan(opsets)
    apart = [
        (one["operator"], one.get("asked"), one["result"], other["result"])
        for one, other in zip(native, restored)
        if one["result"] != other["result"]
    ]
    with open(os.path.join(args.out, "native.json"), "w") as file:
        json.dump({"networks": rows, "scan": native, "restored": restored, "apart": apart, "invalid": invalid}, file, indent=0)
    for way, table in (("native", native), ("restored", restored)):
        with open(os.path.join(args.out, "scan_%s.md" % way), "w") as file:
            file.write(markdown(table, opsets))
    metrics = figures(rows, native, restored, invalid, apart)
    write_metrics(args.out, metrics=metrics)
    for row in rows:
        print(row)
    print(metrics, apart)


def figures(rows, native, restored, invalid, apart):
    ways = [row for row in rows if row["path"] == "native"]
    metrics = {
        "max_error": max(row["max"] for row in rows),
        "gap_of_paths": max(row["gap"] for row in ways),
        "types_differ": sum(not row["types"] for row in ways),
        "weights_differ": sum(not row["weights"] for row in ways),
        "networks_invalid": len(invalid),
        "results_differ": len(apart),
        "native_worse": sum(row["result"] != "ok" and row.get("float32") == "ok" for row in native),
        "restored_worse": sum(row["result"] != "ok" and row.get("float32") == "ok" for row in restored),
    }
    for word in RESULTS:
        metrics["native_" + word.replace(" ", "_")] = sum(row["result"] == word for row in native)
    return metrics


if __name__ == "__main__":
    main()
