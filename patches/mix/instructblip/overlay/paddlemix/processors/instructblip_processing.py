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
Processor of InstructBLIP: images, and the instruction in two vocabularies (language model and Q-Former).

Article: arXiv:2305.06500. Behaviour measured on `transformers` 4.57.6 (`InstructBlipProcessor`, `BlipImageProcessor`, Apache 2.0) and
salesforce/LAVIS @ 506965b (BSD 3-Clause); no code of either is used.
"""

import json
import os

import numpy as np
import paddle
from paddlenlp.transformers import AutoTokenizer
from PIL import Image

__all__ = ["InstructBlipImageProcessor", "InstructBlipProcessor"]

IMAGE_TOKEN = "<image>"
IMAGE_FILE, PROCESSOR_FILE, QFORMER_FOLDER = "preprocessor_config.json", "processor_config.json", "qformer_tokenizer"


class InstructBlipImageProcessor:
    """
    RGB, bicubic to a square, scaled to [0, 1], normalized with CLIP's mean and deviation.

    Args:
        size (`int`, *optional*, defaults to 224): height and width in pixels.
        image_mean, image_std (`list` of 3 `float`, *optional*): of the channels.
    """

    def __init__(
        self,
        size=224,
        image_mean=(0.48145466, 0.4578275, 0.40821073),
        image_std=(0.26862954, 0.26130258, 0.27577711),
    ):
        self.size, self.image_mean, self.image_std = size, list(image_mean), list(image_std)

    def __call__(self, images):
        """
        Args:
            images: a picture or a list of them: `PIL.Image`, or `ndarray` [H, W, 3] of uint8.

        Returns:
            `ndarray` [N, 3, size, size] of float32.

        Raises:
            TypeError: neither a picture nor an array of uint8.
        """
        images = images if isinstance(images, (list, tuple)) else [images]
        return np.stack([self._one(image) for image in images])

    def _one(self, image):
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8:
                raise TypeError(f"an image array has to be uint8, this one is {image.dtype}; scaling follows here")
            image = Image.fromarray(image)
        if not isinstance(image, Image.Image):
            raise TypeError(f"an image is a PIL.Image or an array, not {type(image).__name__}")
        image = image.convert("RGB").resize((self.size, self.size), resample=Image.BICUBIC)
        array = np.asarray(image, np.float32) * np.float32(1 / 255)
        array = (array - np.float32(self.image_mean)) / np.float32(self.image_std)
        return np.ascontiguousarray(array.transpose(2, 0, 1))

    def to_dict(self):
        size = {"height": self.size, "width": self.size}
        return {"size": size, "image_mean": self.image_mean, "image_std": self.image_std}

    def save_pretrained(self, directory):
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, IMAGE_FILE), "w", encoding="utf-8") as stream:
            json.dump(self.to_dict(), stream, indent=2)

    @classmethod
    def from_pretrained(cls, directory):
        """Reads what `save_pretrained` wrote, or the file of the same name of `transformers`."""
        with open(os.path.join(directory, IMAGE_FILE), encoding="utf-8") as stream:
            values = json.load(stream)
        size = values["size"]
        if isinstance(size, dict):
            if size.get("height") != size.get("width") or "height" not in size:
                raise ValueError(f"{directory}: the size is {size}; only squares with height and width are known")
            size = size["height"]
        return cls(size=size, image_mean=values["image_mean"], image_std=values["image_std"])


class InstructBlipProcessor:
    """
    Inputs of [`InstructBlipForConditionalGeneration`], and text of its answers.

    Args:
        image_processor ([`InstructBlipImageProcessor`])
        tokenizer: PaddleNLP's tokenizer of the language model.
        qformer_tokenizer: PaddleNLP's BERT tokenizer of the Q-Former.
        num_query_tokens (`int`, *optional*, defaults to 32): places of the image in `input_ids`; as in the model.
        use_image_token (`bool`, *optional*, defaults to `True`):
            put `num_query_tokens` tokens `<image>` before the text, and add it to the vocabulary if it is not there;
            `False` for a model with `image_token_index=None`.
        decoder_only (`bool`, *optional*, defaults to `True`): pad on the left; an encoder-decoder (T5) pads on the right.
        max_txt_len (`int`, *optional*, defaults to 128): longest instruction, in tokens.
    """

    def __init__(
        self,
        image_processor,
        tokenizer,
        qformer_tokenizer,
        num_query_tokens=32,
        use_image_token=True,
        decoder_only=True,
        max_txt_len=128,
    ):
        self.image_processor = image_processor
        self.tokenizer, self.qformer_tokenizer = tokenizer, qformer_tokenizer
        self.num_query_tokens, self.use_image_token = num_query_tokens, use_image_token
        self.decoder_only, self.max_txt_len = decoder_only, max_txt_len
        if tokenizer.pad_token_id is None:
            raise ValueError("the language model's tokenizer has no padding token; next: set tokenizer.pad_token")
        if use_image_token and tokenizer.convert_tokens_to_ids(IMAGE_TOKEN) in (None, tokenizer.unk_token_id):
            tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})

    @property
    def image_token_id(self):
        return self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)

    def __call__(self, images=None, text=None, answers=None, return_tensors="pd"):
        """
        Args:
            images:
                a picture or a list of them; `None` leaves `pixel_values` out. A list of lists is videos: the frames of each, as
                many for all, give `pixel_values` [N, F, 3, size, size].
            text (`str` or list of `str`): instructions, one for each image or one for all.
            answers (`str` or list of `str`, *optional*): what shall be answered; gives `labels` for training.
            return_tensors (`str`): `"pd"` for tensors, `"np"` for arrays.

        Returns:
            a dictionary of the model's arguments.

        Raises:
            ValueError: neither images nor text, or numbers of images, instructions and answers that do not agree.
        """
        if images is None and text is None:
            raise ValueError("there are neither images nor text")
        made, frames = {}, 1
        if images is not None:
            if isinstance(images, (list, tuple)) and isinstance(images[0], (list, tuple)):
                frames = len(images[0])
                if {len(video) for video in images} != {frames}:
                    raise ValueError(
                        f"the videos have {[len(video) for video in images]} frames; give all the same number"
                    )
                made["pixel_values"] = np.stack([self.image_processor(video) for video in images])
            else:
                made["pixel_values"] = self.image_processor(images)
        if text is not None:
            text = [text] if isinstance(text, str) else list(text)
            number = len(made["pixel_values"]) if images is not None else len(text)
            text = text * number if len(text) == 1 else text
            if len(text) != number:
                raise ValueError(f"there are {number} images and {len(text)} instructions")
            made.update(self._instructions(text, answers, frames))
        if return_tensors == "np":
            return made
        return {key: paddle.to_tensor(value) for key, value in made.items()}

    def _instructions(self, text, answers, frames):
        qformer = [self._ids(self.qformer_tokenizer, one) for one in text]
        made = {}
        made["qformer_input_ids"], made["qformer_attention_mask"] = pad(qformer, self.qformer_tokenizer.pad_token_id)
        image = [self.image_token_id] * (self.num_query_tokens * frames) if self.use_image_token else []
        rows = [image + self._ids(self.tokenizer, one) for one in text]
        if answers is None:
            padded = pad(rows, self.tokenizer.pad_token_id, left=self.decoder_only)
            made["input_ids"], made["attention_mask"] = padded
            return made
        answers = [answers] if isinstance(answers, str) else list(answers)
        if len(answers) != len(text):
            raise ValueError(f"there are {len(text)} instructions and {len(answers)} answers")
        answers = [self.answer_ids(one) for one in answers]
        if self.decoder_only:
            labels = [[-100] * len(row) + answer for row, answer in zip(rows, answers)]
            rows = [row + answer for row, answer in zip(rows, answers)]
        else:
            labels = answers
        made["input_ids"], made["attention_mask"] = pad(rows, self.tokenizer.pad_token_id)
        made["labels"] = pad(labels, -100)[0]
        return made

    def _ids(self, tokenizer, text):
        return tokenizer(text, max_length=self.max_txt_len, truncation=True)["input_ids"]

    def answer_ids(self, answer, end=True):
        """Ids of an answer: no start token, and the end token if `end`."""
        ids = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        return ids[: self.max_txt_len] + ([self.tokenizer.eos_token_id] if end else [])

    def candidates(self, texts, end=None):
        """Ids [K, T] for `predict_class`, -100 at the padding; `end`: with the end token, by default for an encoder-decoder."""
        end = not self.decoder_only if end is None else end
        return paddle.to_tensor(pad([self.answer_ids(text, end) for text in texts], -100)[0])

    def batch_decode(self, ids, skip_special_tokens=True):
        """Texts of ids [N, T], stripped."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        return [self.tokenizer.decode(row, skip_special_tokens=skip_special_tokens).strip() for row in ids]

    def save_pretrained(self, directory):
        """The image processor and the tokenizer in `directory`, the Q-Former's tokenizer in a folder below."""
        self.image_processor.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        self.qformer_tokenizer.save_pretrained(os.path.join(directory, QFORMER_FOLDER))
        values = {
            key: getattr(self, key) for key in ("num_query_tokens", "use_image_token", "decoder_only", "max_txt_len")
        }
        with open(os.path.join(directory, PROCESSOR_FILE), "w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=2)

    @classmethod
    def from_pretrained(cls, directory, **options):
        """Reads what `save_pretrained` wrote; `options` are arguments of the constructor."""
        path = os.path.join(directory, PROCESSOR_FILE)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as stream:
                known = ("num_query_tokens", "use_image_token", "decoder_only", "max_txt_len")
                options = {**{k: v for k, v in json.load(stream).items() if k in known}, **options}
        return cls(
            InstructBlipImageProcessor.from_pretrained(directory),
            AutoTokenizer.from_pretrained(directory),
            AutoTokenizer.from_pretrained(os.path.join(directory, QFORMER_FOLDER)),
            **options,
        )


def pad(rows, value, left=False):
    """Lists of ids as one array [N, L] of int64, and its mask."""
    length = max(len(row) for row in rows)
    ids = np.full([len(rows), length], value, np.int64)
    mask = np.zeros([len(rows), length], np.int64)
    for index, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask
