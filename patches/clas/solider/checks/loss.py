"""Training of the shipped classification configuration with the suite's own parts: model, loss, optimizer and to_static switch.

    python checks/loss.py --out DIR --mode dygraph|ast|sot [--steps 50]

Random crops of six photographs of scikit-image, the class is the photograph. The picture is not square and no stride divides
it; drop path is off, as its random numbers differ between the modes.
"""

import numpy as np
import paddle
from ppcls.arch import apply_to_static, build_model
from ppcls.loss import build_loss
from ppcls.optimizer import build_optimizer
from ppcls.utils import logger
from ppcls.utils.config import parse_config
from skimage import data

from alignment.training import Task, main, parser

CONFIG = "ppcls/configs/ImageNet/SwinTransformer/SwinTransformer_tiny_patch4_window7_224_SOLIDER.yaml"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
SIZE = (62, 30)
BATCH = 4


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


def build(args):
    logger.init_logger()
    config = parse_config(CONFIG)
    config["Arch"].update(class_num=len(PHOTOS), img_size=list(SIZE), drop_path_rate=0.0)
    config["Global"].update(to_static=args.mode != "dygraph", image_shape=[3] + list(SIZE))
    config["Optimizer"]["lr"].update(learning_rate=args.learning_rate, warmup_epoch=0)
    model = build_model(config)
    model.train()
    criterion = build_loss(config["Loss"]["Train"])
    optimizer, _ = build_optimizer(config["Optimizer"], 1, args.steps, [model])
    return Task(
        model=model,
        loss=lambda logits, batch: criterion(logits, batch[1])["loss"],
        optimizer=optimizer,
        batches=crops(photographs()),
        apply_to_static=lambda model, mode: apply_to_static(config, model),
    )


if __name__ == "__main__":
    options = parser()
    options.add_argument("--learning-rate", type=float, default=2e-4)
    main(build, options)
