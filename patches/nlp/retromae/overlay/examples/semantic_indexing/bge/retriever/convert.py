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
from safetensors.numpy import save_file

from .modeling import EmbeddingModel
from .retromae import RetroMAEForPretraining

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
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
KEYS = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob max_position_embeddings type_vocab_size initializer_range layer_norm_eps pad_token_id"
).split()
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
    return transposed_state(state, table, missing_ok)


def transposed_state(state, table, missing_ok=()):
    """The tensors of a table that is used up, under their names here."""
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


def _numbers(name, kind, data, shape):
    """A tensor of a safetensors file as numpy holds it; bfloat16, which it does not know, as float32."""
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    if kind not in DTYPES:
        raise ConversionError("%s is of type %s, which is not known here" % (name, kind))
    return np.frombuffer(data, DTYPES[kind]).reshape(shape)


def read_safetensors(path):
    """The tensors of a file, whatever their type."""
    with open(path, "rb") as stream:
        head = stream.read(8)
        try:
            table = json.loads(stream.read(int.from_bytes(head, "little")))
        except ValueError as error:
            raise ConversionError("%s is not a whole safetensors file (%s)" % (path, error))
        start, state = stream.tell(), {}
        for name, entry in table.items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            stream.seek(start + first)
            data = stream.read(last - first)
            if len(data) != last - first:
                raise ConversionError("%s ends within %s; it is not whole" % (path, name))
            state[name] = _numbers(name, entry["dtype"], data, entry["shape"])
    return state


def _read_torch(path):
    from paddlenlp.utils.serialization import load_torch

    state = {}
    for name, value in load_torch(path).items():
        value = np.asarray(value)
        # bfloat16 comes as its bits
        state[name] = (value.astype("<u4") << 16).view("<f4") if value.dtype == np.uint16 else value
    return state


def read_state(folder):
    """The tensors of a folder of Hugging Face, in float32: safetensors or PyTorch's format (read without it), in one file or in shards.

    Raises:
        FileNotFoundError, ConversionError: there is no such file, a shard is missing, a file is not whole.
    """
    for name, read in (("model.safetensors", read_safetensors), ("pytorch_model.bin", _read_torch)):
        path, index = os.path.join(folder, name), os.path.join(folder, name + ".index.json")
        if os.path.isfile(path):
            state = read(path)
        elif os.path.isfile(index):
            with open(index, encoding="utf-8") as stream:
                places = json.load(stream)["weight_map"]
            state = {}
            for shard in sorted(set(places.values())):
                if not os.path.isfile(os.path.join(folder, shard)):
                    raise FileNotFoundError("%s names the shard %s, which is not there" % (index, shard))
                state.update(read(os.path.join(folder, shard)))
            if set(state) != set(places):
                raise ConversionError("%s and its shards do not hold the same tensors" % index)
        else:
            continue
        kept = {name: np.asarray(value) for name, value in state.items()}
        return {n: v.astype("float32") if v.dtype.kind == "f" else v for n, v in kept.items()}
    raise FileNotFoundError("neither model.safetensors nor pytorch_model.bin (or their index) in %s" % folder)


def _pooling_of(folder):
    """The pooling and normalisation that a folder of sentence-transformers asks for, or those of BGE."""
    path = os.path.join(folder, "1_Pooling", "config.json")
    if not os.path.isfile(path):
        return "cls", True
    with open(path, encoding="utf-8") as stream:
        asked = json.load(stream)
    modes = sorted(key for key, value in asked.items() if key.startswith("pooling_mode") and value is True)
    modes += [asked["pooling_mode"]] if isinstance(asked.get("pooling_mode"), str) and not modes else []
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "cls": "cls", "mean": "mean"}
    if len(modes) != 1 or modes[0] not in names:
        raise ConversionError("%s asks for %s; cls or mean is known here" % (path, ", ".join(modes) or "nothing"))
    modules = os.path.join(folder, "modules.json")
    normalize = True
    if os.path.isfile(modules):
        with open(modules, encoding="utf-8") as stream:
            kinds = [module["type"].rpartition(".")[2] for module in json.load(stream)]
        if not set(kinds) <= {"Transformer", "Pooling", "Normalize"}:
            raise ConversionError("%s has the modules %s; no other than these are known here: Transformer, Pooling, Normalize"
                                  % (modules, ", ".join(kinds)))  # fmt: skip
        normalize = "Normalize" in kinds
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
    layers = _layers_of(state, "bert.encoder.layers.")
    if settings.get("num_hidden_layers") != layers:
        raise ConversionError(
            "config.json says num_hidden_layers %s, the file holds %d layers"
            % (settings.get("num_hidden_layers"), layers)
        )
    found, normalize = _pooling_of(source)
    config = BertConfig(**{key: settings[key] for key in KEYS if key in settings})
    config.architectures = ["RetroMAEForPretraining" if retromae else "EmbeddingModel"]
    config.embedding_pooling, config.embedding_normalize = pooling or found, normalize
    model = (RetroMAEForPretraining if retromae else EmbeddingModel)(config)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    for name, value in state.items():
        if list(value.shape) != shapes[name]:
            raise ConversionError("%s has the shape %s, config.json says %s" % (name, list(value.shape), shapes[name]))
    os.makedirs(target, exist_ok=True)
    _copy_tokenizer(source, target, config.vocab_size, retromae)
    config.save_pretrained(target)
    tensors = {name: paddle.to_tensor(value) for name, value in state.items()}
    paddle.save(tensors, os.path.join(target, "model_state.pdparams"))
    return target


