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
InstructBLIP: an image and an instruction give text.

Article: InstructBLIP: Towards General-purpose Vision-Language Models with Instruction Tuning, arXiv:2305.06500. Behaviour measured
on `transformers` 4.57.6 (Apache 2.0) and salesforce/LAVIS @ 506965b (BSD 3-Clause); no code of either is used. What differs:
the image's places in `input_ids` may be left out (`image_token_index=None`), and `generate` gives new tokens and their scores,
as PaddleNLP's does.
"""

from dataclasses import dataclass
from typing import Any, Optional

import paddle
import paddle.nn as nn
from paddle.nn.initializer import Constant, Normal
from paddlemix.models.model_utils import MixPretrainedModel
from paddlenlp.transformers.model_outputs import BaseModelOutputWithPooling, ModelOutput

from ..common.generation import GenerationOptions, cross_entropy, generate, rank_candidates
from .configuration import InstructBlipConfig, InstructBlipQFormerConfig, InstructBlipVisionConfig
from .language import language_model
from .qformer import QFormerEmbeddings, QFormerEncoder, additive_mask, given
from .vision import VisionEmbeddings, VisionEncoder

__all__ = [
    "InstructBlipPretrainedModel",
    "InstructBlipVisionModel",
    "InstructBlipQFormerModel",
    "InstructBlipForConditionalGeneration",
]


@dataclass
class InstructBlipOutput(ModelOutput):
    """
    Args:
        loss (`Tensor`, scalar): mean cross entropy of the labels that are not -100; with `labels` only.
        logits (`Tensor`, [N, L, vocab_size]): scores of the language model.
        vision_outputs: of [`InstructBlipVisionModel`].
        qformer_outputs: of [`InstructBlipQFormerModel`].
        language_model_inputs (`Tensor`, [N, num_query_tokens, C]): what the language model gets of the image.
        encoder_last_hidden_state (`Tensor`, [N, L, C]): states of the encoder; encoder-decoder only.
    """

    loss: Optional[paddle.Tensor] = None
    logits: Optional[paddle.Tensor] = None
    vision_outputs: Any = None
    qformer_outputs: Any = None
    language_model_inputs: Optional[paddle.Tensor] = None
    encoder_last_hidden_state: Optional[paddle.Tensor] = None


class InstructBlipPretrainedModel(MixPretrainedModel):
    """Loading, saving and initial weights; `from_pretrained` reads what `save_pretrained` or the converters wrote."""

    config_class = InstructBlipConfig
    base_model_prefix = "instructblip"
    main_input_name = "pixel_values"

    def _init_weights(self, layer):
        std = self.config.initializer_range
        if isinstance(layer, (nn.Linear, nn.Conv2D)):
            Normal(0.0, std)(layer.weight)
            if layer.bias is not None:
                Constant(0.0)(layer.bias)
        elif isinstance(layer, nn.Embedding):
            Normal(0.0, std)(layer.weight)
        elif isinstance(layer, nn.LayerNorm):
            Constant(1.0)(layer.weight)
            Constant(0.0)(layer.bias)
        elif isinstance(layer, VisionEmbeddings):
            Normal(0.0, std)(layer.position_embedding)
            Normal(0.0, std)(layer.class_embedding)


class InstructBlipVisionModel(InstructBlipPretrainedModel):
    """The image encoder."""

    config_class = InstructBlipVisionConfig

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = VisionEmbeddings(config)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps)

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, pixel_values, interpolate_pos_encoding=False, return_dict=True):
        """
        Args:
            pixel_values (`Tensor`, [N, 3, H, W]): normalized images.
            interpolate_pos_encoding (`bool`): take images of another size than the configured one.

        Returns:
            `last_hidden_state` [N, 1 + H*W/patch^2, C], normalized, and `pooler_output` [N, C], the class token normalized
            once more, as an object or as a tuple.

        Raises:
            ValueError: the image has another size than the configuration, without `interpolate_pos_encoding`.
        """
        size, height, width = self.config.image_size, pixel_values.shape[2], pixel_values.shape[3]
        if not interpolate_pos_encoding and paddle.in_dynamic_mode() and (height != size or width != size):
            raise ValueError(
                f"the images are {height}x{width}, the model wants {size}x{size}; or interpolate_pos_encoding=True"
            )
        hidden = self.post_layernorm(self.encoder(self.embeddings(pixel_values, interpolate_pos_encoding)))
        pooled = self.post_layernorm(hidden[:, 0])
        if not return_dict:
            return hidden, pooled
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class InstructBlipQFormerModel(InstructBlipPretrainedModel):
    """The Q-Former."""

    config_class = InstructBlipQFormerConfig

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = QFormerEmbeddings(config)
        self.encoder = QFormerEncoder(config)

    def get_input_embeddings(self):
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        self.embeddings.word_embeddings = value

    def forward(
        self,
        query_embeds,
        input_ids=None,
        attention_mask=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        return_dict=True,
    ):
        """
        Args:
            query_embeds (`Tensor`, [N, Q, C]): the queries.
            input_ids (`Tensor`, [N, T]): the instruction; `None` without one.
            attention_mask (`Tensor`, [N, T]): 0 at the padding of the instruction; `None`: no padding.
            encoder_hidden_states (`Tensor`, [N, L, C']): the image.
            encoder_attention_mask (`Tensor`, [N, L]): 0 where the image shall not be seen; `None`: all is seen.

        Returns:
            `last_hidden_state` [N, Q + T, C], queries first, and `pooler_output` [N, C], as an object or as a tuple.

        Raises:
            ValueError: the instruction has more tokens than the configuration has positions.
        """
        queries = query_embeds.shape[1]
        if given(input_ids) and paddle.in_dynamic_mode() and input_ids.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"the instruction has {input_ids.shape[1]} tokens, the Q-Former has {self.config.max_position_embeddings} "
                "positions; next: make the inputs with InstructBlipProcessor, which cuts them"
            )
        hidden = self.embeddings(query_embeds, input_ids)
        dtype = hidden.dtype
        mask = image_mask = None
        if given(input_ids) and given(attention_mask):
            seen = paddle.ones_like(query_embeds[:, :, 0]).astype(dtype)
            mask = additive_mask(paddle.concat([seen, attention_mask.astype(dtype)], axis=1), dtype)
        if given(encoder_attention_mask):
            image_mask = additive_mask(encoder_attention_mask, dtype)
        hidden = self.encoder(hidden, mask, encoder_hidden_states, image_mask, queries, given(input_ids))
        pooled = hidden[:, 0]
        if not return_dict:
            return hidden, pooled
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class InstructBlipForConditionalGeneration(InstructBlipPretrainedModel):
    """
    Image encoder, Q-Former, projection and language model.

    Example:
    ```python
    >>> from PIL import Image
    >>> from paddlemix import InstructBlipForConditionalGeneration, InstructBlipProcessor
    >>> processor = InstructBlipProcessor.from_pretrained("output/instructblip")
    >>> model = InstructBlipForConditionalGeneration.from_pretrained("output/instructblip")
    >>> inputs = processor(images=Image.open("photo.jpg"), text="What is unusual about this image?")
    >>> ids, scores = model.generate(**inputs, num_beams=5, max_new_tokens=256, min_length=1)
    >>> print(processor.batch_decode(ids, skip_special_tokens=True)[0])
    ```"""

    def __init__(self, config):
        if paddle.get_default_dtype() == "float16" and paddle.get_device() == "cpu":
            raise ValueError("Paddle has no kernels for float16 on a CPU; next: dtype='float32'")
        super().__init__(config)
        self.vision_model = InstructBlipVisionModel(config.vision_config)
        self.query_tokens = self.create_parameter(
            [1, config.num_query_tokens, config.qformer_config.hidden_size], default_initializer=Constant(0.0)
        )
        self.qformer = InstructBlipQFormerModel(config.qformer_config)
        self.language_projection = nn.Linear(config.qformer_config.hidden_size, config.text_config.hidden_size)
        self.language_model = language_model(config.text_config)

    def get_input_embeddings(self):
        return self.language_model.get_input_embeddings()

    def freeze(self, vision=True, language=True):
        """Stop gradients as the article does: the Q-Former, the queries and the projection are trained."""
        for part, frozen in ((self.vision_model, vision), (self.language_model, language)):
            for parameter in part.parameters():
                parameter.stop_gradient = frozen

    def image_features(
        self, pixel_values, qformer_input_ids=None, qformer_attention_mask=None, interpolate_pos_encoding=False
    ):
        """
        What the language model gets of the images [N, 3, H, W], or of the frames of videos [N, F, 3, H, W].

        Returns:
            projected queries [N, Q, C] ([N, F * Q, C], frame after frame), outputs of the image encoder, outputs of the
            Q-Former (both with N * F rows for frames).
        """
        features, vision, qformer = self._image_features(
            pixel_values, qformer_input_ids, qformer_attention_mask, interpolate_pos_encoding
        )
        vision = BaseModelOutputWithPooling(last_hidden_state=vision[0], pooler_output=vision[1])
        qformer = BaseModelOutputWithPooling(last_hidden_state=qformer[0], pooler_output=qformer[1])
        return features, vision, qformer

    def _image_features(self, pixel_values, ids, mask, interpolate_pos_encoding):
        """`image_features` with pairs of tensors in place of objects, which SOT cannot make."""
        frames = pixel_values.shape[1] if pixel_values.ndim == 5 else 1
        if pixel_values.ndim == 5:
            pixel_values = pixel_values.flatten(0, 1)
            ids = None if ids is None else paddle.repeat_interleave(ids, frames, axis=0)
            mask = None if mask is None else paddle.repeat_interleave(mask, frames, axis=0)
        vision = self.vision_model(pixel_values, interpolate_pos_encoding, return_dict=False)
        image = vision[0].astype(self.query_tokens.dtype)
        queries = self.query_tokens + paddle.zeros_like(image[:, :1, :1])  # for each image
        qformer = self.qformer(queries, ids, mask, image, return_dict=False)
        features = self.language_projection(qformer[0][:, : self.config.num_query_tokens])
        if frames > 1:
            features = features.reshape([-1, frames * features.shape[1], features.shape[2]])
        return features, vision, qformer

    def check_places(self, input_ids, number=None):
        """
        That each row of `input_ids` [N, L] holds as many placeholders as there are features of its image.

        Args:
            number (`int`): features of an image; by default those of one picture, `num_query_tokens`.

        Raises:
            ValueError: a row has another number, which the message names.
        """
        number, token = self.config.num_query_tokens if number is None else number, self.config.image_token_index
        counts = [number] if token is None else (input_ids == token).astype("int64").sum(-1).tolist()
        if set(counts) != {number}:
            raise ValueError(
                f"the rows of input_ids hold {counts} image tokens (id {token}), the model has {number} queries for them; "
                "next: make the inputs with InstructBlipProcessor"
            )

    def join(self, features, input_ids, attention_mask=None):
        """
        The image's features at the places of the placeholder token, or before the text where the model has no such token.

        Returns:
            embeddings [N, L, C] and their mask [N, L].

        Raises:
            ValueError: a row has another number of placeholders than the model has queries (in eval mode; in training all is NaN).
        """
        number, token = features.shape[1], self.config.image_token_index
        if not given(attention_mask):
            attention_mask = paddle.ones_like(input_ids)
        if token is None:
            embeds = self.language_model.embed(input_ids)
            seen = paddle.ones([paddle.shape(features)[0], number], attention_mask.dtype)
            return paddle.concat([features.astype(embeds.dtype), embeds], 1), paddle.concat([seen, attention_mask], 1)
        place = input_ids == token
        if paddle.in_dynamic_mode() and not self.training:  # reading values would break the graph of a training step
            self.check_places(input_ids, number)
        else:  # and there a wrong number makes every result NaN, which no one overlooks
            right = (place.astype("int64").sum(-1, keepdim=True) == number).unsqueeze(-1)
            features = paddle.where(right, features, paddle.full_like(features, float("nan")))
        embeds = self.language_model.embed(paddle.where(place, paddle.zeros_like(input_ids), input_ids))
        order = (paddle.cumsum(place.astype("int64"), axis=-1) - 1).clip(0, number - 1)
        order = order.unsqueeze(-1).expand([-1, -1, features.shape[-1]])
        image = paddle.take_along_axis(features.astype(embeds.dtype), order, axis=1)
        return paddle.where(place.unsqueeze(-1).expand_as(embeds), image, embeds), attention_mask

    def forward(
        self,
        pixel_values,
        qformer_input_ids=None,
        qformer_attention_mask=None,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        labels=None,
        interpolate_pos_encoding=False,
        return_dict=None,
    ):
        """
        Args:
            pixel_values (`Tensor`, [N, 3, H, W]): normalized images.
            qformer_input_ids (`Tensor`, [N, T]): the instruction in the Q-Former's vocabulary.
            qformer_attention_mask (`Tensor`, [N, T]): 0 at its padding.
            input_ids (`Tensor`, [N, L]): image placeholders and instruction in the language model's vocabulary.
            attention_mask (`Tensor`, [N, L]): 0 at its padding.
            decoder_input_ids, decoder_attention_mask (`Tensor`, [N, D]): encoder-decoder only; made of `labels` if left out.
            labels (`Tensor`):
                -100 where nothing is learned. Decoder-only: as long as the joined input, shifted inside (labels that lack the
                image's places are filled up with -100). Encoder-decoder: the answer, [N, D].

        Returns:
            [`InstructBlipOutput`], or the tuple (loss, logits) or (logits,) with `return_dict=False`.
        """
        return_dict = self.config.use_return_dict if return_dict is None else return_dict
        features, vision, qformer = self._image_features(
            pixel_values, qformer_input_ids, qformer_attention_mask, interpolate_pos_encoding
        )
        embeds, mask = self.join(features, input_ids, attention_mask)
        states = None
        if self.language_model.is_encoder_decoder:
            if not given(decoder_input_ids):
                if not given(labels):
                    raise ValueError("the decoder needs `labels` or `decoder_input_ids`")
                decoder_input_ids = self.language_model.shift_right(labels)
            states = self.language_model.encode(embeds, mask)
            logits, _ = self.language_model.decode(
                decoder_input_ids, mask, states=states, decoder_attention_mask=decoder_attention_mask
            )
            loss = self.loss(logits, labels) if given(labels) else None
        else:
            logits, _ = self.language_model.decode(embeds, mask)
            if given(labels) and labels.shape[1] != logits.shape[1]:
                image = paddle.full([labels.shape[0], logits.shape[1] - labels.shape[1]], -100, labels.dtype)
                labels = paddle.concat([image, labels], axis=1)
            loss = self.loss(logits[:, :-1], labels[:, 1:]) if given(labels) else None
        if not return_dict:
            return (loss, logits) if given(loss) else (logits,)
        return InstructBlipOutput(
            loss=loss,
            logits=logits,
            vision_outputs=BaseModelOutputWithPooling(last_hidden_state=vision[0], pooler_output=vision[1]),
            qformer_outputs=BaseModelOutputWithPooling(last_hidden_state=qformer[0], pooler_output=qformer[1]),
            language_model_inputs=features,
            encoder_last_hidden_state=states,
        )

    @staticmethod
    def check_prompt(input_ids):
        if input_ids is None:
            raise ValueError(
                "input_ids is missing; next: give the processor an instruction, `text=...` (an empty one is one, too)"
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
        pixel_values,
        qformer_input_ids=None,
        qformer_attention_mask=None,
        input_ids=None,
        attention_mask=None,
        interpolate_pos_encoding=False,
        **options,
    ):
        """
        Text for images. The arguments are those of `forward`; prompts of a decoder-only model are padded on the left.

        Args:
            options: see [`GenerationOptions`](generation.py): `num_beams`, `do_sample`, `top_p`, `max_new_tokens`, ...

        Returns:
            ids [N * num_return_sequences, T] of the new tokens, padded at the end, and the scores [N * num_return_sequences]
            (sum of log-probabilities; divided by length^length_penalty with beams).

        Raises:
            ValueError:
                an option is unknown or contradicts another; there is no instruction; the prompt fills the language model's
                positions.
        """
        options = GenerationOptions.of(self.language_model.config, options)
        self.check_prompt(input_ids)
        features, _, _ = self.image_features(
            pixel_values, qformer_input_ids, qformer_attention_mask, interpolate_pos_encoding
        )
        embeds, mask = self.join(features, input_ids, attention_mask)
        given_mask = paddle.ones_like(input_ids) if attention_mask is None else attention_mask
        return generate(self.language_model, embeds, mask, input_ids, given_mask, options)

    @paddle.no_grad()
    def predict_class(
        self,
        candidates,
        pixel_values,
        qformer_input_ids=None,
        qformer_attention_mask=None,
        input_ids=None,
        attention_mask=None,
    ):
        """
        The article's vocabulary ranking (arXiv:2305.06500, section 2.5): the summed cross entropy of each candidate's tokens.
        LAVIS divides it by the padded length for LLaMA, the same for all candidates, which leaves the order as it is.

        Args:
            candidates (`Tensor`, [K, T] or [N, K, T]): ids of the candidates, -100 at their padding.

        Returns:
            losses [N, K]; the least is the answer.
        """
        self.check_prompt(input_ids)
        features, _, _ = self.image_features(pixel_values, qformer_input_ids, qformer_attention_mask)
        embeds, mask = self.join(features, input_ids, attention_mask)
        return rank_candidates(self.language_model, embeds, mask, candidates)
