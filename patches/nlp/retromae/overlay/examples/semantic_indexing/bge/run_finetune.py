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
"""Contrastive fine-tuning of a text encoder (jsonl with `query`, `pos`, `neg`, the format of FlagEmbedding).

    python -u -m paddle.distributed.launch --gpus "0,1,2,3" run_finetune.py --model_name_or_path output/retromae \
        --train_file train.jsonl --output_dir output/finetune --per_device_train_batch_size 128 --group_size 8 \
        --temperature 0.02 --cross_device_negatives --gradient_cache_chunk 64 --learning_rate 1e-5 --num_train_epochs 1 --fp16
"""

from dataclasses import dataclass, field
from typing import List, Optional

from paddlenlp.trainer import PdArgumentParser
from paddlenlp.transformers import BertConfig, BertTokenizer, RobertaConfig
from paddlenlp.utils.log import logger
from retriever.data import GroupCollator, GroupDataset
from retriever.m3 import M3Model
from retriever.modeling import EmbeddingModel
from retriever.trainer import EmbeddingTrainer, EmbeddingTrainingArguments, M3Trainer, check_device
from retriever.xlmr_tokenizer import XLMRobertaTokenizer


@dataclass
class DataArguments:
    model_name_or_path: str = field(metadata={"help": "A BERT of PaddleNLP, or a folder of one of the scripts here."})
    train_file: List[str] = field(
        metadata={
            "help": "jsonl with query, pos and neg; several files are several data sets, and a batch holds rows of one. A file with "
            "no_in_batch_neg in its path has no in-batch negatives."
        }
    )
    group_size: int = field(default=8, metadata={"help": "Passages a query: one positive, the others negatives."})
    query_max_length: Optional[int] = field(
        default=None, metadata={"help": "Tokens a query, with the special ones. Default: 64."}
    )
    passage_max_length: Optional[int] = field(
        default=None, metadata={"help": "Tokens a passage, with the special ones. Default: 512."}
    )
    query_instruction: str = field(
        default="", metadata={"help": "Put before each query that has no prompt in its row."}
    )
    query_instruction_format: str = field(default="{}{}", metadata={"help": "How instruction and query are joined."})
    passage_instruction: str = field(default="", metadata={"help": "Put before each passage."})
    m3: bool = field(
        default=False, metadata={"help": "The model is a bge-m3; dense, lexical and multi-vector scores are trained."}
    )
    pooling: Optional[str] = field(
        default=None, metadata={"help": "cls or mean. Default: the checkpoint's, else cls."}
    )


def main():
    data, training = PdArgumentParser((DataArguments, EmbeddingTrainingArguments)).parse_args_into_dataclasses()
    check_device(training)
    config = (RobertaConfig if data.m3 else BertConfig).from_pretrained(data.model_name_or_path)
    if data.m3 != (config.architectures == ["M3Model"]):
        raise ValueError("%s is %r; --m3 is for a bge-m3 alone" % (data.model_name_or_path, config.architectures))
    tokenizer = (XLMRobertaTokenizer if data.m3 else BertTokenizer).from_pretrained(data.model_name_or_path)
    # RoBERTa counts positions from the one after that of padding
    positions = config.max_position_embeddings - (config.pad_token_id + 1 if data.m3 else 0)
    for name, default in (("query_max_length", 64), ("passage_max_length", 512)):
        if getattr(data, name) is None:
            setattr(data, name, min(default, positions))
        if getattr(data, name) > positions:
            raise ValueError("%s is %d; the model has %d positions" % (name, getattr(data, name), positions))
    if data.pooling:
        if data.m3:
            raise ValueError("pooling is %s; bge-m3 has [CLS]" % data.pooling)
        config.embedding_pooling = data.pooling
    model = (M3Model if data.m3 else EmbeddingModel).from_pretrained(data.model_name_or_path, config=config)
    dataset = GroupDataset(
        data.train_file,
        data.group_size,
        data.query_instruction,
        data.passage_instruction,
        data.query_instruction_format,
        training.seed,
        need_scores=training.distillation is not None,
    )
    for path, (start, end), in_batch in zip(data.train_file, dataset.groups, dataset.in_batch):
        logger.info("%s: %d rows, in-batch negatives %s" % (path, end - start, "on" if in_batch else "off"))
    trainer = (M3Trainer if data.m3 else EmbeddingTrainer)(
        model=model,
        args=training,
        data_collator=GroupCollator(
            tokenizer, data.query_max_length, data.passage_max_length, keys=training.filter_false_negatives
        ),
        train_dataset=dataset,
        tokenizer=tokenizer,
    )
    dropped = trainer.get_train_dataloader().batch_sampler.dropped
    if dropped:
        logger.warning("%d rows do not fill a batch, and are left out of each epoch" % dropped)
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()


if __name__ == "__main__":
    main()
