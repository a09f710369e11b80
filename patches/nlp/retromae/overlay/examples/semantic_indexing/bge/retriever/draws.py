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
"""Random draws that follow from the seed, the epoch and the row alone.

They are the same for any number of data workers and of processes, and after a resume: nothing is drawn from a generator that a
worker could copy. The sampler says with each row which epoch it is; data set and collator make a generator of both.
"""

from typing import NamedTuple

import numpy as np
from paddle.io import DistributedBatchSampler

# What is drawn; the draws of one purpose do not depend on another one.
NEGATIVES, MASKS, ORDER = range(3)


class Draw(NamedTuple):
    """A row of a data set in an epoch: what a data set of this example takes as an index (a plain number is epoch 0)."""

    row: int
    epoch: int = 0

    @classmethod
    def of(cls, index):
        return cls(*index) if isinstance(index, tuple) else cls(int(index))

    def generator(self, seed, purpose):
        """numpy.random.Generator."""
        return np.random.default_rng([seed, self.epoch, self.row, purpose])


class EpochBatchSampler(DistributedBatchSampler):
    """Batches of `Draw`, shuffled anew each epoch; rows of one group of the data set only (``dataset.groups``, if there is any).

    A batch of n processes with b rows each holds the rows of one process with n * b. Rows that do not fill a batch make a smaller
    one; if the processes cannot share them evenly, rows of the same group are added. With `drop_last` they are left out of the epoch
    (`dropped` says how many).

    Args:
        dataset (Dataset): its attribute `groups`, if there is one, is a list of ranges of rows (start, end).
        batch_size (int): rows of one process.
        num_replicas, rank (int): processes, and the number of this one. Default: 1, 0.
        drop_last (bool): leave out batches that are not full. Default: False.
        seed (int): Default: 0.
    """

    def __init__(self, dataset, batch_size, num_replicas=1, rank=0, drop_last=False, seed=0):
        super().__init__(dataset, batch_size, num_replicas, rank, shuffle=True, drop_last=drop_last)
        self.seed = seed
        self.groups = list(getattr(dataset, "groups", None) or [(0, len(dataset))])
        self.whole = batch_size * num_replicas
        sizes = [end - start for start, end in self.groups]
        self.dropped = sum(size % self.whole for size in sizes) if drop_last else 0
        self.count = sum(size // self.whole if drop_last else -(-size // self.whole) for size in sizes)
        if not self.count:
            raise ValueError("%d rows do not fill one batch of %d" % (sum(sizes), self.whole))

    def __len__(self):
        return self.count

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch, ORDER])
        batches = []
        for start, end in self.groups:
            order = start + rng.permutation(end - start)
            for first in range(0, len(order), self.whole):
                rows = order[first : first + self.whole]
                if len(rows) < self.whole and self.drop_last:
                    continue
                rows = np.concatenate([rows, np.resize(order, -len(rows) % self.nranks)])
                share = len(rows) // self.nranks
                batches.append(rows[self.local_rank * share : (self.local_rank + 1) * share])
        places = rng.permutation(len(batches)) if len(self.groups) > 1 else range(len(batches))
        for place in places:
            yield [Draw(row, self.epoch) for row in batches[place].tolist()]


class RowDraws:
    """Mixed into a Trainer: its batches come from `EpochBatchSampler`."""

    def _get_train_sampler(self):
        args = self.args
        shares = (args.dataset_world_size, args.dataset_rank) if args.world_size > 1 else (1, 0)
        return EpochBatchSampler(
            self.train_dataset, args.per_device_train_batch_size, *shares, args.dataloader_drop_last, args.seed
        )
