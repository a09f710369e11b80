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
"""RetroMAE pre-training on a file of texts (jsonl with the key `text`).

    python -u -m paddle.distributed.launch --gpus "0,1,2,3" run_retromae.py --model_name_or_path bert-base-uncased \
        --train_file texts.jsonl --output_dir output/retromae --per_device_train_batch_size 64 --learning_rate 1e-4 \
        --num_train_epochs 8 --warmup_ratio 0.1 --max_length 512 --fp16
"""

import os
from dataclasses import dataclass, field
from typing import Optional

import paddle
from paddlenlp.trainer import PdArgumentParser, TrainingArguments
from paddlenlp.transformers import BertTokenizer
from paddlenlp.utils.log import logger
from retriever.masking import RetroMAECollator
from retriever.retromae import RetroMAEForPretraining
from retriever.tokens import TokenFile
from retriever.trainer import RetroMAETrainer, check_device


@dataclass
class DataArguments:
    model_name_or_path: str = field(metadata={"help": "A BERT of PaddleNLP, or a folder of convert_checkpoint.py."})
    train_file: str = field(metadata={"help": "jsonl with the key text."})
    max_length: int = field(default=512, metadata={"help": "Tokens a text, with the special ones."})
    encoder_mask_ratio: float = field(default=0.3, metadata={"help": "Share of tokens hidden from the encoder."})
    decoder_mask_ratio: float = field(default=0.5, metadata={"help": "Share hidden from each row of the decoder."})
    token_folder: Optional[str] = field(
        default=None, metadata={"help": "Where the token ids of the file are kept. Default: beside it."}
    )
    token_processes: int = field(
        default=min(8, os.cpu_count() or 1), metadata={"help": "Processes that make them, once."}
    )
    to_static: bool = field(default=False, metadata={"help": "Compile the model to a static graph."})


def main():
    data, training = PdArgumentParser((DataArguments, TrainingArguments)).parse_args_into_dataclasses()
    check_device(training)
    tokenizer = BertTokenizer.from_pretrained(data.model_name_or_path)
    collator = RetroMAECollator(
        tokenizer, data.encoder_mask_ratio, data.decoder_mask_ratio, max_length=data.max_length, seed=training.seed
    )
    dataset = TokenFile(data.train_file, tokenizer, data.max_length, data.token_folder, data.token_processes)
    logger.info(
        "%d texts in %s, %d left out with fewer than two tokens" % (len(dataset), dataset.folder, dataset.short)
    )
    model = RetroMAEForPretraining.from_pretrained(data.model_name_or_path)
    if data.max_length > model.config.max_position_embeddings:
        raise ValueError(
            "max_length is %d; the model has %d positions" % (data.max_length, model.config.max_position_embeddings)
        )
    if data.to_static:
        paddle.jit.to_static(model, input_spec=model.input_spec(), full_graph=True)
    trainer = RetroMAETrainer(
        model=model, args=training, data_collator=collator, train_dataset=dataset, tokenizer=tokenizer
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model()


if __name__ == "__main__":
    main()
