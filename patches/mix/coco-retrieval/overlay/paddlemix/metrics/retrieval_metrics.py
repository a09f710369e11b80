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
captions (500 MB for COCO's 5,000 x 25,010, and LAVIS holds three) is never there: it goes by in blocks of images, and what stays are the
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


def similarity_blocks(images, captions, size=32):
    """
    Similarities in blocks of images: the largest dot product over an image's queries.

    Args:
        images: [N, queries, D]. captions: [M, D]. size: images of a block; it holds size * queries * M numbers.

    Yields:
        (first image, similarities [size, M]).
    """
    captions = np.ascontiguousarray(np.asarray(captions).T)
    for start in range(0, len(images), size):
        block = np.asarray(images[start : start + size])
        flat = block.reshape(-1, block.shape[-1]) @ captions
        yield start, flat.reshape(*block.shape[:2], -1).max(axis=1)


def _checked(owners, number):
    owners = np.asarray(owners)
    if not len(owners) or owners.min() < 0 or owners.max() >= number or len(np.unique(owners)) < number:
        raise ValueError(f"every one of {number} images needs a caption, and every caption one of them")
    return owners


def _kept(scores, places, k):
    """The k largest of each row, in no order."""
    if scores.shape[1] <= k:
        return scores, places
    kept = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    return np.take_along_axis(scores, kept, 1), places[kept] if places.ndim == 1 else np.take_along_axis(
        places, kept, 1
    )


def _ordered(scores, places):
    """Each row with the largest score first; among equal ones the first place."""
    order = np.argsort(places, axis=1)
    scores, places = np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1)


def candidates(blocks, right, owners, number, k=128):
    """
    One pass over the similarities.

    Args:
        blocks: (first image, similarities [B, M]) of all images, in order, as of `similarity_blocks`.
        right: [M], similarity of each caption and its own image. owners: [M]. number: N, images. k: how many are kept of each side.

    Returns:
        [`Candidates`]. Who has the same score as the right one stands before it: equal scores for all find nothing.

    Raises:
        ValueError: images without caption, a similarity that is NaN, blocks that are not all images.
    """
    owners, right = _checked(owners, number), np.asarray(right)
    captions, seen, waiting = len(owners), 0, []
    k_captions = min(k, captions)
    best_captions, caption_scores = np.empty([number, k_captions], np.int64), np.empty(
        [number, k_captions], np.float32
    )
    best_images, image_scores = np.zeros([captions, 0], np.int64), np.empty([captions, 0], np.float32)
    image_ranks, caption_ranks = np.empty(number, np.int64), np.zeros(captions, np.int64)
    places = np.arange(captions)
    for start, block in blocks:
        block = np.asarray(block)
        if start != seen or block.shape[1] != captions or np.isnan(block).any():
            raise ValueError(f"block of images from {start}: {block.shape} for {captions} captions, none of them NaN")
        seen = start + len(block)
        inside = np.flatnonzero((owners >= start) & (owners < seen))
        own = owners[inside] - start, inside
        values = block[own]
        best = np.full(len(block), -np.inf, block.dtype)
        np.maximum.at(best, own[0], values)
        before = block >= best[:, None]
        before[own] = False
        image_ranks[start:seen] = before.sum(axis=1)
        before = block >= right[None]
        before[own] = False
        caption_ranks += before.sum(axis=0)
        caption_scores[start:seen], best_captions[start:seen] = _kept(block, places, k_captions)
        waiting.append(block)
        # the captions' side is chosen from many blocks at once: what is kept takes part in every choice
        if sum(map(len, waiting)) >= 4 * k or seen == number:
            first = seen - sum(map(len, waiting))
            joined = np.concatenate([image_scores, np.concatenate(waiting).T], axis=1)
            whose = np.broadcast_to(np.arange(first, seen), [captions, seen - first])
            image_scores, best_images = _kept(joined, np.concatenate([best_images, whose], axis=1), k)
            waiting = []
    if seen != number:
        raise ValueError(f"blocks of {seen} images, there are {number}")
    caption_scores, best_captions = _ordered(caption_scores, best_captions)
    image_scores, best_images = _ordered(image_scores, best_images)
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
    rows = np.repeat(np.arange(number), found.best_captions.shape[1])
    scores = np.asarray(logits(rows, found.best_captions.reshape(-1)), np.float32).reshape(found.best_captions.shape)
    own = found.owners[found.best_captions] == np.arange(number)[:, None]
    images = _ranks(scores + found.caption_scores, own, captions)
    columns = np.repeat(np.arange(captions), found.best_images.shape[1])
    scores = np.asarray(logits(found.best_images.reshape(-1), columns), np.float32).reshape(found.best_images.shape)
    own = found.best_images == found.owners[:, None]
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
