"""TIPC lite_train_lite_infer: train, export, Paddle Inference.

On the fork base (test_tipc/ and tools/ are there) PaddleSeg's own scripts run,
unchanged, in a copy of the work tree:

    bash test_tipc/prepare.sh CONFIG lite_train_lite_infer
    bash test_tipc/test_train_inference_python.sh CONFIG lite_train_lite_infer

with these deviations, each written to tipc.json:

- `wget` is answered from a local folder: cityscapes_20imgs.tar is made by
  streets.py (20 pictures, the folders, names and train ids of Cityscapes);
- `pip` is answered "already there": the environment is locked;
- in the copy of CONFIG: this Python; no GPU (gpu_list -1, device cpu);
  `--benchmark:False` where the package auto_log, which is on no package index,
  is not installed;
- --quick: crops of 256x256 in place of those of the configuration.

A line of results_python.log counts as successful only if it says "Run
successfully". Beyond that the exported files must exist, the loss of the last
logged iteration must be finite, and inference must leave one picture for each
input: deploy/python/infer.py ends with status 0 even when no predictor could
be made.

On the release base (it has no scripts) and on paddle 3 (whose model.json the
export of this base calls model.pdmodel, so that inference cannot find it) "a
form of it" runs: the same three steps through the package, one line each;
metric `scripts` says 0 then.

    python tipc.py --out DIR [--quick] [--config CONFIG]
"""

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile

import numpy as np
import streets
import yaml

from proving.record import write_metrics

CONFIG = "test_tipc/configs/pidnet_small/train_infer_python.txt"
MODE = "lite_train_lite_infer"
LISTED = "test_tipc/docs/cityscapes_val_5.list"
ARCHIVE = "cityscapes_20imgs"
NEEDED = ("paddleseg", "tools", "deploy", "test_tipc", "configs", "setup.py", "README.md", "requirements.txt")

WGET = """#!/bin/bash
# Answers downloads from a folder.
folder=.
while [ $# -gt 0 ]; do
    case "$1" in
        -P) folder=$2; shift ;;
        -*) ;;
        *) url=$1 ;;
    esac
    shift
done
name=$(basename "$url")
if [ ! -f "{served}/$name" ]; then
    echo "wget: $url is not served here" >&2
    exit 8
fi
mkdir -p "$folder" && cp "{served}/$name" "$folder/$name"
"""
PIP = """#!/bin/bash
echo "pip $*: the environment is locked, nothing is installed"
"""


