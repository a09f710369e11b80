"""Training of the shipped classification configuration with the suite's own parts: model, loss, optimizer and to_static switch.

The release of the suite lacks ppcls.loss and ppcls.optimizer. There, loss and optimizer are Paddle's with the settings of the
configuration; model and switch are still the suite's.

    python checks/loss.py --out DIR --mode dygraph|ast|sot [--steps 50] [--short]

Random crops of six photographs of scikit-image, the class is the photograph. The picture is not square and no stride divides
it; drop path is off, as its random numbers differ between the modes. --short takes a smaller network of the same class.
"""

import importlib.util

import numpy as np
import paddle
import paddle.nn.functional as F
from ppcls.arch import apply_to_static, build_model
from ppcls.arch.backbone.variant_models.swin_transformer_variant import SwinTransformerSOLIDER
from ppcls.utils import logger
from ppcls.utils.config import parse_config
from skimage import data

from proving.training import Task, main, parser

CONFIG = "ppcls/configs/ImageNet/SwinTransformer/SwinTransformer_tiny_patch4_window7_224_SOLIDER.yaml"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
SIZE = (62, 30)
BATCH = 4
SHORT = {"embed_dim": 24, "depths": [2, 2], "num_heads": [1, 2]}


def photographs():
    """[(H, W, 3)], each reduced to about 200 lines."""
    found = []
    for name in PHOTOS:
        photo = getattr(data, name)()[..., :3]
        step = max(1, photo.shape[0] // 200)
        found.append(photo[::step, ::step].astype("float32"))
    return found


def crops(photos):
    def batches(step):
        rng = np.random.RandomState(1000 + step)
        labels = rng.randint(0, len(photos), BATCH)
        images = []
        for label in labels:
            photo = photos[label]
            top = rng.randint(0, photo.shape[0] - SIZE[0] + 1)
            left = rng.randint(0, photo.shape[1] - SIZE[1] + 1)
            image = photo[top : top + SIZE[0], left : left + SIZE[1]]
            images.append((image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
        images = np.stack(images).transpose(0, 3, 1, 2).astype("float32")
        return paddle.to_tensor(images), paddle.to_tensor(labels.astype("int64").reshape(-1, 1))

    return batches


def suite_parts(config, model, steps):
    """(criterion, optimizer) as the trainer of the suite makes them."""
    from ppcls.loss import build_loss
    from ppcls.optimizer import build_optimizer

    criterion = build_loss(config["Loss"]["Train"])
    optimizer, _ = build_optimizer(config["Optimizer"], 1, steps, [model])
    return lambda logits, batch: criterion(logits, batch[1])["loss"], optimizer


def paddle_parts(config, model, steps):
    """(criterion, optimizer) of the same kind and settings from Paddle alone."""
    smoothing, settings = config["Loss"]["Train"][0]["CELoss"]["epsilon"], config["Optimizer"]

    def criterion(logits, batch):
        wanted = F.label_smooth(F.one_hot(batch[1].flatten(), logits.shape[-1]), epsilon=smoothing)
        return F.cross_entropy(logits, wanted, soft_label=True)

    rate = paddle.optimizer.lr.CosineAnnealingDecay(settings["lr"]["learning_rate"], steps, settings["lr"]["eta_min"])
    skip = settings["no_weight_decay_name"].split()
    decayed = {p.name for name, p in model.named_parameters() if p.ndim > 1 and not any(word in name for word in skip)}
    optimizer = paddle.optimizer.AdamW(
        rate,
        settings["beta1"],
        settings["beta2"],
        parameters=model.parameters(),
        weight_decay=settings["weight_decay"],
        apply_decay_param_fun=decayed.__contains__,
    )
    return criterion, optimizer


def build(args):
    logger.init_logger()
    config = parse_config(CONFIG)
    config["Arch"].update(class_num=len(PHOTOS), img_size=list(SIZE), drop_path_rate=0.0)
    config["Global"].update(to_static=args.mode != "dygraph", image_shape=[3] + list(SIZE))
    config["Optimizer"]["lr"].update(learning_rate=args.learning_rate, warmup_epoch=0)
    arch = {key: value for key, value in config["Arch"].items() if key not in ("name", "pretrained")}
    model = SwinTransformerSOLIDER(**arch, **SHORT) if args.short else build_model(config)
    model.train()
    parts = suite_parts if importlib.util.find_spec("ppcls.loss") else paddle_parts
    criterion, optimizer = parts(config, model, args.steps)
    return Task(
        model=model,
        loss=criterion,
        optimizer=optimizer,
        batches=crops(photographs()),
        apply_to_static=lambda model, mode: apply_to_static(config, model),
    )


if __name__ == "__main__":
    options = parser()
    options.add_argument("--learning-rate", type=float, default=2e-4)
    options.add_argument("--short", action="store_true", help="a smaller network of the same class")
    main(build, options)
