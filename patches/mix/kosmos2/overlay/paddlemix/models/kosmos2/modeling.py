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
Kosmos-2: text that points at places in an image, and answers about places that the text points at.

Article: Kosmos-2: Grounding Multimodal Large Language Models to the World, arXiv:2306.14824. Behaviour measured on `transformers`
4.57.6 (`Kosmos2ForConditionalGeneration`, Apache 2.0); no code of it is used. What differs: `generate` gives new tokens and their
scores, as PaddleNLP's does, and positions of generated tokens do not count the padding of the prompt.
"""

from dataclasses import dataclass
from typing import Any, Optional

import paddle
import paddle.nn as nn
from paddle.nn.initializer import Constant, Normal
from paddlenlp.transformers import PretrainedModel
from paddlenlp.transformers.model_outputs import ModelOutput

from ..common.generation import GenerationOptions, cross_entropy, generate
from ..common.sot import given
from .attention import Attention
from .configuration import Kosmos2Config, Kosmos2VisionConfig
from .text import TextFFN, TextForCausalLM, TextTransformer
from .vision import VisionEmbeddings, VisionMLP, VisionTransformer

__all__ = ["Kosmos2PretrainedModel", "Kosmos2VisionModel", "Kosmos2ForConditionalGeneration"]


@dataclass
class Kosmos2Output(ModelOutput):
    """
    Args:
        loss (`Tensor`, scalar): mean cross entropy of the labels that are not -100; with `labels` only.
        logits (`Tensor`, [N, L, vocab_size]): scores of the next token.
        last_hidden_state (`Tensor`, [N, L, C]): states of the decoder.
        image_embeds (`Tensor`, [N, Q, C]): what the decoder gets of the images; `None` without images.
        projection_attentions (`Tensor`, [N, heads, Q, P + 1 + Q]): weights of the resampler; `None` without `pixel_values`.
        cache (list): keys and values of each block; with `use_cache` only.
    """

    loss: Optional[paddle.Tensor] = None
    logits: Optional[paddle.Tensor] = None
    last_hidden_state: Optional[paddle.Tensor] = None
    image_embeds: Optional[paddle.Tensor] = None
    projection_attentions: Optional[paddle.Tensor] = None
    cache: Any = None


class Kosmos2PretrainedModel(PretrainedModel):
    """Loading, saving and initial weights; `from_pretrained` reads what `save_pretrained` or the converter wrote."""

    config_class = Kosmos2Config
    base_model_prefix = "kosmos2"
    main_input_name = "pixel_values"

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, dtype=None, **kwargs):
        """As PaddleNLP's; on a CPU, for which Paddle has no random numbers in bfloat16, such a model is made in float32 and cast."""
        cast = dtype == "bfloat16" and paddle.get_device() == "cpu"
        kwargs.update({} if dtype is None else {"dtype": "float32" if cast else dtype})
        model = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        if cast:
            model.to(dtype=dtype)
        return model

    def _init_weights(self, layer):
        vision = getattr(self.config, "vision_config", self.config)
        std = self.config.text_config.init_std if isinstance(self.config, Kosmos2Config) else vision.initializer_range
        factor, width = vision.initializer_factor, vision.hidden_size
        if isinstance(layer, VisionEmbeddings):
            Normal(0.0, width**-0.5 * factor)(layer.class_embedding)
            Normal(0.0, vision.initializer_range * factor)(layer.patch_embedding.weight)
            Normal(0.0, vision.initializer_range * factor)(layer.position_embedding.weight)
        elif isinstance(layer, Attention):
            of_vision = layer in self._vision_attentions()
            inner = width**-0.5 * (2 * vision.num_hidden_layers) ** -0.5 * factor if of_vision else std
            for part in (layer.q_proj, layer.k_proj, layer.v_proj):
                self._new(part, inner)
            self._new(layer.out_proj, width**-0.5 * factor if of_vision else std)
        elif isinstance(layer, VisionMLP):
            self._new(layer.fc1, (2 * width) ** -0.5 * factor)
            self._new(layer.fc2, width**-0.5 * (2 * vision.num_hidden_layers) ** -0.5 * factor)
        elif isinstance(layer, TextFFN):
            self._new(layer.fc1, std)
            self._new(layer.fc2, std)
        elif isinstance(layer, ImageToTextProjection):
            self._new(layer.dense, std)
            Normal(0.0, 1.0)(layer.latent_query)
        elif isinstance(layer, TextTransformer):
            Normal(0.0, std)(layer.embed_tokens.weight)
            with paddle.no_grad():
                keep = paddle.ones([layer.embed_tokens.weight.shape[0], 1], layer.embed_tokens.weight.dtype)
                keep[self.config.text_config.pad_token_id] = 0.0
                layer.embed_tokens.weight.set_value(layer.embed_tokens.weight * keep)
        elif isinstance(layer, nn.LayerNorm):
            Constant(1.0)(layer.weight)
            Constant(0.0)(layer.bias)

    @staticmethod
    def _new(linear, std):
        Normal(0.0, std)(linear.weight)
        Constant(0.0)(linear.bias)

    def _vision_attentions(self):
        encoder = self.model.encoder if isinstance(self, Kosmos2VisionModel) else self.vision_model.model.encoder
        return [block.self_attn for block in encoder.layers]


