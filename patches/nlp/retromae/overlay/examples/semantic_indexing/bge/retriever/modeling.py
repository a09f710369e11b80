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
"""The text encoder: BERT, a pooling over its last layer, and L2 normalisation."""

import paddle
import paddle.nn.functional as F
from paddlenlp.transformers import BertModel
from paddlenlp.transformers.bert.modeling import BertPretrainedModel

POOLINGS = ("cls", "mean")


def pool(hidden, attention_mask, pooling):
    """One vector a text.

    Args:
        hidden (Tensor): [batch, length, size], the last layer.
        attention_mask (Tensor): [batch, length], 1 for text and 0 for padding.
        pooling (str): "cls" (the first token, as BGE does) or "mean" (over the tokens of the text).

    Returns:
        Tensor: [batch, size].
    """
    if pooling == "cls":
        return hidden[:, 0]
    weight = attention_mask.astype(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(axis=1) / weight.sum(axis=1).clip(min=1e-9)


class EmbeddingModel(BertPretrainedModel):
    """A BERT encoder that gives one vector a text, as BGE (arXiv:2309.07597) uses it: [CLS], L2 normalised.

    The configuration may hold `embedding_pooling` ("cls" or "mean") and `embedding_normalize` (bool); `save_pretrained`
    keeps them. The pooler of BERT takes no part in the embedding: it is frozen, and keeps its weights for a round trip.
    """

    def __init__(self, config):
        super().__init__(config)
        self.pooling = getattr(config, "embedding_pooling", None) or "cls"
        if self.pooling not in POOLINGS:
            raise ValueError("embedding_pooling %r is not one of %s" % (self.pooling, ", ".join(POOLINGS)))
        normalize = getattr(config, "embedding_normalize", None)
        self.normalize = True if normalize is None else bool(normalize)
        config.embedding_pooling, config.embedding_normalize = self.pooling, self.normalize
        self.bert = BertModel(config)
        for parameter in self.bert.pooler.parameters():
            parameter.stop_gradient = True

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        """
        Args:
            input_ids (Tensor): [batch, length], int64.
            attention_mask (Tensor): [batch, length], int64, 1 for text and 0 for padding.
            token_type_ids (Tensor, optional): [batch, length], int64. Default: zeros.

        Returns:
            Tensor: [batch, size], of length one each if `embedding_normalize` is set.
        """
        hidden = self.bert(input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask)[0]
        vectors = pool(hidden, attention_mask, self.pooling)
        return F.normalize(vectors, p=2, axis=-1) if self.normalize else vectors

    def input_spec(self):
        """Inputs of the exported program: any batch, any length."""
        return [
            paddle.static.InputSpec([None, None], "int64", name="input_ids"),
            paddle.static.InputSpec([None, None], "int64", name="attention_mask"),
        ]
