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
What answers: MiniGPT-4 with and without picture, and the controls oracle, random and constant, which need no model.
"""

import hashlib
import os
from collections import Counter

import numpy as np

from .prompts import END, FRAME

__all__ = ["CONTROLS", "control_texts", "control_matrix", "MiniGPT4"]

CONTROLS = ("oracle", "random", "constant")
MARK = "<ImageHere>"
BLIND_FRAME = "Please answer my questions.###Human: {}###Assistant:"


def _draw(seed, *words):
    """A generator that depends on seed and words alone: not on order, ranks or an interrupted run."""
    digest = hashlib.sha256("\0".join(map(str, (seed, *words))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _truth(task, row):
    """What a perfect answer to the row is, as text."""
    if task in ("caption", "retrieval"):
        return row["references"][0]
    if task == "refcoco":
        (x, y, w, h), (width, height) = row["box"], row["size"]
        corners = (x / width, y / height, (x + w) / width, (y + h) / height)
        return "{" + "".join(f"<{round(100 * corner)}>" for corner in corners) + "}"
    counts = Counter(row["answers"])
    return max(row["answers"], key=lambda answer: counts[answer])


def control_texts(name, task, rows, seed):
    """
    Texts of a control for the rows of a task.

    oracle: the commonest answer of the row's own annotators, its first caption, its box. random: the truth of a row drawn from the set.
    constant: the commonest truth of the set; for captions the one whose words are the commonest; yes for POPE; the
    middle of the picture for boxes.

    Returns:
        {id: text}.
    """
    truths = [_truth(task, row) for row in rows]
    if name == "oracle":
        return {row["id"]: truth for row, truth in zip(rows, truths)}
    if name == "random":
        return {row["id"]: truths[_draw(seed, task, row["id"]).integers(len(rows))] for row in rows}
    if task == "refcoco":
        best = "{<25><25><75><75>}"
    elif task == "pope":
        best = "yes"
    elif task == "caption":
        words = Counter(word for truth in truths for word in set(truth.lower().split()))
        best = max(sorted(set(truths)), key=lambda truth: np.mean([words[word] for word in truth.lower().split()]))
    else:
        best = (
            max(sorted(set(truths)), key=truths.count) if len(truths) < 1000 else Counter(truths).most_common(1)[0][0]
        )
    return {row["id"]: best for row in rows}


def control_matrix(name, rows, seed):
    """Scores [images, captions] of a control for retrieval; oracle: 1 for an image's own captions."""
    owners = np.repeat(np.arange(len(rows)), [len(row["references"]) for row in rows])
    if name == "oracle":
        return (np.arange(len(rows))[:, None] == owners[None]).astype(np.float64)
    if name == "random":
        return np.stack([_draw(seed, "retrieval", row["id"]).random(len(owners)) for row in rows])
    return np.zeros([len(rows), len(owners)])


