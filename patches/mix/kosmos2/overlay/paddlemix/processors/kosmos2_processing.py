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
Processor of Kosmos-2: tokenizer, images, and texts that point at places.

Article: arXiv:2306.14824. Behaviour measured on `transformers` 4.57.6 (`Kosmos2Processor`, `XLMRobertaTokenizerFast`,
`CLIPImageProcessor`, Apache 2.0); no code of it is used.
"""

import json
import math
import os
import re
import shutil

import numpy as np
import paddle
import sentencepiece
from PIL import Image

from .kosmos2_grounding import LOCATION, extract_entities, insert_boxes, location
from .pictures import upright_rgb

__all__ = ["Kosmos2ImageProcessor", "Kosmos2Processor", "Kosmos2Tokenizer"]

VOCABULARY, TOKENIZER_CONFIG, ADDED_TOKENS = "sentencepiece.bpe.model", "tokenizer_config.json", "added_tokens.json"
IMAGE_CONFIG, PROCESSOR_CONFIG = "preprocessor_config.json", "processor_config.json"
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
IMAGE, END_OF_IMAGE = "<image>", "</image>"
MARKUP = (
    "</doc>",
    IMAGE,
    END_OF_IMAGE,
    "</chunk>",
    "</line>",
    "<phrase>",
    "</phrase>",
    "<object>",
    "</object>",
    "</delimiter_of_multi_objects/>",
    "<grounding>",
)
SPACE = "\u2581"
# spaces that are removed before marks of punctuation and endings of English words
CLEAN = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"))
CLEAN += ((" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


class Kosmos2Tokenizer:
    """
    Pieces of sentencepiece, 4 special tokens before and `<mask>` behind them, 11 tags of the markup, and the cells of the grid.

    Args:
        vocab_file (`str`): `sentencepiece.bpe.model` of the published model.
        num_patch_index_tokens (`int`, *optional*, defaults to 1024): cells of the grid: the square of a whole number.
        clean_up_tokenization_spaces (`bool`, *optional*, defaults to `True`): remove spaces before punctuation in `decode`.
    """

    bos_token_id, pad_token_id, eos_token_id, unk_token_id = range(4)

    def __init__(self, vocab_file, num_patch_index_tokens=1024, clean_up_tokenization_spaces=True):
        if not os.path.isfile(vocab_file):
            raise FileNotFoundError(
                f"{vocab_file} is not there; next: the published {VOCABULARY} belongs beside the weights"
            )
        self.vocab_file, self.clean_up_tokenization_spaces = vocab_file, clean_up_tokenization_spaces
        self.num_patch_index_tokens = num_patch_index_tokens
        self.side = math.isqrt(num_patch_index_tokens)
        if self.side**2 != num_patch_index_tokens or not self.side:
            raise ValueError(f"num_patch_index_tokens is {num_patch_index_tokens}, which is no square")
        self.pieces = sentencepiece.SentencePieceProcessor()
        self.pieces.Load(vocab_file)
        mask = len(self.pieces) + 1
        cells = [location(cell) for cell in range(num_patch_index_tokens)]
        self.added = {token: mask + 1 + number for number, token in enumerate((*MARKUP, *cells))}
        self.ids = {**{token: number for number, token in enumerate(SPECIAL)}, "<mask>": mask, **self.added}
        self.tokens = {number: token for token, number in self.ids.items()}
        words = "|".join(re.escape(token) for token in (*SPECIAL, "<mask>", *MARKUP))
        self._split = re.compile(rf"\s*({words}|<patch_index_\d{{4}}>)")

    def __len__(self):
        return len(self.pieces) + 2 + len(self.added)

    def convert_tokens_to_ids(self, token):
        """The id of a token, `<unk>`'s for one that is unknown."""
        if token in self.ids:
            return self.ids[token]
        number = self.pieces.PieceToId(token)
        return number + 1 if number else self.unk_token_id

    def convert_ids_to_tokens(self, number):
        """Raises ValueError for an id that is not in the vocabulary."""
        number = int(number)
        if number in self.tokens:
            return self.tokens[number]
        if not 4 <= number < len(self.pieces) + 1:
            raise ValueError(f"there is no token {number}; the ids go from 0 to {len(self) - 1}")
        return self.pieces.IdToPiece(number - 1)

    def encode(self, text):
        """
        Ids of a text; nothing is put before or behind it.

        Raises:
            ValueError: a location that is not in the grid.
        """
        for found in LOCATION.finditer(text):
            if found.group() not in self.added:
                last = location(self.num_patch_index_tokens - 1)
                raise ValueError(f"there is no location token {found.group()}: they go from {location(0)} to {last}")
        ids = []
        for number, part in enumerate(self._split.split(text)):
            if number % 2:
                ids.append(self.ids[part])
            elif part.strip():
                ids += [piece + 1 if piece else self.unk_token_id for piece in self.pieces.EncodeAsIds(part)]
        return ids

    def decode(self, ids, skip_special_tokens=True):
        """Text of ids [T]; the space before its first word is left out."""
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        special = {*range(4), self.ids["<mask>"]} if skip_special_tokens else ()
        tokens = [self.convert_ids_to_tokens(number) for number in ids if number not in special]
        words = [token.replace(SPACE, " " if number else "") for number, token in enumerate(tokens)]
        text = "".join(words)
        for before, after in CLEAN if self.clean_up_tokenization_spaces else ():
            text = text.replace(before, after)
        return text

    def save_pretrained(self, save_directory):
        """The vocabulary, the added tokens and the options, under the published names."""
        os.makedirs(save_directory, exist_ok=True)
        target = os.path.join(save_directory, VOCABULARY)
        if os.path.abspath(target) != os.path.abspath(self.vocab_file):
            shutil.copyfile(self.vocab_file, target)
        _write(os.path.join(save_directory, ADDED_TOKENS), self.added)
        options = {
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "tokenizer_class": "Kosmos2Tokenizer",
        }
        _write(os.path.join(save_directory, TOKENIZER_CONFIG), options)

    @classmethod
    def from_pretrained(cls, directory):
        """
        The tokenizer of a directory with the published files, or with those of `save_pretrained`.

        Raises:
            FileNotFoundError: there is no vocabulary.
            ValueError: `added_tokens.json` has other ids than the markup and the locations have here.
        """
        directory = os.fspath(directory)
        options = _read(os.path.join(directory, TOKENIZER_CONFIG)) or {}
        added = _read(os.path.join(directory, ADDED_TOKENS))
        cells = 1024 if added is None else sum(LOCATION.fullmatch(token) is not None for token in added)
        clean = options.get("clean_up_tokenization_spaces", True)
        made = cls(os.path.join(directory, VOCABULARY), cells, clean)
        wrong = [token for token, number in (added or {}).items() if made.ids.get(token) != number]
        wrong += [token for token in made.added if added is not None and token not in added]
        if wrong:
            raise ValueError(
                f"{ADDED_TOKENS} does not fit the vocabulary of {len(made.pieces)} pieces: {', '.join(wrong[:8])}"
            )
        return made


