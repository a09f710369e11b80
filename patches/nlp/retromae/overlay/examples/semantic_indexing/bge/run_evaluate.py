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

corpus.jsonl holds `id` and `text`; queries.jsonl holds `id`, `text` and `relevant` ({passage id: grade} or a list of ids),
and perhaps `prompt`, in place of the query instruction.
"""

import argparse
import json

from retriever.index import FlatIndex
from retriever.jsonl import read_jsonl
from retriever.metrics import retrieval_metrics
from run_mine import add_embedder_arguments, build_embedder


def evaluate(embedder, corpus, queries, backend="auto", depth=100):
    """The measures of `retrieval_metrics`, up to rank `depth`.

    Args:
        embedder (Embedder)
        corpus (list[dict]): `id` and `text`.
        queries (list[dict]): `id`, `text` and `relevant`.
    """
    names = [str(row["id"]) for row in corpus]
    known = set(names)
    if len(known) < len(names):
        raise ValueError("%d ids of the corpus stand there more than once" % (len(names) - len(known)))
    index = FlatIndex(embedder.passages([row["text"] for row in corpus]), backend)
    vectors = embedder.queries([row["text"] for row in queries], [row.get("prompt") for row in queries])
    _, found = index.search(vectors, depth)
    ranking, relevant = {}, {}
    for row, numbers in zip(queries, found):
        if str(row["id"]) in ranking:
            raise ValueError("query %s is there twice" % row["id"])
        ranking[str(row["id"])] = [names[number] for number in numbers]
        grades = row["relevant"]
        grades = grades if isinstance(grades, dict) else {passage: 1 for passage in grades}
        unknown = [passage for passage in grades if str(passage) not in known]
        if unknown:
            raise ValueError("query %s: passage %s is not in the corpus" % (row["id"], unknown[0]))
        relevant[str(row["id"])] = {str(passage): grade for passage, grade in grades.items()}
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
