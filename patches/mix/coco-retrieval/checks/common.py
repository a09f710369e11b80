"""What the checks share: the reference set, and the model with its weights."""

import os

import paddle
from paddlemix.models.blip2.convert_retrieval import config_from_hf, convert_state, load_state
from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval

from proving.reference import ReferenceSet
from proving.weights import Layout

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


class Set(ReferenceSet):
    def __init__(self, directory=None):
        super().__init__(directory or FILES, "blip2_itr")

    def build(self, dtype="float32", image_size=None):
        """The model with the reference's seeded weights, through the converter; the reference's temperature is fixed."""
        config, vision = dict(self.config), dict(self.config["vision_config"])
        config["vision_config"] = dict(vision, image_size=image_size or vision["image_size"])
        paddle.set_default_dtype(dtype)
        try:
            model = Blip2ForImageTextRetrieval(config_from_hf(config))
        finally:
            paddle.set_default_dtype("float32")
        load_state(model, convert_state(self.weights(), model, "hf"))
        model.temp.stop_gradient = True
        model.eval()
        return model

    def layout(self, model):
        return Layout(self.entries, lambda state: convert_state(state, model, "hf"))

    def inputs(self, dtype="float32"):
        """Arguments of the loss; the negatives are those that the reference took."""
        arrays, rows = self.arrays, self.shape("input_ids")[0]
        made = {name: paddle.to_tensor(arrays[name]) for name in ("pixel_values", "input_ids", "attention_mask")}
        made["pixel_values"] = made["pixel_values"].astype(dtype)
        images, texts = arrays["pair_image_index"], arrays["pair_text_index"]
        made["negatives"] = paddle.to_tensor([images[rows : 2 * rows], texts[2 * rows :]]).t()
        return made