def archive(tree, served, size):
    """cityscapes_20imgs.tar: 15 pictures for training and the 5 that TIPC's
    list names for validation and inference."""
    with open(os.path.join(tree, LISTED)) as stream:
        pairs = [("val", *line.split()) for line in stream if line.strip()]
    for index in range(20 - len(pairs)):
        stem = f"train/made/made_{index:06d}_000000"
        pairs.append(("train", f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelTrainIds.png"))
    root = os.path.join(served, ARCHIVE)
    for index, (split, image_name, label_name) in enumerate(pairs):
        image, label = streets.make(68, split, index, size)
        streets.save(os.path.join(root, image_name), image)
        streets.save(os.path.join(root, label_name), streets.train_ids(label))
    with tarfile.open(root + ".tar", "w") as tar:
        tar.add(root, ARCHIVE)


def program(path, text):
    with open(path, "w") as stream:
        stream.write(text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def adapt(path):
    """Edits the copy of the TIPC configuration; returns what was changed."""
    with open(path) as stream:
        lines = stream.read().split("\n")
    wanted = {"python": sys.executable, "gpu_list": "-1", "--device": "cpu"}
    if importlib.util.find_spec("auto_log") is None:
        wanted["--benchmark"] = "False"
    changed = []
    for number, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if colon and key in wanted and value != wanted[key]:
            lines[number] = f"{key}:{wanted[key]}"
            changed.append(f"{os.path.basename(path)} line {number + 1}: {line} -> {key}:{wanted[key]}")
    with open(path, "w") as stream:
        stream.write("\n".join(lines))
    return [c.replace(sys.executable, "this Python") for c in changed]


def shrink(tree, config):
    """Crops of 256x256 in the yml files beside the configuration and in those they build on."""
    folder = os.path.join(tree, os.path.dirname(config))
    waiting = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".yml")]
    changed, seen = [], set()
    while waiting:
        path = os.path.normpath(waiting.pop())
        if path in seen:
            continue
        seen.add(path)
        with open(path) as stream:
            text = stream.read()
        base = re.search(r"^_base_: *['\"]?([^'\"\n]+)", text, re.M)
        if base:
            waiting.append(os.path.join(os.path.dirname(path), base.group(1)))
        small = re.sub(r"crop_size: \[.*\]", "crop_size: [256, 256]", text)
        if small != text:
            with open(path, "w") as stream:
                stream.write(small)
            changed.append(f"{os.path.relpath(path, tree)}: crop_size -> [256, 256]")
    return changed


def scripts(args, size):
    """The real thing. Returns metrics and what was changed."""
    out = os.path.abspath(args.out)
    tree, served, answers = (os.path.join(out, n) for n in ("tree", "served", "bin"))
    for name in NEEDED:
        if os.path.isdir(name):
            shutil.copytree(name, os.path.join(tree, name), ignore=shutil.ignore_patterns("__pycache__"))
        elif os.path.isfile(name):
            shutil.copy(name, os.path.join(tree, name))
    os.makedirs(answers)
    archive(tree, served, size)
    program(os.path.join(answers, "wget"), WGET.replace("{served}", served))
    program(os.path.join(answers, "pip"), PIP)
    changed = adapt(os.path.join(tree, args.config))
    if args.quick:
        changed += shrink(tree, args.config)

    environment = dict(os.environ)
    environment["PATH"] = answers + os.pathsep + environment["PATH"]
    environment["PYTHONPATH"] = os.pathsep.join(
        [tree] + [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p and os.path.abspath(p) != os.getcwd()]
    )
    for script in ("prepare.sh", "test_train_inference_python.sh"):
        command = ["bash", f"test_tipc/{script}", args.config, MODE]
        print("$", " ".join(command), flush=True)
        log = os.path.join(out, script + ".log")
        with open(log, "w") as stream:
            status = subprocess.run(
                command, cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
            ).returncode
        if status:
            with open(log) as stream:
                sys.stderr.write("".join(stream.readlines()[-30:]))
            raise SystemExit(f"tipc: {script} ended with status {status}; next: read {log}")
    return judge(tree, args.config, out), changed


def judge(tree, config, out):
    with open(os.path.join(tree, config)) as stream:
        model = stream.read().split("\n")[1].partition(":")[2]
    logs = os.path.join(tree, "test_tipc", "output", model, MODE)
    results = os.path.join(logs, "results_python.log")
    if not os.path.isfile(results):
        raise SystemExit(f"tipc: no {results}; next: read {out}/*.log")
    with open(results) as stream:
        said = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in stream]
    said = [line for line in said if line.startswith("Run ")]
    for line in said:
        print(line)
    shutil.copy(results, os.path.join(out, "results_python.log"))

    losses, programs, pictures, asked = [], 0, 0, 0
    for folder, _, names in os.walk(logs):
        exported = {os.path.splitext(n)[1] for n in names}
        if "deploy.yaml" in names and ".pdiparams" in exported and exported & {".pdmodel", ".json"}:
            programs += 1
        if os.path.basename(folder).endswith("_results"):
            pictures += sum(n.endswith(".png") for n in names)
        for name in names:
            if name.endswith(".log") and name != "results_python.log":
                with open(os.path.join(folder, name), errors="replace") as log:
                    losses += re.findall(r"\[TRAIN\].* loss: (\S+),", log.read())
    with open(os.path.join(tree, LISTED)) as stream:
        listed = sum(bool(line.strip()) for line in stream)
    asked = listed * sum("deploy/python/infer.py" in line for line in said)
    return {
        "scripts": 1,
        "lines": len(said),
        "successful": sum(line.startswith("Run successfully") for line in said),
        "failed": sum(not line.startswith("Run successfully") for line in said),
        "exported_programs": programs,
        "pictures_asked": asked,
        "pictures_predicted": pictures,
        "training_log_lines": len(losses),
        "last_loss_finite": int(bool(losses) and math.isfinite(float(losses[-1]))),
        "last_loss": float(losses[-1]) if losses else -1.0,
    }


