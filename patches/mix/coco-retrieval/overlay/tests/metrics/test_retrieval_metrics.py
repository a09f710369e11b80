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

import unittest

import numpy as np
from paddlemix.metrics import retrieval_metrics


def made(number=9, seed=0, queries=3, width=8):
    """(image features, caption features, owners), lengths 1."""
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(number), draw.integers(1, 5, number))
    images, captions = draw.standard_normal([number, queries, width]), draw.standard_normal([len(owners), width])
    images /= np.linalg.norm(images, axis=-1, keepdims=True)
    captions /= np.linalg.norm(captions, axis=-1, keepdims=True)
    return images.astype("float32"), captions.astype("float32"), owners


class RetrievalMetricsTest(unittest.TestCase):
    def setUp(self):
        self.images, self.captions, self.owners = made()
        self.sims = np.einsum("nqd,md->nqm", self.images, self.captions).max(axis=1)

    def found(self, k=4, size=2):
        right = retrieval_metrics.right_similarities(self.images, self.captions, self.owners, size=5)
        blocks = retrieval_metrics.similarity_blocks(self.images, self.captions, size)
        return retrieval_metrics.candidates(blocks, right, self.owners, len(self.images), k)

    def test_blocks_of_any_size_find_the_same(self):
        whole = self.found(size=100)
        for size in (1, 2, 5):
            found = self.found(size=size)
            for name in ("best_captions", "best_images", "image_ranks", "caption_ranks"):
                np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), name)
        order = np.argsort(-self.sims, axis=1)[:, :4]
        np.testing.assert_array_equal(whole.best_captions, order)
        np.testing.assert_array_equal(whole.best_images, np.argsort(-self.sims.T, axis=1)[:, :4])

    def test_ranks(self):
        found = self.found()
        order = np.argsort(-self.sims, axis=1)
        want = [np.flatnonzero(self.owners[order[row]] == row)[0] for row in range(len(order))]
        self.assertEqual(found.image_ranks.tolist(), want)
        order = np.argsort(-self.sims.T, axis=1)
        self.assertEqual(found.caption_ranks.tolist(), np.argmax(order == self.owners[:, None], axis=1).tolist())

    def test_pairs_are_matched_once(self):
        found = self.found()
        pairs = {(image, caption) for image, captions in enumerate(found.pairs_by_image()) for caption in captions}
        want = {(image, caption) for image in range(9) for caption in found.best_captions[image]}
        want |= {(image, caption) for caption in range(len(self.owners)) for image in found.best_images[caption]}
        self.assertEqual(pairs, want)
        self.assertEqual(len(pairs), sum(map(len, found.pairs_by_image())))

    def test_equal_captions(self):
        """A caption that stands at two images stands before its twin at both, however the right similarities are rounded."""
        self.captions[-1] = self.captions[0]
        for image in (0, 8):
            self.images[image] = self.captions[0]  # both images are found by both
        for turn in (-1, 0, 1):
            moved = retrieval_metrics.right_similarities(self.images, self.captions, self.owners)
            moved = np.nextafter(moved, moved + turn).astype("float32") if turn else moved
            blocks = retrieval_metrics.similarity_blocks(self.images, self.captions, 3, 2)
            found = retrieval_metrics.candidates(blocks, moved, self.owners, 9, 4)
            self.assertEqual(found.image_ranks[[0, 8]].tolist(), [1, 1])
            self.assertEqual(found.caption_ranks[[0, -1]].tolist(), [1, 1])

    def test_equal_scores_find_nothing(self):
        zero = np.zeros_like(self.sims)
        found = retrieval_metrics.candidates([(0, zero.T)], zero[0], self.owners, 9, 4)
        self.assertGreater(found.caption_ranks.min(), 0)
        ranks = retrieval_metrics.reranked(found, lambda images, captions: np.zeros(len(images)))
        self.assertEqual(retrieval_metrics.recall(*ranks)["txt_r1"], 0)

    def test_a_partner_that_is_not_among_the_best_is_not_found(self):
        found = self.found(k=1)
        images, _ = retrieval_metrics.reranked(found, lambda images, captions: np.ones(len(images)))
        outside = found.image_ranks > 0
        self.assertTrue(outside.any() and (images[outside] == len(self.owners) - 1).all())
        self.assertTrue((images[~outside] == 0).all())

    def test_many(self):
        """Rows whose room is used up, thresholds that too few values reach, places in every order: the k best of a plain sort."""
        draw = np.random.default_rng(3)
        for values in (draw.standard_normal([70, 900]), np.sort(draw.standard_normal([70, 900]), axis=1)):
            values = values.astype("float32")
            values[:, ::16] += 9 * (values[:, :1] > 0)  # what is sampled says nothing of the rest
            for columns in (values, np.sort(values, axis=0), np.sort(values, axis=0)[::-1]):
                columns, owners = np.ascontiguousarray(columns), np.arange(900) % 70
                found = retrieval_metrics.candidates(
                    ((start, columns[:, start : start + 9].T) for start in range(0, 900, 9)),
                    columns[owners, np.arange(900)],
                    owners,
                    70,
                    8,
                )
                for scores, made in ((columns, found.caption_scores), (columns.T, found.image_scores)):
                    np.testing.assert_array_equal(-np.sort(-scores, axis=1)[:, :8], made)
                np.testing.assert_array_equal(columns[found.best_images, np.arange(900)[:, None]], found.image_scores)
                np.testing.assert_array_equal(
                    columns[np.arange(70)[:, None], found.best_captions], found.caption_scores
                )

    def test_k_above_the_number(self):
        self.assertEqual(self.found(k=1000).best_images.shape, (len(self.owners), 9))

    def test_faults(self):
        broken = self.sims.copy()
        broken[3, 2] = np.nan
        right = broken[self.owners, np.arange(len(self.owners))]
        for blocks, owners, message in (
            ([(0, broken.T)], self.owners, "all of them finite"),
            ([(0, self.sims.T[:5])], self.owners, f"blocks of 5 captions, there are {len(self.owners)}"),
            ([(0, self.sims)], self.owners, "for 9 images"),
            ([(0, self.sims.T)], np.zeros_like(self.owners), "needs a caption"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                retrieval_metrics.candidates(blocks, right, owners, 9)


if __name__ == "__main__":
    unittest.main()
