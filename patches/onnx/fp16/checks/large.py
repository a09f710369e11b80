"""An FP16 model above 1 GB, whose parameters are above 2 GB only where they count as float32.

--gigabytes sets the size of its table; above 2 the core writes the weights to a file of their own (external_file). The weights are
compared bit by bit, and rows of the table with what ONNX Runtime gives.
"""

import json
import os
import resource
import time

import numpy as np
from package import assemble

from proving.record import arguments, write_metrics

WIDTH = 4096


def save(path, rows):
    """An FP16 embedding with a projection behind it, written without Paddle's own copy of the table in float32."""
    import paddle
    from fp16_base import read_params, read_program, saved_names, tensor_desc, write_params, write_program

    layer = paddle.nn.Sequential(paddle.nn.Embedding(3, WIDTH), paddle.nn.Linear(WIDTH, 4))
    layer.eval()
    layer.to(dtype="float16")
    paddle.jit.save(layer, path, input_spec=[paddle.static.InputSpec([None], "int64", "ids")])
    program = read_program(path + ".pdmodel")
    values = read_params(path + ".pdiparams", saved_names(program))
    name = next(name for name, value in values.items() if value.shape == (3, WIDTH))
    for var in program.blocks[0].vars:
        if var.name == name:
            tensor_desc(var).dims[0] = rows
    write_program(program, path + ".pdmodel")
    random = np.random.RandomState(0)
    values[name] = np.tile(random.randn(64, WIDTH).astype(np.float16), (rows // 64 + 1, 1))[:rows]
    values[name][::61] += np.arange(len(values[name][::61]), dtype=np.float16)[:, None] % 7
    write_params(values, path + ".pdiparams")
    return name, values


def main():
    args = arguments(lambda parser: parser.add_argument("--gigabytes", type=float, default=1.1))
    assemble(args.out)
    import onnx
    import onnxruntime
    import paddle2onnx

    rows = int(args.gigabytes * 1e9) // (2 * WIDTH)
    path = os.path.join(args.out, "model")
    name, values = save(path, rows)
    target = os.path.join(args.out, "model.onnx")
    began = time.perf_counter()
    paddle2onnx.export(
        path + ".pdmodel",
        path + ".pdiparams",
        target,
        opset_version=13,
        verbose=False,
        external_file=os.path.join(args.out, "weights") if args.gigabytes > 2 else "",
    )
    seconds = time.perf_counter() - began
    onnx.checker.check_model(target, full_check=True)
    same = 0
    for node in onnx.load(target).graph.node:
        if node.op_type == "Constant" and node.output[0] in values:
            value = onnx.numpy_helper.to_array(node.attribute[0].t, args.out)
            same += int(value.dtype == np.float16 and np.array_equal(value, values[node.output[0]]))
    ids = np.array([0, 61, rows // 2, rows - 1], np.int64)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    got = onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"]).run(None, {"ids": ids})[0]
    weight = next(value for value in values.values() if value.shape == (WIDTH, 4))
    bias = next(value for value in values.values() if value.shape == (4,))
    want = values[name][ids].astype(np.float64) @ weight.astype(np.float64) + bias
    result = {
        "parameter_bytes": os.path.getsize(path + ".pdiparams"),
        "onnx_bytes": os.path.getsize(target),
        "external_bytes": os.path.getsize(os.path.join(args.out, "weights")) if args.gigabytes > 2 else 0,
        "parameters": len(values),
        "bit_equal": same,
        "error": float(np.abs(got - want).max() / np.abs(want).max()),
        "seconds": round(seconds, 1),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }
    for made in ("model.onnx", "model.pdiparams", "weights"):
        if os.path.isfile(os.path.join(args.out, made)):
            os.remove(os.path.join(args.out, made))
    with open(os.path.join(args.out, "large.json"), "w") as file:
        json.dump(result, file, indent=1)
    write_metrics(args.out, metrics={key: result[key] for key in ("parameters", "bit_equal", "error")})
    print(result)


if __name__ == "__main__":
    main()
