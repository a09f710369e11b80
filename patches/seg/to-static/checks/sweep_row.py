"""Train one row of models.toml for some steps in one mode and write its losses.

The model, losses and optimizer are the suite's own, built from its config; pictures and label maps are seeded. Sizes and
overrides that keep a row small stand in models.toml.
"""

import os

import numpy as np

from proving import rows, seeding, sweeps, training

HERE = os.path.dirname(os.path.abspath(__file__))


def arrays(row, classes, index):
    """Pictures [N, 3, H, W] normalised to about [-1, 1] and label maps [N, H, W] of piecewise constant regions."""
    batch, (height, width) = row["batch"], row["size"]
    name = "%s:%d" % (row["id"], index)
    labels = seeding.seeded_labels(name, batch, height, width, classes, regions=8).astype(np.int64)
    pictures = np.stack([seeding.smooth_image("%s:%d" % (name, i), height, width) for i in range(batch)])
    pictures = (pictures.transpose(0, 3, 1, 2) / 255.0 - 0.5) / 0.5
    # The class shows in the picture: there is something to learn.
    pictures[:, 0] += np.where(labels == 255, 0, labels / float(max(classes - 1, 1)) - 0.5)
    return pictures.astype(np.float32), labels


def add_targets(row, data, labels, classes):
    """Extra targets that the transforms of some configs add to a sample, by the suite's own functions."""
    import paddle

    if row.get("edge"):
        from paddleseg.transforms import functional as F

        edges = [F.mask_to_binary_edge(label.astype(np.uint8), radius=2, num_classes=classes) for label in labels]
        data["edge"] = paddle.to_tensor(np.stack(edges).reshape(labels.shape).astype(np.int64))
    if row.get("instances"):
        from paddleseg.transforms import GenerateInstanceTargets

        operator = GenerateInstanceTargets(num_classes=classes)
        made = [operator({"img": np.zeros((3,) + label.shape, np.float32), "label": label}) for label in labels]
        instances = [sample["instances"] for sample in made]
        stacked = {key: np.stack([np.asarray(i[key]) for i in instances]) for key in instances[0]}
        # The loss gathers masks, and paddle 2.6 gathers booleans on a GPU only.
        data["instances"] = {key: paddle.to_tensor(v.astype(np.float32) if v.dtype == bool else v) for key, v in stacked.items()}


def make_batch(row, classes, index, dtype):
    import paddle

    pictures, labels = arrays(row, classes, index)
    data = {"img": paddle.to_tensor(pictures.astype(dtype)), "label": paddle.to_tensor(labels)}
    add_targets(row, data, labels, classes)
    return data


def build(args):
    task = build_row(args)
    sweeps.nudge(task.model, vars(args).get("nudge", 0.0))
    return task


def build_row(args):
    import paddle

    row = rows.read_row(os.path.join(HERE, os.pardir, "models.toml"), args.row)
    dtype = args.dtype or row.get("dtype", "float32")
    if dtype == "float64" and "in_float64" in row:
        from in_float64 import enter_copy  # beside this file

        enter_copy(row, args.out)
    if "trainer" in row:
        from trainers import TRAINERS  # beside this file

        task = TRAINERS[row["trainer"]](row, dtype)
    elif "contrib" in row:
        from contrib import PROJECTS  # beside this file

        paddle.set_default_dtype(dtype)
        task = PROJECTS[row["contrib"]](row, dtype, args.out)
    else:
        return build_paddleseg(row, dtype, args.out)
    if dtype == "float64":
        training.cast(task.model, dtype)  # some layers do not keep to the default
    return task


def scale_rate(row, config):
    """The learning rate belongs to the batch size of the config on 4 GPUs: keep their ratio."""
    schedule = config.dic["lr_scheduler"]
    sweeps.scale_rates(schedule, sweeps.rate_factor(row, config.batch_size), ["learning_rate"])
    sweeps.scale_rates(schedule, row.get("lr_factor", 1), ["warmup_start_lr"])


def build_paddleseg(row, dtype, out):
    import paddle
    from paddleseg.core.train import loss_computation
    from paddleseg.cvlibs import Config, SegBuilder

    paddle.set_device("cpu")
    paddle.set_default_dtype(dtype)
    # CAE and ViT-Adapter take paddle's own class, which has no CPU kernel; the other models take the suite's, which does this.
    paddle.nn.SyncBatchNorm = paddle.nn.BatchNorm2D
    path = rows.config_file(row, row["config"], os.path.join(HERE, "configs", row["id"] + ".yml"), "make fork-seg")
    config = Config(path, opts=row.get("overrides") or None)
    rows.replace_keys(config.dic["model"], {"pretrained": None})
    if row.get("empty_weights"):  # this backbone cannot be built without a file of weights
        path = os.path.join(out, "empty.pdparams")
        paddle.save({}, path)
        config.dic["model"]["backbone"]["pretrained"] = path
    scale_rate(row, config)
    builder = SegBuilder(config)
    model = builder.model
    if dtype == "float64":
        training.cast(model, dtype)  # some layers do not keep to the default
    model.train()
    losses, optimizer = builder.loss, builder.optimizer
    classes = row.get("classes") or config.dic["model"].get("num_classes") or builder.train_dataset_class.NUM_CLASSES

    def loss(logits, data):
        if hasattr(model, "loss_computation"):
            return sum(model.loss_computation(logits, losses, data))
        return sum(loss_computation(logits_list=logits, labels=data["label"], edges=data.get("edge"), losses=losses))

    return training.Task(
        model=model,
        loss=loss,
        optimizer=optimizer,
        batches=sweeps.in_turn(lambda index: make_batch(row, classes, index, dtype)),
        inputs=lambda data: [data["img"]],
        apply_to_static=sweeps.whole_model,  # the line of paddleseg/core/train.py
    )


def warm():
    """What every row imports."""
    import paddleseg.core  # noqa: F401
    import paddleseg.models  # noqa: F401
    import paddleseg.transforms  # noqa: F401


if __name__ == "__main__":
    training.main(build, sweeps.options(), warm)
