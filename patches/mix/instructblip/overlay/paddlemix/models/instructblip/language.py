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
`encode(embeds, mask)` and `decode(ids, mask, cache, states)`. `decode` gives (logits, cache), with `last` the logits of the last
token alone; a cache is None, or a list with one tuple of tensors for each layer whose first axis is the batch.

Layers, parameters and their names are PaddleNLP's; they are walked through here, because in PaddleNLP 2.6.1

- `OPTForCausalLM` has an output matrix of its own; OPT's is the matrix of the input embeddings;
- `OPTModel` sums two masks of -3.4e38 in float32 whatever its own type is, which is NaN in float64;
- `T5Attention` ignores `relative_attention_max_distance` and always takes 128;
- the norms and the attention of T5 and LLaMA compute in float32 whatever their type is;
- OPT and T5 read sizes as tensors for every token, T5 in each layer, which waits for the device;
- SOT breaks the graph in all three, and fails on Paddle 3.3 in LLaMA's output.
"""

import math

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddle.distributed.fleet.utils import recompute
from paddlenlp.transformers import LlamaForCausalLM, OPTModel, T5ForConditionalGeneration
from paddlenlp.transformers.opt.modeling import OPTPretrainedModel

__all__ = ["OPTLanguageModel", "T5LanguageModel", "LlamaLanguageModel", "language_model"]


# Half of the lowest number of a type (SOT cannot follow np.finfo): the sum with a score stays finite, where the lowest of float16
# becomes -inf with a score of -20, and that of float32 is -inf in bfloat16. A row of padding, of -inf alone, would be NaN.
LOW, LOW_FLOAT16 = float(np.finfo("float32").min) / 2, float(np.finfo("float16").min) / 2
LARGEST_FLOAT16 = float(np.finfo("float16").max)


def additive_mask(keep, dtype):
    """What is added to the scores: 0 where `keep` is true, half of the lowest number of the type elsewhere."""
    return (1.0 - keep.astype(dtype)) * (LOW_FLOAT16 if dtype == paddle.float16 else LOW)


def causal(mask, length):
    """Mask [N, past + L] of ones and zeros -> [N, 1, L, past + L], true where one of the last L tokens sees a token."""
    columns = paddle.arange(mask.shape[1], dtype="int64")
    rows = columns[mask.shape[1] - length :]
    return mask.astype("bool").unsqueeze([1, 2]) & (columns.unsqueeze(0) <= rows.unsqueeze(1))


def single_or_double(x):
    """Half precision as float32."""
    return x if x.dtype == paddle.float64 else x.astype("float32")


def _run(stack, function, *args):
    """(states, cache) of a layer; in training and where asked for, its values are computed once more in the backward pass."""
    if stack.enable_recompute and stack.training and paddle.is_grad_enabled():
        # tensors alone: a tuple inside of a tuple ends Paddle 2.6 with a segmentation fault
        return recompute(lambda *inputs: function(*inputs)[0], *args), None
    return function(*args)


def _opt_layer(layer, x, mask, past=None):
    """A layer of the decoder, [N, L, C] -> [N, L, C], and keys and values."""

    def split(states):
        return states.reshape([0, 0, attention.num_heads, attention.head_dim]).transpose([0, 2, 1, 3])

    attention, first = layer.self_attn, layer.normalize_before
    normed = layer.norm1(x) if first else x
    query, key, value = attention.q_proj(normed), split(attention.k_proj(normed)), split(attention.v_proj(normed))
    if past is not None:
        key, value = paddle.concat([past[0], key], axis=2), paddle.concat([past[1], value], axis=2)
    scores = paddle.matmul(split(query) * attention.head_dim**-0.5, key, transpose_y=True) + mask
    weights = F.dropout(F.softmax(scores, axis=-1), attention.dropout, training=attention.training)
    out = paddle.matmul(weights, value).transpose([0, 2, 1, 3]).flatten(2)
    x = x + layer.dropout1(attention.out_proj(out))
    x = x if first else layer.norm1(x)
    normed = layer.norm2(x) if first else x
    x = x + layer.dropout2(layer.linear2(layer.activation(layer.linear1(normed))))
    return x if first else layer.norm2(x), (key, value)


class OPTLanguageModel(OPTPretrainedModel):
    """OPT with its output tied to its input embeddings."""

    is_encoder_decoder = False

    def __init__(self, config):
        super().__init__(config)
        self.opt = OPTModel(config)
        self.opt.decoder.enable_recompute = False  # PaddleNLP's OPT has no such switch; `recompute_enable` finds it

    def get_input_embeddings(self):
        return self.opt.embeddings.word_embeddings

    def embed(self, input_ids):
        return self.opt.embeddings.word_embeddings(input_ids)

    def decode(self, inputs_embeds, attention_mask, cache=None, use_cache=False, last=False):
        """[N, L, C], mask [N, past + L] -> logits [N, L, vocab_size] and the cache."""
        embeddings, decoder = self.opt.embeddings, self.opt.decoder
        length = inputs_embeds.shape[1]
        hidden = embeddings(
            attention_mask=attention_mask.astype("int64"),
            input_embeddings=inputs_embeds,
            past_key_values_length=attention_mask.shape[1] - length,
        )
        mask = additive_mask(causal(attention_mask, length), hidden.dtype)
        caches = []
        for index, layer in enumerate(decoder.layers):
            past = None if cache is None else cache[index]
            hidden, past = _run(decoder, _opt_layer, layer, hidden, mask, past)
            caches.append(past)
        hidden = hidden[:, -1:] if last else hidden
        if decoder.final_layer_norm is not None:
            hidden = decoder.final_layer_norm(hidden)
        if decoder.project_out is not None:
            hidden = decoder.project_out(hidden)
        logits = paddle.matmul(hidden, embeddings.word_embeddings.weight, transpose_y=True)
        return logits, caches if use_cache else None


def _rms_norm(norm, x):
    """PaddleNLP's `T5LayerNorm` and `LlamaRMSNorm` in float32, or in float64 where the model is."""
    wide = single_or_double(x)
    scale = paddle.rsqrt(paddle.square(wide).mean(axis=-1, keepdim=True) + norm.variance_epsilon)
    return norm.weight * (wide * scale).astype(norm.weight.dtype)


