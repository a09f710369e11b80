"""Time and memory for COCO's 5,000 x 25,010 with seeded features, and the ratio to the reference's loop on the same scores.

The reference's loop is LAVIS' (`compute_sim_matrix`, `_report_metrics`) in NumPy, as its results show it: two matrices of scores, filled row
by row with the best k, and a sort of every row.
"""

import time

import numpy as np
from paddlemix.metrics import retrieval_metrics

from proving.record import arguments, write_metrics


def features(images, captions, seed=0):
    draw = np.random.default_rng(seed)
    owners = np.arange(captions) % images
    owners.sort()
    made = draw.standard_normal([images, 32, 256], np.float32), draw.standard_normal([captions, 256], np.float32)
    made[1][:] += 0.15 * made[0][owners, draw.integers(0, 32, captions)]
    return [value / np.linalg.norm(value, axis=-1, keepdims=True) for value in made], owners


def peak_mb(reset=False):
    """The most memory that this process held, since the last reset."""
    if reset:
        with open("/proc/self/clear_refs", "w") as stream:
            stream.write("5")
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM")) / 1024


def reference(sims, itm, logits, owners, k):
    """(ranks of images, ranks of captions) by whole matrices and sorts; `logits` is `itm` with captions first."""
    images, captions = sims.shape
    first, ranks = np.searchsorted(owners, np.arange(images + 1)), []
    scores = np.full(sims.shape, -100.0, np.float32)
    for row in range(images):
        best = np.argpartition(-sims[row], k)[:k]
        scores[row, best] = itm[row, best] + sims[row, best]
    back = np.full([captions, images], -100.0, np.float32)
    columns = np.ascontiguousarray(sims.T)
    for row in range(captions):
        best = np.argpartition(-columns[row], k)[:k]
        back[row, best] = logits[row, best] + columns[row, best]
    found = np.empty(images, np.int64)
    for row in range(images):
        order = np.argsort(scores[row])[::-1]
        found[row] = min(np.flatnonzero(order == one)[0] for one in range(first[row], first[row + 1]))
    ranks.append(found)
    found = np.empty(captions, np.int64)
    for row in range(captions):
        found[row] = np.flatnonzero(np.argsort(back[row])[::-1] == owners[row])[0]
    return ranks[0], found


def main():
    def add(parser):
        parser.add_argument("--images", type=int, default=5000)
        parser.add_argument("--captions", type=int, default=25010)
        parser.add_argument("--k", type=int, default=128)
        parser.add_argument("--alone", action="store_true", help="without the reference, to measure memory")

    args = arguments(add)
    (images, captions), owners = features(args.images, args.captions)
    metrics = {"images": args.images, "captions": args.captions, "k": args.k}
    before = peak_mb(reset=True)
    start = time.process_time()
    right = retrieval_metrics.right_similarities(images, captions, owners)
    blocks = retrieval_metrics.similarity_blocks(images, captions)
    found = retrieval_metrics.candidates(blocks, right, owners, args.images, args.k)
    metrics.update(pass_cpu_s=time.process_time() - start)
    metrics["memory_mb_above_features"] = peak_mb() - before
    metrics["features_mb"] = (images.nbytes + captions.nbytes) / 2**20
    metrics["itc_r_mean"] = retrieval_metrics.recall(found.image_ranks, found.caption_ranks)["r_mean"]
    if not args.alone:
        turned = np.concatenate([block for _, block in retrieval_metrics.similarity_blocks(images, captions)])
        sims = np.ascontiguousarray(turned.T)  # as the reference has them
        itm = np.random.default_rng(1).standard_normal(sims.shape, np.float32)
        itm[owners, np.arange(args.captions)] += 1.5
        logits = np.ascontiguousarray(itm.T)  # stands for the model, which both ask in their own order

        def ask(rows, columns):
            return itm[rows, columns] if (np.diff(rows[: 2 * args.k]) >= 0).all() else logits[columns, rows]

        start = time.process_time()
        right = sims[owners, np.arange(args.captions)]
        parts = ((first, turned[first : first + 250]) for first in range(0, args.captions, 250))
        found = retrieval_metrics.candidates(parts, right, owners, args.images, args.k)
        ours = retrieval_metrics.reranked(found, ask)
        metrics["ours_cpu_s"] = time.process_time() - start
        start = time.process_time()
        theirs = reference(sims, itm, logits, owners, args.k)
        metrics["reference_cpu_s"] = time.process_time() - start
        metrics["ratio"] = metrics["reference_cpu_s"] / metrics["ours_cpu_s"]
        inside = [one < args.k for one in theirs]
        metrics["ranks_that_differ"] = int(sum((a[i] != b[i]).sum() for a, b, i in zip(ours, theirs, inside)))
        metrics["ranks_compared"] = int(sum(i.sum() for i in inside))
        gap = [retrieval_metrics.recall(*both) for both in (ours, theirs)]
        metrics["recall_gap"] = max(abs(gap[0][name] - gap[1][name]) for name in gap[0])
    print(metrics)
    write_metrics(args.out, metrics)


if __name__ == "__main__":
    main()
