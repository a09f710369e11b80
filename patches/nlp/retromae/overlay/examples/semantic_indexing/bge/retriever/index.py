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
"""Exact search by inner product, with faiss or with numpy, and the mining of hard negatives."""

import numpy as np

try:
    import faiss
except ImportError:
    faiss = None

BLOCK = 1024


def finite(vectors):
    """[n, size] as float32 in C order; a ValueError says how many vectors hold a number that is not finite."""
    vectors = np.ascontiguousarray(vectors, dtype="float32")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise ValueError("%d vectors hold numbers that are not finite" % bad.sum())
    return vectors


class FlatIndex:
    """Exact search over the rows of a matrix. Results of equal score are ordered by row number, with either backend; which of
    them come in at the end of the list, if not all do, is up to the backend.

    Args:
        vectors (numpy.ndarray): [n, size] float32.
        backend (str): "faiss", "numpy", or "auto": faiss if it is installed.

    Raises:
        ImportError: for "faiss" where it is not installed.
        ValueError: a number is not finite.
    """

    def __init__(self, vectors, backend="auto"):
        if backend not in ("auto", "faiss", "numpy"):
            raise ValueError("backend %r is not one of auto, faiss, numpy" % (backend,))
        if backend == "faiss" and faiss is None:
            raise ImportError("faiss is not installed: pip install faiss-cpu, or use backend='numpy' (equal results)")
        self.vectors = finite(vectors)
        self.backend = "faiss" if backend != "numpy" and faiss is not None else "numpy"
        if self.backend == "faiss":
            self.index = faiss.IndexFlatIP(self.vectors.shape[1])
            self.index.add(self.vectors)

    def __len__(self):
        return len(self.vectors)

    def search(self, queries, k):
        """
        Args:
            queries (numpy.ndarray): [m, size].
            k (int): results a query; at most the number of rows are given.

        Returns:
            tuple: scores [m, k] float32 and row numbers [m, k] int64, best first.

        Raises:
            ValueError: a number is not finite.
        """
        queries, k = finite(queries), min(k, len(self))
        if self.backend == "faiss":
            scores, rows = self.index.search(queries, k)
            order = np.lexsort((rows, -scores), axis=-1)
            return np.take_along_axis(scores, order, -1), np.take_along_axis(rows, order, -1)
        scores = np.empty([len(queries), k], dtype="float32")
        rows = np.empty([len(queries), k], dtype="int64")
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK] @ self.vectors.T
            order = np.argsort(-block, axis=-1, kind="stable")[:, :k]
            rows[start : start + BLOCK] = order
            scores[start : start + BLOCK] = np.take_along_axis(block, order, -1)
        return scores, rows


def mine_hard_negatives(
    rows, query_vectors, passages, index, first=10, last=210, count=15, max_relative_score=None, seed=0
):
    """Negatives that the current encoder takes for good answers (arXiv:2309.07597, section 4; ANCE, arXiv:2007.00808).

    Args:
        rows (list[dict]): training rows with `query` and `pos`; they are not changed.
        query_vectors (numpy.ndarray): [len(rows), size], of the queries with their instruction.
        passages (list[str]): the corpus, in the order of the index.
        index (FlatIndex): over the vectors of `passages`.
        first, last (int): negatives are drawn from these ranks, counted from 0 and without `last`. The first ranks hold answers
            that nobody has marked. Default: 10 and 210, those of FlagEmbedding.
        count (int): negatives a query. Fewer stand in the row if the ranks hold fewer.
        max_relative_score (float, optional): leave out passages with a score above this share of the positive's best score
            (arXiv:2407.15831). The positive must then be part of the corpus.
        seed (int)

    Returns:
        list[dict]: the rows with `neg`, never a positive, never the query itself, none twice; `neg_scores` of former negatives are
        left out.

    Raises:
        ValueError: the ranks hold nothing, or `max_relative_score` finds no positive in the corpus.
    """
    if not 0 <= first < last:
        raise ValueError("ranks from %d to %d hold nothing" % (first, last))
    if first >= len(passages):
        raise ValueError(
            "negatives from rank %d on: the corpus has %d passages; give a smaller first" % (first, len(passages))
        )
    rng = np.random.default_rng(seed)
    scores, found = index.search(query_vectors, last)
    numbers = {text: number for number, text in enumerate(passages)}
    mined = []
    for row, vector, row_scores, row_found in zip(rows, query_vectors, scores, found):
        limit = np.inf
        if max_relative_score is not None:
            known = [numbers[text] for text in row["pos"] if text in numbers]
            if not known:
                raise ValueError(
                    "no positive of query %r is in the corpus; max_relative_score needs one" % row["query"]
                )
            limit = max_relative_score * float((index.vectors[known] @ vector).max())
        banned = set(row["pos"]) | {row["query"]}
        pairs = zip(row_scores[first:], row_found[first:])
        texts = dict.fromkeys(passages[number] for score, number in pairs if score <= limit)
        texts = [text for text in texts if text not in banned]
        picks = sorted(rng.permutation(len(texts))[:count].tolist())
        # Scores of other negatives do not belong to these.
        kept = {key: value for key, value in row.items() if key != "neg_scores"}
        mined.append(dict(kept, neg=[texts[pick] for pick in picks]))
    return mined