class Kosmos2ImageProcessor:
    """
    Images as squares, with CLIP's mean and deviation; what is transparent keeps its colour, as in the original.

    Args:
        size (`int` or `dict`, *optional*, defaults to 224): height and width in pixels.
        image_mean, image_std (`list` of 3 `float`, *optional*): of the channels.
    """

    def __init__(
        self,
        size=224,
        image_mean=(0.48145466, 0.4578275, 0.40821073),
        image_std=(0.26862954, 0.26130258, 0.27577711),
    ):
        self.size = size
        self.image_mean, self.image_std = [float(v) for v in image_mean], [float(v) for v in image_std]

    def __call__(self, images):
        """
        Args:
            images: a picture or a list of pictures; see [`upright_rgb`](pictures.py).

        Returns:
            `pixel_values` [N, 3, size, size] of float32.

        Raises:
            TypeError, ValueError: what is given is no picture, or no picture is given.
        """
        images = list(images) if isinstance(images, (list, tuple)) else [images]
        if not images:
            raise ValueError("there is no image: the list is empty")
        made = []
        for image in images:
            image = upright_rgb(image, background=None).resize((self.size, self.size), Image.BICUBIC)
            values = (np.asarray(image).astype("float64") / 255.0).astype("float32").transpose(2, 0, 1)
            mean = np.array(self.image_mean, "float32").reshape(3, 1, 1)
            made.append((values - mean) / np.array(self.image_std, "float32").reshape(3, 1, 1))
        return np.stack(made)

    def save_pretrained(self, save_directory):
        os.makedirs(save_directory, exist_ok=True)
        size = {"height": self.size, "width": self.size}
        options = {
            "image_processor_type": "Kosmos2ImageProcessor",
            "size": size,
            "use_square_size": True,
            "resample": 3,
        }
        options.update(image_mean=self.image_mean, image_std=self.image_std)
        _write(os.path.join(save_directory, IMAGE_CONFIG), options)

    @classmethod
    def from_pretrained(cls, directory):
        """
        Reads the published `preprocessor_config.json`, or that of `save_pretrained`.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it asks for something else than a square by bicubic interpolation.
        """
        path = os.path.join(os.fspath(directory), IMAGE_CONFIG)
        options = _read(path)
        if options is None:
            raise FileNotFoundError(f"{path} is not there; next: fetch it with the published model")
        size = options.get("size", 224)
        sides = set(size.values()) if isinstance(size, dict) else {size}
        square = not isinstance(size, dict) or set(size) == {"height", "width"} or options.get("use_square_size")
        if len(sides) != 1 or not square:
            raise ValueError(f"{path}: size is {size}; only squares are known (height and width, or use_square_size)")
        steps = {
            name: options.get(name, True) for name in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
        }
        if not all(steps.values()) or options.get("resample", 3) != 3:
            raise ValueError(
                f"{path}: {steps} and resample {options.get('resample')}; only all of them with resample 3 are known"
            )
        return cls(sides.pop(), options.get("image_mean", cls().image_mean), options.get("image_std", cls().image_std))


