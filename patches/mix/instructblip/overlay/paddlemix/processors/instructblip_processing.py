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
from paddlemix.utils.log import logger
from paddlenlp.transformers import AutoTokenizer
from PIL import Image

from .base_processing import ProcessorMixin
from .blip_processing import BlipImageProcessor
from .pictures import pad, upright_rgb

__all__ = ["InstructBlipImageProcessor", "InstructBlipProcessor"]

IMAGE_TOKEN = "<image>"
PROCESSOR_FILE, QFORMER_FOLDER = "processor_config.json", "qformer_tokenizer"
OPTIONS = (
    "num_query_tokens",
    "use_image_token",
    "decoder_only",
    "max_txt_len",
    "max_output_txt_len",
    "max_qformer_len",
    "max_prompt_len",
)


class InstructBlipImageProcessor(BlipImageProcessor):
    """
    BLIP-2's image processor with CLIP's mean and deviation, for pictures of every kind that [`upright_rgb`] takes.

    Args:
        size (`int` or `dict`, *optional*, defaults to 224): height and width in pixels.
        image_mean, image_std (`list` of 3 `float`, *optional*): of the channels.
        kwargs: as in [`BlipImageProcessor`].
    """

    def __init__(
        self,
        size=224,
        image_mean=(0.48145466, 0.4578275, 0.40821073),
        image_std=(0.26862954, 0.26130258, 0.27577711),
        **kwargs,
    ):
        size = {"height": size, "width": size} if isinstance(size, int) else size
        if set(size) != {"height", "width"} or size["height"] != size["width"]:
            raise ValueError(f"the size is {size}; only squares with height and width are known")
        super().__init__(size=size, image_mean=list(image_mean), image_std=list(image_std), **kwargs)

    def resize(self, image, size, resample=Image.BICUBIC, **kwargs):
        """[H, W, 3] of uint8 to `size`; the channels are the last axis whatever the height."""
        return np.asarray(Image.fromarray(image).resize((size["width"], size["height"]), resample=resample))

    def preprocess(self, images, return_tensors="np", **kwargs):
        """
        Args:
            images: a picture, an array or `Tensor` [N, H, W, C] or [N, C, H, W] of several, or a list of pictures.
            return_tensors (`str`): `"np"` or `"pd"`.

        Returns:
            `pixel_values` [N, 3, size, size] of float32.

        Raises:
            TypeError, ValueError: see [`upright_rgb`]; there is no picture.
        """
        if isinstance(images, (np.ndarray, paddle.Tensor)) and images.ndim == 4:
            images = list(np.asarray(images))
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if not images:
            raise ValueError("there is no image: the list is empty")
        images = [upright_rgb(image) for image in images]
        made = super().preprocess(images, return_tensors="np", mode="test", **kwargs)
        pixels = np.ascontiguousarray(made["pixel_values"], np.float32)
        return {"pixel_values": paddle.to_tensor(pixels) if return_tensors == "pd" else pixels}


