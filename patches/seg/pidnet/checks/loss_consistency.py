"""Fifty training steps of PIDNet-S with the official losses: dygraph against static programs.

Recipe: batch normalization in train mode, the four losses with class weights, momentum SGD with the learning rate 0.01 and the
weight decay of the paper, on small pictures of a street that are drawn from the step number (sky, road, buildings, cars, ignored
pixels; the edge label is made by the suite's transform).

Why float64, and why 25 steps in dygraph come first, the same in every mode: static programs add up the gradients of a tensor
with many users in another order, which is a rounding difference. A network with random weights and batch normalization over a few values
amplifies it by orders of magnitude in one step, and a pixel that crosses a threshold of a loss changes the loss by a jump. In
float32 the modes therefore agree for a few steps alone (`--dtype float32` and trace_modes.py show it); in float64, and
after the first steps, nothing is left to amplify, so that the comparison is as strict as it reads.
"""

import numpy as np
import paddle
from paddleseg.models import PIDNet, losses
from paddleseg.models.backbones import PIDNetBackbone
from paddleseg.transforms import AddEdgeLabel

from proving.training import Task, main, parser

CLASSES = 6
BATCH, HEIGHT, WIDTH = 2, 64, 128
FIRST_STEPS = 25


def street(rng):
    """One picture [3, H, W] and its label [H, W] uint8."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)  # sky
    horizon = int(rng.integers(HEIGHT // 3, HEIGHT // 2))
    label[horizon:] = 1  # road
    for _ in range(4):  # buildings
        left = int(rng.integers(0, WIDTH - 20))
        label[int(rng.integers(4, horizon - 8)) : horizon, left : left + int(rng.integers(16, 48))] = 2
    for value in (3, 4, 5):  # cars, persons, poles
        for _ in range(2):
            top, left = int(rng.integers(horizon - 8, HEIGHT - 24)), int(rng.integers(0, WIDTH - 24))
            label[top : top + int(rng.integers(8, 24)), left : left + int(rng.integers(6, 24))] = value
    label[HEIGHT - 5 :, : WIDTH // 3] = 255
    colours = np.random.default_rng(7).normal(0, 1.2, (256, 3))
    image = colours[label] + rng.normal(0, 0.3, (HEIGHT, WIDTH, 3))
    return image.transpose(2, 0, 1), label


def batch(step, dtype, size=BATCH):
    """Images, labels and edges of one step."""
    rng = np.random.default_rng(1000 + step)
    pairs = [street(rng) for _ in range(size)]
    transform = AddEdgeLabel()
    edges = np.stack([transform({"label": label})["edge"] for _, label in pairs])
    return (
        paddle.to_tensor(np.stack([image for image, _ in pairs]).astype(dtype)),
        paddle.to_tensor(np.stack([label for _, label in pairs])),
        paddle.to_tensor(edges),
    )


def build(arguments):
    paddle.set_default_dtype(arguments.dtype)
    model = PIDNet(CLASSES, PIDNetBackbone(base_channels=32))
    model.train()
    ohem = {"weight": [0.8, 0.9, 1.0, 1.1, 1.2, 1.0], "thresh": 0.9, "min_kept": 10000}
    criteria = {
        "types": [
            losses.PIDNetOhemLoss(**ohem),
            losses.PIDNetAuxLoss(weight=ohem["weight"]),
            losses.PIDNetBoundaryLoss(),
            losses.PIDNetBoundaryAwareLoss(**ohem),
        ],
        "coef": [1, 0.4, 20, 1],
    }

    def loss(outputs, data):
        return sum(model.loss_computation(list(outputs), criteria, {"label": data[1], "edge": data[2]}))

    optimizer = paddle.optimizer.Momentum(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, parameters=model.parameters())
    for step in range(FIRST_STEPS):
        data = batch(500 + step, arguments.dtype)
        loss(model(data[0]), data).backward()
        optimizer.step()
        optimizer.clear_grad()
    return Task(model=model, loss=loss, optimizer=optimizer, batches=lambda step: batch(step, arguments.dtype))


if __name__ == "__main__":
    options = parser()
    options.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    main(build, options)
