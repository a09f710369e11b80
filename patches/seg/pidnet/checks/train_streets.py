"""Trains PIDNet-S and, with the same budget, PP-LiteSeg (STDC1) on made
streets (streets.py) or on photographs (photos.py), and compares both with the
answer "everywhere the commonest class".

The networks, losses, transforms, optimizer and loop are PaddleSeg's own
(Config, SegBuilder, paddleseg.core.train, paddleseg.core.evaluate). Model and
losses of PIDNet come from the shipped configuration, those of PP-LiteSeg from
PaddleSeg's CamVid configuration. Both start from random weights, see the same
number of crops of the same size from the same files, and use AdamW with weight
decay 0.01 (or --optimizer sgd: momentum 0.9, weight decay 5e-4), a linear
warm-up over a tenth of the iterations and the polynomial decay 0.9; OHEM keeps
at least 1/16 of the pixels in both. Each has its own learning rate, the best of
those tried (--budget rate --learning_rate; evidence/streets_rates.json).

    python train_streets.py --out DIR --budget short
    python train_streets.py --out DIR --budget long
    python train_streets.py --out DIR --budget long --data photos
"""

import argparse
import glob
import importlib
import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import streets
import yaml

from proving.record import arguments, write_metrics
from proving.static_proof import prepare_environment

SEED = 68
# Pictures and crops (height, width), pictures to train and to validate, points
# of the mIoU curve.
BUDGETS = {
    ("streets", "short"): dict(size=(96, 192), crop=(96, 192), counts=(80, 20), iters=30, batch=4, points=1),
    ("streets", "rate"): dict(size=(96, 192), crop=(96, 192), counts=(300, 60), iters=150, batch=4, points=1),
    ("streets", "long"): dict(size=(128, 256), crop=(96, 192), counts=(300, 60), iters=1200, batch=4, points=10),
    ("photos", "short"): dict(size=(96, 96), crop=(96, 96), counts=(84, 28), iters=40, batch=4, points=2),
    ("photos", "long"): dict(size=(128, 128), crop=(96, 96), counts=(280, 105), iters=400, batch=8, points=8),
}
OPTIMIZERS = {"sgd": {"type": "SGD", "momentum": 0.9, "weight_decay": 5.0e-4}, "adamw": {"type": "AdamW", "weight_decay": 0.01}}
RATES = {"sgd": {"pidnet_s": 0.02, "pp_liteseg": 0.02}, "adamw": {"pidnet_s": 2e-3, "pp_liteseg": 5e-4}}
NAMES = {"pidnet_s": "PIDNet-S", "pp_liteseg": "PP-LiteSeg STDC1"}


def shipped(size):
    """`model` and `loss` of the shipped CamVid configuration of one size."""
    found = sorted(glob.glob(f"configs/pidnet/pidnet_{size}*_camvid_*.yml"))
    if not found:
        raise FileNotFoundError(
            f"train_streets: no configs/pidnet/pidnet_{size}*_camvid_*.yml in "
            f"{os.getcwd()}; next: run in a work tree with the change applied"
        )
    from paddleseg.cvlibs.config import parse_from_yaml

    dic = parse_from_yaml(found[0])
    return {key: dic[key] for key in ("model", "loss")}


def pidnet(size, pixels):
    config = shipped(size)
    config["model"]["pretrained"] = None
    config["model"]["backbone"]["pretrained"] = None
    config["model"].pop("num_classes", None)  # the data set has it
    for loss in config["loss"]["types"]:
        loss.pop("weight", None)  # class weights belong to one data set
        if "min_kept" in loss or "Ohem" in loss["type"] or "Aware" in loss["type"]:
            loss["min_kept"] = pixels // 16
    return config, [{"type": "AddEdgeLabel"}]