class InstructBlipProcessor(ProcessorMixin):
    """
    Inputs of [`InstructBlipForConditionalGeneration`], and text of its answers.

    Instructions that are too long lose their beginning, as in LAVIS, for the question stands at the end; answers lose their end. A
    warning says what was cut.

    Args:
        image_processor ([`InstructBlipImageProcessor`])
        tokenizer: PaddleNLP's tokenizer of the language model.
        qformer_tokenizer: PaddleNLP's BERT tokenizer of the Q-Former.
        num_query_tokens (`int`, *optional*, defaults to 32): places of the image in `input_ids`; as in the model.
        use_image_token (`bool`, *optional*, defaults to `True`):
            put `num_query_tokens` tokens `<image>` before the text, and add it to the vocabulary if it is not there;
            `False` for a model with `image_token_index=None`.
        decoder_only (`bool`, *optional*, defaults to `True`): pad on the left; an encoder-decoder (T5) pads on the right.
        max_txt_len (`int`, *optional*, defaults to 128):
            longest instruction in tokens, for the Q-Former, and in training for the language model, too.
        max_output_txt_len (`int`, *optional*, defaults to 256): longest answer in training, in tokens.
        max_qformer_len (`int`, *optional*, defaults to 512): positions of the Q-Former, above which `max_txt_len` does not act.
        max_prompt_len (`int`, *optional*):
            longest instruction that is put to the language model without an answer, in tokens; `None` cuts nothing. The
            converter writes what the language model's positions leave beside the image and an answer.
    """

    attributes = ["image_processor", "tokenizer", "qformer_tokenizer"]
    image_processor_class = "InstructBlipImageProcessor"
    tokenizer_class = "AutoTokenizer"
    qformer_tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        image_processor,
        tokenizer,
        qformer_tokenizer,
        num_query_tokens=32,
        use_image_token=True,
        decoder_only=True,
        max_txt_len=128,
        max_output_txt_len=256,
        max_qformer_len=512,
        max_prompt_len=None,
    ):
        super().__init__(image_processor, tokenizer, qformer_tokenizer)
        self.num_query_tokens, self.use_image_token, self.decoder_only = (
            num_query_tokens,
            use_image_token,
            decoder_only,
        )
        self.max_txt_len, self.max_output_txt_len = max_txt_len, max_output_txt_len
        self.max_qformer_len, self.max_prompt_len = max_qformer_len, max_prompt_len
        if tokenizer.pad_token_id is None:
            raise ValueError("the language model's tokenizer has no padding token; next: set tokenizer.pad_token")
        if use_image_token and tokenizer.convert_tokens_to_ids(IMAGE_TOKEN) in (None, tokenizer.unk_token_id):
            tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})

    @property
    def image_token_id(self):
        return self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)

    @property
    def model_input_names(self):
        return ["pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask"]

    def __call__(self, images=None, text=None, answers=None, return_tensors="pd"):
        """
        Args:
            images:
                a picture or several, see [`InstructBlipImageProcessor`]; `None` leaves `pixel_values` out. A list of lists is
                videos: the frames of each, as many for all, give `pixel_values` [N, F, 3, size, size].
            text (`str` or list of `str`): instructions, one for each image or one for all.
            answers (`str` or list of `str`, *optional*): what shall be answered; gives `labels` for training.
            return_tensors (`str`): `"pd"` for tensors, `"np"` for arrays.

        Returns:
            a dictionary of the model's arguments.

        Raises:
            ValueError:
                neither images nor text, numbers of images, instructions and answers that do not agree, or an instruction with
                the placeholder of the image in it.
        """
        if images is None and text is None:
            raise ValueError("there are neither images nor text")
        made, frames = {}, 1
        if images is not None:
            if isinstance(images, (list, tuple)) and images and isinstance(images[0], (list, tuple)):
                frames = len(images[0])
                if {len(video) for video in images} != {frames}:
                    raise ValueError(
                        f"the videos have {[len(video) for video in images]} frames; give all the same number"
                    )
                made["pixel_values"] = np.stack([self.image_processor(video)["pixel_values"] for video in images])
            else:
                made["pixel_values"] = self.image_processor(images)["pixel_values"]
        if text is not None:
            text = [text] if isinstance(text, str) else list(text)
            number = len(made["pixel_values"]) if images is not None else len(text)
            text = text * number if len(text) == 1 else text
            if not text or len(text) != number:
                raise ValueError(f"there are {number} images and {len(text)} instructions")
            if any(IMAGE_TOKEN in one for one in text):
                raise ValueError(
                    f"the instruction holds {IMAGE_TOKEN}, which stands for the places of the image; next: leave it out, the "
                    "processor puts the image before the text"
                )
            made.update(self._instructions(text, answers, frames))
        if return_tensors == "np":
            return made
        return {key: paddle.to_tensor(value) for key, value in made.items()}

    def _instructions(self, text, answers, frames):
        limit = min(self.max_txt_len, self.max_qformer_len)
        qformer = [self._last(self.qformer_tokenizer, one, limit, "the Q-Former") for one in text]
        made = {}
        made["qformer_input_ids"], made["qformer_attention_mask"] = pad(qformer, self.qformer_tokenizer.pad_token_id)
        image = [self.image_token_id] * (self.num_query_tokens * frames) if self.use_image_token else []
        limit = self.max_prompt_len if answers is None else self.max_txt_len
        rows = [image + self._last(self.tokenizer, one, limit, "the language model") for one in text]
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

    def _last(self, tokenizer, text, limit, reader):
        """Ids of a text with special tokens; of more than `limit` the last of the text stay."""
        ids = tokenizer(text)["input_ids"]
        if limit is None or len(ids) <= limit:
            return ids
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        special = len(ids) - len(plain)
        first = next(place for place in range(special + 1) if ids[place : place + len(plain)] == plain)
        dropped = len(ids) - limit
        if dropped > len(plain):
            raise ValueError(f"a limit of {limit} tokens leaves no room beside {special} special tokens")
        logger.warning(
            f"an instruction of {len(ids)} tokens is longer than the {limit} that {reader} gets; its first {dropped} are left "
            f"out: {_shortened(tokenizer.decode(plain[:dropped]))}"
        )
        return ids[:first] + plain[dropped:] + ids[first + len(plain) :]

    def answer_ids(self, answer, end=True):
        """Ids of an answer: no start token, at most `max_output_txt_len`, and the end token if `end`."""
        ids = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        limit = self.max_output_txt_len - int(end)
        if len(ids) > limit:
            logger.warning(
                f"an answer of {len(ids)} tokens is longer than {limit}; what follows is left out: "
                f"{_shortened(self.tokenizer.decode(ids[limit:]))}"
            )
        return ids[:limit] + ([self.tokenizer.eos_token_id] if end else [])

    def candidates(self, texts, end=None):
        """Ids [K, T] for `predict_class`, -100 at the padding; `end`: with the end token, by default for an encoder-decoder."""
        end = not self.decoder_only if end is None else end
        return paddle.to_tensor(pad([self.answer_ids(text, end) for text in texts], -100)[0])

    def batch_decode(self, ids, skip_special_tokens=True):
        """Texts of ids [N, T], stripped."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        return [self.decode(row, skip_special_tokens) for row in ids]

    def decode(self, ids, skip_special_tokens=True):
        """Text of ids [T], stripped."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens).strip()

    def save_pretrained(self, save_directory, **kwargs):
        """The image processor and the tokenizer in the directory, the Q-Former's tokenizer in a folder below."""
        os.makedirs(save_directory, exist_ok=True)
        self.image_processor.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)
        self.qformer_tokenizer.save_pretrained(os.path.join(save_directory, QFORMER_FOLDER))
        with open(os.path.join(save_directory, PROCESSOR_FILE), "w", encoding="utf-8") as stream:
            json.dump({key: getattr(self, key) for key in OPTIONS}, stream, indent=2)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """
        Reads what `save_pretrained` wrote.

        Args:
            kwargs: arguments of the constructor in place of the stored ones.

        Raises:
            FileNotFoundError: the directory holds no processor.
        """
        directory = os.fspath(pretrained_model_name_or_path)
        path = os.path.join(directory, PROCESSOR_FILE)
        if not os.path.isfile(path) or not os.path.isdir(os.path.join(directory, QFORMER_FOLDER)):
            raise FileNotFoundError(
                f"{directory} holds no processor ({PROCESSOR_FILE}, {QFORMER_FOLDER}/); next: "
                "paddlemix/examples/instructblip/convert_weights.py writes both beside the weights"
            )
        with open(path, encoding="utf-8") as stream:
            options = {key: value for key, value in json.load(stream).items() if key in OPTIONS}
        return cls(
            InstructBlipImageProcessor.from_pretrained(directory),
            AutoTokenizer.from_pretrained(directory),
            AutoTokenizer.from_pretrained(os.path.join(directory, QFORMER_FOLDER)),
            **{**options, **kwargs},
        )


def _shortened(text, most=60):
    return repr(text if len(text) <= most else text[: most // 2] + " ... " + text[-most // 2 :])