class Kosmos2VisionModel(Kosmos2PretrainedModel):
    """The image encoder."""

    config_class = Kosmos2VisionConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = VisionTransformer(config)

    def get_input_embeddings(self):
        return self.model.embeddings.patch_embedding

    def forward(self, pixel_values, interpolate_pos_encoding=False):
        """
        Args:
            pixel_values (`Tensor`, [N, 3, H, W]): normalized images.
            interpolate_pos_encoding (`bool`): take images of another size than the configured one.

        Returns:
            states [N, 1 + H*W/patch^2, C] before the last normalization.

        Raises:
            ValueError: the image has another size than the configuration, without `interpolate_pos_encoding`.
        """
        size, height, width = self.config.image_size, pixel_values.shape[2], pixel_values.shape[3]
        if not interpolate_pos_encoding and paddle.in_dynamic_mode() and (height != size or width != size):
            raise ValueError(
                f"the images are {height}x{width}, the model wants {size}x{size}; or interpolate_pos_encoding=True"
            )
        return self.model(pixel_values, interpolate_pos_encoding)


class ImageToTextProjection(nn.Layer):
    """The resampler: queries attend to the image and to each other. [N, P, C] -> [N, Q, C'], and the weights of attention."""

    def __init__(self, config):
        super().__init__()
        text = config.text_config
        self.dense = nn.Linear(config.vision_config.hidden_size, text.embed_dim)
        self.latent_query = self.create_parameter([config.latent_query_num, text.embed_dim])
        self.x_attn = Attention(text.embed_dim, text.attention_heads, text.attention_dropout)

    def forward(self, features):
        states = self.dense(features)
        queries = self.latent_query + paddle.zeros_like(states[:, :1])  # for each image
        return self.x_attn(queries, paddle.concat([states, queries], axis=1))[:2]


