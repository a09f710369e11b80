"""Recall with and without ranking again against LAVIS' results on a 200 x 1011 matrix, and every rank against a plain sort."""

import json
import os

import numpy as np
from paddlemix.metrics import retrieval_metrics

from proving.record import arguments, write_metrics
from proving.seeding import seeded

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference", "retrieval_metric.json")


def matrices(data):
    """(similarities, ITM logits, owners) as the file says."""
    counts = data["captions_per_image"]
    shape, owners = (data["images"], data["texts"]), np.repeat(np.arange(len(counts)), counts)
    match = (owners[None] == np.arange(len(counts))[:, None]).astype(np.float32)
    sims = seeded("input:coco_retrieval:sims", shape, "normal") * np.float32(0.1) + np.float32(0.15) * match
    return sims, seeded("input:coco_retrieval:itm", shape, "normal") + np.float32(1.5) * match, owners


def blocks(sims, size=7):
    return ((start, sims[:, start : start + size].T) for start in range(0, sims.shape[1], size))


def sorted_ranks(sims, itm, owners, k):
    """Ranks by a matrix of all scores and a sort of each row; None without ranking again. What is not among the best has no rank (-1)."""
    made = []
    own = owners[None] == np.arange(len(sims))[:, None]
    for scores, logits, right in ((sims, itm, own), (sims.T, itm.T, own.T)):
        ranks = np.empty(len(scores), np.int64)
        for row in range(len(scores)):
            values = scores[row]
            if k:
                values, best = np.full(len(values), -100, np.float32), np.argsort(-values, kind="stable")[:k]
                values[best] = logits[row, best] + scores[row, best]
            order = np.argsort(values, kind="stable")[::-1]
            place = np.flatnonzero(right[row][order])[0]
            ranks[row] = place if not k or values[order[place]] > -100 else -1
        made.append(ranks)
    return made


def main():
    args = arguments()
    with open(FILE, encoding="utf-8") as stream:
        data = json.load(stream)
    sims, itm, owners = matrices(data)
    right, gap, wrong, number = sims[owners, np.arange(len(owners))], 0.0, 0, 0
    for key, k in (("metrics_itc_only", None), ("metrics_reranked", data["k_test"]), ("metrics_reranked_k16", 16)):
        found = retrieval_metrics.candidates(blocks(sims), right, owners, len(sims), k or 128)
        ranks = found.image_ranks, found.caption_ranks
        if k:
            ranks = retrieval_metrics.reranked(found, lambda images, captions: itm[images, captions])
        made = retrieval_metrics.recall(*ranks)
        gap = max(gap, *(abs(made[name] - value) for name, value in data[key].items()))
        for ours, theirs in zip(ranks, sorted_ranks(sims, itm, owners, k)):
            inside = theirs >= 0
            wrong += int((ours[inside] != theirs[inside]).sum()) + int((ours[~inside] < (k or 0)).sum())
            number += len(ours)
    write_metrics(args.out, {"recall_gap": gap, "ranks_wrong": wrong, "ranks": number})
    print(gap, wrong, number)


if __name__ == "__main__":
    main()
