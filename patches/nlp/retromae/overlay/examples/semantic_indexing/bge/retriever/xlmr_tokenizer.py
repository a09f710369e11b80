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
"""The tokenizer of XLM-RoBERTa, which bge-m3 uses; PaddleNLP has none at this version."""

import os
import shutil

import sentencepiece
from paddlenlp.transformers import PretrainedTokenizer

FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3; a piece of the SentencePiece model has its own number + 1


class XLMRobertaTokenizer(PretrainedTokenizer):
    """SentencePiece with the numbers of fairseq: <s> 0, <pad> 1, </s> 2, <unk> 3, then the pieces, and <mask> last.

    Args:
        vocab_file (str): sentencepiece.bpe.model.
    """

    resource_files_names = {"vocab_file": "sentencepiece.bpe.model"}
    pretrained_resource_files_map = {"vocab_file": {}}
    pretrained_init_configuration = {}

    def __init__(
        self,
        vocab_file,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        **kwargs
    ):
        self.vocab_file = vocab_file
        self.pieces = sentencepiece.SentencePieceProcessor()
        self.pieces.Load(vocab_file)

    @property
    def vocab_size(self):
        return len(self.pieces) + 2  # <pad> and <mask>

    def get_vocab(self):
        return {self.convert_ids_to_tokens(number): number for number in range(self.vocab_size)}

    def _tokenize(self, text):
        return self.pieces.EncodeAsPieces(text)

    def _convert_token_to_id(self, token):
        if token in FIRST:
            return FIRST.index(token)
        if token == "<mask>":
            return self.vocab_size - 1
        number = self.pieces.PieceToId(token)
        return number + 1 if number else FIRST.index("<unk>")

    def _convert_id_to_token(self, index):
        if index < len(FIRST):
            return FIRST[index]
        return "<mask>" if index == self.vocab_size - 1 else self.pieces.IdToPiece(index - 1)

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens).replace("\u2581", " ").strip()

    def num_special_tokens_to_add(self, pair=False):
        return 4 if pair else 2

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        ends = ([self.cls_token_id], [self.sep_token_id])
        pair = [] if token_ids_1 is None else ends[1] + token_ids_1 + ends[1]
        return ends[0] + token_ids_0 + ends[1] + pair

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def save_resources(self, save_directory):
        target = os.path.join(save_directory, self.resource_files_names["vocab_file"])
        if os.path.abspath(target) != os.path.abspath(self.vocab_file):
            shutil.copyfile(self.vocab_file, target)
