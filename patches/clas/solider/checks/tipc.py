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
import re
import shutil
import stat
import subprocess
import sys
import tarfile

import cv2
import numpy as np
from skimage import data

from proving.record import arguments, write_metrics

MODEL = "SwinTransformer_tiny_patch4_window7_224_SOLIDER"
CONFIG = "test_tipc/configs/SwinTransformer/%s_train_infer_python.txt" % MODEL
MODE = "lite_train_lite_infer"
NEEDED = ("ppcls", "tools", "deploy", "test_tipc", "setup.py", "requirements.txt", "README_ch.md")
ARCHIVE = "whole_chain_little_train"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
TRAIN, VAL = 8, 4
RUN = "norm_train_gpus_-1_autocast_null_nodes_1"

PYTHON = """#!/bin/bash
if [ "$1" = setup.py ]; then echo "setup.py: the environment is locked"; exit 0; fi
exec %s "$@"
"""
PIP = """#!/bin/bash
echo "pip $*: the environment is locked"
"""
WGET = """#!/bin/bash
for word in "$@"; do
    case "$word" in http*) exec cp -n "%s/$(basename "$word")" .;; esac
done
exit 1
"""


def program(path, text):
    with open(path, "w") as stream:
        stream.write(text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def make_archive(folder):
    """The little data set: pictures, train.txt and val.txt."""
    top = os.path.join(folder, ARCHIVE)
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
    with tarfile.open(os.path.join(folder, ARCHIVE + ".tar"), "w") as archive:
        archive.add(top, ARCHIVE)


def replace_lines(path, changes):
    with open(path) as stream:
        lines = stream.read().split("\n")
    for old, new in changes.items():
        if old not in lines:
            raise SystemExit("%s has no line %r" % (path, old))
        lines[lines.index(old)] = new
    with open(path, "w") as stream:
        stream.write("\n".join(lines))


def main():
    args = arguments()
    tree, folder, programs = (os.path.join(os.path.abspath(args.out), name) for name in ("tree", "data", "bin"))
    os.makedirs(programs)
    os.makedirs(os.path.join(tree, "dataset"))
    missing = [name for name in NEEDED if not os.path.exists(name)]
    if missing:
        raise SystemExit("%s not in this tree: TIPC needs the fork base" % ", ".join(missing))
    for name in NEEDED:
        if os.path.isdir(name):  # symlinks stay what they are: some of them point at a README that another suite has
            shutil.copytree(name, os.path.join(tree, name), symlinks=True)
        else:
            shutil.copy(name, os.path.join(tree, name))
    make_archive(folder)
    for name in ("python", "python3", "python3.7"):
        program(os.path.join(programs, name), PYTHON % sys.executable)
    for name in ("pip", "pip3"):
        program(os.path.join(programs, name), PIP)
    program(os.path.join(programs, "wget"), WGET % folder)
    export = "norm_export:tools/export_model.py -c ppcls/configs/ImageNet/SwinTransformer/%s.yaml" % MODEL
    replace_lines(
        os.path.join(tree, CONFIG),
        {
            export: export + " -o Global.device=cpu",
            "gpu_list:0|0,1": "gpu_list:-1",
            "-o Global.device:gpu": "-o Global.device:cpu",
            "-o Global.use_gpu:True|False": "-o Global.use_gpu:False",
        },
    )

    site = os.path.join(os.path.abspath(args.out), "site")
    os.makedirs(os.path.join(site, "paddleclas"))
    os.symlink(os.path.join(tree, "deploy"), os.path.join(site, "paddleclas", "deploy"))
    output = os.path.join(tree, "test_tipc", "output", MODEL, MODE)
    os.makedirs(os.path.join(output, RUN))
    os.symlink(".", os.path.join(output, RUN, MODEL))
    path = os.pathsep.join([tree, site])
    env = dict(os.environ, PATH=programs + os.pathsep + os.environ["PATH"], PYTHONPATH=path)
    with open(os.path.join(args.out, "tipc.log"), "w") as log:
        for script in ("prepare.sh", "test_train_inference_python.sh"):
            subprocess.run(["bash", "test_tipc/" + script, CONFIG, MODE], cwd=tree, env=env, stdout=log, stderr=log, check=False)

    with open(os.path.join(output, "results_python.log")) as stream:
        steps = stream.read().strip().split("\n")
    for step in steps:
        print(re.sub(r"\x1b\[[0-9;]*m", "", step).replace(tree, "."))
    shutil.copy(os.path.join(output, RUN + "_export.log"), args.out)
    with open(os.path.join(output, RUN + ".log")) as stream:
        losses = [float(v) for v in re.findall(r"\[Train\].*?loss: ([-\w.]+)", stream.read())]
    exported = os.path.join(output, RUN)
    predictions = [name for name in os.listdir(output) if name.startswith("python_infer_cpu")]
    with open(os.path.join(output, predictions[0])) as stream:
        found = re.search(r"class id\(s\): \[([\d, ]+)\]", stream.read())
    write_metrics(
        args.out,
        {
            "steps": len(steps),
            "failed_steps": sum("Run successfully" not in step for step in steps),
            "finite_losses": int(len(losses) > 0 and np.isfinite(losses).all()),
            "exported_files": sum(name in os.listdir(exported) for name in ("inference.pdmodel", "inference.pdiparams")),
            "predicted_classes": len(found.group(1).split(",")) if found else 0,
        },
        curves={"loss": losses},
    )
    shutil.rmtree(tree)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
