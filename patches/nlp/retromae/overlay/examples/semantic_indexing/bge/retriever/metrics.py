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
"""Measures of retrieval as MTEB's retrieval tasks define them."""

import numpy as np


def retrieval_metrics(ranking, relevant, cutoffs=(1, 5, 10, 100)):
    """Mean over the queries of MRR, recall and nDCG.

    Args:
        ranking (dict): query id -> list of passage ids, best first, none twice.
        relevant (dict): query id -> {passage id: grade}; a grade above 0 is relevant. The gain is the grade, the discount is
            log2(rank + 1), and the ideal order is that of the grades.
        cutoffs (tuple[int])

    Returns:
        dict: `mrr@k`, `recall@k`, `ndcg@k`, each in [0, 1].

    Raises:
        ValueError: for a query without a ranking or without a relevant passage, and for a passage that is ranked twice.
    """
    if not relevant:
        raise ValueError("there is no query to judge")
    totals = {"%s@%d" % (name, k): 0.0 for name in ("mrr", "recall", "ndcg") for k in cutoffs}
    for query, grades in relevant.items():
        gains = {passage: grade for passage, grade in grades.items() if grade > 0}
        if not gains:
            raise ValueError("query %r has no relevant passage" % (query,))
        if query not in ranking:
            raise ValueError("query %r has no ranking" % (query,))
        ranked = list(ranking[query])
        if len(set(ranked)) != len(ranked):
            raise ValueError("query %r has a passage in its ranking twice" % (query,))
        got = np.array([gains.get(passage, 0) for passage in ranked], dtype=float)
        ideal = np.sort(np.array(list(gains.values()), dtype=float))[::-1]
        hits = np.flatnonzero(got)
        for k in cutoffs:
            totals["mrr@%d" % k] += 1.0 / (hits[0] + 1) if len(hits) and hits[0] < k else 0.0
            totals["recall@%d" % k] += np.count_nonzero(got[:k]) / len(gains)
            totals["ndcg@%d" % k] += _dcg(got[:k]) / _dcg(ideal[:k])
    return {name: float(total / len(relevant)) for name, total in totals.items()}


def _dcg(gains):
    return float((gains / np.log2(np.arange(len(gains)) + 2)).sum())
