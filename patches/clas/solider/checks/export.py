"""Paddle Inference and ONNX Runtime against dygraph, for the ways the model is exported.

    python checks/export.py --out DIR [--cases stages embedding classify] [--arch SwinTransformer_tiny_patch4_window7_224_SOLIDER]

stages:    all outputs, with the semantic weight of each image as an input of the program, 384x128
embedding: RecModel of the shipped re-ID configuration through the suite's ExportModel, 384x128
classify:  the shipped classification configuration through ExportModel, 224x224

The last two need the suite's engine, which its release lacks. The batch is dynamic: each program runs on one image and on three.
"""

import os

import numpy as np
import paddle
import yaml
from ppcls.arch import backbone, build_model
from ppcls.utils import logger

from proving import exporting, seeding
from proving.record import Recorder, arguments

CASES = ["stages", "embedding", "classify"]
CONFIGS = {
    "embedding": "ppcls/configs/reid/SOLIDER/swin_tiny_softmax_triplet.yaml",
    "classify": "ppcls/configs/ImageNet/SwinTransformer/SwinTransformer_tiny_patch4_window7_224_SOLIDER.yaml",
}


def stages(arch):
    model = getattr(backbone, arch)(img_size=(384, 128), class_num=0, return_stages=True)
    return model, [384, 128]


def from_config(name, arch):
    from ppcls.engine.engine import ExportModel

    with open(CONFIGS[name]) as stream:
        config = yaml.safe_load(stream)
    part = config["Arch"].get("Backbone", config["Arch"])
    part["name"] = arch
    return ExportModel(config["Arch"], build_model(config), False), config["Global"]["image_shape"][1:]


def reseed(model):
    """Weights of ordinary size: the outputs of a fresh model are near zero and would hide a difference."""
    for name, parameter in model.named_parameters():
        kind = "weight" if len(parameter.shape) > 1 else "norm_weight" if name.endswith("weight") else "norm_bias"
        shape = list(parameter.shape)
        value = seeding.seeded("export:" + name, shape[::-1], kind)
        parameter.set_value(np.ascontiguousarray(value.transpose()))


def flat(result):
    if isinstance(result, dict):
        return [result["logits"].numpy()] + [stage.numpy() for stage in result["stages"]]
    return [result.numpy()]


def main():
    args = arguments(
        lambda parser: (
            parser.add_argument("--arch", default="SwinTransformer_tiny_patch4_window7_224_SOLIDER"),
            parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES),
        )
    )
    logger.init_logger()
    recorder = Recorder(args.out)
    for case in args.cases:
        model, size = stages(args.arch) if case == "stages" else from_config(case, args.arch)
        reseed(model)
        model.eval()
        spec = [paddle.static.InputSpec([None, 3] + size, "float32", name="x")]
        if case == "stages":
            spec.append(paddle.static.InputSpec([None], "float32", name="semantic_weight"))
        batches = []
        for count in (1, 3):
            arrays = [seeding.seeded("export:%s:x%d" % (case, count), (count, 3) + tuple(size), "input")]
            if case == "stages":
                arrays.append(np.linspace(0.2, 1.0, count).astype("float32"))
            with paddle.no_grad():
                batches.append((count, arrays, flat(model(*[paddle.to_tensor(a) for a in arrays]))))

        directory = os.path.join(args.out, case)
        os.makedirs(directory)
        path = exporting.save_static(model, spec, directory)
        onnx = exporting.to_onnx(path)
        for count, arrays, wanted in batches:
            for stage, found in (("inference", exporting.run_inference(path, arrays)), ("onnx", exporting.run_onnx(onnx, arrays))):
                assert len(found) == len(wanted), (case, stage, len(found), len(wanted))
                for i, (got, want) in enumerate(zip(found, wanted)):
                    recorder.add(stage, "%s.%s.batch%d.%d" % (case, stage, count, i), got, want)
    recorder.write()


if __name__ == "__main__":
    main()
