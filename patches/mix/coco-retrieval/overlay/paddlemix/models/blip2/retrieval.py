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
BLIP-2 for image-text retrieval: contrastive scores (ITC) and matching (ITM) of images and captions, and the losses that train both.

Image encoder and Q-Former are the suite's own (`eva_vit.py`, `Qformer.py`), under the names that its stage-1 weights have. Article:
arXiv:2301.12597, sections 3.2 and 4.4. Behaviour was measured on `transformers` 4.57.6 (`Blip2ForImageTextRetrieval`, Apache 2.0) and
salesforce/LAVIS @ 506965b (`blip2_qformer.py`, BSD 3-Clause); no code of either is used.
"""

import json
import os
from dataclasses import dataclass
from typing import Optional

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddlenlp.transformers.model_outputs import ModelOutput

from .base_model import Blip2PretrainedModel
from .configuration import Blip2Config
from .eva_vit import VisionTransformer
from .modeling_utils import all_gather_with_grad, concat_all_gather
from .Qformer import BertModel

__all__ = ["Blip2ForImageTextRetrieval", "RetrievalOutput", "retrieval_config", "itc_loss", "draw_negatives"]

WEIGHTS = "model_state.pdparams"


@dataclass
class RetrievalOutput(ModelOutput):
    """
    Args:
        loss (`Tensor`, scalar): `loss_itc` + `loss_itm`.
        loss_itc, loss_itm (`Tensor`, scalars).
        logits_per_image (`Tensor`, [N, N * ranks]): ITC of the images of this rank and all captions, largest cosine over the queries.
        itm_logits (`Tensor`, [3 * N, 2]): of the pairs, of captions with a drawn image, of images with a drawn caption.
    """

    loss: Optional[paddle.Tensor] = None
    loss_itc: Optional[paddle.Tensor] = None
    loss_itm: Optional[paddle.Tensor] = None
    logits_per_image: Optional[paddle.Tensor] = None
    itm_logits: Optional[paddle.Tensor] = None


def retrieval_config(vision=None, qformer=None, num_query_tokens=32, embed_dim=256, **kwargs):
    """
    A [`Blip2Config`] for [`Blip2ForImageTextRetrieval`]; default: ViT-g and BERT-base at 364 pixels, as the paper fine-tunes it on COCO.

    Args:
        vision (`dict`): of [`Blip2VisionConfig`]. qformer (`dict`): of [`Blip2QFormerConfig`].
        num_query_tokens (`int`): queries. embed_dim (`int`): size of the features of ITC.
    """
    vision = {"img_size": 364, **(vision or {})}
    made = {"vocab_size": 30523, "type_vocab_size": 2, "add_cross_attention": True, "cross_attention_freq": 2}
    made.update(qformer or {})
    made.update(num_query_tokens=num_query_tokens, embed_dim=embed_dim)
    return Blip2Config(vision_config=vision, qformer_config=made, text_config="", freeze_vit=False, **kwargs)


LOWEST = float(np.finfo("float32").min)


def _whole(forward_fn, chunk_size, chunk_dim, *inputs):
    return forward_fn(*inputs)


class RetrievalBert(BertModel):
    """
    The suite's Q-Former in a form that SOT can follow: its own calls `numpy.finfo` for the mask and, to cut the feed-forward part into
    chunks, `inspect.signature` in the forward pass. Here that part is computed whole.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.encoder.layer:
            layer.apply_chunking_to_forward = _whole

    def invert_attention_mask(self, encoder_attention_mask):
        """[N, L] or [N, M, L], 1 where a position is seen, to [N, 1, 1 or M, L], the lowest float32 where it is not."""
        axes = [1, 2] if encoder_attention_mask.dim() == 2 else [1]
        return (1.0 - encoder_attention_mask.unsqueeze(axes)) * LOWEST


class RetrievalQFormer(nn.Layer):
    """
    The Q-Former with the heads of retrieval, under the names of the suite's stage 1 (`BertLMHeadModel`).

    It is not that class: its language head enlarges `config.vocab_size` with every model that is made, so that a saved configuration does
    not fit its weights, and its embeddings of token types are never read. The ITG head is left out: no loss here uses it.
    """

    def __init__(self, config, width, ln_vision_epsilon):
        super().__init__()
        config.encoder_width, config.query_length = width, config.num_query_tokens
        config.gradient_checkpointing = getattr(config, "gradient_checkpointing", False)
        self.ln_vision = nn.LayerNorm(width, epsilon=ln_vision_epsilon)
        self.bert = RetrievalBert(config, add_pooling_layer=False)
        self.bert.embeddings.token_type_embeddings = None
        self.query_tokens = self.create_parameter(
            [1, config.num_query_tokens, config.hidden_size],
            default_initializer=nn.initializer.Normal(0.0, config.initializer_range),
        )
        self.vision_proj = nn.Linear(config.hidden_size, config.embed_dim)
        self.text_proj = nn.Linear(config.hidden_size, config.embed_dim)
        self.itm_head = nn.Linear(config.hidden_size, 2)


