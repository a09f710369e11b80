"""Tasks of the suite's trainers beside paddleseg: Matting (the loss is inside the model) and MedicalSeg (volumes)."""

import os
from types import SimpleNamespace

import numpy as np

from proving import rows, seeding, sweeps, training, tree


def matting_batch(row, index, dtype):
    """What the matting data loader gives: a composite, its parts, alpha in [0, 1], a trimap of 0, 128 and 255, and names."""
    import paddle

    batch, (height, width) = row["batch"], row["size"]
    name = "%s:%d" % (row["id"], index)

    def pictures(part):
        made = [seeding.smooth_image("%s:%s:%d" % (name, part, i), height, width) for i in range(batch)]
        return (np.stack(made).transpose(0, 3, 1, 2) / 255.0 - 0.5) / 0.5

    foreground, background = pictures("fg"), pictures("bg")
    alpha = np.clip(pictures("alpha")[:, :1] * 1.5 + 0.5, 0, 1)
    trimap = np.where(alpha <= 0, 0, np.where(alpha >= 1, 255, 128))
    arrays = {
        "img": alpha * foreground + (1 - alpha) * background,
        "fg": foreground,
        "bg": background,
        "alpha": alpha,
        "trimap": trimap,
    }
    data = {key: paddle.to_tensor(value.astype(dtype)) for key, value in arrays.items()}
    data.update(
        {
            "img_name": ["%d.png" % i for i in range(batch)],
            "trans_info": [],
            "gt_fields": [[field] * batch for field in ("fg", "bg", "alpha", "trimap")],
        }
    )
    return data


def build_matting(row, dtype):
    import paddle

    tree.on_path("Matting")
    from paddleseg.cvlibs import manager

    # As Matting/tools/train.py: its backbones and transforms take the place of those of paddleseg with the same names.
    manager.BACKBONES._components_dict.clear()
    manager.TRANSFORMS._components_dict.clear()
    import ppmatting  # noqa: F401 registers its models
    from ppmatting.utils import Config, MatBuilder

    paddle.set_default_dtype(dtype)
    config = Config(row["config"] or row["config_of"])
    if row.get("model"):  # a model class without a config of its own: the training settings of its sibling
        config.dic["model"] = dict(row["model"])
    # dim-vgg16.yml still has the older `learning_rate`, which the builder no longer reads.
    config.dic.setdefault("lr_scheduler", {"type": "PolynomialDecay", "learning_rate": 0.001, "power": 0.9})
    rows.replace_keys(config.dic["model"], {"pretrained": None})
    sweeps.scale_rates(config.dic["lr_scheduler"], sweeps.rate_factor(row, config.batch_size))
    builder = MatBuilder(config)
    model = builder.model
    model.train()
    return training.Task(
        model=model,
        loss=lambda out, data: out[1]["all"],
        optimizer=builder.optimizer,
        batches=sweeps.in_turn(lambda index: matting_batch(row, index, dtype)),
        inputs=lambda data: [data],
        apply_to_static=sweeps.whole_model,
    )


def volume_batch(row, channels, classes, index, dtype):
    """[N, C, D, H, W] and label volumes [N, D, H, W]: slices of region maps that grow along the depth."""
    import paddle

    batch, shape = row["batch"], row["size"]
    name = "%s:%d" % (row["id"], index)
    maps = seeding.seeded_labels(name, batch, shape[-2], shape[-1], classes, ignore=0, regions=8).astype(np.int64)
    labels = np.stack([np.roll(maps, depth, axis=-1) for depth in range(shape[0])], 1)
    volumes = labels[:, None] / float(classes) + 0.25 * seeding.seeded(name, (batch, channels, *shape), "input")
    return [paddle.to_tensor(volumes.astype(dtype)), paddle.to_tensor(labels.astype(np.int32))]


def enter_medicalseg(path):
    """Import MedicalSeg where it runs (it reads tools/preprocess_globals.yml), and give the config at `path`."""
    path = os.path.abspath(path)
    os.chdir(os.path.join("contrib", "MedicalSeg"))
    tree.on_path(".")
    from medicalseg.cvlibs import Config

    config = Config(path)
    # The losses take this from the data set, whose files are not here.
    type(config).train_dataset = SimpleNamespace(ignore_index=255)
    return config


def build_medicalseg(row, dtype):
    import paddle

    config = enter_medicalseg(row["config"])
    from medicalseg.core.train import loss_computation

    paddle.set_default_dtype(dtype)
    config.dic["model"].update(row.get("model", {}))
    rows.replace_keys(config.dic["model"], {"pretrained": None, "pretrained_path": None})
    sweeps.scale_rates(config.dic["lr_scheduler"], sweeps.rate_factor(row, config.batch_size))
    model = config.model
    model.train()
    losses, optimizer = config.loss, config.optimizer
    batches = sweeps.in_turn(lambda index: volume_batch(row, row.get("channels", 1), row["classes"], index, dtype))

    def loss(logits, batch):
        return sum(loss_computation(logits_list=logits, labels=batch[1], losses=losses)[0])

    return training.Task(model=model, loss=loss, optimizer=optimizer, batches=batches, apply_to_static=sweeps.whole_model)


TRAINERS = {"matting": build_matting, "medicalseg": build_medicalseg}
