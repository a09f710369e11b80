"""Train one row of models.toml for some steps in one mode and write its losses.

The model, loss, optimizer, moving average and collation are the suite's own, built from its config; the pictures are seeded noise
on smooth waves. Sizes and overrides that keep a row small stand in models.toml.
"""

import contextlib
import copy
import functools
import importlib
import os
import random
import sys
from types import SimpleNamespace

import numpy as np

from proving import rows, seeding, sweeps, training

HERE = os.path.dirname(os.path.abspath(__file__))


def read_config(row):
    """The suite's config of a row with its overrides, without pretrained weights (there is no network to fetch them)."""
    from ppcls.utils.config import AttrDict, get_config

    own = os.path.join(HERE, "configs", row["id"] + ".yaml")
    path = rows.config_file(row, row["config"] or row["config_of"], own, "make fork-clas")
    config = get_config(path, row.get("overrides"), show=False)
    if not row["config"]:  # a model class without a training config of its own: the settings of its sibling
        config["Arch"] = AttrDict(name=row["arch"], class_num=config["Arch"]["class_num"])
    config["Global"]["image_shape"] = row["size"]
    config["Global"]["device"] = "cpu"
    rows.replace_keys(config["Arch"], {"pretrained": False, "use_ssld": False, "pretrained_list": None})
    shrink_classes(config["Arch"])
    if "loss" in row:
        config["Loss"]["Train"] = row["loss"]
    scale_rates(row, config)
    return config


def use_arguments(row):
    """`arguments` of a row go to the constructor of its class (or `arguments_of`), where the suite's own function for the model
    has fixed larger ones."""
    if "arguments" not in row:
        return
    path, name = row.get("arguments_of", row["file"] + ":" + row["class"]).split(":")
    module = importlib.import_module(path[: -len(".py")].replace("/", "."))
    cls = getattr(module, name)
    original = cls.__init__

    @functools.wraps(original)
    def smaller(self, *values, **named):
        original(self, *values, **{**named, **row["arguments"]})

    cls.__init__ = smaller


def shrink_classes(arch):
    """At most 10 classes: a head for 190 000 of them would only fill memory."""
    for node in [arch, arch.get("Head", {})]:
        if "class_num" in node:
            node["class_num"] = min(node["class_num"], 10)
    for named in arch.get("models", []):
        for model in named.values():
            shrink_classes(model)


def scale_rates(row, config):
    """The learning rate belongs to the batch size of the config on 4 GPUs (8 for AdamW): keep their ratio."""
    sampler = config["DataLoader"]["Train"].get("sampler") or {}
    usual = sampler.get("batch_size") or sampler.get("first_bs") or 64
    listed = config["Optimizer"] if isinstance(config["Optimizer"], list) else [{config["Optimizer"]["name"]: config["Optimizer"]}]
    for item in listed:
        for name, options in item.items():
            factor = sweeps.rate_factor(row, usual, 8 if name.startswith("AdamW") else 4)
            sweeps.scale_rates(options["lr"], factor, ("learning_rate", "warmup_start_lr", "eta_min", "end_lr", "values"))


