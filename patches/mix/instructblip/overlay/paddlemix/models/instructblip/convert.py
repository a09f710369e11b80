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
Weights of other implementations for [`InstructBlipForConditionalGeneration`].

A converter is a table of (pattern, name here). Both key sets must be used up: a tensor of the file that no rule takes, a parameter
that nothing fills and a shape that does not fit are errors that name the tensors. Linear weights are transposed.

Names: `transformers` 4.57.6 (`InstructBlipForConditionalGeneration`) and salesforce/LAVIS @ 506965b (`blip2_vicuna_instruct`,
`blip2_t5_instruct`, and the same layout with `opt`).
"""

import re

import numpy as np
import paddle.nn as nn

from ..common.checkpoints import (
    ConversionError,
    load_state,
    read_checkpoint,
    read_config,
    refuse,
    rename,
    to_numpy,
    without_prefix,
)
from .configuration import TEXT_CONFIGS, InstructBlipConfig

__all__ = [
    "config_from_hf",
    "convert_state",
    "fill_vocabulary",
    "load_state",
    "read_checkpoint",
    "read_config",
    "without_prefix",
    "ConversionError",
]


# What is in a file but is no weight: buffers that every implementation computes.
BUFFERS = (
    r"qformer\.embeddings\.position_ids",
    r"language_model\..*rotary_emb\.inv_freq",
    r"language_model\.(model\.decoder\.)?version",
    r"language_model\.decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
)

# transformers -> here; a rule's pattern is matched from the start of the name.
HF_LANGUAGE = {
    "opt": [
        (r"language_model\.model\.decoder\.embed_tokens\.", "language_model.opt.embeddings.word_embeddings."),
        (r"language_model\.model\.decoder\.embed_positions\.", "language_model.opt.embeddings.position_embeddings."),
        (
            r"language_model\.model\.decoder\.layers\.(\d+)\.fc([12])\.",
            r"language_model.opt.decoder.layers.\1.linear\2.",
        ),
        (
            r"language_model\.model\.decoder\.layers\.(\d+)\.self_attn_layer_norm\.",
            r"language_model.opt.decoder.layers.\1.norm1.",
        ),
        (
            r"language_model\.model\.decoder\.layers\.(\d+)\.final_layer_norm\.",
            r"language_model.opt.decoder.layers.\1.norm2.",
        ),
        (r"language_model\.model\.decoder\.", "language_model.opt.decoder."),
    ],
    "t5": [
        (r"language_model\.lm_head\.", "language_model.lm_head."),
        (r"language_model\.(shared|encoder|decoder)\.", r"language_model.t5.\1."),
    ],
    "llama": [
        (r"language_model\.lm_head\.", "language_model.lm_head."),
        (r"language_model\.model\.", "language_model.llama."),
    ],
}
# A second name of a tensor that is there already; its values must be the same.
HF_TIED = {
    "opt": {"language_model.lm_head.weight": "language_model.model.decoder.embed_tokens.weight"},
    "t5": {
        "language_model.encoder.embed_tokens.weight": "language_model.shared.weight",
        "language_model.decoder.embed_tokens.weight": "language_model.shared.weight",
    },
    "llama": {},
}
# Second names of our own parameters.
OWN_TIED = {"language_model.t5.encoder.embed_tokens.weight", "language_model.t5.decoder.embed_tokens.weight"}

# LAVIS -> transformers, everything but the language model.
LAVIS = [
    (r"query_tokens$", "query_tokens"),
    (r"ln_vision\.", "vision_model.post_layernorm."),
    (r"visual_encoder\.cls_token$", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed$", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.projection."),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision_model.encoder.layers.\1.self_attn.qkv."),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.", "qformer.embeddings.layernorm."),
    (
        r"Qformer\.bert\.encoder\.layer\.(\d+)\.(attention|crossattention)\.self\.",
        r"qformer.encoder.layer.\1.\2.attention.",
    ),
    (r"Qformer\.bert\.", "qformer."),
    (r"(?:llm|t5|opt)_proj\.", "language_projection."),
    (r"(?:llm|t5|opt)_model\.", "language_model."),
]


def config_from_hf(config):
    """
    An [`InstructBlipConfig`] of the dictionary in a `config.json` of `transformers`.

    Raises:
        ConversionError: a language model, or an option of it, that is not supported here.
    """
    text = dict(config["text_config"])
    kind = text.get("model_type", "opt")
    if kind not in TEXT_CONFIGS:
        raise ConversionError(f"text_config.model_type is {kind!r}; there are {', '.join(TEXT_CONFIGS)}")
    same = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")
    names = {
        "opt": {
            "ffn_dim": "intermediate_size",
            "activation_function": "hidden_act",
            "dropout": "hidden_dropout_prob",
            "attention_dropout": "attention_probs_dropout_prob",
            "do_layer_norm_before": "normalize_before",
            "init_std": "initializer_range",
        },
        "t5": {},
        "llama": {},
    }[kind]
    more = {
        "opt": "hidden_size num_hidden_layers num_attention_heads max_position_embeddings word_embed_proj_dim",
        "t5": "d_model d_kv d_ff num_layers num_decoder_layers num_heads relative_attention_num_buckets "
        "relative_attention_max_distance dropout_rate layer_norm_epsilon feed_forward_proj decoder_start_token_id",
        "llama": "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
        "max_position_embeddings rms_norm_eps initializer_range",
    }[kind].split()
    made = {key: text[key] for key in (*same, *more) if key in text}
    made.update({ours: text[theirs] for theirs, ours in names.items() if theirs in text})
    refused = []
    if kind == "opt" and (text.get("_remove_final_layer_norm") or not text.get("do_layer_norm_before", True)):
        refused.append("OPT with normalization after the layers (opt-350m)")
    if kind == "llama" and (text.get("rope_theta", 10000.0) != 10000.0 or text.get("rope_scaling")):
        refused.append("LLaMA with rope_theta other than 10000, or with rope_scaling")
    if refused:
        raise ConversionError("not supported: " + "; ".join(refused))
    if kind == "opt" and "word_embed_proj_dim" not in made and "hidden_size" in made:
        made["word_embed_proj_dim"] = made["hidden_size"]
    vision = "hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size hidden_act"
    qformer = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
        "attention_probs_dropout_prob max_position_embeddings initializer_range layer_norm_eps cross_attention_frequency "
        "position_embedding_type"
    )
    vision = vision + " layer_norm_eps attention_dropout initializer_range qkv_bias"
    theirs = config.get("vision_config") or {}, config.get("qformer_config") or {}
    return InstructBlipConfig(
        vision_config={key: theirs[0][key] for key in vision.split() if key in theirs[0]},
        qformer_config={key: theirs[1][key] for key in qformer.split() if key in theirs[1]},
        text_config={"model_type": kind, **made},
        num_query_tokens=config.get("num_query_tokens", 32),
        image_token_index=config.get("image_token_index", config.get("image_token_id")),
    )


def lavis_to_hf(state, vision_layers):
    """
    A state dictionary of LAVIS in the names of `transformers`. Queries' and values' biases become one bias with zeros for the keys.
    Blocks from `vision_layers` on (the last block of the EVA file) and its head are left out.
    """
    renamed, biases, unknown = {}, {}, []
    for name, value in state.items():
        block = re.match(r"visual_encoder\.blocks\.(\d+)\.(?:attn\.([qv])_bias$)?", name)
        if block and int(block.group(1)) >= vision_layers:
            continue
        if re.match(
            r"visual_encoder\.(norm|fc_norm|head|lm_head)\.|visual_encoder\.mask_token$|Qformer\.cls\.|temp$", name
        ):
            continue
        if block and block.group(2):
            biases.setdefault(int(block.group(1)), {})[block.group(2)] = to_numpy(value)
            continue
        new = rename(name, LAVIS)
        if new is None:
            unknown.append(name)
        else:
            renamed[new] = value
    lonely = [
        f"visual_encoder.blocks.{i}.attn.{'v' if 'q' in b else 'q'}_bias" for i, b in biases.items() if len(b) == 1
    ]
    refuse("LAVIS", unknown, lonely, [])
    for index, pair in biases.items():
        bias = np.concatenate([pair["q"], np.zeros_like(pair["q"]), pair["v"]])
        renamed[f"vision_model.encoder.layers.{index}.self_attn.qkv.bias"] = bias
    return renamed


def linear_weights(model):
    """Names of the parameters that are stored [in, out] here and [out, in] elsewhere."""
    names = {name + ".weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}
    return names | {"language_model.lm_head.weight"}


def convert_state(state, model, source="hf"):
    """
    Parameters for `model` of a state dictionary {name: array}.

    Args:
        state: tensors in the layout of PyTorch, of one or several files together.
        model ([`InstructBlipForConditionalGeneration`])
        source (`str`): `"hf"` or `"lavis"`.

    Returns:
        {name here: ndarray}, complete.

    Raises:
        ConversionError: unknown tensors, parameters that nothing fills, shapes that differ, or tied tensors that differ.
    """
    if source not in ("hf", "lavis"):
        raise ConversionError(f"source is {source!r}; there are 'hf' and 'lavis'")
    kind = model.config.text_config.model_type
    if source == "lavis":
        state = lavis_to_hf(state, model.config.vision_config.num_hidden_layers)
    own = {name: value for name, value in model.state_dict().items() if name not in OWN_TIED}
    linear, tied = linear_weights(model), HF_TIED[kind]
    made, unknown, wrong = {}, [], []
    for name, value in state.items():
        if any(re.fullmatch(pattern, name) for pattern in BUFFERS):
            continue
        value = to_numpy(value)
        if name in tied:
            twin = state.get(tied[name])
            if twin is None:
                name = tied[name]
            elif not np.array_equal(value, to_numpy(twin)):
                wrong.append(f"{name} is not equal to {tied[name]}, which it is tied to")
                continue
            else:
                continue
        ours = rename(name, HF_LANGUAGE[kind]) if name.startswith("language_model.") else name
        if ours not in own:
            unknown.append(name)
            continue
        value = value.T if ours in linear and value.ndim == 2 else value
        if list(value.shape) != list(own[ours].shape):
            wrong.append(
                f"{name} has the shape {list(value.shape)} (transposed where it is), {ours} wants {list(own[ours].shape)}"
            )
            continue
        made[ours] = np.ascontiguousarray(value)
    missing = [name for name in own if name not in made and not any(name in line for line in wrong)]
    refuse(source, unknown, missing, wrong)
    return made


def fill_vocabulary(state, rows, names):
    """
    Rows for the tokens that InstructBLIP adds to a language model's vocabulary (Vicuna's 32,000 become 32,001): padding, which no
    one reads, so that they are the mean of the others, as in transformers.

    Args:
        state: {name: array} of the language model, changed in place.
        rows (`int`): rows of the vocabulary in the configuration.
        names: the matrices with a row for each token.

    Returns:
        rows added; 0 where there are enough.

    Raises:
        ConversionError: more rows lack than tokens can have been added (64): this is another language model.
    """
    lacking = 0
    for name in names:
        if name in state and len(state[name]) < rows:
            value = np.asarray(state[name])
            lacking = rows - len(value)
            if lacking > 64:
                raise ConversionError(
                    f"{name} has {len(value)} rows and config.json says {rows}: this is another language model; next: give the one "
                    "that config.json names"
                )
            mean = value.astype("float32").mean(axis=0, keepdims=True).astype(value.dtype)
            state[name] = np.concatenate([value, np.repeat(mean, lacking, axis=0)])
    return lacking
