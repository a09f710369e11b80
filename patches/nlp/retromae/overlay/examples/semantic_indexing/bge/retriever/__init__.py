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
"""RetroMAE pre-training and BGE fine-tuning of BERT text encoders (arXiv:2205.12035, arXiv:2309.07597)."""

from .convert import convert_to_hf, convert_to_paddle
from .embedder import DygraphEncoder, Embedder, InferenceEncoder
from .index import FlatIndex, mine_hard_negatives
from .losses import contrastive_loss, gather_with_grad
from .m3 import M3Embedder, M3Model, convert_m3, m3_loss, m3_scores
from .masking import RetroMAECollator
from .metrics import retrieval_metrics
from .modeling import EmbeddingModel
from .retromae import RetroMAEForPretraining
from .trainer import EmbeddingTrainer, M3Trainer, RetroMAETrainer
from .xlmr_tokenizer import XLMRobertaTokenizer
