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
"""Retrieval measures of an encoder: nDCG, MRR and recall.

    python run_evaluate.py --model_name_or_path output/finetune --corpus_file corpus.jsonl --query_file queries.jsonl

corpus.jsonl holds `id` and `text`; queries.jsonl holds `id`, `text` and `relevant` ({passage id: grade} or a list of ids).
"""

import argparse
import json

from retriever.data import read_jsonl
from retriever.index import FlatIndex
from retriever.metrics import retrieval_metrics
from run_mine import add_embedder_arguments, build_embedder


def evaluate(embedder, corpus, queries, backend="auto", depth=100):
    """The measures of `retrieval_metrics`, up to rank `depth`.

    Args:
        embedder (Embedder)
        corpus (list[dict]): `id` and `text`.
        queries (list[dict]): `id`, `text` and `relevant`.
    """
    index = FlatIndex(embedder.passages([row["text"] for row in corpus]), backend)
    _, found = index.search(embedder.queries([row["text"] for row in queries]), depth)
    ranking, relevant = {}, {}
    for row, numbers in zip(queries, found):
        ranking[row["id"]] = [corpus[number]["id"] for number in numbers]
        grades = row["relevant"]
        relevant[row["id"]] = grades if isinstance(grades, dict) else {passage: 1 for passage in grades}
    return retrieval_metrics(ranking, relevant)


def main():
    parser = argparse.ArgumentParser()
    add_embedder_arguments(parser)
    parser.add_argument("--corpus_file", required=True)
    parser.add_argument("--query_file", required=True)
    args = parser.parse_args()
    corpus = read_jsonl(args.corpus_file, ("id", "text"))
    queries = read_jsonl(args.query_file, ("id", "text", "relevant"))
    print(json.dumps(evaluate(build_embedder(args), corpus, queries, args.backend), indent=2))


if __name__ == "__main__":
    main()
