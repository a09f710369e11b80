"""The plain Swin Transformer before and after the change, in one process, with the same weights: not one bit may differ.

    python checks/plain_swin.py --out DIR [--variants NAME ...]

The file before the change is made by taking the change's own edit back. Outputs in dygraph and of the whole-graph static
program, and every gradient of a training step.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import paddle
from ppcls.arch.backbone.legendary_models import swin_transformer

from proving import seeding
from proving.record import arguments, write_metrics
from proving.static_proof import prepare_environment

CHANGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = "ppcls/arch/backbone/legendary_models/swin_transformer.py"
VARIANTS = ["SwinTransformer_tiny_patch4_window7_224", "SwinTransformer_base_patch4_window12_384"]


def module_before(out):
    """(the module without the edit, whether it is the file at the pin). It takes a new name in the same package."""
    target = os.path.join(out, PATH)
    os.makedirs(os.path.dirname(target))
    shutil.copy(PATH, target)
    patch = os.path.join(CHANGE, "edits", PATH + ".patch")
    alone = dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.abspath(out)))
    subprocess.run(["git", "apply", "-R", patch], cwd=out, check=True, env=alone)
    with open(target, "rb") as stream:
        data = stream.read()
    with open(PATH, "rb") as stream:
        if data == stream.read():
            raise SystemExit("%s: taking the edit back changed nothing" % PATH)
    with open(patch) as stream:
        blob = re.search(r"^index ([0-9a-f]{40})", stream.read(), re.M).group(1)
    name = swin_transformer.__name__ + "_before"
    spec = importlib.util.spec_from_file_location(name, target)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == blob


def build(module, variant):
    paddle.seed(11)
    return getattr(module, variant)(class_num=10)


def same_weights(before, after):
    """Weights of ordinary size, the same for both."""
    for name, parameter in after.named_parameters():
        kind = "weight" if len(parameter.shape) > 1 else "norm_weight" if name.endswith("weight") else "norm_bias"
        shape = list(parameter.shape)
        parameter.set_value(np.ascontiguousarray(seeding.seeded("plain:" + name, shape[::-1], kind).transpose()))
    missing, unexpected = before.set_state_dict(after.state_dict())
    if missing or unexpected:
        raise SystemExit("the state dicts differ: %s %s" % (missing, unexpected))


def evaluate(model, x):
    model.eval()
    with paddle.no_grad():
        return model(x).numpy()


def static(model, x):
    model.eval()
    spec = [paddle.static.InputSpec([None] + list(x.shape[1:]), "float32")]
    paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    with paddle.no_grad():
        found = model(x).numpy()
    model.forward.rollback()
    return found


def gradients(model, x):
    model.train()
    paddle.seed(5)  # the same drop path
    model(x).square().mean().backward()
    found = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    model.clear_gradients()
    return found


def main():
    args = arguments(lambda parser: parser.add_argument("--variants", nargs="+", default=VARIANTS))
    prepare_environment("ast")
    module, at_pin = module_before(args.out)
    differing = compared = 0

    def compare(what, before, after):
        nonlocal differing, compared
        compared += 1
        unequal = int((before != after).sum()) if before.shape == after.shape else before.size
        differing += unequal
        if unequal:
            print("%s: %d of %d elements differ" % (what, unequal, before.size))

    for variant in args.variants:
        before, after = build(module, variant), build(swin_transformer, variant)
        same_weights(before, after)
        size = after.patch_embed.img_size
        x = paddle.to_tensor(seeding.seeded("plain:x", (1, 3) + tuple(size), "input"))
        output = evaluate(after, x)
        if np.abs(output).max() < 0.1:
            raise SystemExit("%s: outputs near zero prove nothing" % variant)
        compare(variant + " dygraph", evaluate(before, x), output)
        if size[0] == 224:
            compare(variant + " static", static(before, x), static(after, x))
            ours = gradients(after, x)
            for name, gradient in gradients(before, x).items():
                compare("%s gradient of %s" % (variant, name), gradient, ours[name])
    write_metrics(args.out, {"differing_elements": differing, "compared_tensors": compared, "before_is_the_pin": at_pin})


if __name__ == "__main__":
    main()