def package(args, why):
    """A form of it: the same steps through the package, `why` says why."""
    import paddle
    import train_streets
    from paddle import inference
    from paddleseg.core import train
    from paddleseg.cvlibs import Config, SegBuilder
    from paddleseg.deploy.export import WrappedModel
    from paddleseg.deploy.infer import DeployConfig
    from paddleseg.utils import utils
    from paddleseg.utils.visualize import get_pseudo_color_map

    data = os.path.join(args.out, "data")
    streets.write(data, (15, 5), (128, 256))
    budget = {"crop": (128, 256), "iters": 20, "batch": 2, "optimizer": "sgd"}
    path = train_streets.configuration("pidnet_s", data, len(streets.CLASSES), budget, 0.01, args.out)
    utils.set_seed(100)
    builder = SegBuilder(Config(path))
    saved = os.path.join(args.out, "train")
    train(
        builder.model,
        builder.train_dataset,
        val_dataset=builder.val_dataset,
        optimizer=builder.optimizer,
        save_dir=saved,
        iters=budget["iters"],
        batch_size=budget["batch"],
        save_interval=500,
        log_iters=10,
        use_vdl=True,
        losses=train_streets.repaired(builder.loss),
    )
    losses = train_streets.curves_of(saved)["loss"]
    lines = [f"train: {len(losses)} losses logged, last {losses[-1]:.4f}"]

    # tools/export.py, which the release does not bring, in short
    weights = os.path.join(saved, "best_model", "model.pdparams")
    fresh = SegBuilder(Config(path)).model
    fresh.set_dict(paddle.load(weights))
    wrapped = WrappedModel(fresh, "argmax")
    wrapped.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32")
    exported = os.path.join(args.out, "export")
    paddle.jit.save(paddle.jit.to_static(wrapped, input_spec=[spec], full_graph=True), os.path.join(exported, "model"))
    suffix = ".pdmodel"
    if not os.path.isfile(os.path.join(exported, "model" + suffix)):
        suffix = ".json"
    deploy = os.path.join(exported, "deploy.yaml")
    with open(deploy, "w") as stream:
        yaml.safe_dump(
            {
                "Deploy": {
                    "model": "model" + suffix,
                    "params": "model.pdiparams",
                    "transforms": Config(path).val_dataset_cfg["transforms"],
                }
            },
            stream,
        )
    lines.append(f"export: {', '.join(sorted(os.listdir(exported)))}")

    # deploy/python/infer.py in short
    ready = DeployConfig(deploy)
    config = inference.Config(ready.model, ready.params)
    config.disable_gpu()
    if paddle.__version__.startswith("2."):
        config.enable_mkldnn()
    else:
        config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    given = predictor.get_input_handle(predictor.get_input_names()[0])
    taken = predictor.get_output_handle(predictor.get_output_names()[0])
    results = os.path.join(args.out, "results")
    os.makedirs(results)
    with open(os.path.join(data, "val.txt")) as stream:
        images = [line.split()[0] for line in stream]
    for name in images:
        image = ready.transforms({"img": os.path.join(data, name)})["img"]
        given.copy_from_cpu(np.ascontiguousarray(image[None]))
        predictor.run()
        get_pseudo_color_map(taken.copy_to_cpu()[0].astype(np.uint8)).save(os.path.join(results, os.path.basename(name)))
    lines.append(f"infer: {len(os.listdir(results))} pictures")
    for line in lines:
        print("Run successfully -", line)
    return {
        "scripts": 0,
        "lines": len(lines),
        "successful": len(lines),
        "failed": 0,
        "exported_programs": 1,
        "pictures_asked": len(images),
        "pictures_predicted": len(os.listdir(results)),
        "training_log_lines": len(losses),
        "last_loss_finite": int(math.isfinite(losses[-1])),
        "last_loss": losses[-1],
    }, [why]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--config", default=CONFIG)
    args = parser.parse_args()
    if os.environ.get("FORKLIFT_PADDLE", "2.6").startswith("3"):
        metrics, changed = package(
            args,
            "paddle 3: the deploy.yaml of this base names model.pdmodel, paddle writes "
            "model.json; the same steps through the package instead of the scripts",
        )
    elif os.environ.get("FORKLIFT_BASE", "fork") == "fork":
        for path in ("test_tipc/prepare.sh", args.config):
            if not os.path.isfile(path):
                raise SystemExit(f"tipc: no {path} in {os.getcwd()}; next: run in a work tree of the fork base")
        metrics, changed = scripts(args, (256, 512) if args.quick else (512, 1024))
    else:
        metrics, changed = package(
            args, "no test_tipc/ and no tools/ at this base: the same steps through the package instead of the scripts"
        )
    with open(os.path.join(args.out, "tipc.json"), "w") as stream:
        json.dump({"deviations": changed, "metrics": metrics}, stream, indent=1)
    for line in changed:
        print("deviation:", line)
    write_metrics(args.out, metrics=metrics)


if __name__ == "__main__":
    main()
