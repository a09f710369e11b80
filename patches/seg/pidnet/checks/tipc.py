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
import sys

import numpy as np
import streets
import yaml

from proving.record import arguments, write_metrics
from proving.tipc import Sandbox

CONFIG = "test_tipc/configs/pidnet_small/train_infer_python.txt"
LISTED = "test_tipc/docs/cityscapes_val_5.list"
ARCHIVE = "cityscapes_20imgs"
# README.md is a link whose target ends in a newline: nothing can follow it
NEEDED = ("paddleseg", "tools", "deploy", "test_tipc", "configs", "setup.py", "README_CN.md", "requirements.txt")
BUDGET = {"crop": (128, 256), "iters": 20, "batch": 2, "optimizer": "sgd"}  # of the form through the package


def listed():
    """The 5 pairs of picture and label that TIPC's list names for validation and inference."""
    with open(LISTED) as stream:
        return [line.split() for line in stream if line.strip()]


def archive(folder, size):
    """cityscapes_20imgs: 15 pictures for training and the listed 5."""
    pairs = [("val", *pair) for pair in listed()]
    for index in range(20 - len(pairs)):
        stem = f"train/made/made_{index:06d}_000000"
        pairs.append(("train", f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelTrainIds.png"))
    for index, (split, image_name, label_name) in enumerate(pairs):
        image, label = streets.make(68, split, index, size)
        streets.save(os.path.join(folder, image_name), image)
        streets.save(os.path.join(folder, label_name), streets.train_ids(label))
    return folder


def shrink(box):
    """Crops of 256x256 in the yml files beside the configuration and in those they build on."""
    folder = os.path.dirname(box.config)
    waiting = [os.path.join(folder, name) for name in sorted(os.listdir(os.path.join(box.tree, folder))) if name.endswith(".yml")]
    seen = set()
    while waiting:
        name = os.path.normpath(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        with open(os.path.join(box.tree, name)) as stream:
            text = stream.read()
        waiting += [os.path.join(os.path.dirname(name), base) for base in re.findall(r"^_base_: *['\"]?([^'\"\n]+)", text, re.M)]
        for crop in sorted(set(re.findall(r"crop_size: \[.*\]", text)) - {"crop_size: [256, 256]"}):
            box.substitute(name, crop, "crop_size: [256, 256]", "crop_size -> [256, 256]")


def scripts(args, size):
    """The real thing. Returns metrics and what was changed."""
    box = Sandbox(args.out, NEEDED, args.config)
    box.serve(ARCHIVE + ".tar", archive(os.path.join(args.out, ARCHIVE), size))
    box.set_keys({"python": sys.executable, "gpu_list": "-1", "--device": "cpu"})
    if importlib.util.find_spec("auto_log") is None:
        box.set_keys({"--benchmark": "False"})
    if args.quick:
        shrink(box)
    box.run()
    return judge(box), box.deviations


def judge(box):
    steps, programs, pictures = box.steps(), 0, 0
    for folder, _, names in os.walk(box.output):
        exported = {os.path.splitext(n)[1] for n in names}
        programs += "deploy.yaml" in names and ".pdiparams" in exported and bool(exported & {".pdmodel", ".json"})
        if os.path.basename(folder).endswith("_results"):
            pictures += sum(n.endswith(".png") for n in names)
    losses = box.numbers(r"\[TRAIN\].* loss: (\S+),")
    return {
        "scripts": 1,
        "lines": len(steps),
        "successful": sum(steps.values()),
        "failed": len(steps) - sum(steps.values()),
        "exported_programs": programs,
        "pictures_asked": len(listed()) * sum("deploy/python/infer.py" in line for line in steps),
        "pictures_predicted": pictures,
        "training_log_lines": len(losses),
        "last_loss_finite": int(bool(losses) and math.isfinite(losses[-1])),
        "last_loss": losses[-1] if losses else -1.0,
    }


def train(path, saved):
    """Train as the configuration says; the losses of the log."""
    import train_streets
    from paddleseg.core import train
    from paddleseg.cvlibs import Config, SegBuilder
    from paddleseg.utils import utils

    utils.set_seed(100)
    builder = SegBuilder(Config(path))
    train(
        builder.model,
        builder.train_dataset,
        val_dataset=builder.val_dataset,
        optimizer=builder.optimizer,
        save_dir=saved,
        iters=BUDGET["iters"],
        batch_size=BUDGET["batch"],
        save_interval=500,
        log_iters=10,
        use_vdl=True,
        losses=train_streets.repaired(builder.loss),
    )
    return train_streets.curves_of(saved)["loss"]


def export(path, weights, exported):
    """tools/export.py, which the release does not bring, in short; returns deploy.yaml."""
    import paddle
    from paddleseg.cvlibs import Config, SegBuilder
    from paddleseg.deploy.export import WrappedModel

    fresh = SegBuilder(Config(path)).model
    fresh.set_dict(paddle.load(weights))
    wrapped = WrappedModel(fresh, "argmax")
    wrapped.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32")
    paddle.jit.save(paddle.jit.to_static(wrapped, input_spec=[spec], full_graph=True), os.path.join(exported, "model"))
    suffix = ".pdmodel" if os.path.isfile(os.path.join(exported, "model.pdmodel")) else ".json"
    deploy = os.path.join(exported, "deploy.yaml")
    transforms = Config(path).val_dataset_cfg["transforms"]
    with open(deploy, "w") as stream:
        yaml.safe_dump({"Deploy": {"model": "model" + suffix, "params": "model.pdiparams", "transforms": transforms}}, stream)
    return deploy


def infer(deploy, data, results):
    """deploy/python/infer.py in short; returns how many pictures it was given."""
    import paddle
    from paddle import inference
    from paddleseg.deploy.infer import DeployConfig
    from paddleseg.utils.visualize import get_pseudo_color_map

    ready = DeployConfig(deploy)
    config = inference.Config(ready.model, ready.params)
    config.disable_gpu()
    config.enable_mkldnn() if paddle.__version__.startswith("2.") else config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    given = predictor.get_input_handle(predictor.get_input_names()[0])
    taken = predictor.get_output_handle(predictor.get_output_names()[0])
    os.makedirs(results)
    with open(os.path.join(data, "val.txt")) as stream:
        images = [line.split()[0] for line in stream]
    for name in images:
        image = ready.transforms({"img": os.path.join(data, name)})["img"]
        given.copy_from_cpu(np.ascontiguousarray(image[None]))
        predictor.run()
        get_pseudo_color_map(taken.copy_to_cpu()[0].astype(np.uint8)).save(os.path.join(results, os.path.basename(name)))
    return len(images)


def package(args, why):
    """A form of it: the same steps through the package, `why` says why."""
    import train_streets

    data, saved, exported, results = (os.path.join(args.out, name) for name in ("data", "train", "export", "results"))
    streets.write(data, (15, 5), (128, 256))
    path = train_streets.configuration("pidnet_s", data, len(streets.CLASSES), BUDGET, 0.01, args.out)
    losses = train(path, saved)
    deploy = export(path, os.path.join(saved, "best_model", "model.pdparams"), exported)
    images = infer(deploy, data, results)
    lines = [
        f"train: {len(losses)} losses logged, last {losses[-1]:.4f}",
        f"export: {', '.join(sorted(os.listdir(exported)))}",
        f"infer: {len(os.listdir(results))} pictures",
    ]
    for line in lines:
        print("Run successfully -", line)
    return {
        "scripts": 0,
        "lines": len(lines),
        "successful": len(lines),
        "failed": 0,
        "exported_programs": 1,
        "pictures_asked": images,
        "pictures_predicted": len(os.listdir(results)),
        "training_log_lines": len(losses),
        "last_loss_finite": int(math.isfinite(losses[-1])),
        "last_loss": losses[-1],
    }, [why]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--config", default=CONFIG)
    args = arguments(parser=parser)
    if os.environ.get("FORKLIFT_PADDLE", "2.6").startswith("3"):
        why = "paddle 3: the deploy.yaml of this base names model.pdmodel, paddle writes model.json"
        metrics, changed = package(args, why + "; the same steps through the package instead of the scripts")
    elif os.environ.get("FORKLIFT_BASE", "fork") == "fork":
        metrics, changed = scripts(args, (256, 512) if args.quick else (512, 1024))
    else:
        why = "no test_tipc/ and no tools/ at this base: the same steps through the package instead of the scripts"
        metrics, changed = package(args, why)
    with open(os.path.join(args.out, "tipc.json"), "w") as stream:
        json.dump({"deviations": changed, "metrics": metrics}, stream, indent=1)
    for line in changed:
        print("deviation:", line)
    write_metrics(args.out, metrics=metrics)


if __name__ == "__main__":
    main()
