"""TIPC mode 1, lite_train_lite_infer: the suite's own scripts train, evaluate, export and predict.

    bash test_tipc/prepare.sh CONFIG lite_train_lite_infer
    bash test_tipc/test_train_inference_python.sh CONFIG lite_train_lite_infer

run unchanged in a copy of the work tree, with these deviations:

- `wget` is answered from a local folder: whole_chain_little_train.tar, made here of cut-outs of photographs of scikit-image in
  the folders and lists of the original;
- `python`, `python3.7` and `pip` are this Python; `setup.py install` and `pip` are answered "already there", as the
  environment is locked; the package paddleclas that it would install is a link to the folder deploy of the tree;
- the scripts look for the trained model in <output_dir>/<model name>, but since 2023 the engine of the suite writes into
  <output_dir> itself, so that no model gets through them: a link of that name points at the folder;
- in the copy of CONFIG: no GPU (gpu_list -1, device cpu, Global.use_gpu False; the export, which takes its device from the yaml
  file, gets it by -o, too).

A step counts only if results_python.log says "Run successfully" for it. Beyond that the losses must be finite, the exported
files must exist and the prediction must name five classes.

    python checks/tipc.py --out DIR
"""

import os

import cv2
import numpy as np
from skimage import data

from proving.record import arguments, write_metrics
from proving.tipc import Sandbox

MODEL = "SwinTransformer_tiny_patch4_window7_224_SOLIDER"
CONFIG = "test_tipc/configs/SwinTransformer/%s_train_infer_python.txt" % MODEL
NEEDED = ("ppcls", "tools", "deploy", "test_tipc", "setup.py", "requirements.txt", "README_ch.md")
ARCHIVE = "whole_chain_little_train"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
TRAIN, VAL = 8, 4
RUN = "norm_train_gpus_-1_autocast_null_nodes_1"


def archive(top):
    """The little data set: pictures, train.txt and val.txt."""
    rng = np.random.RandomState(0)
    for part, count in (("train", TRAIN), ("val", VAL)):
        os.makedirs(os.path.join(top, part))
        lines = []
        for i in range(count):
            label = i % len(PHOTOS)
            photo = getattr(data, PHOTOS[label])()[..., :3]
            y, x = rng.randint(photo.shape[0] - 256 + 1), rng.randint(photo.shape[1] - 256 + 1)
            name = "%s/ILSVRC2012_%s_%08d.JPEG" % (part, part, i + 1)
            cv2.imwrite(os.path.join(top, name), photo[y : y + 256, x : x + 256, ::-1])
            lines.append("%s %d\n" % (name, label))
        with open(os.path.join(top, part + ".txt"), "w") as stream:
            stream.writelines(lines)
    return top


def run(args):
    """The scripts in a copy of the work tree."""
    box = Sandbox(args.out, NEEDED, CONFIG)
    os.makedirs(os.path.join(box.tree, "dataset"))
    box.serve(ARCHIVE + ".tar", archive(os.path.join(box.out, "data", ARCHIVE)))
    box.set_keys(
        {"norm_export": "{} -o Global.device=cpu", "gpu_list": "-1", "-o Global.device": "cpu", "-o Global.use_gpu": "False"}
    )
    site = os.path.join(box.out, "site")
    os.makedirs(os.path.join(site, "paddleclas"))
    os.symlink(os.path.join(box.tree, "deploy"), os.path.join(site, "paddleclas", "deploy"))
    os.makedirs(os.path.join(box.output, RUN))
    os.symlink(".", os.path.join(box.output, RUN, MODEL))
    box.run(path=[site])
    return box


def main():
    args = arguments()
    box = run(args)
    steps, losses = box.steps(), box.numbers(r"\[Train\].*?loss: ([-\w.]+)", RUN + ".log")
    classes = box.found(r"class id\(s\): \[([\d, ]+)\]")
    exported = os.listdir(os.path.join(box.output, RUN))
    write_metrics(
        args.out,
        {
            "steps": len(steps),
            "failed_steps": len(steps) - sum(steps.values()),
            "finite_losses": int(len(losses) > 0 and np.isfinite(losses).all()),
            "exported_files": sum(name in exported for name in ("inference.pdmodel", "inference.pdiparams")),
            "predicted_classes": len(classes[0].split(",")) if classes else 0,
        },
        curves={"loss": losses},
    )
    box.close()


if __name__ == "__main__":
    main()
