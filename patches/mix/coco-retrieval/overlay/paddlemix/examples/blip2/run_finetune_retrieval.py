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
Fine-tuning of BLIP-2 for retrieval with PaddleNLP's Trainer: ITC and ITM, the image encoder included, by the recipe of LAVIS
(`retrieval_coco_ft.yaml`): 364 pixels, learning rate 1e-5 with 1000 steps of warm-up and cosine, weight decay 0.05, layer decay 0.95.

    python -m paddle.distributed.launch paddlemix/examples/blip2/run_finetune_retrieval.py --model_name_or_path output/blip2-pretrained \
        --annotations dataset_coco.json --images coco --output_dir output/blip2-coco --epochs 5 --per_device_train_batch_size 14 \
        --learning_rate 1e-5 --warmup_steps 1000 --weight_decay 0.05 --lr_scheduler_type cosine --bf16 --fp16_opt_level O1

What is drawn (order, crops, negatives, dropout) follows from seed and step alone, so that a run that was killed goes on with the losses that
it would have had when the same command is given again. Order, crops and negatives do not depend on the number of ranks either.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field

import numpy as np
import paddle
from paddle.io import Dataset, DistributedBatchSampler
from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval
from paddlenlp.trainer import PdArgumentParser, Trainer, TrainingArguments

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from retrieval_data import Pictures, Processor, read_karpathy  # noqa: E402


@dataclass
class TuningArguments:
    model_name_or_path: str = field(metadata={"help": "directory of convert_retrieval.py"})
    annotations: str = field(metadata={"help": "Karpathy's or LAVIS' JSON file"})
    images: str = field(metadata={"help": "folder of the pictures, or a zip file of it"})
    epochs: int = field(default=5, metadata={"help": "passes over all captions"})
    layer_decay: float = field(
        default=0.95, metadata={"help": "learning rate of a block of the image encoder by the one above it"}
    )
    max_length: int = field(default=35, metadata={"help": "tokens of a caption"})
    smallest_crop: float = field(
        default=0.5, metadata={"help": "least share of the picture that a crop keeps; 1 for none"}
    )
    flip: bool = field(
        default=True, metadata={"help": "mirror pictures at random, although a caption may say left or right"}
    )


def crop_and_flip(image, draw, smallest, flip):
    """A part of the picture of `smallest` to all of its area, of an aspect of 3:4 to 4:3; with `flip` mirrored at random."""
    from PIL import Image

    if smallest < 1:
        for _ in range(10):
            share, aspect = draw.uniform(smallest, 1), np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
            area = share * image.width * image.height
            width, height = int(round((area * aspect) ** 0.5)), int(round((area / aspect) ** 0.5))
            if 0 < width <= image.width and 0 < height <= image.height:
                left, top = int(draw.integers(image.width - width + 1)), int(draw.integers(image.height - height + 1))
                image = image.crop((left, top, left + width, top + height))
                break
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and draw.random() < 0.5 else image


class Pairs(Dataset):
    """Every caption with its picture, all epochs one after the other; each epoch in an order of its own."""

    def __init__(self, rows, pictures, epochs, seed, smallest_crop, flip):
        self.rows, self.pictures, self.seed, self.smallest, self.flip = rows, pictures, seed, smallest_crop, flip
        self.pairs = [(image, text) for image, row in enumerate(rows) for text in row["captions"]]
        orders = [np.random.default_rng([seed, epoch]).permutation(len(self.pairs)) for epoch in range(epochs)]
        self.order = np.concatenate(orders)

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        image, text = self.pairs[self.order[index]]
        picture = self.pictures.open(self.rows[image]["image"])
        return (
            crop_and_flip(picture, np.random.default_rng([self.seed, 1, index]), self.smallest, self.flip),
            text,
            image,
        )


class Collate:
    def __init__(self, processor):
        self.processor = processor

    def __call__(self, rows):
        pictures, texts, images = zip(*rows)
        ids, mask = self.processor.texts(texts)
        made = {"pixel_values": self.processor.pictures(list(pictures)), "input_ids": ids, "attention_mask": mask}
        return {**made, "image_ids": np.array(images, np.int64)}


