"""Fifty steps of fine-tuning in dygraph, whole-graph static (AST) and SOT: a tiny model, all parameters trained.

The batch changes with the step: images, instructions, prompts and padding.
"""

import numpy as np
import paddle
from common import Set

from proving.training import Task, main, parser

NAMES = ("pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask", "labels")


class Loss(paddle.nn.Layer):
    """The model as a function of tensors alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, qformer_input_ids, qformer_attention_mask, input_ids, attention_mask, labels):
        return self.model(
            pixel_values=pixel_values,
            qformer_input_ids=qformer_input_ids,
            qformer_attention_mask=qformer_attention_mask,
            input_ids=input_ids,
            attention_mask=attention_mask,
            labels=labels,
            return_dict=False,
        )[0]


def batch(golden, step):
    """The reference's batch with other images and tokens in each step; padding and placeholders stay where they are."""
    draw = np.random.default_rng(step)
    made = {name: golden[name].copy() for name in NAMES}
    made["pixel_values"] = draw.standard_normal(made["pixel_values"].shape).astype("float32")
    for ids, mask, most in (("qformer_input_ids", "qformer_attention_mask", 60), ("input_ids", "attention_mask", 99)):
        free = (made[mask] == 1) & (made[ids] != 99)
        made[ids] = np.where(free, draw.integers(4, most, made[ids].shape), made[ids])
    learned = made["labels"] != -100
    answer = made["input_ids"] if made["labels"].shape == made["input_ids"].shape else draw.integers(4, 99, learned.shape)
    made["labels"] = np.where(learned, answer, -100)
    return [paddle.to_tensor(made[name]) for name in NAMES]


def task(args):
    one = Set(args.reference, args.model)
    model = Loss(one.build())
    model.train()
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=model.parameters(), weight_decay=0.05)
    return Task(
        model=model,
        loss=lambda outputs, _: outputs,
        optimizer=optimizer,
        batches=lambda step: batch(one.arrays, step),
        inputs=lambda tensors: tensors,
    )


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--model", default="opt", choices=("opt", "t5", "llama"))
    main(task, arguments)