class Kosmos2Processor:
    """
    Inputs of [`Kosmos2ForConditionalGeneration`], and what its answers say and point at.

    Args:
        image_processor ([`Kosmos2ImageProcessor`])
        tokenizer ([`Kosmos2Tokenizer`])
        num_image_tokens (`int`, *optional*, defaults to 64): places of an image in the text; the model's `latent_query_num`.
        max_length (`int`, *optional*, defaults to 2048): longest text with its image, in tokens; the model's positions.
    """

    def __init__(self, image_processor, tokenizer, num_image_tokens=64, max_length=2048):
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.num_image_tokens, self.max_length = num_image_tokens, max_length

    def __call__(
        self,
        images=None,
        text=None,
        bboxes=None,
        answers=None,
        add_eos_token=False,
        padding_side=None,
        return_tensors="pd",
    ):
        """
        Args:
            images: a picture for each text, or `None` for text alone.
            text (`str` or list of `str`): with `<grounding>` before it where the answer shall point at places, and `<phrase>` around
                what shall be pointed at; `<object>` may hold locations already.
            bboxes: boxes for the phrases of the text, see [`insert_boxes`](kosmos2_grounding.py); for several texts a list of such.
            answers (`str` or list of `str`, *optional*): what shall follow; gives `labels` for training, -100 elsewhere.
            add_eos_token (`bool`): put the end token behind the text; it is always behind an answer.
            padding_side (`str`): `"left"` (as generation wants it) or `"right"`; by default `"right"` with `answers`.
            return_tensors (`str`): `"pd"` for tensors, `"np"` for arrays.

        Returns:
            a dictionary of the model's arguments.

        Raises:
            ValueError:
                there is no text; numbers of images, texts, boxes and answers that do not agree; `<image>` in a text; a text that is
                longer than `max_length`; a location or a box that does not exist.
        """
        if text is None:
            raise ValueError("there is no text; next: text='<grounding> An image of', for instance")
        single = isinstance(text, str)
        texts, bboxes = ([text], [bboxes]) if single else (list(text), bboxes)
        bboxes = [None] * len(texts) if bboxes is None else bboxes
        answers = [answers] if isinstance(answers, str) else answers
        number = len(texts)
        if images is not None:
            images = list(images) if isinstance(images, (list, tuple)) else [images]
        for name, many in (("images", images), ("bboxes", bboxes), ("answers", answers)):
            if many is not None and (not isinstance(many, (list, tuple)) or len(many) != number):
                have = len(many) if isinstance(many, (list, tuple)) else repr(many)
                raise ValueError(f"there are {number} texts, and {name} for {have}; each text takes one image")
        if not number:
            raise ValueError("there is no text: the list is empty")
        rows = [
            self._row(*row, images is not None, add_eos_token)
            for row in zip(texts, bboxes, answers or [None] * number)
        ]
        side = padding_side or ("left" if answers is None else "right")
        if side not in ("left", "right"):
            raise ValueError(f"padding_side is {padding_side!r}; there are 'left' and 'right'")
        made = {} if images is None else {"pixel_values": self.image_processor(images)}
        made.update(self._padded(rows, side, images is not None, answers is not None))
        return {key: paddle.to_tensor(value) for key, value in made.items()} if return_tensors == "pd" else made

    def _row(self, text, boxes, answer, image, end):
        """(ids, index of the first id that is learned) of one text."""
        if not isinstance(text, str):
            raise ValueError(f"a text is a str, not {type(text).__name__}")
        if IMAGE in text or END_OF_IMAGE in text:
            raise ValueError(
                f"the text holds {IMAGE}, which stands for an image; next: give one image for each text, and no tag for it"
            )
        places = range(self.tokenizer.unk_token_id + 1, self.tokenizer.unk_token_id + 1 + self.num_image_tokens)
        tags = self.tokenizer.ids
        ids = [self.tokenizer.bos_token_id] + ([tags[IMAGE], *places, tags[END_OF_IMAGE]] if image else [])
        ids += self.tokenizer.encode(insert_boxes(text.strip(), boxes, self.tokenizer.side))
        learned = len(ids)
        if answer is not None:
            ids += self.tokenizer.encode(answer)
        ids += [self.tokenizer.eos_token_id] * (end or answer is not None)
        if len(ids) > self.max_length:
            raise ValueError(
                f"a text of {len(ids)} tokens with its image is longer than the {self.max_length} positions of the model: {text[:60]!r}"
            )
        return ids, learned

    def _padded(self, rows, side, image, learned):
        length = max(len(ids) for ids, _ in rows)
        made = {name: np.zeros([len(rows), length], "int64") for name in ("input_ids", "attention_mask")}
        made["input_ids"] += self.tokenizer.pad_token_id
        places, labels = np.zeros([len(rows), length], "int64"), np.full([len(rows), length], -100, "int64")
        for row, (ids, first) in enumerate(rows):
            start = length - len(ids) if side == "left" else 0
            made["input_ids"][row, start : start + len(ids)] = ids
            made["attention_mask"][row, start : start + len(ids)] = 1
            places[row, start + 2 : start + 2 + self.num_image_tokens] = 1  # behind <s> and <image>
            labels[row, start + first : start + len(ids)] = ids[first:]
        if image:
            made["image_embeds_position_mask"] = places
        return {**made, "labels": labels} if learned else made

    def decode(self, ids, skip_special_tokens=True):
        """Text of ids [T]."""
        return self.tokenizer.decode(ids, skip_special_tokens)

    def batch_decode(self, ids, prompts=None, skip_special_tokens=True):
        """
        Texts of ids [N * K, T]; with the `input_ids` [N, L] that they follow as `prompts`, texts of both, without the image's part.
        """
        ids = np.asarray(ids)
        if prompts is None:
            return [self.decode(row, skip_special_tokens) for row in ids]
        prompts = np.repeat(np.asarray(prompts), len(ids) // len(prompts), axis=0)
        texts = [self.decode(np.concatenate(pair), skip_special_tokens) for pair in zip(prompts, ids)]
        return [self.post_process_generation(text, cleanup_and_extract=False) for text in texts]

    def post_process_generation(self, text, cleanup_and_extract=True):
        """What stands behind the image: with its markup, or the clean text and its entities, see [`extract_entities`]."""
        text = text.split(END_OF_IMAGE)[-1]
        return extract_entities(text, self.tokenizer.side) if cleanup_and_extract else text

    @property
    def model_input_names(self):
        return ["pixel_values", "input_ids", "attention_mask", "image_embeds_position_mask"]

    def save_pretrained(self, save_directory, **kwargs):
        """Image processor, tokenizer and options, in one directory."""
        self.image_processor.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)
        options = {"num_image_tokens": self.num_image_tokens, "max_length": self.max_length}
        _write(os.path.join(save_directory, PROCESSOR_CONFIG), {"processor_class": "Kosmos2Processor", **options})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """
        Reads the published files, or what `save_pretrained` wrote; `kwargs` stand in place of stored options.

        Raises:
            FileNotFoundError: a file is missing.
        """
        directory = os.fspath(pretrained_model_name_or_path)
        options = _read(os.path.join(directory, PROCESSOR_CONFIG)) or {}
        options = {key: options[key] for key in ("num_image_tokens", "max_length") if key in options}
        images, tokenizer = Kosmos2ImageProcessor.from_pretrained(directory), Kosmos2Tokenizer.from_pretrained(
            directory
        )
        return cls(images, tokenizer, **{**options, **kwargs})


def _read(path):
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig") as stream:
        return json.load(stream)


def _write(path, value):
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=2)
