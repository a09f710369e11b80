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
"""BERT, BGE and RetroMAE checkpoints of Hugging Face and FlagEmbedding to PaddleNLP and back.

A conversion is a table of (name there, name here, whether the matrix is transposed). Both sets of names must be used up: what is
left over on either side is an error that names it.
"""

import json
import os
import shutil

import numpy as np
import paddle
from paddlenlp.transformers import BertConfig
from safetensors.numpy import load_file, save_file

WORD = "bert.embeddings.word_embeddings.weight"
EMBEDDINGS = ("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight")
# Copies that a checkpoint of transformers or FlagEmbedding may hold: name -> the name it must equal.
COPIES = {
    "lm.cls.predictions.decoder.weight": "lm.bert.embeddings.word_embeddings.weight",
    "lm.cls.predictions.decoder.bias": "lm.cls.predictions.bias",
}
COPIES.update({"decoder_embeddings." + name: "lm.bert.embeddings." + name for name in EMBEDDINGS})
COPIES.update(
    {"decoder_embeddings.LayerNorm." + end: "lm.bert.embeddings.LayerNorm." + end for end in ("weight", "bias")}
)
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
TOKENIZER_FILES = ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json")


class ConversionError(ValueError):
    """A checkpoint whose tensors are not those of the model."""


def _layer(theirs, ours, attention):
    rows = []
    for name, here in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        rows.append((theirs + "attention.self." + name, ours + attention + "." + here, True))
    rows.append((theirs + "attention.output.dense", ours + attention + ".out_proj", True))
    rows.append((theirs + "attention.output.LayerNorm", ours + "norm1", False))
    rows.append((theirs + "intermediate.dense", ours + "linear1", True))
    rows.append((theirs + "output.dense", ours + "linear2", True))
    rows.append((theirs + "output.LayerNorm", ours + "norm2", False))
    return rows


def name_table(layers, retromae=False):
    """The table of a model.

    Args:
        layers (int): of the encoder.
        retromae (bool): `RetroMAEForPretraining` in the names of FlagEmbedding; otherwise `EmbeddingModel` in the names of
            `transformers.BertModel`.

    Returns:
        list[tuple]: name there, name here, transposed.
    """
    base = "lm.bert." if retromae else ""
    table = [(base + "embeddings." + name, "bert.embeddings." + name, False) for name in EMBEDDINGS]
    modules = [(base + "embeddings.LayerNorm", "bert.embeddings.layer_norm", False)]
    for i in range(layers):
        modules += _layer("%sencoder.layer.%d." % (base, i), "bert.encoder.layers.%d." % i, "self_attn")
    if retromae:
        modules.append(("lm.cls.predictions.transform.dense", "cls.predictions.transform", True))
        modules.append(("lm.cls.predictions.transform.LayerNorm", "cls.predictions.layer_norm", False))
        modules += _layer("c_head.", "decoder.", "cross_attn")
        table.append(("lm.cls.predictions.bias", "cls.predictions.decoder.bias", False))
    else:
        modules.append(("pooler.dense", "bert.pooler.dense", True))
    for theirs, ours, transposed in modules:
        table.append((theirs + ".weight", ours + ".weight", transposed))
        table.append((theirs + ".bias", ours + ".bias", False))
    return table


def _layers_of(state, prefix):
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in state if name.startswith(prefix)}
    if numbers != set(range(len(numbers))):
        raise ConversionError("the layers %s are not 0, 1, 2, ..." % sorted(numbers))
    return len(numbers)


def _clean(state, retromae):
    """Old names made new, the prefix of the model removed, copies checked and taken out."""
    cleaned = {}
    for name, value in state.items():
        for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
            if name.endswith(old):
                name = name[: -len(old)] + new
        if not retromae and name.startswith("bert."):
            name = name[len("bert.") :]
        if retromae and name.startswith(("bert.", "cls.")):
            name = "lm." + name  # a plain masked language model, to start RetroMAE from
        if not name.endswith(BUFFERS):
            cleaned[name] = np.asarray(value)
    if retromae:
        for copy, original in COPIES.items():
            value = cleaned.pop(copy, None)
            if value is None:
                continue
            if original not in cleaned:
                cleaned[original] = value
            elif not np.array_equal(value, cleaned[original]):
                raise ConversionError("%s differs from %s; the model here has one tensor for both" % (copy, original))
    return cleaned


def state_to_paddle(state, retromae=False, drop=(), missing_ok=()):
    """Tensors there to tensors here.

    Args:
        state (dict[str, numpy.ndarray])
        retromae (bool): see `name_table`.
        drop (tuple[str]): names, or beginnings of names, there that are left out on purpose ("cls." for the head of a masked
            language model).
        missing_ok (tuple[str]): beginnings of names there that may be missing ("pooler."; "c_head." to start RetroMAE from a
            `BertForMaskedLM`).

    Returns:
        dict[str, numpy.ndarray]

    Raises:
        ConversionError: for tensors that are unknown or missing; the message names them.
    """
    state = _clean({name: value for name, value in state.items() if not name.startswith(tuple(drop))}, retromae)
    table = name_table(_layers_of(state, ("lm.bert." if retromae else "") + "encoder.layer."), retromae)
    known = {theirs for theirs, _, _ in table}
    unknown = sorted(set(state) - known)
    missing = sorted(name for name in known - set(state) if not name.startswith(tuple(missing_ok)))
    if unknown or missing:
        raise ConversionError(
            "unknown: %s; missing: %s" % (", ".join(unknown) or "none", ", ".join(missing) or "none")
        )
    result = {}
    for theirs, ours, transposed in table:
        if theirs in state:
            value = state[theirs]
            result[ours] = np.ascontiguousarray(value.T if transposed else value)
    return result


