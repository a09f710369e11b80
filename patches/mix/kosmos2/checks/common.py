"""What the checks of this change share: the reference set, its inputs, and the port with its weights."""

import os

import paddle
from paddlemix.models.kosmos2.convert import config_from_hf, convert_state, load_state
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration

from proving.reference import ReferenceSet
from proving.weights import Layout

INPUTS = ("pixel_values", "input_ids", "image_embeds_position_mask", "attention_mask")
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


class Set(ReferenceSet):
    """The stored run of `transformers`."""

    def __init__(self, directory):
        super().__init__(directory or FILES, "kosmos2")

    def build(self, dtype="float32"):
        """The port with the weights that belong to the names of the reference, in eval mode."""
        paddle.set_default_dtype(dtype)
        try:
            model = Kosmos2ForConditionalGeneration(config_from_hf(self.config))
        finally:
            paddle.set_default_dtype("float32")
        load_state(model, convert_state(self.weights(), model))
        model.eval()
        return model

    def layout(self, model):
        """Where the elements of the reference's tensors stand in `model`."""
        return Layout(self.entries, lambda state: convert_state(state, model))

    def tensors(self, names=INPUTS, dtype="float32", prefix=""):
        """Inputs of the reference as tensors, images in `dtype`; `prefix` is put before all names but that of the images."""
        made = {name: paddle.to_tensor(self.arrays[name if name == "pixel_values" else prefix + name]) for name in names}
        made["pixel_values"] = made["pixel_values"].astype(dtype)
        return made
