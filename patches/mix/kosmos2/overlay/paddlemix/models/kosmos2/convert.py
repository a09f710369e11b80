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
Published weights for [`Kosmos2ForConditionalGeneration`]: those of `transformers` and those of microsoft/unilm (fairseq).

Parameters here are called as in `transformers`; matrices of linear layers are transposed, and the output matrix is no parameter of its
own. Both key sets must be used up: what does not fit is an error that names the tensors.
"""

import re

import numpy as np
import paddle.nn as nn

from ..common.checkpoints import ConversionError, load_state, refuse, rename, to_numpy
from .configuration import Kosmos2Config

__all__ = ["config_from_hf", "convert_state", "load_state", "layout_of", "ConversionError"]

EMBEDDINGS, HEAD = "text_model.model.embed_tokens.weight", "text_model.lm_head.weight"

# Buffers that every implementation computes.
BUFFERS = (r"vision_model\.model\.embeddings\.position_ids",)
POSITIONS = "text_model.model.embed_positions.weights"

# microsoft/unilm -> transformers; a rule's pattern is matched from the start of the name.
FAIRSEQ = [
    (r"gpt_model\.decoder\.output_projection\.", "text_model.lm_head."),
    (r"gpt_model\.decoder\.", "text_model.model."),
    (r"img_connector\.", "image_to_text_projection."),
    (r"img_model\.visual\.class_embedding$", "vision_model.model.embeddings.class_embedding"),
    (r"img_model\.visual\.positional_embedding$", "vision_model.model.embeddings.position_embedding.weight"),
    (r"img_model\.visual\.conv1\.", "vision_model.model.embeddings.patch_embedding."),
    (r"img_model\.visual\.ln_pre\.", "vision_model.model.pre_layrnorm."),
    (r"img_model\.visual\.ln_post\.", "vision_model.model.post_layernorm."),
]
BLOCK = r"img_model\.visual\.transformer\.resblocks\.(\d+)\."
FAIRSEQ += [
    (BLOCK + theirs + r"\.", rf"vision_model.model.encoder.layers.\1.{ours}.")
    for theirs, ours in (
        ("ts_attn", "self_attn"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        (r"mlp\.c_fc", "mlp.fc1"),
        (r"mlp\.c_proj", "mlp.fc2"),
    )
]
# What is in the file of microsoft/unilm and takes no part in the model.
FAIRSEQ_UNUSED = (
    r"gpt_model\.decoder\.embed_positions\._float_tensor",
    r"gpt_model\.decoder\.self_attn_sope\.scale",
    r"gpt_model\.decoder\.version",
)


def config_from_hf(config):
    """
    A [`Kosmos2Config`] of the dictionary in a `config.json` of `transformers`.

    Raises:
        ConversionError: it belongs to another model, or has an option that is not supported here.
    """
    if config.get("model_type") != Kosmos2Config.model_type:
        raise ConversionError(f"config.json is of the model type {config.get('model_type')!r}, not 'kosmos-2'")
    parts = {}
    for part in ("text_config", "vision_config"):
        own = Kosmos2Config().__getattribute__(part).to_dict()
        given = dict(config.get(part) or {})
        parts[part] = {key: given[key] for key in own if key in given and key not in ("model_type", "dtype")}
    try:
        return Kosmos2Config(**parts, latent_query_num=config.get("latent_query_num", 64))
    except ValueError as error:
        raise ConversionError(f"config.json: {error}")


def layout_of(state):
    """`"fairseq"` or `"hf"`, by the names of the tensors."""
    return "fairseq" if any(name.startswith(("gpt_model.", "img_model.")) for name in state) else "hf"


def _hf_names(state):
    """A state dictionary of microsoft/unilm in the names of `transformers`."""
    made, unknown = {}, []
    for name, value in state.items():
        if any(re.fullmatch(pattern, name) for pattern in FAIRSEQ_UNUSED):
            continue
        new = rename(name, FAIRSEQ)
        if new is None or new in made:
            unknown.append(name)
        else:
            made[new] = value
    refuse("fairseq", unknown, [], [])
    return made


def convert_state(state, model):
    """
    Parameters for `model` of a state dictionary {name: array} of `transformers` or of microsoft/unilm; its names say which.

    Args:
        state: tensors in the layout of PyTorch, of one or several files together.
        model ([`Kosmos2ForConditionalGeneration`])

    Returns:
        {name here: ndarray}, complete.

    Raises:
        ConversionError: unknown tensors, parameters that nothing fills, shapes or tied tensors or computed buffers that differ.
    """
    source = layout_of(state)
    state = dict(state) if source == "hf" else _hf_names(state)
    own = {name: value for name, value in model.named_parameters()}
    linear = {name + ".weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}
    made, unknown, wrong = {}, [], []
    if HEAD in state:
        head = to_numpy(state.pop(HEAD))
        if EMBEDDINGS not in state:
            state[EMBEDDINGS] = head
        elif not np.array_equal(head, to_numpy(state[EMBEDDINGS])):
            wrong.append(f"{HEAD} is not equal to {EMBEDDINGS}, which it is tied to")
    if POSITIONS in state:
        table, ours = to_numpy(state.pop(POSITIONS)).astype("float32"), model.text_model.model.positions
        rows = min(len(table), ours.shape[0])
        if table.shape[1:] != tuple(ours.shape[1:]) or np.abs(table[:rows] - ours[:rows].numpy()).max() > 1e-2:
            wrong.append(f"{POSITIONS} is another table of positions than the sines and cosines computed here")
    for name, value in state.items():
        if any(re.fullmatch(pattern, name) for pattern in BUFFERS):
            continue
        if name not in own:
            unknown.append(name)
            continue
        value = to_numpy(value)
        value = value.T if name in linear and value.ndim == 2 else value
        if list(value.shape) != list(own[name].shape):
            wrong.append(
                f"{name} has the shape {list(value.shape)} (transposed where it is), the model wants {list(own[name].shape)}"
            )
            continue
        made[name] = np.ascontiguousarray(value)
    missing = [name for name in own if name not in made and not any(name in line for line in wrong)]
    refuse(source, unknown, missing, wrong)
    return made