def pp_liteseg(pixels):
    # configs/pp_liteseg/pp_liteseg_stdc1_camvid_960x720_10k.yml of PaddleSeg,
    # which the release on PyPI does not bring.
    ohem = {"type": "OhemCrossEntropyLoss", "min_kept": pixels // 16}
    return {
        "model": {
            "type": "PPLiteSeg",
            "backbone": {"type": "STDC1", "pretrained": None},
            "arm_out_chs": [32, 64, 128],
            "seg_head_inter_chs": [32, 64, 64],
        },
        "loss": {"types": [dict(ohem) for _ in range(3)], "coef": [1, 1, 1]},
    }, []


def configuration(which, data, classes, budget, rate, folder):
    """Writes PaddleSeg's yml of one run and returns its path."""
    height, width = budget["crop"]
    pixels = budget["batch"] * height * width
    config, first = pp_liteseg(pixels) if which == "pp_liteseg" else pidnet(which.rpartition("_")[2], pixels)
    common = {"type": "Dataset", "dataset_root": data, "num_classes": classes}
    config.update(
        {
            "batch_size": budget["batch"],
            "iters": budget["iters"],
            "train_dataset": dict(
                common,
                mode="train",
                train_path=os.path.join(data, "train.txt"),
                transforms=first
                + [
                    {"type": "ResizeStepScaling", "min_scale_factor": 0.75, "max_scale_factor": 1.5, "scale_step_size": 0.25},
                    {"type": "RandomPaddingCrop", "crop_size": [width, height]},
                    {"type": "RandomHorizontalFlip"},
                    {"type": "RandomDistort", "brightness_range": 0.4, "contrast_range": 0.4, "saturation_range": 0.4},
                    {"type": "Normalize"},
                ],
            ),
            "val_dataset": dict(common, mode="val", val_path=os.path.join(data, "val.txt"), transforms=[{"type": "Normalize"}]),
            "optimizer": OPTIMIZERS[budget["optimizer"]],
            "lr_scheduler": {
                "type": "PolynomialDecay",
                "learning_rate": rate,
                "end_lr": 0.0,
                "power": 0.9,
                "warmup_iters": max(1, budget["iters"] // 10),
                "warmup_start_lr": rate / 20,
            },
        }
    )
    path = os.path.join(folder, f"{which}.yml")
    with open(path, "w") as stream:
        yaml.safe_dump(config, stream, sort_keys=False)
    return path


def curves_of(folder):
    """Loss and mIoU with their iterations, from the VisualDL log of the run."""
    from visualdl import LogReader

    name = [n for n in os.listdir(folder) if n.startswith("vdlrecords")][0]
    reader = LogReader(file_path=os.path.join(folder, name))
    curves = {}
    for tag, own in (("Train/loss", "loss"), ("Evaluate/mIoU", "miou_curve")):
        points = reader.get_data("scalar", tag)
        curves[own] = [float(p.value) for p in points]
        curves[own.split("_")[0] + "_iter"] = [int(p.id) for p in points]
    return curves


def repaired(losses):
    """The losses of the run, after two repairs on the release base: paddleseg
    2.8.0 was written before paddle gave 0-D tensors (2.5). It logs `loss[0]`,
    so each loss gets the shape [1], and it concatenates sums in
    calculate_area, which is replaced by the same count in numpy. The fork base
    needs nothing.
    """
    if os.environ.get("FORKLIFT_BASE", "fork") == "fork":
        return losses
    import paddle
    from paddleseg.utils import metrics

    class OneElement(paddle.nn.Layer):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

        def forward(self, *inputs):
            return self.loss(*inputs).reshape([1])

    def calculate_area(pred, label, num_classes, ignore_index=255):
        pred, label = pred.numpy().ravel(), label.numpy().ravel()
        pred = pred[label != ignore_index]
        label = label[label != ignore_index]
        counts = [np.bincount(which, minlength=num_classes) for which in (label[pred == label], pred, label)]
        return [paddle.to_tensor(count.astype(np.int64)) for count in counts]

    metrics.calculate_area = calculate_area
    return dict(losses, types=[OneElement(one) for one in losses["types"]])


def run(which, data, classes, budget, rate, folder):
    """One training; leaves <which>.json and <which>.npy in `folder`."""
    import paddle
    from paddleseg.core import evaluate, train
    from paddleseg.cvlibs import Config, SegBuilder
    from paddleseg.utils import utils

    config = Config(configuration(which, data, classes, budget, rate, folder))
    utils.set_seed(SEED)
    builder = SegBuilder(config)
    model = builder.model
    saved = os.path.join(folder, which)
    start = time.perf_counter()
    train(
        model,
        builder.train_dataset,
        val_dataset=builder.val_dataset,
        optimizer=builder.optimizer,
        save_dir=saved,
        iters=budget["iters"],
        batch_size=budget["batch"],
        save_interval=max(1, budget["iters"] // budget["points"]),
        log_iters=max(1, budget["iters"] // 60),
        use_vdl=True,
        losses=repaired(builder.loss),
        keep_checkpoint_max=1,
        to_static_training=True,
    )
    result = {"model": NAMES[which], "learning_rate": rate, "seconds": time.perf_counter() - start, **curves_of(saved)}
    result["parameters"] = sum(int(np.prod(p.shape)) for p in model.parameters())
    miou, accuracy, ious, _, kappa = evaluate(model, builder.val_dataset, print_detail=False)
    result.update(miou=float(miou), accuracy=float(accuracy), kappa=float(kappa), iou=[float(v) for v in ious])
    model.eval()
    with paddle.no_grad():
        predictions = predict(model, builder.val_dataset)
    np.save(os.path.join(folder, f"{which}.npy"), np.stack(predictions))
    with open(os.path.join(folder, f"{which}.json"), "w") as stream:
        json.dump(result, stream)


def predict(model, dataset, count=6):
    """Classes of the first pictures of the validation set."""
    import paddle

    found = []
    for index in range(min(count, len(dataset))):
        image = paddle.to_tensor(dataset[index]["img"])[None]
        found.append(model(image)[0].argmax(1).numpy()[0].astype(np.uint8))
    return found


def labels_of(data, split):
    with open(os.path.join(data, f"{split}.txt")) as stream:
        names = [line.split()[1] for line in stream]
    return np.stack([cv2.imread(os.path.join(data, n), cv2.IMREAD_GRAYSCALE) for n in names])


def majority(data, classes):
    """The commonest class of the training labels as the answer everywhere."""
    counts = np.bincount(labels_of(data, "train").ravel(), minlength=256)
    best = int(counts[:classes].argmax())
    truth = np.bincount(labels_of(data, "val").ravel(), minlength=256)
    share = truth[best] / truth[:classes].sum()
    return best, float(share / classes), float(share)


def draw_curves(results, base, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for result, colour in zip(results, ("tab:red", "tab:blue")):
        left.plot(result["loss_iter"], result["loss"], color=colour, label=result["model"])
        right.plot(
            result["miou_iter"],
            result["miou_curve"],
            color=colour,
            marker="o",
            markersize=3,
            label=f"{result['model']}: {result['miou']:.3f}",
        )
    right.axhline(base, color="grey", linestyle="--", label=f"commonest class: {base:.3f}")
    left.set_yscale("log")
    left.set(xlabel="iteration", ylabel="training loss (each its own losses)")
    right.set(xlabel="iteration", ylabel="validation mIoU", ylim=(0, None))
    left.legend(), right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def draw_pictures(data, predictions, palette, path):
    """Columns: picture, label, prediction of PIDNet-S, of PP-LiteSeg."""
    with open(os.path.join(data, "val.txt")) as stream:
        pairs = [line.split() for line in stream]
    rows = []
    for index in range(len(predictions[0])):
        image, label = (os.path.join(data, p) for p in pairs[index])
        truth = cv2.imread(label, cv2.IMREAD_GRAYSCALE)
        answers = [np.where(truth == 255, 255, p[index]) for p in predictions]
        tiles = [cv2.imread(image)] + [streets.coloured(t, palette) for t in [truth] + answers]
        gap = np.full((len(truth), 4, 3), 255, np.uint8)
        row = [part for tile in tiles for part in (tile, gap)][:-1]
        rows.append(np.hstack(row))
        rows.append(np.full((4, rows[-1].shape[1], 3), 255, np.uint8))
    cv2.imwrite(path, np.vstack(rows[:-1]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("streets", "photos"), default="streets")
    parser.add_argument("--budget", choices=("short", "rate", "long"), default="short")
    parser.add_argument("--models", nargs="+", choices=list(NAMES), help="default: both; on paddle 3 only pidnet_s")
    parser.add_argument("--iters", type=int, default=None, help="another number of iterations for the budget")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adamw")
    parser.add_argument("--learning_rate", type=float, default=None, help="another rate for all of --models")
    parser.add_argument("--jobs", type=int, default=1, help="trainings that run at the same time")
    parser.add_argument("--child", choices=list(NAMES), help=argparse.SUPPRESS)
    args = arguments(parser=parser)
    if args.models is None:
        args.models = list(NAMES)
        if os.environ.get("FORKLIFT_PADDLE", "2.6").startswith("3"):
            args.models.remove("pp_liteseg")
            print("PP-LiteSeg does not run here: OhemCrossEntropyLoss of this base adds float32 and int64, which paddle 3 refuses")
    return args


def train_all(args):
    """Every training in a process of its own, --jobs at a time."""
    waiting, running = list(args.models), []
    while waiting or running:
        if waiting and len(running) < args.jobs:
            which = waiting.pop(0)
            running.append((which, subprocess.Popen([sys.executable] + sys.argv + ["--child", which])))
            continue
        which, process = running.pop(0)
        if process.wait():
            for _, other in running:
                other.kill()
            raise SystemExit(
                f"train_streets: the training of {which} ended with status {process.returncode}; next: read its last lines above"
            )


def figures(by_name, base, classes):
    """(metrics, curves) of the trainings; those of the rival carry its name."""
    metrics, curves = {}, {}
    for which, prefix in (("pidnet_s", ""), ("pp_liteseg", "_rival")):
        if which not in by_name:
            continue
        result = by_name[which]
        metrics["miou" + prefix] = result["miou"]
        metrics["accuracy" + prefix] = result["accuracy"]
        metrics["seconds" + prefix] = result["seconds"]
        metrics[f"miou{prefix}_over_majority"] = result["miou"] / base
        for name, value in zip(classes, result["iou"]):
            metrics[f"iou{prefix}_{name}"] = value
        for name in ("loss", "loss_iter", "miou_curve", "miou_iter"):
            curves[f"{which}_{name}"] = result[name]
    if len(by_name) == 2:
        metrics["miou_over_rival"] = metrics["miou"] / metrics["miou_rival"]
    return metrics, curves


def main():
    args = parse()
    if (args.data, args.budget) not in BUDGETS:
        raise SystemExit(f"train_streets: no budget {args.budget} for {args.data}; next: --budget short or long")
    budget = dict(BUDGETS[args.data, args.budget])
    budget.update(iters=args.iters or budget["iters"], optimizer=args.optimizer)
    source = importlib.import_module(args.data)
    classes = len(source.CLASSES)
    data = os.path.join(args.out, "data")
    if args.child:
        prepare_environment("ast")
        run(args.child, data, classes, budget, args.learning_rate or RATES[args.optimizer][args.child], args.out)
        return
    checksum = streets.write(data, budget["counts"], budget["size"], SEED, make=source.make)
    commonest, base, base_accuracy = majority(data, classes)
    train_all(args)
    results, predictions = [], []
    for which in args.models:
        with open(os.path.join(args.out, f"{which}.json")) as stream:
            results.append(json.load(stream))
        predictions.append(np.load(os.path.join(args.out, f"{which}.npy")))

    metrics = {"miou_majority": base, "accuracy_majority": base_accuracy, "iterations": budget["iters"]}
    metrics.update(rival_ran=int("pp_liteseg" in args.models), train_pictures=budget["counts"][0], val_pictures=budget["counts"][1])
    found, curves = figures(dict(zip(args.models, results)), base, source.CLASSES)
    metrics.update(found)
    draw_curves(results, base, os.path.join(args.out, "curves.png"))
    draw_pictures(data, predictions, source.PALETTE, os.path.join(args.out, "pictures.png"))
    facts = {"data": args.data, "sha256": checksum, "classes": source.CLASSES, "commonest_class": source.CLASSES[commonest]}
    with open(os.path.join(args.out, "results.json"), "w") as stream:
        json.dump({**facts, "budget": budget, "seed": SEED, "results": results}, stream, indent=1)
    write_metrics(args.out, metrics=metrics, curves=curves, pictures=["curves.png", "pictures.png"])
    for result in results:
        print(f"{result['model']}: mIoU {result['miou']:.4f}, accuracy {result['accuracy']:.4f}, {result['seconds']:.0f} s")
    print(f"commonest class ({source.CLASSES[commonest]}) everywhere: mIoU {base:.4f}, accuracy {base_accuracy:.4f}")


if __name__ == "__main__":
    main()