def _copy_tokenizer(source, target, size, retromae):
    """The vocabulary and the settings of the tokenizer; a folder that has tokenizer.json alone gets a vocab.txt of it."""
    for name in TOKENIZER_FILES:
        if os.path.isfile(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
    path, whole = os.path.join(target, "vocab.txt"), os.path.join(source, "tokenizer.json")
    if not os.path.isfile(path) and os.path.isfile(whole):
        with open(whole, encoding="utf-8") as stream:
            places = json.load(stream)["model"]["vocab"]
        if not isinstance(places, dict) or sorted(places.values()) != list(range(len(places))):
            raise ConversionError("%s holds no vocabulary of BERT" % whole)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("".join(token + "\n" for token in sorted(places, key=places.get)))
    if not os.path.isfile(path):
        return  # a folder of weights alone
    with open(path, encoding="utf-8") as stream:
        tokens = stream.read().split("\n")
    tokens = tokens[:-1] if tokens[-1] == "" else tokens
    if len(tokens) > size:
        raise ConversionError("vocab.txt has %d tokens, config.json says vocab_size %d" % (len(tokens), size))
    needed = ("[CLS]", "[SEP]", "[PAD]", "[UNK]") + (("[MASK]",) if retromae else ())
    missing = [token for token in needed if token not in tokens]
    if missing:
        raise ConversionError("vocab.txt lacks %s" % ", ".join(missing))


def convert_to_hf(source, target, retromae=False):
    """A folder of PaddleNLP to one of Hugging Face: what `transformers.BertModel` reads, with the files by which sentence-transformers
    knows pooling and normalisation; for RetroMAE the tensors of FlagEmbedding's model.

    Args:
        source, target (str): folders.
        retromae (bool): see `name_table`.

    Returns:
        str: target.

    Raises:
        ConversionError: for tensors that are unknown or missing, or layers that do not fit config.json.
    """
    with open(os.path.join(source, "config.json"), encoding="utf-8") as stream:
        settings = json.load(stream)
    path = os.path.join(source, "model_state.pdparams")
    if not os.path.isfile(path):
        raise FileNotFoundError("no model_state.pdparams in %s; a checkpoint in one file is needed" % source)
    state = {name: _float32(value) for name, value in paddle.load(path).items()}
    layers = _layers_of(state, "bert.encoder.layers.")
    if settings.get("num_hidden_layers", 12) != layers:
        raise ConversionError(
            "config.json says num_hidden_layers %s, the file holds %d layers"
            % (settings.get("num_hidden_layers"), layers)
        )
    os.makedirs(target, exist_ok=True)
    save_file(state_to_hf(state, retromae), os.path.join(target, "model.safetensors"), metadata={"format": "pt"})
    pooling = settings.pop("embedding_pooling", None) or "cls"
    normalize = settings.pop("embedding_normalize", None) is not False
    settings = dict(BertConfig(**settings).to_dict(), **settings)
    settings = {key: settings[key] for key in KEYS if key in settings}
    settings.update(model_type="bert", architectures=["BertModel"], position_embedding_type="absolute")
    settings["torch_dtype"] = "float32"
    _write(target, "config.json", settings)
    if not retromae:
        _write_modules(target, settings, pooling, normalize)
    _copy_tokenizer(source, target, settings["vocab_size"], retromae)
    return target


def _float32(value):
    """A tensor of any float type in numpy."""
    if isinstance(value, paddle.Tensor):
        return value.astype("float32").numpy() if value.is_floating_point() else value.numpy()
    return np.asarray(value)


def _write(folder, name, content):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=2, sort_keys=isinstance(content, dict))


def _write_modules(folder, settings, pooling, normalize):
    """The files of sentence-transformers."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalize else [])
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind}
        for i, (path, kind) in enumerate(kinds)
    ]
    _write(folder, "modules.json", modules)
    modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    modes.update({"pooling_mode_" + name: False for name in ("max_tokens", "mean_sqrt_len_tokens")})
    _write(folder, "1_Pooling/config.json", dict(modes, word_embedding_dimension=settings["hidden_size"]))
    if normalize:
        os.makedirs(os.path.join(folder, "2_Normalize"), exist_ok=True)  # it has no settings
    _write(
        folder,
        "sentence_bert_config.json",
        {"max_seq_length": settings["max_position_embeddings"], "do_lower_case": False},
    )
