# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
Instruction tuning with PaddleNLP's Trainer: the Q-Former, the queries and the projection are trained.

    python -m paddle.distributed.launch paddlemix/examples/instructblip/run_finetune.py --model_name_or_path output/instructblip \
        --train_file train.jsonl --output_dir output/tuned --max_steps 60000 --per_device_train_batch_size 16 \
        --learning_rate 1e-5 --warmup_steps 1000 --weight_decay 0.05 --lr_scheduler_type cosine --bf16 --fp16_opt_level O1

A line of the file: {"image": "a.jpg", "instruction": "What is this?", "answer": "a cat"}; paths count from the file's directory.
Several files are mixed in proportion to the square roots of their sizes, as in the article (arXiv:2305.06500, section 2.4).
"""

import json
import os
from dataclasses import dataclass, field

import numpy as np
from paddle.io import Dataset
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipProcessor
from paddlenlp.trainer import PdArgumentParser, Trainer, TrainingArguments


@dataclass
class TuningArguments:
    model_name_or_path: str = field(metadata={"help": "directory of the weights to start from, with the processor"})
    train_file: str = field(metadata={"help": "JSON lines, one or several files with commas"})
    train_vision: bool = field(default=False, metadata={"help": "train the image encoder too"})
    train_language: bool = field(default=False, metadata={"help": "train the language model too"})


class Instructions(Dataset):
    """Examples of several files; file k is drawn with probability sqrt(size_k) / sum of sqrt(size)."""

    def __init__(self, paths, seed=0):
        self.examples, sizes = [], []
        for path in paths:
            with open(path, encoding="utf-8") as stream:
                rows = [dict(json.loads(line), folder=os.path.dirname(path)) for line in stream if line.strip()]
            if not rows:
                raise ValueError(f"{path} holds no example")
            self.examples.append(rows)
            sizes.append(len(rows))
        self.chances = np.sqrt(sizes) / np.sqrt(sizes).sum()
        self.seed = seed

    def __len__(self):
        return sum(len(rows) for rows in self.examples)

    def __getitem__(self, index):
        if len(self.examples) == 1:
            return self.examples[0][index]
        draw = np.random.default_rng([self.seed, index])
        rows = self.examples[draw.choice(len(self.examples), p=self.chances)]
        return rows[draw.integers(len(rows))]


class Collate:
    """Examples to the model's arguments; answers are learned, instructions are not."""

    def __init__(self, processor):
        self.processor = processor

    def __call__(self, rows):
        images = [os.path.join(row["folder"], row["image"]) for row in rows]
        text, answers = [row["instruction"] for row in rows], [row["answer"] for row in rows]
        return self.processor(images=images, text=text, answers=answers)


class InstructBlipTrainer(Trainer):
    """The loss is the model's own; parts that are not trained stay in eval mode, without dropout."""

    def compute_loss(self, model, inputs, return_outputs=False):
        inner = getattr(model, "_layers", model)
        for part in (inner.vision_model, inner.language_model):
            if all(parameter.stop_gradient for parameter in part.parameters()):
                part.eval()
        inner.check_places(inputs["input_ids"])
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def main(argv=None):
    parsed = PdArgumentParser((TuningArguments, TrainingArguments)).parse_args_into_dataclasses(argv)
    options, training = parsed[:2]
    training.remove_unused_columns = False
    training.label_names = ["labels"]
    processor = InstructBlipProcessor.from_pretrained(options.model_name_or_path)
    model = InstructBlipForConditionalGeneration.from_pretrained(options.model_name_or_path)
    model.freeze(vision=not options.train_vision, language=not options.train_language)
    trainer = InstructBlipTrainer(
        model=model,
        args=training,
        train_dataset=Instructions(options.train_file.split(","), training.seed),
        data_collator=Collate(processor),
    )
    result = trainer.train()
    trainer.save_model()
    processor.save_pretrained(training.output_dir)
    return result, trainer


if __name__ == "__main__":
    main()