def state_to_hf(state, retromae=False):
    """Tensors here to tensors there; the opposite of `state_to_paddle`, with copies for a RetroMAE checkpoint.

    Raises:
        ConversionError: for tensors that are unknown or missing.
    """
    state = dict(state)
    if retromae:
        for name in ("cls.predictions.decoder.weight", "cls.predictions.decoder_bias"):
            state.pop(name, None)
        for name in [name for name in state if name.startswith("bert.pooler.")]:
            state.pop(name)  # FlagEmbedding's masked language model has none
    table = name_table(_layers_of(state, "bert.encoder.layers."), retromae)
    known = {ours for _, ours, _ in table}
    unknown, missing = sorted(set(state) - known), sorted(known - set(state))
    if unknown or missing:
        raise ConversionError(
            "unknown: %s; missing: %s" % (", ".join(unknown) or "none", ", ".join(missing) or "none")
        )
    result = {}
    for theirs, ours, transposed in table:
        value = np.asarray(state[ours])
        result[theirs] = np.ascontiguousarray(value.T if transposed else value)
    if retromae:
        result.update({copy: result[original].copy() for copy, original in COPIES.items()})
    return result


def read_state(folder):
    """The tensors of a folder of Hugging Face: model.safetensors, or pytorch_model.bin (read without PyTorch)."""
    path = os.path.join(folder, "model.safetensors")
    if os.path.isfile(path):
        return load_file(path)
    path = os.path.join(folder, "pytorch_model.bin")
    if os.path.isfile(path):
        from paddlenlp.utils.serialization import load_torch

        return {name: np.asarray(value) for name, value in load_torch(path).items()}
    raise FileNotFoundError("neither model.safetensors nor pytorch_model.bin in %s" % folder)


def _pooling_of(folder):
    """The pooling and normalisation that a folder of sentence-transformers asks for, or those of BGE."""
    path = os.path.join(folder, "1_Pooling", "config.json")
    if not os.path.isfile(path):
        return "cls", True
    with open(path, encoding="utf-8") as stream:
        asked = json.load(stream)
    modes = sorted(key for key, value in asked.items() if key.startswith("pooling_mode") and value is True)
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    if len(modes) != 1 or modes[0] not in names:
        raise ConversionError("%s asks for %s; cls or mean is known here" % (path, ", ".join(modes) or "nothing"))
    modules = os.path.join(folder, "modules.json")
    normalize = True
    if os.path.isfile(modules):
        with open(modules, encoding="utf-8") as stream:
            normalize = any(module["type"].endswith(".Normalize") for module in json.load(stream))
    return names[modes[0]], normalize


def convert_to_paddle(source, target, pooling=None, retromae=False, drop=(), missing_ok=()):
    """A folder of Hugging Face (BGE, sentence-transformers, FlagEmbedding's RetroMAE) to one of PaddleNLP.

    Args:
        source, target (str): folders.
        pooling (str, optional): "cls" or "mean". Default: what 1_Pooling/config.json says, else "cls".
        retromae, drop, missing_ok: see `state_to_paddle`.

    Returns:
        str: target.
    """
    with open(os.path.join(source, "config.json"), encoding="utf-8") as stream:
        settings = json.load(stream)
    if settings.get("model_type", "bert") != "bert":
        raise ConversionError("the model is %r; only BERT is known here" % settings["model_type"])
    for key, only in (("position_embedding_type", "absolute"), ("hidden_act", "gelu")):
        if settings.get(key, only) != only:
            raise ConversionError("%s is %r; only %r is known here" % (key, settings[key], only))
    state = state_to_paddle(read_state(source), retromae, drop, missing_ok)
    found, normalize = _pooling_of(source)
    keys = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
        "attention_probs_dropout_prob max_position_embeddings type_vocab_size initializer_range layer_norm_eps pad_token_id"
    )
    config = BertConfig(**{key: settings[key] for key in keys.split() if key in settings})
    config.architectures = ["RetroMAEForPretraining" if retromae else "EmbeddingModel"]
    config.embedding_pooling, config.embedding_normalize = pooling or found, normalize
    os.makedirs(target, exist_ok=True)
    config.save_pretrained(target)
    tensors = {name: paddle.to_tensor(value) for name, value in state.items()}
    paddle.save(tensors, os.path.join(target, "model_state.pdparams"))
    for name in TOKENIZER_FILES:
        if os.path.isfile(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
    return target


def convert_to_hf(source, target, retromae=False):
    """A folder of PaddleNLP to one that `transformers.BertModel` reads (for RetroMAE: the tensors of FlagEmbedding's model).

    Args:
        source, target (str): folders.
        retromae (bool): see `name_table`.

    Returns:
        str: target.
    """
    with open(os.path.join(source, "config.json"), encoding="utf-8") as stream:
        settings = json.load(stream)
    state = paddle.load(os.path.join(source, "model_state.pdparams"), return_numpy=True)
    os.makedirs(target, exist_ok=True)
    save_file(state_to_hf(state, retromae), os.path.join(target, "model.safetensors"), metadata={"format": "pt"})
    settings.update(model_type="bert", architectures=["BertModel"], position_embedding_type="absolute")
    for key in ("paddlenlp_version", "dtype", "pool_act", "fuse"):
        settings.pop(key, None)
    with open(os.path.join(target, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(settings, stream, indent=2, sort_keys=True)
    for name in TOKENIZER_FILES:
        if os.path.isfile(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
    return target
