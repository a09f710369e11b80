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
InstructBLIP configuration.

Article: InstructBLIP: Towards General-purpose Vision-Language Models with Instruction Tuning, arXiv:2305.06500.
"""

import copy

from paddlenlp.transformers import LlamaConfig, OPTConfig, PretrainedConfig, T5Config

__all__ = ["InstructBlipVisionConfig", "InstructBlipQFormerConfig", "InstructBlipConfig"]

TEXT_CONFIGS = {"opt": OPTConfig, "t5": T5Config, "llama": LlamaConfig}
ENCODER_DECODER = ("t5",)


class _PartConfig(PretrainedConfig):
    """A part of [`InstructBlipConfig`]; `from_pretrained` also reads it out of the configuration of the whole."""

    part = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        if config_dict.get("model_type") == InstructBlipConfig.model_type:
            config_dict = config_dict[cls.part]
        return cls.from_dict(config_dict, **kwargs)


class InstructBlipVisionConfig(_PartConfig):
    r"""
    The image encoder: EVA ViT-g/14 without its last block. The defaults are those of the published models.

    Args:
        hidden_size (`int`, *optional*, defaults to 1408): width of the encoder.
        intermediate_size (`int`, *optional*, defaults to 6144): width of its feed-forward layers.
        num_hidden_layers (`int`, *optional*, defaults to 39): number of blocks.
        num_attention_heads (`int`, *optional*, defaults to 16): number of attention heads.
        image_size (`int`, *optional*, defaults to 224): height and width of the image in pixels.
        patch_size (`int`, *optional*, defaults to 14): height and width of a patch in pixels.
        hidden_act (`str`, *optional*, defaults to `"gelu"`): activation of the feed-forward layers.
        layer_norm_eps (`float`, *optional*, defaults to 1e-6): epsilon of the layer normalizations.
        attention_dropout (`float`, *optional*, defaults to 0.0): dropout of the attention weights.
        initializer_range (`float`, *optional*, defaults to 1e-10): standard deviation of new weights.
        qkv_bias (`bool`, *optional*, defaults to `True`): whether queries and values have a bias.
    """

    model_type = "instructblip_vision_model"
    part = "vision_config"

    def __init__(
        self,
        hidden_size=1408,
        intermediate_size=6144,
        num_hidden_layers=39,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
        attention_dropout=0.0,
        initializer_range=1e-10,
        qkv_bias=True,
        **kwargs,
    ):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(**kwargs)
        if hidden_size % num_attention_heads:
            raise ValueError(
                f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}"
            )
        if image_size % patch_size:
            raise ValueError(f"image_size {image_size} is not a multiple of patch_size {patch_size}")
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        self.attention_dropout = attention_dropout
        self.initializer_range = initializer_range
        self.qkv_bias = qkv_bias


class InstructBlipQFormerConfig(_PartConfig):
    r"""
    The instruction-aware Q-Former: BERT-base with cross attention to the image in every second layer.

    Args:
        vocab_size (`int`, *optional*, defaults to 30523): BERT's vocabulary and one token `[DEC]`.
        hidden_size (`int`, *optional*, defaults to 768): width of the layers.
        num_hidden_layers (`int`, *optional*, defaults to 12): number of layers.
        num_attention_heads (`int`, *optional*, defaults to 12): number of attention heads.
        intermediate_size (`int`, *optional*, defaults to 3072): width of the feed-forward layers.
        hidden_act (`str`, *optional*, defaults to `"gelu"`): activation of the feed-forward layers.
        hidden_dropout_prob (`float`, *optional*, defaults to 0.1): dropout of the layers' outputs.
        attention_probs_dropout_prob (`float`, *optional*, defaults to 0.1): dropout of the attention weights.
        max_position_embeddings (`int`, *optional*, defaults to 512): longest instruction, in tokens.
        initializer_range (`float`, *optional*, defaults to 0.02): standard deviation of new weights.
        layer_norm_eps (`float`, *optional*, defaults to 1e-12): epsilon of the layer normalizations.
        cross_attention_frequency (`int`, *optional*, defaults to 2): layers 0, n, 2n, ... attend to the image.
        encoder_hidden_size (`int`, *optional*, defaults to 1408): width of the image encoder.
    """

    model_type = "instructblip_qformer"
    part = "qformer_config"

    def __init__(
        self,
        vocab_size=30523,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=512,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        cross_attention_frequency=2,
        encoder_hidden_size=1408,
        **kwargs,
    ):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(pad_token_id=pad_token_id, **kwargs)
        if hidden_size % num_attention_heads:
            raise ValueError(
                f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}"
            )
        if kwargs.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("the Q-Former of InstructBLIP has absolute position embeddings only")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.cross_attention_frequency = cross_attention_frequency
        self.encoder_hidden_size = encoder_hidden_size


class InstructBlipConfig(PretrainedConfig):
    r"""
    The configuration of [`InstructBlipForConditionalGeneration`].

    Args:
        vision_config (`dict`, *optional*): options of [`InstructBlipVisionConfig`].
        qformer_config (`dict`, *optional*): options of [`InstructBlipQFormerConfig`].
        text_config (`dict`, *optional*):
            options of the language model's configuration; its `model_type` is `"opt"` (default), `"t5"` or `"llama"`.
        num_query_tokens (`int`, *optional*, defaults to 32): number of learned queries.
        image_token_index (`int`, *optional*):
            id of the placeholder token in `input_ids` whose embeddings are replaced by the image's. `None`: the ids hold
            no placeholders, and the image's embeddings are put before the text's.

    Example:
    ```python
    >>> from paddlemix import InstructBlipConfig, InstructBlipForConditionalGeneration
    >>> model = InstructBlipForConditionalGeneration(InstructBlipConfig(text_config={"model_type": "opt"}))
    ```"""

    model_type = "instructblip"
    is_composition = True

    def __init__(
        self,
        vision_config=None,
        qformer_config=None,
        text_config=None,
        num_query_tokens=32,
        image_token_index=None,
        **kwargs,
    ):
        kwargs["return_dict"] = kwargs.pop("return_dict", True)
        super().__init__(**kwargs)
        text_config = dict(text_config or {})
        kind = text_config.pop("model_type", "opt")
        if kind not in TEXT_CONFIGS:
            raise ValueError(f"text_config.model_type is {kind!r}; there are {', '.join(TEXT_CONFIGS)}")
        self.vision_config = InstructBlipVisionConfig(**(vision_config or {}))
        self.qformer_config = InstructBlipQFormerConfig(**(qformer_config or {}))
        self.text_config = TEXT_CONFIGS[kind](**text_config)
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size
        self.num_query_tokens = num_query_tokens
        self.image_token_index = image_token_index
        self.use_decoder_only_language_model = kind not in ENCODER_DECODER
        self.initializer_range = 0.02

    @classmethod
    def from_vision_qformer_text_configs(cls, vision_config, qformer_config, text_config, **kwargs):
        """The configuration made of three others."""
        return cls(
            vision_config=vision_config.to_dict(),
            qformer_config=qformer_config.to_dict(),
            text_config=text_config.to_dict(),
            **kwargs,
        )

    def to_dict(self):
        output = copy.deepcopy(self.__dict__)
        for part in ("vision_config", "qformer_config", "text_config"):
            output[part] = getattr(self, part).to_dict()
        output["model_type"] = self.model_type
        return output
