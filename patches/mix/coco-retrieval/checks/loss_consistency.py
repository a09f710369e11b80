"""Fifty steps of both losses in dygraph, whole-graph static (AST) and SOT: a tiny model, all parameters trained, negatives drawn.

The batch changes with the step: pictures, captions, padding, which pairs are of one picture, and the draws.
"""

import numpy as np
import paddle
from common import Set

from proving.training import Task, main, parser


class Loss(paddle.nn.Layer):
    """The model as a function of tensors alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, input_ids, attention_mask, image_ids, draws):
        return self.model(pixel_values, input_ids, attention_mask, image_ids, draws).loss


def batch(one, step):
    draw = np.random.default_rng(step)
    (rows, length), most = one.shape("input_ids"), one.config["qformer_config"]["vocab_size"]
    mask = np.arange(length) < draw.integers(3, length + 1, [rows, 1])
    ids = np.where(mask, draw.integers(4, most, [rows, length]), 0)
    images = draw.integers(0, rows, rows)
    images[:2] = 0, 1  # two pictures at least
    made = [draw.standard_normal(one.shape("pixel_values")).astype("float32"), ids.astype("int64"), mask.astype("int64")]
    return [paddle.to_tensor(value) for value in (*made, images.astype("int64"), draw.random([rows, 2]).astype("float32"))]


def task(args):
    one = Set(args.reference)
    model = Loss(one.build())
    model.model.temp.stop_gradient = False
    model.train()
    optimizer = paddle.optimizer.AdamW(1e-4, parameters=model.parameters(), weight_decay=0.05)
    return Task(
        model=model,
        loss=lambda outputs, _: outputs,
        optimizer=optimizer,
        batches=lambda step: batch(one, step),
        inputs=lambda tensors: tensors,
    )


if __name__ == "__main__":
    main(task, parser())
