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
Weights of other implementations for [`Blip2ForImageTextRetrieval`]: Hugging Face's `blip2-itm-vit-g` (`transformers` 4.57.6), LAVIS'
`blip2_finetune_coco.pth` and `blip2_pretrained.pth` (salesforce/LAVIS @ 506965b), and the suite's own stage 1.

Both key sets must be used up. Which layout a file is in is said by its names. What reads files is `models/common`.
"""

import re

import numpy as np
import paddle
import paddle.nn as nn
from paddlemix.models.common.checkpoints import ConversionError, load_state, read_checkpoint, without_prefix

from .eva_vit import interpolate_pos_embed
from .retrieval import retrieval_config

__all__ = [
    "config_from_hf",
    "convert_state",
    "load_state",
    "layout_of",
    "read_checkpoint",
    "without_prefix",
    "ConversionError",
]

HF = [
    (r"query_tokens$", "Qformer.query_tokens"),
    (r"vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"vision_model\.encoder\.layers\.(\d+)\.layer_norm([12])\.", r"visual_encoder.blocks.\1.norm\2."),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.qkv\.", r"visual_encoder.blocks.\1.attn.qkv."),
    (r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection\.", r"visual_encoder.blocks.\1.attn.proj."),
    (r"vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"visual_encoder.blocks.\1.mlp."),
    (r"vision_model\.post_layernorm\.", "Qformer.ln_vision."),
    (r"embeddings\.(word|position)_embeddings\.", r"Qformer.bert.embeddings.\1_embeddings."),
    (r"qformer\.layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (
        r"qformer\.encoder\.layer\.(\d+)\.(attention|crossattention)\.attention\.",
        r"Qformer.bert.encoder.layer.\1.\2.self.",
    ),
    (r"qformer\.encoder\.", "Qformer.bert.encoder."),
    (r"vision_projection\.", "Qformer.vision_proj."),
    (r"text_projection\.", "Qformer.text_proj."),
    (r"itm_head\.", "Qformer.itm_head."),
]
LAVIS = [
    (r"(query_tokens$|ln_vision\.|vision_proj\.|text_proj\.|itm_head\.)", r"Qformer.\1"),
    (r"(visual_encoder\.|Qformer\.bert\.|temp$)", r"\1"),
]
PADDLEMIX = [(r"(visual_encoder\.|Qformer\.|temp$)", r"\1")]
RULES = {"hf": HF, "lavis": LAVIS, "paddlemix": PADDLEMIX}
# In a file, and not in the model: the head of ITG, buffers, embeddings that nothing reads, the classifier of EVA.
LEFT_OUT = (
    r"Qformer\.cls\.|.*embeddings\.position_ids$|Qformer\.bert\.embeddings\.token_type_embeddings\.|"
    r"visual_encoder\.(norm|fc_norm|head|lm_head)\.|visual_encoder\.mask_token$"
)
POSITIONS = "visual_encoder.pos_embed"


def config_from_hf(config):
    """The [`Blip2Config`] that belongs to the dictionary in a `config.json` of `transformers`."""
    vision, qformer = config["vision_config"], config["qformer_config"]
    if vision.get("hidden_act", "gelu") != "gelu" or qformer.get("hidden_act", "gelu") != "gelu":
        raise ConversionError("hidden_act is not gelu; next: there is no such BLIP-2 here")
    same = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_dropout_prob "
        "attention_probs_dropout_prob max_position_embeddings initializer_range layer_norm_eps"
    )
    made = {key: qformer[key] for key in same.split() if key in qformer}
    made["cross_attention_freq"] = qformer.get("cross_attention_frequency", 2)
    width = vision["hidden_size"]
    return retrieval_config(
        {
            "img_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "embed_dim": width,
            "depth": vision["num_hidden_layers"],
            "num_heads": vision["num_attention_heads"],
            # int(width * ratio) must be the size that is meant: half a unit keeps the rounding out of it
            "mlp_ratio": (vision["intermediate_size"] + 0.5) / width,
            "qkv_bias": vision.get("qkv_bias", True),
            "epsilon": vision.get("layer_norm_eps", 1e-6),
        },
        made,
        config.get("num_query_tokens", 32),
        config.get("image_text_hidden_size", 256),
        ln_vision_epsilon=vision.get("layer_norm_eps", 1e-6),
    )


def layout_of(state):
    """
    "hf", "lavis" or "paddlemix", by the names.

    Raises:
        ConversionError: the names are of none of them.
    """
    if any(name.startswith("vision_model.") for name in state):
        return "hf"
    if "Qformer.query_tokens" in state:
        return "paddlemix"
    if "query_tokens" in state:
        return "lavis"
    raise ConversionError(
        f"names like {sorted(state)[:3]} are of no BLIP-2 known here; next: give blip2-itm-vit-g, blip2_finetune_coco.pth or a stage 1"
    )


def _array(value):
    return value if isinstance(value, np.ndarray) else np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _joined_biases(state, depth):
    """LAVIS keeps the biases of queries and values; keys have none. Blocks from `depth` on (EVA's last) are left out."""
    made, biases = {}, {}
    for name, value in state.items():
        block = re.match(r"visual_encoder\.blocks\.(\d+)\.(?:attn\.([qv])_bias$)?", name)
        if block and int(block.group(1)) >= depth:
            continue
        if block and block.group(2):
            biases.setdefault(block.group(1), {})[block.group(2)] = _array(value)
        else:
            made[name] = value
    for index, pair in biases.items():
        if len(pair) == 2:
            made[f"visual_encoder.blocks.{index}.attn.qkv.bias"] = np.concatenate(
                [pair["q"], np.zeros_like(pair["q"]), pair["v"]]
            )
        else:
            made[f"visual_encoder.blocks.{index}.attn.{list(pair)[0]}_bias"] = list(pair.values())[0]
    return made


def convert_state(state, model, source=None):
    """
    Parameters for `model` of a state dictionary {name: array}.

    Args:
        state: tensors in the layout of `source`. model ([`Blip2ForImageTextRetrieval`]).
        source (`str`): `"hf"`, `"lavis"` or `"paddlemix"`; default: by the names. Linear weights of the first two are transposed.

    Returns:
        {name here: ndarray}, complete but for `temp`, which Hugging Face's files do not have. Positions of another image size are
        interpolated (bicubic), as in LAVIS.

    Raises:
        ConversionError: unknown tensors, parameters that nothing fills, or shapes that differ.
    """
    state = without_prefix(state)
    source = source or layout_of(state)
    own = {name: value for name, value in model.state_dict().items() if not re.match(LEFT_OUT, name)}
    linear = {name + ".weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}
    if source == "lavis":
        state = _joined_biases(state, model.config.vision_config.depth)
    made, unknown, wrong = {}, [], []
    for name, value in state.items():
        if re.match(LEFT_OUT, name):
            continue
        rule = next((found for found in ((re.match(p, name), to) for p, to in RULES[source]) if found[0]), None)
        ours = rule and rule[0].expand(rule[1]) + name[rule[0].end() :]
        if ours not in own:
            unknown.append(name)
            continue
        value = _array(value)
        value = value.T if ours in linear and value.ndim == 2 and source != "paddlemix" else value
        value = value.reshape([1]) if ours == "temp" and value.size == 1 else value
        if ours == POSITIONS and value.shape != tuple(own[ours].shape) and _square(value.shape, own[ours].shape):
            other = {POSITIONS: paddle.to_tensor(value)}
            interpolate_pos_embed(model, other)
            value = other[POSITIONS].numpy()
        if list(value.shape) != list(own[ours].shape):
            wrong.append(f"{name} has the shape {list(value.shape)}, {ours} wants {list(own[ours].shape)}")
            continue
        made[ours] = np.ascontiguousarray(value)
    missing = [name for name in own if name not in made and not any(name in line for line in wrong)]
    if source == "hf":
        missing = [name for name in missing if name != "temp"]
    lines = [f"nothing here takes: {', '.join(unknown[:12])}"] if unknown else []
    lines += [f"nothing in the file fills: {', '.join(missing[:12])}"] if missing else []
    lines += wrong[:12]
    if lines:
        raise ConversionError(
            f"the weights ({source}) do not fit\n  "
            + "\n  ".join(lines)
            + "\n  next: compare with the model's config.json"
        )
    return made


def _square(theirs, ours):
    """Whether two shapes [1, 1 + side * side, C] differ by the side alone."""
    sides = [int((shape[1] - 1) ** 0.5) for shape in (theirs, ours)]
    return len(theirs) == 3 and theirs[2] == ours[2] and all(s * s + 1 == x[1] for s, x in zip(sides, (theirs, ours)))
