"""The models of the stored reference runs, with their seeded weights, and how the overlay is imported."""

import json
import os
import sys

import numpy as np
import paddle

from proving.seeding import seeded

FOLDER = os.path.join("examples", "semantic_indexing", "bge")
KEYS = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob max_position_embeddings type_vocab_size layer_norm_eps pad_token_id"
).split()


def use_overlay():
    """Make `retriever` and the scripts importable, from the work tree that is the working directory."""
    folder = os.path.join(os.getcwd(), FOLDER)
    if not os.path.isdir(folder):
        raise SystemExit("error: no %s here\n  next  run this check with `forklift check nlp-retromae`" % FOLDER)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def load(reference, name):
    """Manifest and tensors of one stored run."""
    with open(os.path.join(reference, name + ".manifest.json"), encoding="utf-8") as stream:
        manifest = json.load(stream)
    return manifest, np.load(os.path.join(reference, name + ".npz"))


def config_of(reference, name):
    from paddlenlp.transformers import BertConfig

    with open(os.path.join(reference, name + ".config.json"), encoding="utf-8") as stream:
        settings = json.load(stream)
    return BertConfig(**{key: settings[key] for key in KEYS})


def seeded_state(manifest):
    """The tensors of the reference, in its names and its layout."""
    return {p["name"]: seeded(p["name"], p["shape"], p["kind"], manifest["salt"]) for p in manifest["parameters"]}


def build(reference, name, dtype="float32"):
    """The port with the weights of the reference, in eval mode."""
    use_overlay()
    from retriever import EmbeddingModel, RetroMAEForPretraining
    from retriever.convert import state_to_paddle

    paddle.set_default_dtype(dtype)
    manifest, _ = load(reference, name)
    retromae = name == "retromae"
    model = (RetroMAEForPretraining if retromae else EmbeddingModel)(config_of(reference, name))
    state = state_to_paddle(seeded_state(manifest), retromae)
    own = model.state_dict()
    for key, value in state.items():
        own[key].set_value(paddle.to_tensor(value.astype(dtype)))
    model.eval()
    return model
