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

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import paddle

from ....transformers import GPTTokenizer, LlamaConfig
from ....transformers.tokenizer_utils import AddedToken
from .base import LanguageModelError

__all__ = ["ByteLevelTokenizer", "convert_gguf", "llama_state", "load_tokenizer"]

# Name in a GGUF file, name in LlamaForCausalLM, and what is done: "as is", "transpose" (Paddle's Linear holds
# [in, out]) or "rotary" (see `_half_rotation`; number of heads from the configuration).
GLOBAL_TENSORS: List[Tuple[str, str, str]] = [
    ("token_embd.weight", "llama.embed_tokens.weight", "as is"),
    ("output_norm.weight", "llama.norm.weight", "as is"),
    ("output.weight", "lm_head.weight", "transpose"),
]
LAYER_TENSORS: List[Tuple[str, str, str]] = [
    ("blk.{}.attn_norm.weight", "llama.layers.{}.input_layernorm.weight", "as is"),
    ("blk.{}.attn_q.weight", "llama.layers.{}.self_attn.q_proj.weight", "rotary"),
    ("blk.{}.attn_k.weight", "llama.layers.{}.self_attn.k_proj.weight", "rotary"),
    ("blk.{}.attn_v.weight", "llama.layers.{}.self_attn.v_proj.weight", "transpose"),
    ("blk.{}.attn_output.weight", "llama.layers.{}.self_attn.o_proj.weight", "transpose"),
    ("blk.{}.ffn_norm.weight", "llama.layers.{}.post_attention_layernorm.weight", "as is"),
    ("blk.{}.ffn_gate.weight", "llama.layers.{}.mlp.gate_proj.weight", "transpose"),
    ("blk.{}.ffn_up.weight", "llama.layers.{}.mlp.up_proj.weight", "transpose"),
    ("blk.{}.ffn_down.weight", "llama.layers.{}.mlp.down_proj.weight", "transpose"),
]
TOKENIZER_CLASS = "ByteLevelTokenizer"
CONTROL_TOKEN = 3  # of "tokenizer.ggml.token_type"


class ByteLevelTokenizer(GPTTokenizer):
    """Byte-level BPE of a GGUF file ("tokenizer.ggml.model" is "gpt2").

    Differs from GPTTokenizer in that special tokens inside a text are recognized, with the blanks and line ends around
    them kept, and in ``split_digits``.

    Args:
        vocab_file, merges_file (str): As of GPTTokenizer.
        special_tokens (list of str): All tokens that are never split.
        split_digits (bool): Never join two digits, as SmolLM ("tokenizer.ggml.pre" is "smollm"). Default: False.
        kwargs: bos_token, eos_token, pad_token, unk_token.
    """

    def __init__(self, vocab_file, merges_file, special_tokens=(), split_digits=False, **kwargs):
        kwargs = {
            name: AddedToken(value, lstrip=False, rstrip=False) if name.endswith("_token") else value
            for name, value in kwargs.items()
        }
        kwargs["additional_special_tokens"] = [AddedToken(t, lstrip=False, rstrip=False) for t in special_tokens]
        super().__init__(vocab_file, merges_file, **kwargs)
        self.split_digits = split_digits
        self.add_tokens(self.all_special_tokens, special_tokens=True)

    def _tokenize(self, text):
        if not self.split_digits:
            return super()._tokenize(text)
        import regex

        pieces = regex.split(r"(\p{N})", text)
        return [token for piece in pieces if piece for token in super(ByteLevelTokenizer, self)._tokenize(piece)]


def _half_rotation(weight: np.ndarray, heads: int) -> np.ndarray:
    """From GGUF's rotary layout to PaddleNLP's, for a weight [heads * d, hidden].

    GGUF rotates neighbours (2i, 2i + 1) of a head, PaddleNLP pairs i with i + d / 2. So the even rows of a head come
    first, then the odd ones. In queries and keys alike, the scores are the same.
    """
    rows, hidden = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, hidden)
    return pairs.swapaxes(1, 2).reshape(rows, hidden)


def llama_config(fields: Dict[str, Any]) -> LlamaConfig:
    """The configuration that belongs to the fields of a GGUF file of architecture "llama"."""
    if fields.get("general.architecture") != "llama":
        raise LanguageModelError(
            "the file holds the architecture {!r}, only 'llama' is converted".format(
                fields.get("general.architecture")
            )
        )
    heads = fields["llama.attention.head_count"]
    size = fields["llama.embedding_length"] // heads
    if fields.get("llama.rope.dimension_count", size) != size:
        raise LanguageModelError("only a rotation of whole heads is converted, not of a part of them")
    # LlamaConfig has no rotary base. Its "ntk" scaling by s is the base 10000 * s ** (d / (d - 2)), and a context of
    # s * max_position_embeddings.
    base, context = fields.get("llama.rope.freq_base", 10000.0), fields["llama.context_length"]
    scaled = {} if base == 10000.0 else {"rope_scaling_type": "ntk"}
    if scaled:
        scaled["rope_scaling_factor"] = float((base / 10000.0) ** ((size - 2) / size))
        context = int(context / scaled["rope_scaling_factor"])
    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        max_position_embeddings=context,
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=fields.get("llama.attention.head_count_kv", heads),
        rms_norm_eps=float(fields["llama.attention.layer_norm_rms_epsilon"]),
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields.get("tokenizer.ggml.padding_token_id", fields["tokenizer.ggml.eos_token_id"]),
        **scaled,
    )


