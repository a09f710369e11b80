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
"""
Metrics of a choice among candidates by their losses or scores: accuracy, mean reciprocal rank, area under the ROC curve.
"""

import numpy as np

__all__ = ["ranking_accuracy", "mean_reciprocal_rank", "roc_auc"]


def _numbers(values, dimensions):
    """Values as float64, of which none is NaN: a comparison with NaN is false, which would count without a word."""
    values = np.asarray(values, np.float64)
    if values.ndim != dimensions or values.size == 0 or np.isnan(values).any():
        raise ValueError(f"expected {dimensions} dimensions with values that are no NaN, got the shape {values.shape}")
    return values


def ranking_accuracy(losses, gold):
    """Share of the rows of `losses` [N, K] whose least loss stands at `gold` [N]; among equal losses the first counts as least."""
    return float((np.argmin(_numbers(losses, 2), axis=1) == np.asarray(gold)).mean())


def mean_reciprocal_rank(losses, gold):
    """Mean of 1 / rank of `gold` [N] among the candidates of `losses` [N, K]; a candidate with the same loss counts as better."""
    losses, gold = _numbers(losses, 2), np.asarray(gold)
    own = losses[np.arange(len(gold)), gold][:, None]
    return float((1.0 / (losses <= own).sum(axis=1)).mean())


def roc_auc(scores, labels):
    """Area under the ROC curve of `scores` [N] for `labels` [N] of 0 and 1; equal scores count half."""
    scores, labels = _numbers(scores, 1), np.asarray(labels).astype(bool)
    if labels.all() or not labels.any():
        raise ValueError("the area under the ROC curve needs both labels")
    positive, negative = scores[labels], np.sort(scores[~labels])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))