class Blip2ForImageTextRetrieval(Blip2PretrainedModel):
    """
    Args:
        config ([`Blip2Config`]): of [`retrieval_config`]; `ln_vision_epsilon` is 1e-5 as in LAVIS, Hugging Face's files have 1e-6.
    """

    config_class = Blip2Config

    def __init__(self, config):
        super().__init__(config)
        self.visual_encoder = VisionTransformer(config.vision_config)
        epsilon = getattr(config, "ln_vision_epsilon", 1e-5)
        self.Qformer = RetrievalQFormer(config.qformer_config, self.visual_encoder.num_features, epsilon)
        self.temp = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.07))

    @classmethod
    def from_pretrained(cls, path):
        """
        The model of a directory that `save_pretrained` wrote.

        Raises:
            ConversionError: weights that are not exactly the model's; the tensors are named.
        """
        from .convert_retrieval import convert_state, load_state

        with open(os.path.join(path, "config.json"), encoding="utf-8") as stream:
            config = Blip2Config(**json.load(stream))
        model = cls(config)
        load_state(
            model, convert_state(paddle.load(os.path.join(path, WEIGHTS), return_numpy=True), model, "paddlemix")
        )
        model.eval()
        return model

    def save_pretrained(self, path, **kwargs):
        """Configuration and weights, each there as a whole or not at all. kwargs are what a Trainer passes; none is used."""
        os.makedirs(path, exist_ok=True)
        weights, config = os.path.join(path, WEIGHTS), os.path.join(path, "config.json")
        paddle.save(self.state_dict(), weights + ".part")
        os.replace(weights + ".part", weights)
        with open(config + ".part", "w", encoding="utf-8") as stream:
            json.dump(self.config.to_dict(), stream, indent=1, default=str)
        os.replace(config + ".part", config)

    def image_embeds(self, pixel_values):
        """Pixels [N, 3, S, S] -> patches and class token [N, 1 + P, C]."""
        return self.Qformer.ln_vision(self.visual_encoder(pixel_values))

    def _ones(self, states):
        """A mask of ones over states [N, L, C] -> [N, L], in their type, without asking for their size."""
        return paddle.ones_like(states[:, :, 0])

    def _queries(self, image_embeds):
        return self.Qformer.query_tokens + paddle.zeros_like(image_embeds[:, :1, :1])

    def image_features(self, image_embeds):
        """Of [`image_embeds`] -> features of ITC [N, queries, embed_dim], of length 1."""
        states = self.Qformer.bert(
            query_embeds=self._queries(image_embeds),
            attention_mask=paddle.ones_like(self._queries(image_embeds)[:, :, 0]),
            encoder_hidden_states=image_embeds,
            encoder_attention_mask=self._ones(image_embeds),
            return_dict=False,
        )[0]
        return F.normalize(self.Qformer.vision_proj(states), axis=-1)

    def text_features(self, input_ids, attention_mask):
        """Captions [N, L] -> features of ITC [N, embed_dim], of length 1."""
        states = self.Qformer.bert(input_ids, attention_mask=attention_mask, return_dict=False)[0]
        return F.normalize(self.Qformer.text_proj(states[:, 0]), axis=-1)

    def match(self, image_embeds, input_ids, attention_mask):
        """ITM of pairs: `image_embeds` [N, 1 + P, C] and captions [N, L] -> logits [N, 2]; column 1 is a match."""
        queries = self._queries(image_embeds)
        mask = paddle.concat([self._ones(queries), attention_mask.astype(queries.dtype)], axis=1)
        states = self.Qformer.bert(
            input_ids,
            query_embeds=queries,
            attention_mask=mask,
            encoder_hidden_states=image_embeds,
            encoder_attention_mask=self._ones(image_embeds),
            return_dict=False,
        )[0]
        number = self.Qformer.query_tokens.shape[1]
        return self.Qformer.itm_head(states[:, :number]).mean(axis=1)

    def forward(self, pixel_values, input_ids, attention_mask, image_ids=None, draws=None, negatives=None):
        """
        Losses of a batch of N pairs a rank.

        Args:
            pixel_values (`Tensor`, [N, 3, S, S]). input_ids, attention_mask (`Tensor`, [N, L]).
            image_ids (`Tensor`, [N], int64): which pairs are of one image: they are no negatives of each other, and share the target of ITC.
                Default: every pair is of an image of its own.
            draws (`Tensor`, [N, 2]): uniform in [0, 1), from which the negatives are drawn: an image for each caption, a caption for
                each image. They are an input, so that a step can be repeated, whatever the number of ranks.
            negatives (`Tensor`, [N, 2], int64): rows of all ranks' pairs to take in place of drawn ones.

        Returns:
            [`RetrievalOutput`]
        """
        if (draws is None) == (negatives is None):
            raise ValueError("either `draws` or `negatives` is needed: where the negatives of ITM come from")
        images = self.image_embeds(pixel_values)
        image, text = self.image_features(images), self.text_features(input_ids, attention_mask)
        every_image, every_text = all_gather_with_grad(image), all_gather_with_grad(text)
        if image_ids is None:
            image_ids = paddle.arange(every_text.shape[0], dtype="int64")
            rank, rows = paddle.distributed.get_rank(), image.shape[0]
            every_id, image_ids = image_ids, image_ids[rank * rows : (rank + 1) * rows]
        else:
            every_id = concat_all_gather(image_ids)
        same = image_ids.unsqueeze(1) == every_id.unsqueeze(0)
        per_image = paddle.matmul(image, every_text, transpose_y=True).max(axis=1)
        per_text = paddle.matmul(every_image, text, transpose_y=True).max(axis=1).t()
        loss_itc = itc_loss(per_image / self.temp, per_text / self.temp, same)
        if negatives is None:
            with paddle.no_grad():
                negatives = paddle.stack(
                    [
                        draw_negatives(per_text / self.temp, same, draws[:, 0]),
                        draw_negatives(per_image / self.temp, same, draws[:, 1]),
                    ],
                    axis=1,
                )
        every_embeds = all_gather_with_grad(images)
        ids, mask = concat_all_gather(input_ids), concat_all_gather(attention_mask)
        logits = self.match(
            paddle.concat([images, paddle.gather(every_embeds, negatives[:, 0]), images], axis=0),
            paddle.concat([input_ids, input_ids, paddle.gather(ids, negatives[:, 1])], axis=0),
            paddle.concat([attention_mask, attention_mask, paddle.gather(mask, negatives[:, 1])], axis=0),
        )
        right = paddle.ones_like(input_ids[:, 0])
        labels = paddle.concat([right, paddle.zeros_like(right), paddle.zeros_like(right)], axis=0)
        loss_itm = F.cross_entropy(logits, labels)
        return RetrievalOutput(loss_itc + loss_itm, loss_itc, loss_itm, per_image, logits)