def samples(row, config, index):
    """One list of (image, label) as the suite's dataset gives it to its collation."""
    batch, shape = row["batch"], row["size"]
    noise = seeding.seeded("%s:%d" % (row["id"], index), (batch, *shape), "input")
    classes = row.get("classes") or config["Arch"].get("class_num", 10)
    # Metric learning needs several pictures of one class in a batch, as the suite's samplers give them.
    labels = [(index * batch + i) // row.get("per_class", 1) % classes for i in range(batch)]
    pictures = []
    for i in range(batch):
        waves = seeding.smooth_image("%s:%d:%d" % (row["id"], index, labels[i]), shape[1], shape[2]).transpose(2, 0, 1)
        pictures.append(((waves / 255.0 - 0.5) * 4 + 0.25 * noise[i]).astype(np.float32))
    return list(zip(pictures, labels))


def collate(config, listed):
    """The suite's own mixing of a batch where the config has one, else plain stacking."""
    dataset = config["DataLoader"]["Train"].get("dataset", {})
    operators = dataset.get("batch_transform_ops") if isinstance(dataset, dict) else None
    if operators:
        from ppcls.data import create_operators
        from ppcls.data.preprocess import transform

        operators = copy.deepcopy(operators)
        for options in (options for operator in operators for options in operator.values() if "num_classes" in (options or {})):
            options["num_classes"] = min(options["num_classes"], 10)
        listed = transform(listed, create_operators(operators, config["Arch"].get("class_num")))
    return [np.stack(field) for field in zip(*listed)]


def make_batch(row, config, index, dtype):
    import paddle

    random.seed(index)
    np.random.seed(index)
    pictures, labels = collate(config, samples(row, config, index))
    real = labels.dtype.kind == "f" or row.get("regression")
    labels = labels.astype(np.float32 if real else np.int64).reshape(row["batch"], -1)
    if row.get("label_columns"):  # several targets a picture
        columns = [(labels + c) % 10 for c in range(row["label_columns"])]
        labels = np.concatenate(columns, 1)
    batch = [paddle.to_tensor(pictures.astype(np.float32)), paddle.to_tensor(labels)]
    return [value.astype(dtype) if value.is_floating_point() else value for value in batch]


def trainer_parts():
    """The suite's builders of loss and optimizer; a release from the package index ships the models without them."""
    try:
        from ppcls.loss import build_loss
        from ppcls.optimizer import build_optimizer

        return build_loss, build_optimizer
    except ImportError:
        return plain_loss, plain_optimizer


def plain_loss(config):
    """Cross entropy with the label smoothing of the config, in the form of the suite's CombinedLoss."""
    from paddle.nn import functional as F

    unknown = [name for item in config for name in item if name != "CELoss"]
    if unknown:
        sys.exit("the base has no ppcls.loss, and %s is not cross entropy; next: run the row on the fork" % ", ".join(unknown))
    smoothing = config[0]["CELoss"].get("epsilon") or 0.0

    def loss(out, label):
        target = F.one_hot(label.reshape([-1]), out.shape[-1])
        return {"loss": F.cross_entropy(out, F.label_smooth(target, epsilon=smoothing), soft_label=True)}

    return loss


def plain_optimizer(config, epochs, step_each_epoch, models):
    """Momentum with the momentum, decay and first learning rate of the config."""
    import paddle

    if config["name"] != "Momentum":
        sys.exit("the base has no ppcls.optimizer, and %s is not Momentum; next: run the row on the fork" % config["name"])
    regularizer = config.get("regularizer") or {}
    optimizer = paddle.optimizer.Momentum(
        float(config["lr"]["learning_rate"]),
        config["momentum"],
        models[0].parameters(),
        weight_decay=float(regularizer.get("coeff", 0)) or None,
    )
    return [optimizer], None


def build_network(row, config, dtype):
    import paddle
    from ppcls.arch import build_model

    use_arguments(row)
    paddle.set_default_dtype(row.get("built", dtype))  # some models cannot be built in float64
    model = build_model(config, "train")
    paddle.set_default_dtype(dtype)
    if dtype == "float64":
        training.cast(model, dtype)  # some layers do not keep to the default
    model.train()
    return model


def build(args):
    import paddle
    from ppcls.arch import apply_to_static
    from ppcls.utils import logger
    from ppcls.utils.ema import ExponentialMovingAverage

    logger.init_logger(log_level=40)
    paddle.set_device("cpu")
    row = rows.read_row(os.path.join(HERE, os.pardir, "models.toml"), args.row)
    dtype = args.dtype or row.get("dtype", "float32")
    config = read_config(row)
    model = build_network(row, config, dtype)
    sweeps.nudge(model, args.nudge)
    build_loss, build_optimizer = trainer_parts()
    loss = build_loss(config["Loss"]["Train"])
    unlabelled = build_loss(config["UnLabelLoss"]["Train"]) if "UnLabelLoss" in config else None
    optimizers, schedules = build_optimizer(config["Optimizer"], config["Global"]["epochs"], 100, [model, loss])
    if dtype == "float64":
        for optimizer in optimizers:  # the suite's fused Momentum takes float32 parameters only
            optimizer._use_multi_tensor = False
    recognition = "Head" in config["Arch"] or config["Arch"].get("is_rec", False)
    # Before the switch, as the engine does it: a copy of a converted model turns the model itself back to dygraph.
    average = ExponentialMovingAverage(model, config["EMA"].get("decay", 0.9999)) if "EMA" in config else None

    def suite_switch(network, mode):
        config["Global"]["to_static"] = True
        return apply_to_static(config, network)

    return training.Task(
        model=model,
        loss=lambda out, batch: loss(out, batch[1])["loss"],
        optimizer=optimizers,
        batches=sweeps.in_turn(lambda index: make_batch(row, config, index, dtype)),
        inputs=lambda batch: batch if recognition else batch[:1],
        # The suite's input specification is float32: the float64 control of a model that has one goes without.
        apply_to_static=suite_switch if dtype == "float32" or recognition else None,
        objective=special_objective(config, loss, unlabelled, row),
        update=metabin_update(config, optimizers, schedules) if config["Global"].get("train_mode") == "metabin" else None,
        after_step=(lambda network, step: average.update(network)) if average else None,
    )


def special_objective(config, loss, unlabelled, row):
    """The step of trainers that call the model in their own way; None for the plain one."""
    mode = config["Global"].get("train_mode")
    if mode not in ("fixmatch", "fixmatch_ccssl"):
        return None
    import paddle

    trainer = importlib.import_module("ppcls.engine.train.train_" + mode)

    def objective(model, batch):
        pictures, targets = batch
        labelled = row["batch"] // 3
        engine = SimpleNamespace(model=model, train_loss_func=loss, unlabel_train_loss_func=unlabelled, config=config)
        options = config["SSL"]
        values = [
            engine,
            pictures,
            labelled,
            options.get("temperture", 1),
            paddle.to_tensor(options.get("threshold", 0.95)),
            targets[:labelled],
        ]
        if mode == "fixmatch_ccssl":
            values = [engine, pictures, labelled, options["T"], paddle.to_tensor(options["threshold"]), targets[:labelled]]
        return trainer.get_loss(*values)[0]["loss"]

    return objective


def metabin_update(config, optimizers, schedules):
    """A step of the MetaBIN trainer: the basic update, then learning to generalise from the first half of the domains to the rest."""
    import paddle

    trainer = importlib.import_module("ppcls.engine.train.train_metabin")
    engine = SimpleNamespace(
        config=config,
        optimizer=optimizers,
        lr_sch=schedules,
        auto_cast=lambda is_eval: contextlib.nullcontext(),
        scaler=paddle.amp.GradScaler(enable=False),
    )

    def update(model, batch):
        engine.model = model
        pictures, labels = batch
        domains = paddle.arange(len(pictures)) % 2
        whole = [pictures, labels, domains]
        halves = [[value[domains == domain] for value in whole] for domain in (0, 1)]
        _, losses = trainer.basic_update(engine, whole)
        trainer.metalearning_update(engine, *halves)
        for schedule in schedules:
            if not getattr(schedule, "by_epoch", False):
                schedule.step()
        return losses["loss"]

    return update


def warm():
    """What every row imports."""
    import ppcls.arch  # noqa: F401
    import ppcls.data  # noqa: F401

    trainer_parts()


if __name__ == "__main__":
    training.main(build, sweeps.options(), warm)
