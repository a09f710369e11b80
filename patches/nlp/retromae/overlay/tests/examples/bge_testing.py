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

import os
import sys
import tempfile
import unittest

import paddle
import sentencepiece
from paddlenlp.transformers import BertConfig, BertTokenizer, RobertaConfig

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLES = next(folder for folder in ("slm/examples", "examples") if os.path.isdir(os.path.join(ROOT, folder)))
FOLDER = os.path.join(ROOT, EXAMPLES, "semantic_indexing", "bge")
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

PIECES = "the a cat dog sat on mat ran in park red blue big small ##s ##ing walk talk bird tree river house sun moon".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + PIECES
TEXTS = [
    "the big cat sat on the red mat",
    "a dog walking in the park talks",
    "birds sat in the small tree",
    "the blue river ran in the park",
    "a red house on the river",
    "the sun and the moon",
]


def make_tokenizer(folder):
    path = os.path.join(folder, "vocab.txt")
    with open(path, "w") as stream:
        stream.write("\n".join(VOCABULARY) + "\n")
    tokenizer = BertTokenizer(path, do_lower_case=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_config(dropout=0.0, **kwargs):
    return BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.3,
        **kwargs,
    )


def make_sentencepiece(folder):
    """The path of a small SentencePiece model, under the name that bge-m3 has it."""
    path = os.path.join(folder, "corpus.txt")
    with open(path, "w") as stream:
        stream.write("\n".join(TEXTS * 5))
    sentencepiece.SentencePieceTrainer.Train(
        input=path, model_prefix=path[:-4], vocab_size=38, model_type="bpe", hard_vocab_limit=False
    )
    target = os.path.join(folder, "sentencepiece.bpe.model")
    os.rename(path[:-4] + ".model", target)
    return target


def make_m3_config(vocab_size=40):
    return RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=34,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        cls_token_id=0,
        initializer_range=0.3,
    )


class FolderTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        self.addCleanup(self._folder.cleanup)
        paddle.seed(3)
        paddle.set_device("cpu")
        self.tokenizer = make_tokenizer(self.folder)
