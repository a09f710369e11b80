"""Make *.training.npz with the original PyTorch code: five SGD steps at every image size and semantic weight. Not run by any check.

    PYTHONPATH=ci:patches/clas/solider/reference <python with torch 2.13 and numpy> patches/clas/solider/reference/make_training.py \
        --solider <checkout of tinyvision/SOLIDER at b8779cc5> --reference patches/clas/solider/reference --out DIR

solider_swin_<size>.npz holds this run for 384x128 at the semantic weight 0.2 alone. It is repeated here and must come out
the same, which shows that both files mean the same run; then the five others are stored, X in float32 and X__f64 in float64.
"""

import argparse
import os

import numpy as np
import torch
from make_float64 import SIZES, build, load_reference

from proving import seeding

LEARNING_RATE, STEPS = 0.01, 5
STORED = "sw0.2.384x128"


def train(reference, manifest, dtype, size, weight):
    """{key: array} of the run, with the names of solider_swin_<size>.npz."""
    model = build(reference, manifest, dtype, weight)
    named = dict(model.named_parameters())
    parameters = {name: named[name] for name in manifest["param_order"]}
    assert len(parameters) == len(named)

    def array(name, shape):
        return torch.tensor(seeding.seeded(name, tuple(shape), "input", seeding.seed_prefix(manifest))).to(dtype)

    probes = {name: array("probe:" + name, p.shape).double() for name, p in parameters.items()}

    def vectors(values):
        """Norms and probe products; a missing gradient counts as zero."""
        pairs = [(0.0, 0.0) if v is None else (v.double().norm().item(), (v.double() * probes[n]).sum().item()) for n, v in values]
        return np.array(pairs).T

    x = array("input:solider:x:%dx%d" % size, (1, 3) + size)
    found, losses = {}, []
    for step in range(STEPS):
        feature, stages = model(x)
        outputs = {"global": feature, **{"out%d" % i: stage for i, stage in enumerate(stages)}}
        loss = sum(torch.nn.functional.mse_loss(y, array("input:solider:target:" + n, y.shape)) for n, y in outputs.items())
        model.zero_grad(set_to_none=True)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = [(name, p.grad) for name, p in parameters.items()]
            found["train.grad_l2"], found["train.grad_probe_dot"] = vectors(gradients)
            found["train.grad_exists"] = np.array([value is not None for _, value in gradients], np.uint8)
        with torch.no_grad():
            for p in parameters.values():
                if p.grad is not None:
                    p -= LEARNING_RATE * p.grad
    found["train.loss"], found["sgd.loss_seq"] = np.array(losses[:1]), np.array(losses)
    found["sgd.param_l2"], found["sgd.param_probe_dot"] = vectors([(name, p.detach()) for name, p in parameters.items()])
    return found


def both(reference, manifest, size, weight):
    single, double = (train(reference, manifest, dtype, size, weight) for dtype in (torch.float32, torch.float64))
    exists = {"train.grad_exists": single.pop("train.grad_exists")}
    double.pop("train.grad_exists")
    found = {key: value.astype(np.float32) for key, value in single.items()}
    return {**exists, **found, **{key + "__f64": value for key, value in double.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--solider", "--reference", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=SIZES)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    reference = load_reference(args.solider)
    for name in args.sizes:
        stem = os.path.join(args.reference, "solider_swin_" + name)
        manifest, golden = seeding.read_manifest(stem + ".manifest.json"), np.load(stem + ".npz")
        stored = {}
        for entry in manifest["inputs"]:
            size = tuple(entry["shape"][2:])
            for weight in manifest["semantic_weights"]:
                run, where = both(reference, manifest, size, weight), "sw%s.%dx%d" % ((weight,) + size)
                if where != STORED:
                    stored.update({"%s.%s" % (where, key): value for key, value in run.items()})
                    continue
                for key, value in run.items():
                    gap = np.abs(np.subtract(value, golden[key], dtype=np.float64)).max() / max(1, np.abs(golden[key]).max())
                    print("%s.%s: repeats %s within %.1e of the largest value" % (name, where, key, gap))
                    assert gap < (1e-12 if key.endswith("__f64") else 1e-5), key
        np.savez_compressed(os.path.join(args.out, "solider_swin_%s.training.npz" % name), **stored)


if __name__ == "__main__":
    main()
