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
Kosmos-2 configuration. Options and their names are those of `transformers`, whose `config.json` is read as it is.

Article: Kosmos-2: Grounding Multimodal Large Language Models to the World, arXiv:2306.14824.
"""

import copy

from paddlenlp.transformers import PretrainedConfig

__all__ = ["Kosmos2TextConfig", "Kosmos2VisionConfig", "Kosmos2Config"]


class _PartConfig(PretrainedConfig):
    """A part of [`Kosmos2Config`]; `from_pretrained` also reads it out of the configuration of the whole."""

    part = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        if config_dict.get("model_type") == Kosmos2Config.model_type:
            config_dict = config_dict[cls.part]
        return cls.from_dict(config_dict, **kwargs)


def _refuse_division(name, width, heads, number):
    if width % number:
        raise ValueError(f"{name} {width} is not a multiple of {heads} {number}")


class Kosmos2TextConfig(_PartConfig):
    r"""
    The text decoder: Magneto blocks (sub-LN) and sinusoidal positions. The defaults are those of the published model.

    Args:
        vocab_size (`int`, *optional*, defaults to 65037): 64,002 pieces, 11 tags of the markup and 1,024 locations.
        max_position_embeddings (`int`, *optional*, defaults to 2048): longest input in tokens.
        embed_dim (`int`, *optional*, defaults to 2048): width of the decoder.
        layers (`int`, *optional*, defaults to 24): number of blocks.
        ffn_dim (`int`, *optional*, defaults to 8192): width of the feed-forward layers.
        attention_heads (`int`, *optional*, defaults to 32): number of attention heads.
        activation_function (`str`, *optional*, defaults to `"gelu"`): activation of the feed-forward layers.
        dropout (`float`, *optional*, defaults to 0.1): dropout of embeddings and of the layers' outputs.
        attention_dropout (`float`, *optional*, defaults to 0.1): dropout of the attention weights.
        activation_dropout (`float`, *optional*, defaults to 0.0): dropout inside of the feed-forward layers.
        layerdrop (`float`, *optional*, defaults to 0.0): share of blocks that are left out in training; only 0 is supported.
        layer_norm_eps (`float`, *optional*, defaults to 1e-5): epsilon of the layer normalizations.
        init_std (`float`, *optional*, defaults to 0.02): standard deviation of new weights.
        scale_embedding (`bool`, *optional*, defaults to `True`): multiply embeddings by sqrt(embed_dim).
        pad_token_id (`int`, *optional*, defaults to 1): padding; positions begin behind this number.
    """

    model_type = "kosmos_2_text_model"
    part = "text_config"
    attribute_map = {
        "num_attention_heads": "attention_heads",
        "hidden_size": "embed_dim",
        "num_hidden_layers": "layers",
    }

    def __init__(
        self,
        vocab_size=65037,
        max_position_embeddings=2048,
        embed_dim=2048,
        layers=24,
        ffn_dim=8192,
        attention_heads=32,
        activation_function="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        activation_dropout=0.0,
        layerdrop=0.0,
        layer_norm_eps=1e-5,
        init_std=0.02,
        scale_embedding=True,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **kwargs,
    ):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)
        _refuse_division("embed_dim", embed_dim, "attention_heads", attention_heads)
        for name, value in (("layerdrop", layerdrop), ("add_cross_attention", kwargs.get("add_cross_attention"))):
            if value:
                raise ValueError(f"{name} is {value}: Kosmos-2 is published without it, and it is not supported")
        if not kwargs.get("tie_word_embeddings", True):
            raise ValueError("tie_word_embeddings is False: the output matrix of Kosmos-2 is that of the embeddings")
        self.vocab_size = vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.embed_dim = embed_dim
        self.layers = layers
        self.ffn_dim = ffn_dim
        self.attention_heads = attention_heads
        self.activation_function = activation_function
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.layerdrop = layerdrop
        self.layer_norm_eps = layer_norm_eps
        self.init_std = init_std
        self.scale_embedding = scale_embedding


class Kosmos2VisionConfig(_PartConfig):
    r"""
    The image encoder: CLIP ViT-L/14. The defaults are those of the published model.

    Args:
        hidden_size (`int`, *optional*, defaults to 1024): width of the encoder.
        intermediate_size (`int`, *optional*, defaults to 4096): width of its feed-forward layers.
        num_hidden_layers (`int`, *optional*, defaults to 24): number of blocks.
        num_attention_heads (`int`, *optional*, defaults to 16): number of attention heads.
        num_channels (`int`, *optional*, defaults to 3): channels of an image.
        image_size (`int`, *optional*, defaults to 224): height and width of the image in pixels.
        patch_size (`int`, *optional*, defaults to 14): height and width of a patch in pixels.
        hidden_act (`str`, *optional*, defaults to `"quick_gelu"`): activation of the feed-forward layers.
        layer_norm_eps (`float`, *optional*, defaults to 1e-5): epsilon of the layer normalizations.
        attention_dropout (`float`, *optional*, defaults to 0.0): dropout of the attention weights.
        initializer_range (`float`, *optional*, defaults to 0.02): standard deviation of new patch and position weights.
        initializer_factor (`float`, *optional*, defaults to 1.0): factor of all standard deviations of new weights.
    """

    model_type = "kosmos_2_vision_model"
    part = "vision_config"

    def __init__(
        self,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        num_channels=3,
        image_size=224,
        patch_size=14,
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        attention_dropout=0.0,
        initializer_range=0.02,
        initializer_factor=1.0,
        **kwargs,
    ):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(**kwargs)
        _refuse_division("hidden_size", hidden_size, "num_attention_heads", num_attention_heads)
        _refuse_division("image_size", image_size, "patch_size", patch_size)
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_channels = num_channels
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        self.attention_dropout = attention_dropout
        self.initializer_range = initializer_range
        self.initializer_factor = initializer_factor


class Kosmos2Config(PretrainedConfig):
    r"""
    The configuration of [`Kosmos2ForConditionalGeneration`].

    Args:
        text_config (`dict`, *optional*): options of [`Kosmos2TextConfig`].
        vision_config (`dict`, *optional*): options of [`Kosmos2VisionConfig`].
        latent_query_num (`int`, *optional*, defaults to 64): queries of the resampler: places of an image in the text.

    Example:
    ```python
    >>> from paddlemix import Kosmos2Config, Kosmos2ForConditionalGeneration
    >>> model = Kosmos2ForConditionalGeneration(Kosmos2Config())
    ```"""

    model_type = "kosmos-2"
    is_composition = True

    def __init__(self, text_config=None, vision_config=None, latent_query_num=64, **kwargs):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(**kwargs)
        self.text_config = Kosmos2TextConfig(**(text_config or {}))
        self.vision_config = Kosmos2VisionConfig(**(vision_config or {}))
        self.latent_query_num = latent_query_num

    def to_dict(self):
        output = copy.deepcopy(self.__dict__)
        for part in ("text_config", "vision_config"):
            output[part] = getattr(self, part).to_dict()
        output["model_type"] = self.model_type
        return output