def _llama_layer(layer, x, mask, cos, sin, past=None):
    """A layer of the decoder, [N, L, C] -> [N, L, C], and keys and values; cosines and sines [N, 1, L, width of a head]."""

    def split(states):
        return states.reshape([0, 0, -1, attention.head_dim]).transpose([0, 2, 1, 3])

    def turn(states):
        first, second = states.chunk(2, axis=-1)
        return states * cos + paddle.concat([-second, first], axis=-1) * sin

    attention, groups = layer.self_attn, layer.self_attn.num_key_value_groups
    normed = _rms_norm(layer.input_layernorm, x)
    key, value = turn(split(attention.k_proj(normed))), split(attention.v_proj(normed))
    if past is not None:
        key, value = paddle.concat([past[0], key], axis=2), paddle.concat([past[1], value], axis=2)
    cache = (key, value)
    if groups > 1:
        key, value = paddle.repeat_interleave(key, groups, axis=1), paddle.repeat_interleave(value, groups, axis=1)
    query = turn(split(attention.q_proj(normed))) * attention.head_dim**-0.5
    scores = paddle.matmul(query, key, transpose_y=True) + mask
    weights = F.softmax(single_or_double(scores), axis=-1).astype(scores.dtype)
    x = x + attention.o_proj(paddle.matmul(weights, value).transpose([0, 2, 1, 3]).flatten(2))
    return x + layer.mlp(_rms_norm(layer.post_attention_layernorm, x)), cache


class LlamaLanguageModel(LlamaForCausalLM):
    """LLaMA (Vicuna)."""

    is_encoder_decoder = False

    def __init__(self, config):
        if config.fuse_attention_qkv or config.alibi or not config.rope or config.tensor_parallel_degree > 1:
            raise ValueError(
                "LLaMA in InstructBLIP has rotary positions, separate projections and one card: "
                "set fuse_attention_qkv=False, alibi=False, rope=True, tensor_parallel_degree=1"
            )
        super().__init__(config)

    def embed(self, input_ids):
        return self.llama.embed_tokens(input_ids)

    def decode(self, inputs_embeds, attention_mask, cache=None, use_cache=False, last=False):
        """[N, L, C], mask [N, past + L] -> logits [N, L, vocab_size] and the cache."""
        stack, length = self.llama, inputs_embeds.shape[1]
        # a position is the number of tokens before it that are no padding
        positions = (paddle.cumsum(attention_mask.astype("int64"), axis=-1) - 1).clip(min=0)[:, -length:]
        cos, sin = stack.layers[0].self_attn.rotary_emb(inputs_embeds, seq_len=attention_mask.shape[1])
        cos, sin = cos.squeeze([0, 2])[positions].unsqueeze(1), sin.squeeze([0, 2])[positions].unsqueeze(1)
        mask = additive_mask(causal(attention_mask, length), inputs_embeds.dtype)
        hidden, caches = inputs_embeds, []
        for index, layer in enumerate(stack.layers):
            past = None if cache is None else cache[index]
            hidden, past = _run(stack, _llama_layer, layer, hidden, mask, cos, sin, past)
            caches.append(past)
        hidden = _rms_norm(stack.norm, hidden[:, -1:] if last else hidden)
        return paddle.matmul(hidden, self.lm_head.weight), caches if use_cache else None


