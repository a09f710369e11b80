"""The models of the stored reference runs, with their seeded weights, and how the overlay is imported."""

import os

import paddle

from proving.reference import ReferenceSet
from proving.tree import on_path
from proving.weights import assign

REFERENCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "reference")
KEYS = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act hidden_dropout_prob "
    "attention_probs_dropout_prob max_position_embeddings type_vocab_size layer_norm_eps pad_token_id"
).split()


def use_overlay():
    """Make `retriever` and the scripts importable, from the work tree that is the working directory."""
    on_path("examples", "semantic_indexing", "bge")


class Set(ReferenceSet):
    """A stored run, and the port with its weights."""

    def __init__(self, reference, name):
        super().__init__(reference or REFERENCE, name)
        self.retromae, self.m3 = name == "retromae", name == "bge_m3"

    def convert(self, state):
        from retriever.convert import state_to_paddle
        from retriever.m3 import m3_to_paddle

        if self.m3:  # the encoder's names without "model.", as its file has them
            return m3_to_paddle({name[len("model.") :] if name.startswith("model.") else name: v for name, v in state.items()})
        return state_to_paddle(state, self.retromae)

    def build(self, dtype="float32"):
        """The port with the weights of the reference, in eval mode."""
        from paddlenlp.transformers import BertConfig, RobertaConfig
        from retriever import EmbeddingModel, M3Model, RetroMAEForPretraining

        paddle.set_default_dtype(dtype)
        settings = {key: self.config[key] for key in KEYS}
        if self.m3:
            model = M3Model(RobertaConfig(**settings, cls_token_id=0))
        else:
            model = (RetroMAEForPretraining if self.retromae else EmbeddingModel)(BertConfig(**settings))
        assign(model, self.convert(self.weights()), without=("bert.pooler.",) if self.retromae else ())
        model.eval()
        return model