class Kosmos2ForConditionalGeneration(Kosmos2PretrainedModel):
    """
    Image encoder, resampler and text decoder.

    Example:
    ```python
    >>> from PIL import Image
    >>> from paddlemix import Kosmos2ForConditionalGeneration, Kosmos2Processor
    >>> processor = Kosmos2Processor.from_pretrained("output/kosmos-2")
    >>> model = Kosmos2ForConditionalGeneration.from_pretrained("output/kosmos-2")
    >>> inputs = processor(images=Image.open("snowman.jpg"), text="<grounding> An image of")
    >>> ids, scores = model.generate(**inputs, max_new_tokens=64)
    >>> text, entities = processor.post_process_generation("<grounding> An image of" + processor.batch_decode(ids)[0])
    ```"""

    def __init__(self, config):
        if paddle.get_default_dtype() == "float16" and paddle.get_device() == "cpu":
            raise ValueError("Paddle has no kernels for float16 on a CPU; next: dtype='float32'")
        super().__init__(config)
        self.text_model = TextForCausalLM(config.text_config)
        self.vision_model = Kosmos2VisionModel(config.vision_config)
        self.image_to_text_projection = ImageToTextProjection(config)

    def get_input_embeddings(self):
        return self.text_model.model.embed_tokens

    def set_input_embeddings(self, value):
        self.text_model.model.embed_tokens = value

    def image_features(self, pixel_values, interpolate_pos_encoding=False):
        """
        What the decoder gets of images [N, 3, H, W].

        Returns:
            features [N, Q, C], and the resampler's weights [N, heads, Q, P + 1 + Q].
        """
        return self.project(self.vision_model(pixel_values, interpolate_pos_encoding))

    def project(self, states):
        """`image_features` of the states that `vision_model` gives."""
        states = self.vision_model.model.post_layernorm(states)
        # the epsilon of the original, which bounds the norm itself
        length = paddle.sqrt(paddle.square(states).sum(axis=-1, keepdim=True)).clip(min=1e-12)
        features, weights = self.image_to_text_projection(states / length)
        return features, weights

    def join(self, input_ids, image_embeds=None, image_embeds_position_mask=None):
        """
        Embeddings [N, L, C] of ids [N, L], with the features of each row's image where the mask [N, L] is 1.

        Raises:
            ValueError:
                features without places or places without features; a row has another number of places than features (in eval
                mode; in training every result is NaN then, for reading values would break the graph of a step).
        """
        embeds = self.text_model.embed(input_ids)
        features, places = given(image_embeds), given(image_embeds_position_mask)
        if not features and not places:
            return embeds
        if not features or not places:
            there = "an image" if features else "image_embeds_position_mask"
            lacks = "image_embeds_position_mask" if features else "an image"
            raise ValueError(f"there is {there} without {lacks}; next: make the inputs with Kosmos2Processor")
        place, number = image_embeds_position_mask != 0, image_embeds.shape[1]
        if paddle.in_dynamic_mode() and not self.training:
            counts = place.astype("int64").sum(-1).tolist()
            if image_embeds.shape[0] != len(counts) or set(counts) != {number}:
                raise ValueError(
                    f"the rows have {counts} places for the features of {image_embeds.shape[0]} images, which have {number} each; "
                    "next: make the inputs with Kosmos2Processor, one image for each text"
                )
        else:
            right = (place.astype("int64").sum(-1, keepdim=True) == number).unsqueeze(-1)
            image_embeds = paddle.where(right, image_embeds, paddle.full_like(image_embeds, float("nan")))
        order = (paddle.cumsum(place.astype("int64"), axis=-1) - 1).clip(0, number - 1)
        order = order.unsqueeze(-1).expand([-1, -1, image_embeds.shape[-1]])
        image = paddle.take_along_axis(image_embeds.astype(embeds.dtype), order, axis=1)
        # expand_as takes no mask that may have a gradient, as inputs of a static program may
        whole = paddle.logical_and(place.unsqueeze(-1), paddle.ones_like(embeds, dtype="bool"))
        return paddle.where(whole, image, embeds)

    def check_length(self, length):
        """Raises ValueError where `length` tokens are more than the decoder has positions."""
        most = self.config.text_config.max_position_embeddings
        if length > most:
            raise ValueError(f"the text has {length} tokens with its image, the model has {most} positions")

    def forward(
        self,
        pixel_values=None,
        input_ids=None,
        image_embeds_position_mask=None,
        attention_mask=None,
        image_embeds=None,
        labels=None,
        use_cache=False,
        interpolate_pos_encoding=False,
        return_dict=None,
    ):
        """
        Args:
            pixel_values (`Tensor`, [N, 3, H, W]): normalized images; `None` for text alone, or with `image_embeds`.
            input_ids (`Tensor`, [N, L]): the text; at the places of the image any ids but padding.
            image_embeds_position_mask (`Tensor`, [N, L]): 1 at the places of the image.
            attention_mask (`Tensor`, [N, L]): 0 at padding; `None`: all is seen.
            image_embeds (`Tensor`, [N, Q, C]): `image_features` that are known already.
            labels (`Tensor`, [N, L]): the ids again, -100 where nothing is learned; they are shifted inside.
            use_cache (`bool`): give keys and values as well.

        Returns:
            [`Kosmos2Output`], or the tuple (loss, logits) or (logits,) with `return_dict=False`.

        Raises:
            ValueError: see [`join`]; there are no ids; the text is longer than the positions.
        """
        return_dict = self.config.use_return_dict if return_dict is None else return_dict
        if not given(input_ids):
            raise ValueError("input_ids is missing; next: give the processor a text, `text=...`")
        if paddle.in_dynamic_mode():
            self.check_length(input_ids.shape[1])
        weights = None
        if given(pixel_values) and not given(image_embeds):
            image_embeds, weights = self.image_features(pixel_values, interpolate_pos_encoding)
        embeds = self.join(input_ids, image_embeds, image_embeds_position_mask)
        positions = self.text_model.position_ids(input_ids != self.config.text_config.pad_token_id)
        mask = attention_mask if given(attention_mask) else paddle.ones_like(input_ids)
        states, cache = self.text_model.model(embeds, positions, mask)
        logits = self.text_model.logits(states)
        loss = self.loss(logits[:, :-1], labels[:, 1:]) if given(labels) else None
        if not return_dict:
            return (loss, logits) if given(loss) else (logits,)
        return Kosmos2Output(
            loss=loss,
            logits=logits,
            last_hidden_state=states,
            image_embeds=image_embeds,
            projection_attentions=weights,
            cache=cache if use_cache else None,
        )

    @staticmethod
    def loss(logits, labels):
        """Mean cross entropy of [N, L, V] and [N, L] over the labels that are not -100; 0 if all are."""
        # the mean of F.cross_entropy counts ignored labels in Paddle 2.6's static graph, and not in dygraph
        losses = cross_entropy(logits, labels)
        return losses.sum() / (labels != -100).astype(losses.dtype).sum().clip(min=1.0)

    @paddle.no_grad()
    def generate(
        self,
        pixel_values=None,
        input_ids=None,
        image_embeds_position_mask=None,
        attention_mask=None,
        image_embeds=None,
        interpolate_pos_encoding=False,
        **options,
    ):
        """
        Text behind texts. The arguments are those of `forward`; rows of different lengths are padded on the left.

        Args:
            options: see [`GenerationOptions`](../common/generation.py): `num_beams`, `do_sample`, `top_p`, `max_new_tokens`, ...;
                `no_repeat_ngram_size` is that of the configuration if it is left out (3 in the published model).

        Returns:
            ids [N * num_return_sequences, T] of the new tokens, padded at the end, and the scores [N * num_return_sequences]
            (sum of log-probabilities; divided by length^length_penalty with beams).

        Raises:
            ValueError: see `forward`; a row is padded on the right; an option is unknown or contradicts another.
        """
        config = self.config.text_config
        options = {"no_repeat_ngram_size": getattr(config, "no_repeat_ngram_size", 0) or 0, **options}
        options = GenerationOptions.of(config, options)
        if not given(input_ids):
            raise ValueError("input_ids is missing; next: give the processor a text, `text=...`")
        mask = attention_mask if given(attention_mask) else paddle.ones_like(input_ids)
        if not bool((mask[:, -1] != 0).all()):
            raise ValueError(
                "a row is padded on the right, where its answer belongs; next: Kosmos2Processor(..., padding_side='left')"
            )
        if given(pixel_values) and not given(image_embeds):
            image_embeds, _ = self.image_features(pixel_values, interpolate_pos_encoding)
        embeds = self.join(input_ids, image_embeds, image_embeds_position_mask)
        return generate(self.text_model, embeds, mask, input_ids, mask, options)
