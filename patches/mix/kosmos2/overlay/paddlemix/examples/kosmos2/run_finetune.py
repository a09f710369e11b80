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
Grounded fine-tuning of Kosmos-2 with PaddleNLP's Trainer.

    python -m paddle.distributed.launch paddlemix/examples/kosmos2/run_finetune.py --model_name_or_path output/kosmos-2 \
        --train_file train.jsonl --output_dir output/tuned --max_steps 10000 --per_device_train_batch_size 16 \
        --learning_rate 1e-5 --warmup_steps 500 --weight_decay 0.01 --lr_scheduler_type cosine --bf16 --fp16_opt_level O1

A line of the file: {"image": "a.jpg", "prompt": "<grounding> An image of", "answer": " <phrase>a cat</phrase>", "boxes": [[0.1, 0.2, 0.6,
0.9]]}; boxes belong to the phrases of the prompt, then of the answer; paths count from the file's directory.
"""

import json
import os
from dataclasses import dataclass, field

from paddle.io import Dataset
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_grounding import PHRASE, insert_boxes
from paddlemix.processors.kosmos2_processing import Kosmos2Processor
from paddlenlp.trainer import PdArgumentParser, Trainer, TrainingArguments


@dataclass
class TuningArguments:
    model_name_or_path: str = field(metadata={"help": "directory of the weights to start from, with the processor"})
    train_file: str = field(metadata={"help": "JSON lines"})
    train_vision: bool = field(default=False, metadata={"help": "train the image encoder too"})


class Grounded(Dataset):
    """Examples of a file of JSON lines."""

    def __init__(self, path):
        with open(path, encoding="utf-8-sig") as stream:
            self.rows = [dict(json.loads(line), folder=os.path.dirname(path)) for line in stream if line.strip()]
        if not self.rows:
            raise ValueError(f"{path} holds no example")
        for number, row in enumerate(self.rows, 1):
            lacking = [key for key in ("image", "prompt", "answer") if not isinstance(row.get(key), str)]
            if lacking:
                raise ValueError(f"{path}, example {number}: {', '.join(lacking)} is no text")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Collate:
    """Examples to the model's arguments; answers are learned, prompts are not."""

    def __init__(self, processor):
        self.processor = processor

    def __call__(self, rows):
        texts, answers = zip(*(self._with_boxes(row) for row in rows))
        images = [os.path.join(row["folder"], row["image"]) for row in rows]
        return self.processor(images=images, text=list(texts), answers=list(answers))

    def _with_boxes(self, row):
        boxes, side = row.get("boxes") or [], self.processor.tokenizer.side
        first = len(PHRASE.findall(row["prompt"])) if boxes else 0
        parts = ((row["prompt"], boxes[:first]), (row["answer"], boxes[first:]))
        return [insert_boxes(text, part or None, side) for text, part in parts]


class Kosmos2Trainer(Trainer):
    """The loss is the model's own; an image encoder that is not trained stays in eval mode."""

    def compute_loss(self, model, inputs, return_outputs=False):
        inner = getattr(model, "_layers", model)
        if all(parameter.stop_gradient for parameter in inner.vision_model.parameters()):
            inner.vision_model.eval()
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


def main(argv=None):
    parsed = PdArgumentParser((TuningArguments, TrainingArguments)).parse_args_into_dataclasses(argv)
    options, training = parsed[:2]
    training.remove_unused_columns = False
    training.label_names = ["labels"]
    processor = Kosmos2Processor.from_pretrained(options.model_name_or_path)
    model = Kosmos2ForConditionalGeneration.from_pretrained(options.model_name_or_path)
    for parameter in model.vision_model.parameters():
        parameter.stop_gradient = not options.train_vision
    rows = Grounded(options.train_file)
    trainer = Kosmos2Trainer(model=model, args=training, train_dataset=rows, data_collator=Collate(processor))
    result = trainer.train()
    trainer.save_model()
    processor.save_pretrained(training.output_dir)
    return result, trainer


if __name__ == "__main__":
    main()
