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
Recall of image-text retrieval, by similarity (ITC) and with the best k ranked again by matching (ITM). NumPy only.

The rule is that of salesforce/LAVIS @ 506965b (`compute_sim_matrix`, `RetrievalTask._report_metrics`), measured by results: the score of a
pair among the best k is the ITM logit plus the similarity, every other pair stands behind all of them. The matrix of all images and all
captions (500 MB for COCO's 5,000 x 25,010, and LAVIS holds three) is never there: it goes by in blocks of captions, and what stays are the
best k of each side.
"""

import numpy as np

__all__ = ["Candidates", "candidates", "similarity_blocks", "reranked", "recall"]


class Candidates:
    """
    What one pass over all similarities leaves.

    owners: [M], the image of each caption. best_captions: [N, k] of each image, best first, with `caption_scores`; best_images: [M, k] of each
    caption, with `image_scores`. image_ranks: [N], how many captions of others stand before the image's best own one; caption_ranks: [M].
    """

    def __init__(self, owners, best_captions, caption_scores, best_images, image_scores, image_ranks, caption_ranks):
        self.owners, self.best_captions, self.caption_scores = owners, best_captions, caption_scores
        self.best_images, self.image_scores = best_images, image_scores
        self.image_ranks, self.caption_ranks = image_ranks, caption_ranks

    def pairs_by_image(self):
        """
        Every pair that has to be matched, once: those among the best of the image and those among the best of the caption.

        Returns:
            list of N arrays: captions of each image, ascending.
        """
        number, k = self.best_captions.shape[0], self.best_images.shape[1]
        images = np.concatenate(
            [np.repeat(np.arange(number), self.best_captions.shape[1]), self.best_images.reshape(-1)]
        )
        captions = np.concatenate([self.best_captions.reshape(-1), np.repeat(np.arange(len(self.owners)), k)])
        keys = np.unique(images.astype(np.int64) * len(self.owners) + captions)
        bounds = np.searchsorted(keys, np.arange(number + 1, dtype=np.int64) * len(self.owners))
        return [keys[bounds[i] : bounds[i + 1]] - i * len(self.owners) for i in range(number)]


def similarity_blocks(images, captions, size=250, together=64):
    """
    Similarities in blocks of captions: the largest dot product over an image's queries.

    Args:
        images: [N, queries, D]. captions: [M, D]. size: captions of a block. together: images that are multiplied at once; what is held are
            size * (N + together * queries) numbers.

    Yields:
        (first caption, similarities [size, N]).
    """
    captions = np.asarray(captions)
    for start in range(0, len(captions), size):
        part = np.ascontiguousarray(captions[start : start + size].T)
        block = np.empty([part.shape[1], len(images)], part.dtype)
        for first in range(0, len(images), together):
            some = np.asarray(images[first : first + together])
            flat = some.reshape(-1, some.shape[-1]) @ part
            block[:, first : first + together] = flat.reshape(*some.shape[:2], -1).max(axis=1).T
        yield start, block


def _checked(owners, number):
    owners = np.asarray(owners)
    if not len(owners) or owners.min() < 0 or owners.max() >= number or len(np.unique(owners)) < number:
        raise ValueError(f"every one of {number} images needs a caption, and every caption one of them")
    return owners


def _largest(row, k, step=16):
    """
    Places of the k largest of a row, in no order.

    A threshold that about 3k of the row reach is taken from every `step`-th value, so that few have to be compared with each other; where
    fewer than k reach it, all are.
    """
    sample, number = row[::step], 3 * k // step + 1
    if number < len(sample):
        places = np.flatnonzero(row >= np.partition(sample, len(sample) - number)[-number])
        if len(places) >= k:
            return places[np.argpartition(row[places], len(places) - k)[len(places) - k :]]
    return np.argpartition(row, len(row) - k)[len(row) - k :]


class _Best:
    """
    The k largest of each of `rows` rows, whose values come in columns.

    There is room for 8k of each: what is not above the least of the k that are kept is left out at once, and rows are cut to k only when the
    room is used up. Among equal values the first are kept.
    """

    def __init__(self, rows, k):
        self.k, self.room, self.seen = k, 8 * k, 0
        # a column for each row: those that stand beside each other are about as full, and what is written stands together
        self.scores = np.full([self.room, rows], -np.inf, np.float32)
        self.places = np.zeros([self.room, rows], np.int32)
        self.filled, self.least = np.zeros(rows, np.int64), np.full(rows, -np.inf, np.float32)

    def add(self, columns):
        """columns: [B, rows], finite, the values at the next B places."""
        whole = min(max(self.room - self.seen, 0), len(columns))  # the first ones find room for all
        if whole:
            self.scores[self.seen : self.seen + whole] = columns[:whole]
            self.places[self.seen : self.seen + whole] = np.arange(self.seen, self.seen + whole)[:, None]
            self.filled += whole
        for place, column in enumerate(columns[whole:], self.seen + whole):
            if self.filled.max() == self.room:
                self._cut()
            rows = np.flatnonzero(column > self.least)
            slots = self.filled[rows]
            self.filled[rows] += 1
            slots *= len(column)
            slots += rows
            self.scores.reshape(-1)[slots], self.places.reshape(-1)[slots] = column[rows], place
        self.seen += len(columns)

    def _cut(self, size=512):
        k, most = self.k, self.filled.max()
        for start in range(0, len(self.filled), size):
            part = slice(start, start + size)
            scores, places = (np.ascontiguousarray(one[:most, part].T) for one in (self.scores, self.places))
            least = np.partition(scores, most - k, axis=1)[:, most - k]
            kept = scores >= least[:, None]
            surplus = np.add.reduce(kept, axis=1, dtype=np.int64) - k
            for row in np.flatnonzero(surplus):
                kept[row, np.flatnonzero(scores[row] == least[row])[-surplus[row] :]] = False
            kept = np.flatnonzero(kept)
            self.scores[k:most, part] = -np.inf
            self.scores[:k, part] = scores.take(kept).reshape(-1, k).T
            self.places[:k, part] = places.take(kept).reshape(-1, k).T
            self.least[part] = least
        self.filled[:] = k

    def close(self):
        """(scores, places) [rows, k], places ascending; at least k columns must have been there."""
        self._cut()
        return np.ascontiguousarray(self.scores[: self.k].T), self.places[: self.k].T.astype(np.int64)


def _ordered(scores, places):
    """Each row with the largest score first; among equal ones the first place, where places ascend."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)


def candidates(blocks, right, owners, number, k=128):
    """
    One pass over the similarities.

    Args:
        blocks: (first caption, similarities [B, N]) of all captions, in order, as of `similarity_blocks`.
        right: [M], similarity of each caption and its own image. owners: [M]. number: N, images. k: how many are kept of each side.

    Returns:
        [`Candidates`]. Who has the same score as the right one stands before it: equal scores for all find nothing.

    Raises:
        ValueError: images without caption, a similarity that is not finite, blocks that are not all captions.
    """
    owners, right = _checked(owners, number), np.asarray(right)
    captions, seen, k_images = len(owners), 0, min(k, number)
    best_images = np.empty([captions, k_images], np.int64)
    image_scores = np.empty(best_images.shape, np.float32)
    best = _Best(number, min(k, captions))
    image_ranks, caption_ranks = np.zeros(number, np.int64), np.empty(captions, np.int64)
    own_best = np.full(number, -np.inf, right.dtype)
    np.maximum.at(own_best, owners, right)
    for start, block in blocks:
        block = np.ascontiguousarray(block)
        whole = block.ndim == 2 and block.shape[1] == number and start + len(block) <= captions
        if start != seen or not whole or not np.isfinite([block.max(), block.min()]).all():
            raise ValueError(f"block of captions from {start}: {block.shape} for {number} images, all of them finite")
        seen = start + len(block)
        own = np.arange(len(block)), owners[start:seen]
        before = block >= own_best
        before[own] = False
        # bytes are added fast, and of fewer than 256 captions they are enough
        image_ranks += before.view(np.uint8).sum(axis=0, dtype=np.uint8 if len(block) < 256 else np.int64)
        before = block >= block[own][:, None]
        before[own] = False
        for row, values in enumerate(block, start):
            caption_ranks[row] = np.count_nonzero(before[row - start])
            chosen = best_images[row] = np.sort(_largest(values, k_images))
            image_scores[row] = values[chosen]
        best.add(block)
    if seen != captions:
        raise ValueError(f"blocks of {seen} captions, there are {captions}")
    image_scores, best_images = _ordered(image_scores, best_images)
    caption_scores, best_captions = _ordered(*best.close())
    # `right` is rounded in another order than the blocks. Where an image's own caption is among its best, these have the scores to compare.
    own = owners[best_captions] == np.arange(number)[:, None]
    own_best = np.where(own, caption_scores, -np.inf).max(axis=1)
    known = own.any(axis=1) & (caption_scores[:, -1] < own_best)
    image_ranks[known] = ((caption_scores >= own_best[:, None]) & ~own)[known].sum(axis=1)
    return Candidates(owners, best_captions, caption_scores, best_images, image_scores, image_ranks, caption_ranks)


def right_similarities(images, captions, owners, size=1024):
    """[M]: similarity of each caption and its own image."""
    made = np.empty(len(owners), np.float32)
    for start in range(0, len(owners), size):
        whose = owners[start : start + size]
        made[start : start + size] = np.einsum("mqd,md->mq", images[whose], captions[start : start + size]).max(axis=1)
    return made


def reranked(found, logits):
    """
    Ranks after the best k have been matched.

    Args:
        found: [`Candidates`]. logits: function (images [P], captions [P]) -> ITM logits of a match [P].

    Returns:
        (ranks of images [N], ranks of captions [M]); one whose right partner is not among the best k has the largest rank there can be.
    """
    captions, number = len(found.owners), len(found.best_captions)
    both = (found.image_ranks, found.best_captions), (found.caption_ranks, found.best_images)
    rows = np.repeat(np.arange(number), found.best_captions.shape[1])
    scores = np.asarray(logits(rows, found.best_captions.reshape(-1)), np.float32).reshape(found.best_captions.shape)
    # a right one before which k others stand, as those with the same score do, is not among the best
    near = [(ranks < best.shape[1])[:, None] for ranks, best in both]
    own = (found.owners[found.best_captions] == np.arange(number)[:, None]) & near[0]
    images = _ranks(scores + found.caption_scores, own, captions)
    columns = np.repeat(np.arange(captions), found.best_images.shape[1])
    scores = np.asarray(logits(found.best_images.reshape(-1), columns), np.float32).reshape(found.best_images.shape)
    own = (found.best_images == found.owners[:, None]) & near[1]
    return images, _ranks(scores + found.image_scores, own, number)


def _ranks(scores, own, most):
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = ((scores >= best) & ~own).sum(axis=1)
    return np.where(own.any(axis=1), ranks, most - 1)


def recall(image_ranks, caption_ranks):
    """
    Recall in percent, under LAVIS' names: `txt_r*` of finding an image's captions, `img_r*` of finding a caption's image.

    Returns:
        {"txt_r1", "txt_r5", "txt_r10", "txt_r_mean", "img_r1", ..., "r_mean", "agg_metrics"}.
    """
    made = {}
    for name, ranks in (("txt", image_ranks), ("img", caption_ranks)):
        made.update({f"{name}_r{number}": 100 * float((np.asarray(ranks) < number).mean()) for number in (1, 5, 10)})
        made[f"{name}_r_mean"] = sum(made[f"{name}_r{number}"] for number in (1, 5, 10)) / 3
    made["r_mean"] = (made["txt_r_mean"] + made["img_r_mean"]) / 2
    made["agg_metrics"] = made["txt_r_mean"]
    return made
