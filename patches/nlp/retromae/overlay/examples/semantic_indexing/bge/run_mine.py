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
"""Mines hard negatives for a training file with the encoder itself.

    python run_mine.py --model_name_or_path output/finetune --train_file train.jsonl --corpus_file corpus.jsonl \
        --output_file train_mined.jsonl --first 10 --last 210 --count 15
"""

import argparse

from paddlenlp.transformers import BertTokenizer
from retriever.embedder import DygraphEncoder, Embedder
from retriever.index import FlatIndex, mine_hard_negatives
from retriever.jsonl import read_jsonl, write_jsonl
from retriever.modeling import EmbeddingModel


def add_embedder_arguments(parser):
    parser.add_argument("--model_name_or_path", required=True)
    parser.add_argument(
        "--max_length", type=int, help="Tokens a text; the end of a longer one is cut off. Default: 512."
    )
    parser.add_argument("--size", type=int, help="Numbers of a vector, of a model trained with Matryoshka dimensions.")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--query_instruction", default="")
    parser.add_argument("--passage_instruction", default="")
    parser.add_argument("--backend", choices=("auto", "faiss", "numpy"), default="auto")


def build_embedder(args):
    return Embedder(
        DygraphEncoder(EmbeddingModel.from_pretrained(args.model_name_or_path)),
        BertTokenizer.from_pretrained(args.model_name_or_path),
        max_length=args.max_length,
        batch_size=args.batch_size,
        query_instruction=args.query_instruction,
        passage_instruction=args.passage_instruction,
        size=args.size,
    )


def main():
    parser = argparse.ArgumentParser()
    add_embedder_arguments(parser)
    parser.add_argument("--train_file", required=True, help="jsonl with query and pos.")
    parser.add_argument("--corpus_file", help="jsonl with text. Default: the positives of the training file.")
    parser.add_argument("--output_file", required=True)
    parser.add_argument(
        "--first", type=int, default=10, help="Negatives are drawn from this rank (counted from 0) ..."
    )
    parser.add_argument("--last", type=int, default=210, help="... to this one, without it.")
    parser.add_argument("--count", type=int, default=15, help="Negatives a query.")
    parser.add_argument(
        "--max_relative_score", type=float, help="Leave out what scores above this share of the positive."
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rows = read_jsonl(args.train_file, ("query", "pos"))
    if args.corpus_file:
        passages = [row["text"] for row in read_jsonl(args.corpus_file, ("text",))]
    else:
        passages = [text for row in rows for text in row["pos"]]
    passages = list(dict.fromkeys(passages))
    embedder = build_embedder(args)
    index = FlatIndex(embedder.passages(passages), args.backend)
    queries = embedder.queries([row["query"] for row in rows], [row.get("prompt") for row in rows])
    mined = mine_hard_negatives(
        rows, queries, passages, index, args.first, args.last, args.count, args.max_relative_score, args.seed
    )
    if not any(row["neg"] for row in mined):
        raise ValueError("no query has a negative left; give other ranks or a higher max_relative_score")
    write_jsonl(args.output_file, mined)
    short = sum(len(row["neg"]) < args.count for row in mined)
    print("%d queries, %d passages, %s; %d queries with fewer than %d negatives" % (
        len(mined), len(passages), index.backend, short, args.count
    ))  # fmt: skip


if __name__ == "__main__":
    main()
