"""What the checks of this change share: the port with the weights of a reference set, and the set's inputs."""

import paddle
from paddlemix.models.instructblip.convert import config_from_hf, convert_state, load_state
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

from proving import seeding
from proving.porting import read_set as reference  # noqa: F401

INPUTS = ("pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask")


def build(config, manifest, dtype="float32"):
    """The port with the weights that belong to the names of the reference, in eval mode."""
    paddle.set_default_dtype(dtype)
    try:
        model = InstructBlipForConditionalGeneration(config_from_hf(config))
    finally:
        paddle.set_default_dtype("float32")
    load_state(model, convert_state(dict(seeding.parameters(manifest)), model))
    model.eval()
    return model


def tensors(golden, names, dtype="float32"):
    """Inputs of the reference as tensors, images in `dtype`."""
    made = {name: paddle.to_tensor(golden[name]) for name in names if name in golden}
    made["pixel_values"] = made["pixel_values"].astype(dtype)
    return made


def prompts(golden, dtype="float32"):
    """Inputs of the reference's generation: prompts padded on the left."""
    made = tensors(golden, INPUTS, dtype)
    made["input_ids"] = paddle.to_tensor(golden["gen_input_ids"])
    made["attention_mask"] = paddle.to_tensor(golden["gen_attention_mask"])
    return made
