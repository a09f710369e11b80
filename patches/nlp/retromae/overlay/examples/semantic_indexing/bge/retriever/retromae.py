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
"""RetroMAE: retrieval-oriented pre-training with a masked auto-encoder (arXiv:2205.12035)."""

import paddle
import paddle.nn as nn
import paddle.nn.functional as F
from paddlenlp.transformers import BertModel
from paddlenlp.transformers.bert.modeling import BertOnlyMLMHead, BertPretrainedModel

IGNORED = -100


class EnhancedDecoderLayer(nn.Layer):
    """The one layer of the decoder: attention of a query stream over a context stream, then the feed-forward block.

    The residual path carries the query stream (section 3.3 of the paper, eq. 5 to 7).
    """

    def __init__(self, config):
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.cross_attn = nn.MultiHeadAttention(size, config.num_attention_heads, config.attention_probs_dropout_prob)
        self.linear1 = nn.Linear(size, inner)
        self.linear2 = nn.Linear(inner, size)
        self.norm1 = nn.LayerNorm(size, epsilon=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(size, epsilon=config.layer_norm_eps)
        self.dropout1 = nn.Dropout(config.hidden_dropout_prob)
        self.dropout2 = nn.Dropout(config.hidden_dropout_prob)
        self.activation = getattr(F, config.hidden_act)

    def forward(self, query, context, visible):
        """
        Args:
            query (Tensor): [batch, length, size], H1 of the paper.
            context (Tensor): [batch, length, size], H2 of the paper.
            visible (Tensor): [batch, length, length], 1 where row i may look at column j.

        Returns:
            Tensor: [batch, length, size].
        """
        mask = (1.0 - visible.astype(query.dtype).unsqueeze(1)) * -1e4
        hidden = self.norm1(query + self.dropout1(self.cross_attn(query, context, context, attn_mask=mask)))
        inner = self.linear2(self.activation(self.linear1(hidden)))
        return self.norm2(hidden + self.dropout2(inner))


class RetroMAEForPretraining(BertPretrainedModel):
    """A BERT encoder with its masked language model head, and the enhanced decoder that rebuilds a text from its [CLS].

    The encoder sees the text with a small part masked; the decoder sees nothing but the [CLS] vector and, for each position,
    its own random half of the other tokens. The loss is the sum of the two cross entropies. Both share the head, and the
    head shares its matrix with the word embeddings.

    Behaviour measured on FlagEmbedding 1.2.11, `baai_general_embedding/retromae_pretrain` (MIT). Different here, with the same
    result: logits are computed only where there is a label.
    """

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyMLMHead(config)
        self.decoder = EnhancedDecoderLayer(config)
        self.tie_weights()
        for parameter in self.bert.pooler.parameters():
            parameter.stop_gradient = True

    def get_output_embeddings(self):
        return self.cls.predictions.decoder

    def decoder_streams(self, cls_hidden, decoder_input_ids):
        """The two streams of the decoder.

        Args:
            cls_hidden (Tensor): [batch, 1, size], the encoder's last layer at [CLS].
            decoder_input_ids (Tensor): [batch, length], the text without masks.

        Returns:
            tuple: query and context, [batch, length, size] each. The query is the [CLS] vector with the position added, under
            the embedding's layer norm; the context is the [CLS] vector, then the embeddings of the tokens 1, 2, ...
        """
        embeddings = self.bert.embeddings
        context = paddle.concat([cls_hidden, embeddings(decoder_input_ids)[:, 1:]], axis=1)
        ones = paddle.ones_like(decoder_input_ids)
        positions = paddle.cumsum(ones, axis=-1) - ones
        query = cls_hidden + embeddings.position_embeddings(positions)
        query = query + embeddings.token_type_embeddings(paddle.zeros_like(decoder_input_ids))
        return embeddings.dropout(embeddings.layer_norm(query)), context

    def lm_loss(self, hidden, labels):
        """Mean cross entropy over the positions with a label.

        Args:
            hidden (Tensor): [batch, length, size].
            labels (Tensor): [batch, length], int64, -100 where there is nothing to predict.
        """
        labels = labels.reshape([-1])
        where = paddle.nonzero(labels != IGNORED).reshape([-1])
        if paddle.in_dynamic_mode() and not where.shape[0]:
            raise ValueError("no position of the batch has a label; RetroMAECollator gives each text one")
        logits = self.cls(hidden, masked_positions=where)
        return F.cross_entropy(logits, paddle.gather(labels, where))

    def forward(
        self,
        input_ids,
        attention_mask,
        labels,
        decoder_input_ids,
        decoder_attention_mask,
        decoder_labels,
    ):
        """
        Args:
            input_ids, attention_mask, labels (Tensor): [batch, length], int64: the masked text of the encoder, 1 for text and 0
                for padding, and the masked tokens (-100 elsewhere).
            decoder_input_ids, decoder_labels (Tensor): [batch, length], int64: the whole text, and its tokens without [CLS],
                [SEP] and padding (-100 there).
            decoder_attention_mask (Tensor): [batch, length, length], bool (or numbers), 1 where row i may look at column j.

        Returns:
            tuple: the loss, the part of the encoder, the part of the decoder (nats a predicted token).
        """
        hidden = self.bert(input_ids, attention_mask=attention_mask)[0]
        encoder_loss = self.lm_loss(hidden, labels)
        query, context = self.decoder_streams(hidden[:, :1], decoder_input_ids)
        decoded = self.decoder(query, context, decoder_attention_mask)
        decoder_loss = self.lm_loss(decoded, decoder_labels)
        return encoder_loss + decoder_loss, encoder_loss, decoder_loss

    def input_spec(self):
        """Arguments of `forward` as one static graph takes them: any batch, any length."""
        names = "input_ids attention_mask labels decoder_input_ids decoder_attention_mask decoder_labels"
        masks = {"decoder_attention_mask": ([None] * 3, "bool")}
        return [paddle.static.InputSpec(*masks.get(name, ([None] * 2, "int64")), name=name) for name in names.split()]
