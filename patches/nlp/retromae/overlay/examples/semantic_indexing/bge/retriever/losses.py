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
"""The contrastive losses of BGE, and the exchange of embeddings between processes."""

import paddle
import paddle.distributed as dist
import paddle.nn.functional as F

DISTILLATIONS = (None, "kl_div", "m3_kd_loss")
LEFT_OUT = -1e9


def contrastive_loss(
    queries,
    passages,
    temperature=0.02,
    in_batch_negatives=True,
    teacher_scores=None,
    distillation=None,
    excluded=None,
    margin=None,
):
    """The loss of BGE (arXiv:2309.07597, section 4), with or without distillation (arXiv:2402.03216, section 3.3).

    Args:
        queries (Tensor): [n, size], normalised.
        passages (Tensor): [n * group, size], normalised. The passages of query i are the rows i * group to i * group + group - 1,
            the positive first.
        temperature (float): the similarity is divided by it.
        in_batch_negatives (bool): whether the passages of the other queries are negatives too. Default: True.
        teacher_scores (Tensor, optional): [n, group], scores of a teacher (a reranker) for the query's own passages.
        distillation (str, optional): None; "kl_div" (adds the cross entropy between the teacher's distribution over the own group
            and ours); "m3_kd_loss" (replaces the loss: each passage of the group is a target in turn, weighted by the teacher,
            among all candidates but the passages of the group before it).

        excluded (Tensor, optional): [n, n * group], bool: passages of other queries that are no negatives of this one, e.g. because they
            are its positives, too. Default: none.
        margin (float, optional): neither are passages of other queries whose similarity is above that of the own positive by more than
            this (arXiv:2402.16829, section 3, with the model itself for the guide). Default: no such filter.

    Returns:
        tuple: the loss (a scalar) and the scores, [n, n * group] or [n, group]; -1e9 where a passage was left out.

    Raises:
        ValueError: for shapes that do not fit, an unknown distillation, or one without teacher scores.
    """
    count, group = queries.shape[0], passages.shape[0] // queries.shape[0]
    if count * group != passages.shape[0] or not group:
        raise ValueError("%d passages are not the same number for each of %d queries" % (passages.shape[0], count))
    if distillation not in DISTILLATIONS:
        raise ValueError("distillation %r is not one of %s" % (distillation, DISTILLATIONS))
    if distillation is not None and (teacher_scores is None or list(teacher_scores.shape) != [count, group]):
        raise ValueError("%s needs teacher_scores of shape [%d, %d]" % (distillation, count, group))

    if in_batch_negatives:
        scores = paddle.matmul(queries, passages, transpose_y=True) / temperature
        targets = paddle.arange(count, dtype="int64") * group
        left_out = _false_negatives(scores, count, group, excluded, None if margin is None else margin / temperature)
        if left_out is not None:
            scores = paddle.where(left_out, paddle.full_like(scores, LEFT_OUT), scores)
    else:
        own = passages.reshape([count, group, -1])
        scores = paddle.matmul(own, queries.unsqueeze(-1)).squeeze(-1) / temperature
        targets = paddle.zeros([count], dtype="int64")
    if distillation is None:
        return cross_entropy(scores, targets).mean(), scores

    teacher = F.softmax(teacher_scores.astype(scores.dtype), axis=-1).detach()
    if distillation == "kl_div":
        own = _own_scores(scores, count, group, in_batch_negatives)
        soft = paddle.logsumexp(own, axis=-1) - (teacher * own).sum(axis=-1)
        return (cross_entropy(scores, targets) + soft).mean(), scores
    loss = paddle.zeros([], dtype=scores.dtype)
    candidates = scores
    for i in range(group):
        loss = loss + (teacher[:, i] * cross_entropy(candidates, targets + i)).mean()
        done = F.one_hot(targets + i, scores.shape[1]).astype(scores.dtype)
        candidates = candidates + done * LEFT_OUT
    return loss, scores


def cross_entropy(scores, targets):
    """The cross entropy of each row, [n].

    Not `F.cross_entropy`: its kernel for the CPU cuts what is more than 64 below the largest score, and at a temperature of 0.01
    cosines reach 200. The loss of the rows that are hardest would be too small.

    Args:
        scores (Tensor): [n, m].
        targets (Tensor): [n], int64.
    """
    picked = paddle.take_along_axis(scores, targets.unsqueeze(-1), axis=-1).squeeze(-1)
    return paddle.logsumexp(scores, axis=-1) - picked


def _false_negatives(scores, count, group, excluded, margin):
    """[n, n * group], bool: the passages of other queries that are left out; None if there is no filter."""
    if excluded is None and margin is None:
        return None
    columns = paddle.arange(count * group, dtype="int64") // group
    others = columns.unsqueeze(0) != paddle.arange(count, dtype="int64").unsqueeze(-1)
    found = paddle.zeros_like(others) if excluded is None else excluded
    if margin is not None:
        with paddle.no_grad():
            own = paddle.take_along_axis(scores, paddle.arange(count, dtype="int64").unsqueeze(-1) * group, axis=1)
            found = paddle.logical_or(found, scores > own + margin)
    return paddle.logical_and(found, others)


def _own_scores(scores, count, group, in_batch):
    """The scores [n, group] of each query for its own passages."""
    if not in_batch:
        return scores
    columns = paddle.arange(count, dtype="int64").unsqueeze(-1) * group + paddle.arange(group, dtype="int64")
    return paddle.take_along_axis(scores, columns, axis=1)


def gather_with_grad(tensor):
    """The rows of all processes, in the order of their ranks; only the own rows carry a gradient.

    Every process must bring the same number of rows. With one process the tensor is returned as it is.

    Because the other rows carry none, each process gets the gradient of the common loss with respect to its own rows only; the
    gradients of the parameters must then be *summed* over the processes (`EmbeddingTrainer` does).
    """
    return gather_rows(tensor, own=tensor)


def gather_rows(tensor, own=None):
    """The rows of all processes, in the order of their ranks, without gradient; `own` takes the place of the own rows."""
    if dist.get_world_size() < 2:
        return tensor if own is None else own
    rows = []
    dist.all_gather(rows, tensor.detach())
    if own is not None:
        rows[dist.get_rank()] = own
    return paddle.concat(rows, axis=0)
