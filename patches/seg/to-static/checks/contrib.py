"""Tasks of the projects under contrib/: each is built from its own models, losses and config; only the data is made.

Several of their training scripts read `cfg.model`, `cfg.loss` and `cfg.optimizer`, which the Config of paddleseg at this
commit no longer has: their parts are then built by paddleseg's SegBuilder. models.toml says which rows these are.
"""

import importlib
import os
import pickle

import numpy as np
from trainers import enter_medicalseg  # beside this file

from proving import rows, seeding, sweeps, training, tree


def is_static(network):
    """Whether `network` went through `to_static`: what the trainers know from their key to_static_training."""
    from paddle.jit.dy2static.program_translator import StaticFunction

    return isinstance(network.forward, StaticFunction)


def enter(row):
    """Make a project importable as its own scripts do; its components take the place of those of the same name."""
    import paddleseg  # noqa: F401
    from paddleseg.cvlibs import manager

    tree.on_path(row["project"])
    for name in row.get("replaces", []):
        for components in (manager.MODELS, manager.BACKBONES, manager.LOSSES):
            components._components_dict.pop(name, None)
    for module in row.get("modules", ["models"]):
        importlib.import_module(module)


def merge(node, changes):
    """Put the nested values of `changes` into `node`."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(node.get(key), dict):
            merge(node[key], value)
        else:
            node[key] = value


def read_config(row, kind=None):
    """The project's config with the row's changes; schedules of the older form are given in the present one."""
    from paddleseg.cvlibs import Config
    from paddleseg.cvlibs.config_checker import ConfigChecker

    config = (kind or Config)(row["config"], checker=ConfigChecker([]))
    merge(config.dic, row.get("change", {}))
    rows.replace_keys(config.dic, {"pretrained": None})
    for item in config.dic.get("loss", {}).get("types", []):
        item.update({key: value for key, value in row.get("loss_arguments", {}).items() if key in item})
    if "learning_rate" in config.dic:
        old = config.dic.pop("learning_rate")
        decay = dict(old.get("decay", {}))
        decay.pop("type", None)
        config.dic["lr_scheduler"] = {"type": "PolynomialDecay", "learning_rate": old["value"], **decay}
    schedule = config.dic.get("lr_scheduler")
    if schedule:
        for key in ("warmup_iters", "warmup_start_lr"):  # 50 steps would all be warming up
            schedule.pop(key, None)
        sweeps.scale_rates(schedule, sweeps.rate_factor(row, config.batch_size or 1), ["learning_rate"])
    config.dic["train_dataset"] = {"type": "Dataset"}
    return config


def pictures_and_labels(row, classes, index, dtype, ignore=255):
    import paddle

    batch, (height, width) = row["batch"], row["size"]
    name = "%s:%d" % (row["id"], index)
    labels = seeding.seeded_labels(name, batch, height, width, classes, ignore=ignore, regions=8).astype(np.int64)
    pictures = np.stack([seeding.smooth_image("%s:%d" % (name, i), height, width) for i in range(batch)])
    pictures = (pictures.transpose(0, 3, 1, 2) / 255.0 - 0.5) / 0.5
    pictures[:, 0] += np.where(labels == 255, 0, labels / float(max(classes - 1, 1)) - 0.5)
    return paddle.to_tensor(pictures.astype(dtype)), paddle.to_tensor(labels)


def task(model, optimizer, batch, **options):
    """`batch(index)` makes one of the batches that are used in turn."""
    options = {"loss": None, "apply_to_static": sweeps.whole_model, **options}
    return training.Task(model=model, optimizer=optimizer, batches=sweeps.in_turn(batch), **options)


def build_segmentation(row, dtype, out):
    """LaneSeg, CityscapesSOTA, AutoNUE: paddleseg's loop with the project's models and losses."""
    from paddleseg.core.train import loss_computation
    from paddleseg.cvlibs import SegBuilder

    enter(row)
    config = read_config(row)
    builder = SegBuilder(config)
    builder.model.train()
    losses = builder.loss
    if len(losses["types"]) == 1:  # the Config that LaneSeg was written for took one loss for all logits
        losses["types"] = losses["types"] * len(losses["coef"])
    classes = config.dic["model"]["num_classes"]

    def batch(index):
        return pictures_and_labels(row, classes, index, dtype, ignore=row.get("ignore", 255))

    def loss(logits, batch):
        return sum(loss_computation(logits_list=logits, labels=batch[1], edges=None, losses=losses))

    return task(builder.model, builder.optimizer, batch, loss=loss)


def panoptic_maps(row, classes, things, index):
    """Maps of segment ids with what is known of each segment, as the panoptic data sets give them."""
    batch, (height, width) = row["batch"], row["size"]
    name = "%s:%d" % (row["id"], index)
    maps = seeding.seeded_labels(name, batch, height, width, classes, ignore=0, regions=8).astype(np.int64)
    made = []
    for i in range(batch):
        segments = [
            {"id": int(v) + 1, "category_id": int(v), "iscrowd": 0, "isthing": int(v) in things} for v in np.unique(maps[i])
        ]
        made.append((maps[i] + 1, segments))
    return made


def panoptic_deeplab_targets(row, classes, index, transform):
    """semantic, weights, center, offset of a batch, by the project's own transform."""
    things = list(range(classes // 2, classes))
    samples = []
    for label, segments in panoptic_maps(row, classes, things, index):
        samples.append(transform({"label": label, "ann": segments, "thing_ids": things}))
    return {
        key: np.stack([np.asarray(sample[key]) for sample in samples])
        for key in ("sem_label", "sem_seg_weights", "center", "center_weights", "offset", "offset_weights")
    }


def panoptic_batch(row, model, classes, index, dtype):
    """Images and the targets that the model's losses take."""
    import paddle

    images, _ = pictures_and_labels(row, classes, index, dtype, ignore=0)
    if model == "PanopticDeepLab":
        from paddlepanseg.transforms.generate_targets import GeneratePanopticDeepLabTrainTargets

        transform = GeneratePanopticDeepLabTrainTargets(255, sigma=2, ignore_stuff_in_offset=True, num_classes=classes)
        targets = panoptic_deeplab_targets(row, classes, index, transform)
        kinds = {key: np.int64 if key == "sem_label" else dtype for key in targets}
        return images, {key: paddle.to_tensor(value.astype(kinds[key])) for key, value in targets.items()}
    made = panoptic_maps(row, classes, (), index)
    return images, {
        "gt_ids": [np.array([s["category_id"] for s in segments], np.int64) for _, segments in made],
        "gt_masks": [np.stack([label == s["id"] for s in segments]).astype(np.float32) for label, segments in made],
    }


def build_panopticseg(row, dtype, out):
    """PanopticSeg: its builder, its runner computes the losses."""
    enter({**row, "modules": ["paddlepanseg", "paddlepanseg.models", "paddlepanseg.runners", "paddlepanseg.transforms"]})
    from paddlepanseg.cvlibs import Config, build_info_dict, make_default_builder

    config = read_config(row, Config)
    builder = make_default_builder(config)
    model, runner = builder.model, builder.runner
    model.train()
    classes = config.dic["model"]["num_classes"]

    def objective(network, batch):
        runner.bind(model=network, criteria=builder.loss, optimizer=builder.optimizer)
        data = build_info_dict(_type_="sample", img=batch[0], **batch[1])
        return runner.aggregate_losses(runner.compute_losses(runner.train_forward(data), data))

    def batch(index):
        return panoptic_batch(row, config.dic["model"]["type"], classes, index, dtype)

    return task(model, builder.optimizer, batch, objective=objective)


def build_panoptic_deeplab(row, dtype, out):
    """contrib/PanopticDeepLab: three heads, three losses."""
    import paddle
    from paddleseg.cvlibs import SegBuilder

    enter(row)
    from core.train import loss_computation

    tree.on_path("contrib", "PanopticSeg")
    from paddlepanseg.transforms.generate_targets import GeneratePanopticDeepLabTrainTargets

    config = read_config(row)
    builder = SegBuilder(config)
    builder.model.train()
    classes = config.dic["model"]["num_classes"]
    # The targets of both projects are the same; this one makes them inside its data set, which needs files.
    transform = GeneratePanopticDeepLabTrainTargets(255, sigma=2, ignore_stuff_in_offset=True, num_classes=classes)

    def batch(index):
        images, _ = pictures_and_labels(row, classes, index, dtype, ignore=0)
        made = panoptic_deeplab_targets(row, classes, index, transform)
        targets = {
            "semantic": made["sem_label"].astype(np.int64),
            "semantic_weights": made["sem_seg_weights"].astype(dtype),
            "center": made["center"].astype(dtype),
            "center_weights": made["center_weights"][:, 0].astype(dtype),
            "offset": made["offset"].astype(dtype),
            "offset_weights": made["offset_weights"][:, 0].astype(dtype),
        }
        return images, {key: paddle.to_tensor(value) for key, value in targets.items()}

    return task(
        builder.model,
        builder.optimizer,
        batch,
        loss=lambda logits, batch: sum(loss_computation(logits_list=logits, losses=builder.loss, **batch[1])),
    )


def cps_batch(row, index, dtype):
    """A labelled batch, two without labels, and the mask that mixes them."""
    import paddle

    images, labels = pictures_and_labels(row, 19, index, dtype)
    first, second = (pictures_and_labels({**row, "id": row["id"] + end}, 19, index, dtype)[0] for end in (":u0", ":u1"))
    mask = np.zeros((row["batch"], 1, *row["size"]), dtype)
    mask[:, :, : row["size"][0] // 2] = 1
    return images, labels, first, second, paddle.to_tensor(mask)


def build_cps(row, dtype, out):
    """CrossPseudoSupervision: two branches, each learns from the other's labels of mixed pictures."""
    import paddle
    from paddle.optimizer.lr import PolynomialDecay

    enter(row)
    from core.train import cps_loss_computation
    from cvlibs import Config, CPSBuilder

    config = read_config(row, Config)
    builder = CPSBuilder(config)
    model, losses = builder.model, builder.loss
    model.train()
    optimizers = []
    for branch, options, schedule in (
        (model.branch1, config.optimizer_l_cfg, config.lr_scheduler_l_cfg),
        (model.branch2, config.optimizer_r_cfg, config.lr_scheduler_r_cfg),
    ):
        start = float(schedule["learning_rate"]) * row["batch"] / 8.0 * row.get("lr_factor", 1)
        rate = PolynomialDecay(start, decay_steps=1000, end_lr=0, power=0.9)
        optimizers.append(builder._build_optimizer(options)(branch, rate))

    def objective(network, batch):
        images, labels, first, second, mask = batch
        with paddle.set_grad_enabled(is_static(network)):
            teachers = [[logits[0].detach() for logits in network(pictures)] for pictures in (first, second)]
        pseudo = [paddle.argmax(a * (1 - mask) + b * mask, axis=1) for a, b in zip(*teachers)]
        students = network(first * (1 - mask) + second * mask)
        supervised = network(images)
        return sum(
            cps_loss_computation(
                1, students[0][0], students[1][0], supervised[0][0], supervised[1][0], pseudo[0], pseudo[1], labels, losses
            )
        )

    return task(model, optimizers, lambda index: cps_batch(row, index, dtype), objective=objective)


def pixmatch_loss(network, batch):
    import paddle
    from paddleseg.models import losses

    cross_entropy = losses.CrossEntropyLoss()
    images, labels, target = batch
    main, aux = network(images)[:2]
    loss = cross_entropy(main, labels) + 0.1 * cross_entropy(aux, labels)
    with paddle.set_grad_enabled(is_static(network)):
        first, second = [paddle.nn.functional.softmax(logits, axis=1) for logits in network(target)[:2]]
    pseudo, pseudo_aux = paddle.argmax(first, axis=1), paddle.argmax((first + second) / 2, axis=1)
    main, aux = network(paddle.flip(target, [3]))[:2]
    loss += 0.1 * cross_entropy(main, paddle.flip(pseudo, [2]))
    return loss + 0.01 * cross_entropy(aux, paddle.flip(pseudo_aux, [2]))


def build_pixmatch(row, dtype, out):
    """DomainAdaptation: source loss, and the loss of augmented target pictures on the model's own labels.

    The project's loop moves the augmented pictures to a GPU; here the augmentation is a mirror image, on any device.
    """
    import paddle
    from paddle.optimizer.lr import PolynomialDecay
    from paddleseg.cvlibs import SegBuilder

    enter(row)
    from models.backbones import resnet
    from models.ema import EMA

    original = resnet.ResNetMulti.__init__
    resnet.ResNetMulti.__init__ = lambda self, block, num_layers, **named: original(self, block, row["layers"], **named)
    config = read_config(row)
    model = SegBuilder(config).model
    model.train()
    schedule = config.dic["lr_scheduler"]
    rate = PolynomialDecay(schedule["learning_rate"], decay_steps=config.iters, end_lr=0, power=0.9)
    optimizer = paddle.optimizer.Momentum(rate, momentum=0.9, parameters=model.parameters(), weight_decay=0.0005)

    def batch(index):
        target, _ = pictures_and_labels({**row, "id": row["id"] + ":target"}, 19, index, dtype)
        return (*pictures_and_labels(row, 19, index, dtype), target)

    average = EMA(model, config.dic["ema_decay"])
    return task(model, optimizer, batch, objective=pixmatch_loss, after_step=lambda network, step: average.update_params())


def nnunet_plan(row):
    """What the preprocessing of nnU-Net would write for such pictures."""
    stage = {
        "num_pool_per_axis": [row["pools"]] * 2,
        "patch_size": row["size"],
        "pool_op_kernel_sizes": [[2, 2]] * row["pools"],
        "conv_kernel_sizes": [[3, 3]] * (row["pools"] + 1),
    }
    counts = {"base_num_features": 8, "num_modalities": 1, "num_classes": 1, "conv_per_stage": 2}
    return {"plans_per_stage": {0: stage}, "all_classes": [1], **counts}


def build_nnunet(row, dtype, out):
    """MedicalSeg's nnU-Net, 2D."""
    path = os.path.join(out, "plan.pkl")
    with open(path, "wb") as stream:
        pickle.dump(nnunet_plan(row), stream)
    config = enter_medicalseg(row["config"])
    import nnunet  # noqa: F401 registers its losses
    from medicalseg.core.train import loss_computation

    config.dic["model"]["plan_path"] = path
    for item in config.dic["loss"]["types"]:
        item["plan_path"] = path
    config.dic["lr_scheduler"]["learning_rate"] *= row.get("lr_factor", 1)
    model = config.model
    model.train()
    losses, optimizer = config.loss, config.optimizer

    def batch(index):
        images, labels = pictures_and_labels(row, 2, index, dtype, ignore=0)
        labels = labels.unsqueeze(1).astype(dtype)
        return images[:, :1], [labels[:, :, :: 2**level, :: 2**level] for level in range(row["pools"])]

    return task(
        model,
        optimizer,
        batch,
        loss=lambda logits, batch: sum(loss_computation(logits_list=logits, labels=batch[1], losses=losses)[0]),
    )


def build_c2fnet(row, dtype, out):
    """RSSegBenchmark's C2FNet: refines the regions where a coarse network sees small objects."""
    import paddle
    from paddleseg.cvlibs import SegBuilder

    enter(row)
    from core.train import fined_loss_computation

    config = read_config(row)
    builder = SegBuilder(config)
    model = builder.model
    coarse = builder.build_component(config.dic["coase_model"])
    model.train()
    coarse.eval()

    def batch(index):
        images, labels = pictures_and_labels(row, 16, index, dtype, ignore=0)
        with paddle.no_grad():
            return [images, coarse(images)[0], labels]

    return task(
        model,
        builder.optimizer,
        batch,
        inputs=lambda batch: batch,
        loss=lambda logits, batch: sum(fined_loss_computation(logits_list=logits, losses=builder.loss)),
    )


def build_stfpm(row, dtype, out):
    """QualityInspector's STFPM: a student learns the features of a teacher (PaDiM and PatchCore train no network)."""
    import paddle
    import yaml
    from paddle.nn import functional as F

    tree.on_path("contrib", "QualityInspector")
    from qinspector.uad.models.stfpm import ResNet_MS3

    with open(row["config"]) as stream:
        config = yaml.safe_load(stream)
    teacher = ResNet_MS3(arch=config["backbone"], pretrained=False)
    student = ResNet_MS3(arch=config["backbone"], pretrained=False)
    teacher.eval()
    student.train()
    optimizer = paddle.optimizer.Momentum(
        config["lr"] * row.get("lr_factor", 1),
        config["momentum"],
        parameters=student.parameters(),
        weight_decay=config["weight_decay"],
    )

    def loss(features, batch):
        with paddle.no_grad():
            wanted = teacher(batch[0])
        pairs = zip(wanted, features)
        return sum(paddle.sum((F.normalize(a, axis=1) - F.normalize(b, axis=1)) ** 2, 1).mean() for a, b in pairs)

    return task(student, optimizer, lambda index: [pictures_and_labels(row, 2, index, dtype)[0]], loss=loss)


PROJECTS = {
    "segmentation": build_segmentation,
    "panopticseg": build_panopticseg,
    "panoptic_deeplab": build_panoptic_deeplab,
    "cps": build_cps,
    "pixmatch": build_pixmatch,
    "nnunet": build_nnunet,
    "c2fnet": build_c2fnet,
    "stfpm": build_stfpm,
}
