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
The processor of a published model, from its files: PaddleNLP's tokenizers with the vocabulary of `transformers`.

What is read, beside the weights of `transformers`: `spiece.model` (T5), `tokenizer.model` (LLaMA, Vicuna) or `vocab.json` and
`merges.txt` (OPT); `added_tokens.json` or `tokenizer_config.json`; `preprocessor_config.json`; and `qformer_tokenizer/vocab.txt`.
"""

import json
import os

from paddlemix.models.instructblip.convert import ConversionError
from paddlemix.processors.instructblip_processing import (
    IMAGE_TOKEN,
    QFORMER_FOLDER,
    InstructBlipImageProcessor,
    InstructBlipProcessor,
)
from paddlenlp.transformers import BertTokenizer, GPTTokenizer, LlamaTokenizer, T5Tokenizer

FILES = {"t5": ("spiece.model",), "llama": ("tokenizer.model",), "opt": ("vocab.json", "merges.txt")}


def read_json(directory, name):
    """The dictionary of a file, or an empty one where there is no such file."""
    path = os.path.join(directory, name)
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8-sig") as stream:
        return json.load(stream)


def language_tokenizer(directory, kind):
    """
    PaddleNLP's tokenizer of the language model, with the tokens that were added to its vocabulary.

    Raises:
        ConversionError: a file is missing, or the added tokens do not follow the vocabulary.
    """
    paths = [os.path.join(directory, name) for name in FILES[kind]]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise ConversionError(
            f"{', '.join(missing)}: not there, the vocabulary of the language model; next: fetch it from the published model, or "
            "--tokenizer DIRECTORY"
        )
    config = read_json(directory, "tokenizer_config.json")
    if kind == "t5":
        tokenizer = T5Tokenizer(paths[0], extra_ids=config.get("extra_ids", 100))
    elif kind == "llama":
        tokenizer = LlamaTokenizer(paths[0], unk_token="<unk>")
        tokenizer.pad_token = "<unk>"
    else:
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "</s>", "bos_token": "</s>"}
        tokenizer = GPTTokenizer(*paths, add_bos_token=True, **special)
    added = {entry["content"]: int(index) for index, entry in config.get("added_tokens_decoder", {}).items()}
    added.update(read_json(directory, "added_tokens.json"))
    for token, index in sorted(added.items(), key=lambda pair: pair[1]):
        if index < len(tokenizer):
            continue
        if index > len(tokenizer):
            raise ConversionError(
                f"{directory}: the added token {token} has the id {index}, the next free one is {len(tokenizer)}"
            )
        tokenizer.add_tokens([token], special_tokens=True)
        if token == IMAGE_TOKEN:
            tokenizer.add_special_tokens({"additional_special_tokens": [token]})
    return tokenizer


def qformer_tokenizer(path):
    """The Q-Former's tokenizer, BERT's with `[DEC]` as its first token of answers, from a `vocab.txt` or a directory with one."""
    path = os.path.join(path, "vocab.txt") if not os.path.isfile(path) else path
    if not os.path.isfile(path):
        raise ConversionError(
            f"{path}: not there, the vocabulary of the Q-Former; next: fetch {QFORMER_FOLDER}/vocab.txt of the published model (or "
            "the vocab.txt of bert-base-uncased, which is the same), and --qformer_tokenizer FILE"
        )
    return BertTokenizer(path, bos_token="[DEC]")


def image_processor(directory, config):
    """The image processor of `preprocessor_config.json`, or that of the article where there is no such file."""
    values = read_json(directory, "preprocessor_config.json")
    options = {key: values[key] for key in ("image_mean", "image_std", "size") if key in values}
    options.setdefault("size", config.vision_config.image_size)
    made = InstructBlipImageProcessor(**options)
    if made.size["height"] != config.vision_config.image_size:
        raise ConversionError(
            f"preprocessor_config.json says {made.size}, config.json {config.vision_config.image_size} pixels"
        )
    return made


def make_processor(config, tokenizer, qformer, images):
    """
    The processor of a model.

    Args:
        config ([`InstructBlipConfig`])
        tokenizer (`str`): directory of the language model's tokenizer.
        qformer (`str`): directory or file of the Q-Former's vocabulary.
        images (`str`): directory with `preprocessor_config.json`.

    Raises:
        ConversionError: a file is missing; `<image>` has another id than in the configuration, or the model no row for it.
    """
    kind, text = config.text_config.model_type, config.text_config
    if not os.path.isdir(tokenizer):
        raise ConversionError(
            f"{tokenizer} is no directory; next: --tokenizer DIRECTORY with {', '.join(FILES[kind])}"
        )
    positions = getattr(text, "max_position_embeddings", None)
    room = None if positions is None else positions - config.num_query_tokens
    made = InstructBlipProcessor(
        image_processor(images, config),
        language_tokenizer(tokenizer, kind),
        qformer_tokenizer(qformer),
        num_query_tokens=config.num_query_tokens,
        use_image_token=config.image_token_index is not None,
        decoder_only=kind != "t5",
        max_qformer_len=config.qformer_config.max_position_embeddings,
        max_prompt_len=None if room is None else max(room - 256, room // 2),
    )
    if config.image_token_index is not None and made.image_token_id != config.image_token_index:
        raise ConversionError(
            f"{IMAGE_TOKEN} has the id {made.image_token_id} in {tokenizer}, and {config.image_token_index} in config.json; next: "
            "--no_image_token, which puts the image before the text and gives the same answers"
        )
    words = len(made.qformer_tokenizer)
    if words > config.qformer_config.vocab_size:
        raise ConversionError(
            f"{qformer} has {words} words, the Q-Former {config.qformer_config.vocab_size}: another vocabulary"
        )
    used = made.image_token_id + 1 if config.image_token_index is not None else len(made.tokenizer)
    if used > text.vocab_size:
        raise ConversionError(
            f"{tokenizer} has {used} tokens, the language model {text.vocab_size}: another vocabulary"
        )
    return made
