"""Make *.float64.npz, solider_swin_tiny_odd.* and noise.json with the original PyTorch code. Not run by any check.

    PYTHONPATH=ci <python with torch 2.13 and numpy> patches/clas/solider/reference/make_float64.py \
        --solider <checkout of tinyvision/SOLIDER at b8779cc5> --reference patches/clas/solider/reference --out DIR

<set>.float64.npz: outputs of the reference in float64, for every float32 output of the set.
solider_swin_tiny_odd.*: a set of the same structure for images that no stride divides.
noise.json: what float32 is worth here. For every output the distance of the stored float32 tensor to the same code run again
with this build of PyTorch (rerun), and to float64.
"""

import argparse
import json
import os
import sys
import types

import numpy as np
import torch

from proving import seeding
from proving.tree import on_path

SIZES = ("tiny", "small", "base")
ODD_SIZES = [(97, 61), (150, 226)]
SAMPLES = {"float32": 1024, "float64": 256}


def load_reference(directory):
    """The module swin_transformer of a checkout; what it imports beside torch only serves files and pictures."""
    runner = types.ModuleType("mmcv.runner")
    runner.load_checkpoint = None
    sys.modules.update({"mmcv": types.ModuleType("mmcv"), "mmcv.runner": runner})
    sys.modules.setdefault("cv2", types.ModuleType("cv2"))
    torch.Tensor.cuda = lambda tensor, *args, **kwargs: tensor
    on_path(directory)
    import swin_transformer

    return swin_transformer


def build(reference, manifest, dtype, semantic_weight):
    torch.set_default_dtype(dtype)
    model = getattr(reference, manifest["model"])(semantic_weight=semantic_weight)
    state = model.state_dict()
    for name, value in seeding.parameters(manifest):
        if name in state:
            state[name] = torch.tensor(value).to(dtype)
    model.load_state_dict(state)
    model.eval()  # gives None here
    return model


def outputs(reference, manifest, dtype, sizes, weights, batch_of_two):
    """{key: array} of the global feature and the four maps."""
    found = {}

    def keep(stem, result):
        found[stem + ".global"] = result[0].numpy()
        found.update({"%s.out%d" % (stem, i): part.numpy() for i, part in enumerate(result[1])})

    def image(name, shape):
        return torch.tensor(seeding.seeded(name, shape, "input", seeding.seed_prefix(manifest))).to(dtype)

    model = build(reference, manifest, dtype, weights[0])
    with torch.no_grad():
        for height, width in sizes:
            x = image("input:solider:x:%dx%d" % (height, width), (1, 3, height, width))
            for weight in weights:
                model.semantic_weight = weight
                keep("sw%s.%dx%d" % (weight, height, width), model(x))
        if batch_of_two:
            x = image("input:solider:x:explicit", (2, 3) + tuple(sizes[-1]))
            keep("explicit", model(x, torch.tensor([[0.1, 0.9], [0.7, 0.3]], dtype=dtype)))
            keep("nosem", build(reference, manifest, dtype, -1)(x))
    return found


def thinned(arrays, limit):
    """Maps as every n-th element, with the shape and the step; the rest whole."""
    stored = {}
    for key, value in arrays.items():
        step = 1 if value.ndim < 4 else -(-value.size // limit) | 1
        stored[key] = value if step == 1 else value.reshape(-1)[::step]
        if step > 1:
            stored[key + "__shape"] = np.array(value.shape)
            stored[key + "__stride"] = np.array(step)
    return stored


def write_json(path, value):
    with open(path, "w") as stream:
        json.dump(value, stream, indent=1)
        stream.write("\n")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--solider", "--reference", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=SIZES)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    reference = load_reference(args.solider)
    noise = {"torch": torch.__version__}
    for name in args.sizes:
        stem = os.path.join(args.reference, "solider_swin_" + name)
        manifest, golden = seeding.read_manifest(stem + ".manifest.json"), np.load(stem + ".npz")
        sizes = [tuple(entry["shape"][2:]) for entry in manifest["inputs"]]
        runs = [
            outputs(reference, manifest, dtype, sizes, manifest["semantic_weights"], True)
            for dtype in (torch.float32, torch.float64)
        ]
        np.savez_compressed(os.path.join(args.out, "solider_swin_%s.float64.npz" % name), **thinned(runs[1], SAMPLES["float64"]))
        for key in runs[0]:
            gaps = [np.abs(np.subtract(*seeding.samples(golden, key, run[key].astype(np.float64)))) for run in runs]
            noise["%s.%s" % (name, key)] = {
                "rerun_max_abs": float(gaps[0].max()),
                "rerun_mean_abs": float(gaps[0].mean()),
                "float64_max_abs": float(gaps[1].max()),
                "float64_mean_abs": float(gaps[1].mean()),
            }
    write_json(os.path.join(args.out, "noise.json"), noise)

    manifest = seeding.read_manifest(os.path.join(args.reference, "solider_swin_tiny.manifest.json"))
    manifest["inputs"] = [{"name": "input:solider:x:%dx%d" % size, "shape": [1, 3] + list(size)} for size in ODD_SIZES]
    manifest["semantic_weights"] = [0.2]
    runs = [outputs(reference, manifest, dtype, ODD_SIZES, [0.2], False) for dtype in (torch.float32, torch.float64)]
    stem = os.path.join(args.out, "solider_swin_tiny_odd")
    index = np.load(os.path.join(args.reference, "solider_swin_tiny.npz"))["buffer.relative_position_index"]
    np.savez_compressed(stem + ".npz", **{"buffer.relative_position_index": index}, **thinned(runs[0], SAMPLES["float32"]))
    np.savez_compressed(os.path.join(args.out, "solider_swin_tiny_odd.float64.npz"), **thinned(runs[1], SAMPLES["float64"]))
    write_json(stem + ".manifest.json", manifest)
    write_json(
        stem + ".precision.json",
        {
            key: {"max_abs_diff": float(np.abs(runs[0][key] - runs[1][key]).max()), "abs_max": float(np.abs(runs[1][key]).max())}
            for key in runs[0]
        },
    )


if __name__ == "__main__":
    main()
