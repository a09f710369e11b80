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
The language models of InstructBLIP: PaddleNLP's OPT, T5 and LLaMA behind one small interface.

A decoder-only model has `embed(ids)` and `decode(embeds, mask, cache)`; an encoder-decoder has `embed(ids)`,
`encode(embeds, mask)` and `decode(ids, mask, cache, states)`. `decode` gives (logits, cache); a cache is None, or a list with one
tuple of tensors for each layer whose first axis is the batch.

Where PaddleNLP 2.6.1 differs from the models that InstructBLIP was trained with, the subclasses here correct it:

- `OPTForCausalLM` has an output matrix of its own; OPT's is the matrix of the input embeddings.
- `OPTModel` sums two masks of -3.4e38 in float32 whatever its own type is, which is NaN in float64.
- `T5Attention` ignores `relative_attention_max_distance` and always takes 128.
"""

import numpy as np
import paddle
import paddle.nn as nn
from paddlenlp.transformers import LlamaForCausalLM, OPTModel, T5ForConditionalGeneration
from paddlenlp.transformers.opt.modeling import MultiHeadAttention, OPTPretrainedModel
from paddlenlp.transformers.t5.modeling import T5Attention

__all__ = ["OPTLanguageModel", "T5LanguageModel", "LlamaLanguageModel", "language_model"]


LOWEST, HALF_LOWEST = float(np.finfo("float32").min), float(np.finfo("float16").min)


class _OPTModel(OPTModel):
    def _prepare_decoder_attention_mask(self, attention_mask, input_shape, past_key_values_length):
        # [N, past + L] -> what is added to the scores, [N, 1, L, past + L]
        columns = paddle.arange(paddle.shape(attention_mask)[-1], dtype="int64")
        rows = columns[past_key_values_length:]
        keep = attention_mask.astype("bool").unsqueeze([1, 2]) & (columns.unsqueeze(0) <= rows.unsqueeze(1))
        dtype = self.embeddings.word_embeddings.weight.dtype
        low = HALF_LOWEST if dtype == paddle.float16 else LOWEST
        return paddle.where(keep, paddle.zeros([1], dtype), paddle.full([1], low, dtype))


class OPTLanguageModel(OPTPretrainedModel):
    """OPT with its output tied to its input embeddings."""

    is_encoder_decoder = False

    def __init__(self, config):
        super().__init__(config)
        self.opt = _OPTModel(config)

    def get_input_embeddings(self):
        return self.opt.embeddings.word_embeddings

    def embed(self, input_ids):
        return self.opt.embeddings.word_embeddings(input_ids)

    def decode(self, inputs_embeds, attention_mask, cache=None, use_cache=False):
        """[N, L, C], mask [N, past + L] -> logits [N, L, vocab_size] and the cache."""
        outputs = self.opt(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            use_cache=use_cache,
            cache=_opt_cache(cache),
            output_attentions=False,
            output_hidden_states=False,
            return_dict=False,
        )
        hidden = outputs[0] if use_cache else outputs
        logits = paddle.matmul(hidden, self.opt.embeddings.word_embeddings.weight, transpose_y=True)
        return logits, outputs[1] if use_cache else None


def _opt_cache(cache):
    """Tuples of tensors as PaddleNLP's OPT wants them."""
    return None if cache is None else [MultiHeadAttention.Cache(*layer) for layer in cache]


class LlamaLanguageModel(LlamaForCausalLM):
    """LLaMA (Vicuna)."""

    is_encoder_decoder = False

    def embed(self, input_ids):
        return self.llama.embed_tokens(input_ids)

    def decode(self, inputs_embeds, attention_mask, cache=None, use_cache=False):
        """[N, L, C], mask [N, past + L] -> logits [N, L, vocab_size] and the cache."""
        # a position is the number of tokens before it that are no padding
        positions = (paddle.cumsum(attention_mask.astype("int64"), axis=-1) - 1).clip(min=0)
        outputs = self.llama(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask.astype("bool"),
            position_ids=positions[:, -inputs_embeds.shape[1] :],
            use_cache=use_cache,
            past_key_values=tuple(cache) if cache is not None else None,
            output_attentions=False,
            output_hidden_states=False,
            return_dict=False,
        )
        logits = self.lm_head(outputs[0])
        return logits, list(outputs[1]) if use_cache else None


class _T5Attention(T5Attention):
    """Relative attention with the configured largest distance."""

    def __init__(self, config, has_relative_attention_bias=False):
        super().__init__(config, has_relative_attention_bias)
        self.max_distance = config.relative_attention_max_distance

    def compute_bias(self, query_length, key_length):
        query = paddle.arange(query_length, dtype="int64").unsqueeze(-1)
        key = paddle.arange(key_length, dtype="int64").unsqueeze(0)
        buckets = self._relative_position_bucket(
            key - query,
            bidirectional=not self.is_decoder,
            num_buckets=self.relative_attention_num_buckets,
            max_distance=self.max_distance,
        )
        return self.relative_attention_bias(buckets).transpose([2, 0, 1]).unsqueeze(0)


class T5LanguageModel(T5ForConditionalGeneration):
    """T5 (FlanT5)."""

    is_encoder_decoder = True

    def __init__(self, config):
        super().__init__(config)
        for stack in (self.t5.encoder, self.t5.decoder):
            stack.block[0].layer[0].SelfAttention = _T5Attention(stack.config, has_relative_attention_bias=True)

    @property
    def start_token_id(self):
        """The first token of every answer."""
        start = getattr(self.config, "decoder_start_token_id", None)
        return self.config.pad_token_id if start is None else start

    def embed(self, input_ids):
        return self.t5.shared(input_ids)

    def encode(self, inputs_embeds, attention_mask):
        """[N, L, C] and its mask [N, L] -> states [N, L, C]."""
        return self.t5.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask, return_dict=False)[0]

    def decode(self, input_ids, attention_mask, cache=None, use_cache=False, states=None, decoder_attention_mask=None):
        """Ids [N, T], mask [N, L] of the states [N, L, C] -> logits [N, T, vocab_size] and the cache."""
        outputs = self.t5.decoder(
            input_ids=input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=states,
            encoder_attention_mask=attention_mask,
            cache=cache,
            use_cache=use_cache,
            return_dict=False,
        )
        hidden = outputs[0]
        if self.config.tie_word_embeddings:
            hidden = hidden * self.config.d_model**-0.5
            logits = paddle.matmul(hidden, self.t5.shared.weight, transpose_y=True)
        else:
            logits = self.lm_head(hidden)
        return logits, list(outputs[1]) if use_cache else None

    def shift_right(self, labels):
        """Labels [N, T] -> what the decoder reads: the start token, then the labels without the last; -100 as padding."""
        start = paddle.full_like(labels[:, :1], self.start_token_id)
        shifted = paddle.concat([start, labels[:, :-1]], axis=1)
        return paddle.where(shifted == -100, paddle.full_like(shifted, self.config.pad_token_id), shifted)


LANGUAGE_MODELS = {"opt": OPTLanguageModel, "llama": LlamaLanguageModel, "t5": T5LanguageModel}


def language_model(config) -> nn.Layer:
    """The language model of a configuration of `OPTConfig`, `T5Config` or `LlamaConfig`."""
    return LANGUAGE_MODELS[config.model_type](config)
