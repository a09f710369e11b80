"""Time of a conversion and size of the file, FP16 program against the same network in float32."""

import argparse
import json
import os

from package import assemble

from proving.record import arguments
from proving.timing import interleave, write_benchmark


def float32(name, path):
    import paddle
    from fp16_models import NETWORKS

    paddle.seed(7)
    make, (specs, _) = NETWORKS[name]
    layer = make()
    layer.eval()
    inputs = [paddle.static.InputSpec(shape, dtype, "x%d" % i) for i, (shape, dtype) in enumerate(specs)]
    paddle.jit.save(layer, path, input_spec=inputs)
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", default="pp_lcnet,resnet50")
    parser.add_argument("--rounds", type=int, default=3)
    args = arguments(parser=parser)
    assemble(args.out)
    import paddle2onnx
    from fp16_base import network

    entries, sizes = [], {}
    for name in args.networks.split(","):
        half, _ = network(name, os.path.join(args.out, name, "half"))
        whole = float32(name, os.path.join(args.out, name, "whole"))

        def run(path):
            return paddle2onnx.export(path + ".pdmodel", path + ".pdiparams", opset_version=13, verbose=False)

        samples = interleave({"fp16": lambda: run(half), "float32": lambda: run(whole)}, rounds=args.rounds, warmup=1)  # noqa: B023
        entries.append({"name": "conversion of %s" % name, "ours": "fp16", "against": "float32", "samples": samples})
        sizes[name] = {"fp16": len(run(half)), "float32": len(run(whole))}
        sizes[name]["ratio"] = sizes[name]["fp16"] / sizes[name]["float32"]
    write_benchmark(args.out, entries)
    with open(os.path.join(args.out, "sizes.json"), "w") as file:
        json.dump(sizes, file, indent=1)
    print(sizes)


if __name__ == "__main__":
    main()