def _t5_add(x, y):
    """x + y, held in the range of float16, which is narrower than the one that T5 was trained in."""
    if x.dtype != paddle.float16:
        return x + y
    largest = LARGEST_FLOAT16 - 1000
    return (x + y).clip(-largest, largest)


def _t5_split(attention, states):
    """[N, L, heads * width] -> [N, heads, L, width]."""
    return states.reshape([0, 0, attention.n_heads, attention.key_value_proj_dim]).transpose([0, 2, 1, 3])


def _t5_pair(attention, states):
    """Keys and values [N, heads, L, width] of states [N, L, C]."""
    return _t5_split(attention, attention.k(states)), _t5_split(attention, attention.v(states))


def _t5_attention(attention, x, key, value, bias):
    """Attention of x [N, Q, C] to keys and values [N, heads, L, width] -> [N, Q, C]."""
    scores = paddle.matmul(_t5_split(attention, attention.q(x)), key, transpose_y=True) + bias
    weights = F.softmax(single_or_double(scores), axis=-1).astype(scores.dtype)
    weights = F.dropout(weights, attention.dropout, training=attention.training)
    return attention.o(paddle.matmul(weights, value).transpose([0, 2, 1, 3]).flatten(2))


def _t5_block(block, x, bias, states=None, mask=None, past=None):
    """A block of the encoder, or with `states` of the decoder -> [N, L, C], and keys and values of both attentions."""
    # SOT on Python 3.11 breaks the graph at `x is None` of a tensor x and at comprehensions: `past` is a tuple or None.
    layer = block.layer[0]
    normed = _rms_norm(layer.layer_norm, x)
    cache = _t5_pair(layer.SelfAttention, normed)
    if past is not None:
        cache = (paddle.concat([past[0], cache[0]], axis=2), paddle.concat([past[1], cache[1]], axis=2))
    x = _t5_add(x, layer.dropout(_t5_attention(layer.SelfAttention, normed, cache[0], cache[1], bias)))
    if len(block.layer) == 3:
        layer = block.layer[1]
        image = _t5_pair(layer.EncDecAttention, states) if past is None else past[2:]
        normed = _rms_norm(layer.layer_norm, x)
        x = _t5_add(x, layer.dropout(_t5_attention(layer.EncDecAttention, normed, image[0], image[1], mask)))
        cache = cache + image
    layer = block.layer[-1]
    return _t5_add(x, layer.dropout(layer.DenseReluDense(_rms_norm(layer.layer_norm, x)))), cache


def _t5_buckets(offsets, buckets, log_range, both_ways):
    """The bucket of each distance, int64, any shape (T5, arXiv:1910.10683, section 2.1).

    Half of the buckets hold one distance each, the others grow with the logarithm up to the widest distance.

    Args:
        offsets: place of the key minus place of the query, int64.
        buckets (int): of one direction.
        log_range (float): logarithm of the widest distance over `buckets // 2`.
        both_ways (bool): keys behind the query have buckets of their own; otherwise they share that of distance 0.
    """
    exact = buckets // 2
    distance = offsets.abs() if both_ways else (-offsets).clip(min=0)
    steps = paddle.log(distance.clip(min=exact).astype("float32") / exact) / log_range * (buckets - exact)
    far = (exact + steps.astype("int64")).clip(max=buckets - 1)
    bucket = paddle.where(distance < exact, distance, far)
    return bucket + buckets * (offsets > 0).astype("int64") if both_ways else bucket