def llama_state(tensors: Dict[str, np.ndarray], config: LlamaConfig) -> Dict[str, np.ndarray]:
    """The state of LlamaForCausalLM from the (dequantized) tensors of a GGUF file.

    Both sets of names are used up.

    Raises:
        LanguageModelError: A tensor is missing or left over.
    """
    tensors = dict(tensors)
    # A tied head is stored once.
    tensors.setdefault("output.weight", tensors.get("token_embd.weight"))
    table = GLOBAL_TENSORS + [
        (theirs.format(i), ours.format(i), how)
        for i in range(config.num_hidden_layers)
        for theirs, ours, how in LAYER_TENSORS
    ]
    missing = [theirs for theirs, _, _ in table if tensors.get(theirs) is None]
    extra = sorted(set(tensors) - {theirs for theirs, _, _ in table})
    if missing or extra:
        raise LanguageModelError("tensors missing: {}; not understood: {}".format(missing[:5], extra[:5]))
    state = {}
    for theirs, ours, how in table:
        value = np.asarray(tensors[theirs], np.float32)
        if how == "rotary":
            kv = ".attn_k." in theirs
            value = _half_rotation(value, config.num_key_value_heads if kv else config.num_attention_heads)
        state[ours] = value if how == "as is" else np.ascontiguousarray(value.T)
    return state


def convert_gguf(path: str, folder: str) -> str:
    """Turn a GGUF file of a LLaMA (any quantization that the ``gguf`` package knows) into a PaddleNLP checkpoint.

    Weights are dequantized to float32. The folder is then what ``IncrementalModel.from_pretrained`` takes.

    Args:
        path (str): The GGUF file; its tokenizer must be a byte-level BPE ("gpt2").
        folder (str): Where config.json, model_state.pdparams, vocab.json, merges.txt go; made if needed.

    Returns:
        str: ``folder``.
    """
    try:
        import gguf
    except ImportError as error:
        raise LanguageModelError("reading a GGUF file needs its package: pip install gguf") from error
    reader = gguf.GGUFReader(path)
    fields = {name: value.contents() for name, value in reader.fields.items() if not name.startswith("GGUF.")}
    if fields.get("tokenizer.ggml.model") != "gpt2":
        raise LanguageModelError(
            "the tokenizer {!r} is not a byte-level BPE".format(fields.get("tokenizer.ggml.model"))
        )
    config = llama_config(fields)
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    state = llama_state(tensors, config)
    config.architectures = ["LlamaForCausalLM"]
    os.makedirs(folder, exist_ok=True)
    config.save_pretrained(folder)
    _save_tokenizer(fields, folder)
    # The weights come last: a folder that has them is complete.
    target = os.path.join(folder, "model_state.pdparams")
    paddle.save({name: paddle.to_tensor(value) for name, value in state.items()}, target + ".part")
    os.replace(target + ".part", target)
    return folder


def _save_tokenizer(fields: Dict[str, Any], folder: str) -> None:
    tokens = fields["tokenizer.ggml.tokens"]
    control = [token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"]) if kind == CONTROL_TOKEN]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as stream:
        json.dump({token: i for i, token in enumerate(tokens)}, stream, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as stream:
        stream.write("#version: 0.2\n" + "\n".join(fields["tokenizer.ggml.merges"]) + "\n")
    eos = fields["tokenizer.ggml.eos_token_id"]
    settings = {
        "tokenizer_class": TOKENIZER_CLASS,
        "split_digits": fields.get("tokenizer.ggml.pre") == "smollm",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[eos],
        "pad_token": tokens[fields.get("tokenizer.ggml.padding_token_id", eos)],
        "unk_token": tokens[fields.get("tokenizer.ggml.unknown_token_id", 0)],
        "special_tokens": control,
    }
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as stream:
        json.dump(settings, stream, ensure_ascii=False, indent=2)


def load_tokenizer(folder: str) -> Optional[GPTTokenizer]:
    """The tokenizer of a folder that ``convert_gguf`` wrote; None if the folder has another one."""
    path = os.path.join(folder, "tokenizer_config.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as stream:
        settings = json.load(stream)
    if settings.pop("tokenizer_class", None) != TOKENIZER_CLASS:
        return None
    return ByteLevelTokenizer(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt"), **settings)
