"""What the checks of this change share: a reference set, its inputs, and the port with its weights."""

import os

import numpy as np
import paddle
from paddlemix.models.instructblip.convert import config_from_hf, convert_state, load_state
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

from proving.reference import ReferenceSet
from proving.weights import Layout

INPUTS = ("pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask")
IMAGE_INPUTS = INPUTS[:3]
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


class Set(ReferenceSet):
    """A stored run: `opt`, `t5`, `llama` or `t5wide`; in the collection of all sets its folder begins with `instructblip_`."""

    def __init__(self, directory, name):
        super().__init__(directory or FILES, name, "instructblip_" + name)

    def build(self, dtype="float32"):
        """The port with the weights that belong to the names of the reference, in eval mode."""
        paddle.set_default_dtype(dtype)
        try:
            model = InstructBlipForConditionalGeneration(config_from_hf(self.config))
        finally:
            paddle.set_default_dtype("float32")
        load_state(model, convert_state(self.weights(), model))
        model.eval()
        return model

    def layout(self, model):
        """Where the elements of the reference's tensors stand in `model`."""
        return Layout(self.entries, lambda state: convert_state(state, model))

    def tensors(self, names, dtype="float32"):
        """Inputs of the reference as tensors, images in `dtype`."""
        made = {name: paddle.to_tensor(self.arrays[name]) for name in names if name in self.arrays}
        made["pixel_values"] = made["pixel_values"].astype(dtype)
        return made

    def prompts(self):
        """Inputs of the reference's generation: prompts padded on the left."""
        made = self.tensors(INPUTS)
        made["input_ids"] = paddle.to_tensor(self.arrays["gen_input_ids"])
        made["attention_mask"] = paddle.to_tensor(self.arrays["gen_attention_mask"])
        return made


def image_features(model, inputs):
    """(features for the language model, outputs of the image encoder, of the Q-Former), without gradients."""
    with paddle.no_grad():
        return model.image_features(*[inputs[name] for name in IMAGE_INPUTS])


def cut_prompt(one, key="gen_sequences"):
    """Column from which stored ids are new: the original puts the prompt before them in some sets."""
    return one.arrays[key].shape[1] - one.shape("gen_new_tokens")[1] if "gen_new_tokens" in one.arrays else 0


def after_prompt(mask, count):
    """The mask of text with `count` image queries before it."""
    return np.concatenate([np.ones([len(mask), count], mask.dtype), mask], axis=1)