class T5LanguageModel(T5ForConditionalGeneration):
    """T5 (FlanT5)."""

    is_encoder_decoder = True

    def __init__(self, config):
        super().__init__(config)
        for stack in (self.t5.encoder, self.t5.decoder):
            for block in stack.block:
                if hasattr(block.layer[-1].DenseReluDense, "gelu_act"):  # the same function in one kernel
                    block.layer[-1].DenseReluDense.gelu_act = nn.GELU(approximate=True)
            # buckets of one direction and what they span; SOT cannot follow math.log
            stack.buckets = config.relative_attention_num_buckets // (1 if stack.is_decoder else 2)
            stack.log_range = math.log(config.relative_attention_max_distance / (stack.buckets // 2))

    @property
    def start_token_id(self):
        """The first token of every answer."""
        start = getattr(self.config, "decoder_start_token_id", None)
        return self.config.pad_token_id if start is None else start

    def embed(self, input_ids):
        return self.t5.shared(input_ids)

    def encode(self, inputs_embeds, attention_mask):
        """[N, L, C] and its mask [N, L] -> states [N, L, C]."""
        stack, length = self.t5.encoder, inputs_embeds.shape[1]
        bias = self._position_bias(stack, length, length)
        bias = bias + additive_mask(attention_mask.unsqueeze([1, 2]), bias.dtype)
        hidden = stack.dropout(inputs_embeds)
        for block in stack.block:
            hidden, _ = _run(stack, _t5_block, block, hidden, bias)
        return stack.dropout(_rms_norm(stack.final_layer_norm, hidden))

    def decode(
        self,
        input_ids,
        attention_mask,
        cache=None,
        use_cache=False,
        last=False,
        states=None,
        decoder_attention_mask=None,
    ):
        """Ids [N, T], mask [N, L] of the states [N, L, C] -> logits [N, T, vocab_size] and the cache."""
        stack, length = self.t5.decoder, input_ids.shape[1]
        whole = length if cache is None else cache[0][0].shape[2] + length
        bias = self._position_bias(stack, length, whole)
        if decoder_attention_mask is None:
            decoder_attention_mask = paddle.ones([1, whole], "int64")
        bias = bias + additive_mask(causal(decoder_attention_mask, length), bias.dtype)
        mask = additive_mask(attention_mask.unsqueeze([1, 2]), bias.dtype)
        hidden = stack.dropout(stack.embed_tokens(input_ids))
        caches = []
        for index, block in enumerate(stack.block):
            past = None if cache is None else cache[index]
            hidden, past = _run(stack, _t5_block, block, hidden, bias, states, mask, past)
            caches.append(past)
        hidden = hidden[:, -1:] if last else hidden
        hidden = stack.dropout(_rms_norm(stack.final_layer_norm, hidden))
        if self.config.tie_word_embeddings:
            hidden = hidden * self.config.d_model**-0.5
            logits = paddle.matmul(hidden, self.t5.shared.weight, transpose_y=True)
        else:
            logits = self.lm_head(hidden)
        return logits, caches if use_cache else None

    def _position_bias(self, stack, queries, keys):
        """What the distances add to the scores of the last `queries` of `keys` tokens, [1, heads, queries, keys]."""
        place = paddle.arange(keys, dtype="int64")
        offsets = place.unsqueeze(0) - place[keys - queries :].unsqueeze(1)
        buckets = _t5_buckets(offsets, stack.buckets, stack.log_range, not stack.is_decoder)
        bias = stack.block[0].layer[0].SelfAttention.relative_attention_bias(buckets)
        return bias.transpose([2, 0, 1]).unsqueeze(0)

    def shift_right(self, labels):
        """Labels [N, T] -> what the decoder reads: the start token, then the labels without the last; -100 as padding."""
        start = paddle.full_like(labels[:, :1], self.start_token_id)
        shifted = paddle.concat([start, labels[:, :-1]], axis=1)
        return paddle.where(shifted == -100, paddle.full_like(shifted, self.config.pad_token_id), shifted)


LANGUAGE_MODELS = {"opt": OPTLanguageModel, "llama": LlamaLanguageModel, "t5": T5LanguageModel}


def language_model(config) -> nn.Layer:
    """The language model of a configuration of `OPTConfig`, `T5Config` or `LlamaConfig`."""
    return LANGUAGE_MODELS[config.model_type](config)