def layer_scale(name, depth, decay):
    """Factor of the learning rate of a parameter: decay to the power of the blocks that stand above it; 1 outside of the image encoder."""
    if not name.startswith("visual_encoder."):
        return 1.0
    name = name[len("visual_encoder.") :]
    if name in ("cls_token", "pos_embed") or name.startswith("patch_embed."):
        layer = 0
    else:
        layer = int(name.split(".")[1]) + 1
    return decay ** (depth + 1 - layer)


class RetrievalTrainer(Trainer):
    """
    Args:
        layer_decay (`float`): see [`layer_scale`].
        kwargs: of `Trainer`.
    """

    def __init__(self, layer_decay=0.95, **kwargs):
        self.layer_decay, self._place = layer_decay, (-1, 0)
        super().__init__(**kwargs)

    def _get_train_sampler(self):
        size = self.args.per_device_train_batch_size
        return DistributedBatchSampler(
            self.train_dataset,
            size,
            self.args.dataset_world_size,
            self.args.dataset_rank,
            shuffle=False,
            drop_last=True,
        )

    def create_optimizer(self, lr_scheduler=None):
        if self.optimizer is None:
            model, plain = self.model, set()
            depth = model.config.vision_config.depth
            for name, value in model.named_parameters():
                value.optimize_attr["learning_rate"] = layer_scale(name, depth, self.layer_decay)
                if value.ndim < 2 or name.endswith(".bias"):
                    plain.add(value.name)
            clip = paddle.nn.ClipGradByGlobalNorm(self.args.max_grad_norm) if self.args.max_grad_norm > 0 else None
            self.optimizer = paddle.optimizer.AdamW(
                learning_rate=self.lr_scheduler if lr_scheduler is None else lr_scheduler,
                parameters=model.parameters(),
                weight_decay=self.args.weight_decay,
                apply_decay_param_fun=lambda name: name not in plain,
                beta1=self.args.adam_beta1,
                beta2=self.args.adam_beta2,
                epsilon=self.args.adam_epsilon,
                grad_clip=clip,
            )
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False):
        step, part = self.state.global_step, self._place[1] + 1 if self._place[0] == self.state.global_step else 0
        self._place = (step, part)
        rank, ranks, rows = self.args.dataset_rank, self.args.dataset_world_size, len(inputs["image_ids"])
        words = [self.args.seed, 2, step, part]
        draws = np.random.default_rng(words).random([ranks * rows, 2])[rank * rows : (rank + 1) * rows]
        paddle.seed(int(np.random.default_rng([*words, rank]).integers(2**31)))  # dropout
        outputs = model(**inputs, draws=paddle.to_tensor(draws.astype("float32")))
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


def last_checkpoint(folder):
    """The newest checkpoint that is there as a whole, or None; what a killed run left half written is removed."""
    places = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith("checkpoint-") and name[len("checkpoint-") :].isdigit():
            places[int(name[len("checkpoint-") :])] = os.path.join(folder, name)
    for step in sorted(places, reverse=True):
        needed = ("config.json", "model_state.pdparams", "optimizer.pdopt", "scheduler.pdparams", "trainer_state.json")
        if all(os.path.isfile(os.path.join(places[step], name)) for name in needed):
            return places[step]
        shutil.rmtree(places[step])
    return None


def main(argv=None):
    options, training = PdArgumentParser((TuningArguments, TrainingArguments)).parse_args_into_dataclasses(argv)[:2]
    training.remove_unused_columns, training.num_train_epochs = False, 1  # the epochs are in the data
    rows, pictures = read_karpathy(options.annotations, "train"), Pictures(options.images)
    pictures.check([row["image"] for row in rows])
    model = Blip2ForImageTextRetrieval.from_pretrained(options.model_name_or_path)
    processor = Processor(options.model_name_or_path, model.config.vision_config.img_size, options.max_length)
    trainer = RetrievalTrainer(
        options.layer_decay,
        model=model,
        args=training,
        train_dataset=Pairs(rows, pictures, options.epochs, training.seed, options.smallest_crop, options.flip),
        data_collator=Collate(processor),
    )
    result = trainer.train(resume_from_checkpoint=last_checkpoint(training.output_dir))
    if training.should_save:
        model.save_pretrained(training.output_dir)
        shutil.copy(
            os.path.join(options.model_name_or_path, "vocab.txt"), os.path.join(training.output_dir, "vocab.txt")
        )
    return result, trainer


if __name__ == "__main__":
    main()