class MiniGPT4:
    """
    PaddleMIX's MiniGPT-4 as an evaluation needs it.

    Args:
        path: directory of weights, configuration, image processor and tokenizer.
        dtype: "float32", or "float16" for image encoder and language model, as the model has it by default on a GPU.
        max_new_tokens: of an answer. batch_size: most rows, or candidates of a row, at a time.

    Raises:
        ValueError: a directory that is no MiniGPT-4, weights that do not cover the model.
    """

    def __init__(self, path, dtype="float32", max_new_tokens=64, batch_size=8):
        if not os.path.isfile(os.path.join(path, "config.json")):
            raise ValueError(
                f"{path}: holds no config.json; next: convert the weights as in paddlemix/examples/minigpt4/README.md"
            )
        import paddle
        from paddlemix.models.minigpt4.modeling import MiniGPT4ForConditionalGeneration
        from paddlemix.processors import MiniGPT4Processor

        class Checked(MiniGPT4ForConditionalGeneration):
            """Weights that are missing would stay random, and figures would still come out."""

            @classmethod
            def _load_pretrained_model(cls, *args, **kwargs):
                made = super()._load_pretrained_model(*args, **kwargs)
                # rotary tables are computed from the configuration
                missing = sorted(key for key in made[1] if "rotary_emb" not in key)
                unexpected = sorted(key for key in made[2] if "rotary_emb" not in key)
                if missing or unexpected:
                    raise ValueError(
                        f"{path}: {len(missing)} tensors of the model are not in the weights {missing[:3]}, "
                        f"{len(unexpected)} of the weights are not in the model {unexpected[:3]}; "
                        "next: convert them as in paddlemix/examples/minigpt4/README.md"
                    )
                return made

        self.paddle, self.max_new_tokens, self.batch_size = paddle, max_new_tokens, batch_size
        self.model = Checked.from_pretrained(path, vit_dtype=dtype, qformer_dtype="float32", llama_dtype=dtype)
        self.model.eval()
        self.processor = MiniGPT4Processor.from_pretrained(path)
        self.tokenizer = self.processor.tokenizer
        text = self.model.config.text_config
        self.limit, self.queries = text.max_position_embeddings, self.model.config.num_query_tokens
        self.end_ids = {self.tokenizer.eos_token_id, text.eos_token_id} - {None}
        # "###" alone and after a word are other pieces; the last two of them end the search
        alone, after = self._ids(END), self._ids("a" + END)[len(self._ids("a")) :]
        self.stops = [
            list(ids) for ids in sorted({tuple(alone[-2:]), tuple(after[-2:])} | {(one,) for one in self.end_ids})
        ]

    def _ids(self, text):
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt(self, text, blind):
        """Ids before and after the picture; all of them before it where there is none."""
        bos = [self.tokenizer.bos_token_id]
        if blind:
            return bos + self._ids(BLIND_FRAME.format(text)), []
        first, second = FRAME.format(text).split(MARK)
        return bos + self._ids(first), self._ids(second)

    def _check(self, row, length):
        if length > self.limit:
            raise ValueError(
                f"id {row['id']}: prompt, picture and answer take {length} positions, the model has {self.limit}; next: a shorter prompt, "
                "or a smaller --max_new_tokens"
            )

    def features(self, rows):
        """Picture features [rows, queries, hidden]."""
        from PIL import Image, ImageOps

        opened = []
        for row in rows:
            try:
                with Image.open(row["image"]) as image:
                    opened.append(upright(ImageOps.exif_transpose(image)))
            except (OSError, SyntaxError) as error:
                raise ValueError(
                    f"{row['image']}: picture of id {row['id']} cannot be read ({error}); next: download it again"
                )
        pixels = self.processor.process_images(opened)["pixel_values"]
        return self.model.encode_images(pixels)[0]

    def _embed(self, ids):
        return self.model.language_model.llama.embed_tokens(self.paddle.to_tensor(ids, "int64"))

    def batches(self, rows, texts, blind):
        """Rows in batches of one prompt length: no row is padded, so that none depends on its batch."""
        lengths = {}
        for row in rows:
            first, second = self.prompt(texts[row["id"]], blind)
            self._check(row, len(first) + len(second) + self.max_new_tokens + (0 if blind else self.queries))
            lengths.setdefault((len(first), len(second)), []).append((row, first, second))
        for group in lengths.values():
            for start in range(0, len(group), self.batch_size):
                yield group[start : start + self.batch_size]

    def generate(self, batch, blind):
        """Texts of a batch of (row, first ids, second ids), by greedy search: beams are not drawn from embeddings in PaddleNLP 2.6."""
        paddle, options = self.paddle, {"max_new_tokens": self.max_new_tokens, "eos_token_id": self.stops}
        options.update(decode_strategy="greedy_search", pad_token_id=self.tokenizer.eos_token_id)
        first = paddle.to_tensor([one for _, one, _ in batch], "int64")
        with paddle.no_grad():
            if blind:
                mask = paddle.ones(first.shape, "int64")
                ids, _ = self.model.language_model.generate(input_ids=first, attention_mask=mask, **options)
            else:
                second = paddle.to_tensor([one for _, _, one in batch], "int64")
                features = self.features([row for row, _, _ in batch])
                ids, _ = self.model.generate_with_image_features(features, first, second, **options)
        return [self.decode(one) for one in ids.numpy().tolist()]

    def decode(self, ids):
        """Text up to the end token or the end mark."""
        stop = next((place for place, one in enumerate(ids) if one in self.end_ids), len(ids))
        return self.tokenizer.decode(ids[:stop], skip_special_tokens=True).split(END)[0].strip()

    def likelihood(self, row, text, candidates, blind):
        """
        Log likelihood of each candidate after the prompt.

        Returns:
            (sums [C], lengths [C]): of log probabilities of the candidate's tokens and the end mark, and how many these are.
        """
        paddle = self.paddle
        first, second = self.prompt(text, blind)
        with paddle.no_grad():
            parts = [self._embed([first])]
            if not blind:
                features = self.features([row])
                parts += [features.astype(parts[0].dtype), self._embed([second])]
            prefix = paddle.concat(parts, axis=1)
            answers = [self._ids(candidate + END) for candidate in candidates]
            self._check(row, prefix.shape[1] + max(map(len, answers)))
            sums = []
            for start in range(0, len(answers), self.batch_size):
                part = answers[start : start + self.batch_size]
                width = max(map(len, part))
                ids = np.array([one + [one[-1]] * (width - len(one)) for one in part])
                known = np.array([[1.0] * len(one) + [0.0] * (width - len(one)) for one in part])
                embeds = paddle.concat([prefix.expand([len(part), -1, -1]), self._embed(ids)], axis=1)
                out = self.model.language_model(
                    inputs_embeds=embeds, attention_mask=paddle.ones(embeds.shape[:2], "int64")
                )
                logits = (out[0] if isinstance(out, (tuple, list)) else out)[:, prefix.shape[1] - 1 : -1].astype(
                    "float32"
                )
                # log_softmax of Paddle's CPU build stops 64 below the largest score, logsumexp does not
                picked = paddle.take_along_axis(logits, paddle.to_tensor(ids[:, :, None], "int64"), 2).squeeze(2)
                scores = (picked - paddle.logsumexp(logits, axis=2)).numpy().astype(np.float64)
                sums.append((scores * known).sum(axis=1))
        return np.concatenate(sums), np.array([len(one) for one in answers])


def upright(image):
    """RGB; 16 bits are scaled to 8 and transparency is laid on white."""
    from PIL import Image

    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.float64)
        image = Image.fromarray((pixels * (255 / 65535)).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")
