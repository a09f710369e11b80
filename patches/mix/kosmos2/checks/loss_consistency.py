"""Fifty steps of grounded fine-tuning in dygraph, whole-graph static (AST) and SOT: a tiny model, all parameters trained.

The batch changes with the step: images, texts and labels; padding and the places of the image stay.
"""

import numpy as np
import paddle
from common import INPUTS, Set

from proving.training import Task, main

NAMES = (*INPUTS, "labels")


class Loss(paddle.nn.Layer):
    """The model as a function of tensors alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, input_ids, image_embeds_position_mask, attention_mask, labels):
        return self.model(
            pixel_values=pixel_values,
            input_ids=input_ids,
            image_embeds_position_mask=image_embeds_position_mask,
            attention_mask=attention_mask,
            labels=labels,
            return_dict=False,
        )[0]


def batch(golden, vocabulary, step):
    draw = np.random.default_rng(step)
    made = {name: golden[name].copy() for name in NAMES}
    made["pixel_values"] = draw.standard_normal(made["pixel_values"].shape).astype("float32")
    free = (made["attention_mask"] == 1) & (made["image_embeds_position_mask"] == 0)
    made["input_ids"] = np.where(free, draw.integers(4, vocabulary, free.shape), made["input_ids"])
    made["labels"] = np.where(made["labels"] != -100, made["input_ids"], -100)
    return [paddle.to_tensor(made[name]) for name in NAMES]


def task(args):
    one = Set(args.reference)
    model = Loss(one.build())
    model.train()
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters(), weight_decay=0.05)
    return Task(
        model=model,
        loss=lambda outputs, _: outputs,
        optimizer=optimizer,
        batches=lambda step: batch(one.arrays, model.model.config.text_config.vocab_size, step),
        inputs=lambda tensors: tensors,
    )


if __name__ == "__main__":
    main(task)