def itc_loss(per_image, per_text, same, smoothing=0.1):
    """
    Mean of both directions' cross entropies, with targets that captions of one image share.

    Args:
        per_image, per_text (`Tensor`, [N, M]): scores over the temperature, of the images and of the captions of this rank.
        same (`Tensor`, [N, M], bool): of one image. smoothing (`float`): share of the target that all M have alike.
    """
    same = same.astype(per_image.dtype)
    targets = (1 - smoothing) * same / same.sum(axis=1, keepdim=True) + smoothing / same.shape[1]
    losses = [
        # log_softmax of Paddle's CPU build stops 64 below the largest score, logsumexp does not
        (targets * (paddle.logsumexp(scores, axis=1, keepdim=True) - scores)).sum(axis=1).mean()
        for scores in (per_image, per_text)
    ]
    return (losses[0] + losses[1]) / 2


def draw_negatives(scores, same, draws):
    """
    For each row a column that is not of the same image, with the probability of the softmax of the scores.

    Args:
        scores (`Tensor`, [N, M]). same (`Tensor`, [N, M], bool). draws (`Tensor`, [N]): uniform in [0, 1).

    Returns:
        [N], int64. A batch of one image alone has no negative: the last column is taken, and ITM learns from a wrong label there.
    """
    other = 1 - same.astype(scores.dtype)
    weights = F.softmax(scores - same.astype(scores.dtype) * 10000.0, axis=1) * other
    sums = weights.cumsum(axis=1)
    places = (sums <= draws.astype(scores.dtype).unsqueeze(1) * sums[:, -1:]).astype("int64").sum(axis=1)
    return places.clip(max=scores.shape[1] - 1)
