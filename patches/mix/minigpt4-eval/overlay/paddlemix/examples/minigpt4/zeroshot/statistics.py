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
Intervals, tests between two models, agreement of raters, and a ranking from pairs. NumPy only.

Rows that belong to one picture are not independent (VQAv2 asks about five questions of a picture), so that pictures are drawn, not rows.
"""

import numpy as np

__all__ = [
    "bootstrap",
    "paired_test",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "bradley_terry",
    "bradley_terry_interval",
]


def cluster_sums(values, clusters):
    """
    Sums of the rows of each cluster, and how often each sum stands there.

    Args:
        values: [N, D]. clusters: N keys.

    Returns:
        (sums [K, D] that differ from each other, counts [K]).
    """
    values = np.asarray(values, np.float64)
    _, index = np.unique(np.asarray([str(key) for key in clusters]), return_inverse=True)
    sums = np.zeros([index.max() + 1, values.shape[1]])
    np.add.at(sums, index.reshape(-1), values)
    return np.unique(sums.round(12), axis=0, return_counts=True)


def bootstrap(values, clusters, statistic=None, rounds=2000, seed=0, level=0.95):
    """
    Percentile bootstrap over clusters.

    Args:
        values: [N] or [N, D] figures of the rows.
        clusters: N keys (pictures); whole clusters are drawn.
        statistic: function of the drawn sums [rounds, D + 1] (the last column counts rows) -> [rounds]; None: the mean of `values` [N].
        rounds, seed, level.

    Returns:
        (figure, lower end, upper end).

    Raises:
        ValueError: no rows, or a value that is no finite number.
    """
    values = np.asarray(values, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if not len(values) or len(values) != len(clusters) or not np.isfinite(values).all():
        raise ValueError(
            f"bootstrap needs finite values with a cluster each: {len(values)} values, {len(clusters)} clusters"
        )
    statistic = statistic or (lambda sums: sums[:, 0] / sums[:, -1])
    sums, counts = cluster_sums(np.concatenate([values, np.ones([len(values), 1])], axis=1), clusters)
    figure = float(statistic(counts[None] @ sums)[0])
    random, drawn = np.random.default_rng(seed), []
    step = max(1, int(4e6 // len(counts)))  # rounds at a time, so that memory stays at 32 MB
    for start in range(0, rounds, step):
        weights = random.multinomial(counts.sum(), counts / counts.sum(), size=min(step, rounds - start))
        drawn.append(statistic(weights @ sums))
    low, high = np.percentile(np.concatenate(drawn), [50 * (1 - level), 50 * (1 + level)])
    return figure, float(low), float(high)


def paired_test(first, second, clusters, rounds=10000, seed=0):
    """
    Two models on the same rows: difference, interval, and the p value of a sign-flip test over clusters.

    Args:
        first, second: [N] figures of the same rows. clusters: N keys.

    Returns:
        {"difference": mean(first - second), "low", "high": 95 % bootstrap, "p": two-sided, "rows": N, "clusters": K}.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a paired test needs the same rows: {first.shape} and {second.shape}")
    difference, low, high = bootstrap(first - second, clusters, rounds=min(rounds, 2000), seed=seed)
    sums, counts = cluster_sums((first - second)[:, None], clusters)
    sums = sums[:, 0]
    random, observed = np.random.default_rng(seed + 1), abs(counts @ sums)
    flipped = np.zeros(rounds)
    for value, count in zip(sums, counts):  # of `count` equal sums as many keep their sign as a fair coin says
        if value:
            flipped += value * (2 * random.binomial(count, 0.5, size=rounds) - count)
    p = (1 + int((np.abs(flipped) >= observed - 1e-9).sum())) / (1 + rounds)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p": p,
        "rows": int(len(first)),
        "clusters": int(counts.sum()),
    }


def _table(votes):
    """Votes as numbers [raters, items], NaN where there is none, and the categories."""
    categories = sorted({vote for row in votes for vote in row if vote is not None}, key=str)
    number = {vote: index for index, vote in enumerate(categories)}
    return np.array([[np.nan if vote is None else number[vote] for vote in row] for row in votes], float), categories


def _ratio(agreement, chance):
    """(agreement - chance) / (1 - chance); NaN where chance leaves nothing to agree on (everybody always says the same)."""
    return float("nan") if np.isclose(chance, 1.0) else float((agreement - chance) / (1 - chance))


def cohen_kappa(first, second):
    """
    Cohen's kappa of two raters (1960), on items that both voted on.

    Args:
        first, second: votes, None where there is none.

    Returns:
        -1 to 1; NaN where fewer than one item is shared or both always say the same.
    """
    votes, categories = _table([first, second])
    votes = votes[:, ~np.isnan(votes).any(axis=0)]
    if not votes.shape[1]:
        return float("nan")
    shares = [[np.mean(row == index) for index in range(len(categories))] for row in votes]
    return _ratio(np.mean(votes[0] == votes[1]), np.dot(*shares))


def fleiss_kappa(votes):
    """
    Fleiss' kappa (1971) on the items that every rater voted on.

    Args:
        votes: [raters][items], None where there is none.

    Returns:
        (kappa, number of items).
    """
    table, categories = _table(votes)
    table = table[:, ~np.isnan(table).any(axis=0)]
    raters, items = table.shape
    if raters < 2 or not items:
        return float("nan"), items
    counts = np.stack([(table == index).sum(axis=0) for index in range(len(categories))], axis=1)
    agreement = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return _ratio(agreement.mean(), chance), items


def krippendorff_alpha(votes):
    """
    Krippendorff's alpha for nominal votes; items with fewer than two votes are left out, gaps are allowed.

    Args:
        votes: [raters][items], None where there is none.
    """
    table, categories = _table(votes)
    counts = np.stack([(table == index).sum(axis=0) for index in range(len(categories))], axis=1).astype(float)
    counts = counts[counts.sum(axis=1) > 1] if len(categories) else counts
    if not len(counts):
        return float("nan")
    size = counts.sum(axis=1, keepdims=True)
    same = (counts * (counts - 1) / (size - 1)).sum()
    total, sums = counts.sum(), counts.sum(axis=0)
    expected = (sums * (sums - 1)).sum() / (total * (total - 1))
    return _ratio(same / total, expected)


def bradley_terry(wins, rounds=100, tolerance=1e-10):
    """
    Strengths of systems from pairs (Bradley and Terry, 1952), by Newton's method.

    A tie counts as half a victory for each. Half a victory and half a defeat against an imagined opponent of strength 0 are added to each
    system, so that a system that always wins has a finite strength.

    Args:
        wins: [S, S]; [i, j] is how often i was preferred to j.

    Returns:
        log strengths [S] with mean 0.
    """
    wins = np.asarray(wins, np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or np.diag(wins).any():
        raise ValueError(f"wins is [systems, systems] with nothing on its diagonal, got {wins.shape}")
    size = len(wins)
    table = np.zeros([size + 1, size + 1])  # the last is the imagined opponent
    table[:size, :size], table[:size, size], table[size, :size] = wins, 0.5, 0.5
    games, won, strength = table + table.T, table.sum(axis=1), np.zeros(size + 1)
    for _ in range(rounds):
        share = 1 / (1 + np.exp(strength[None] - strength[:, None]))
        slope = (won - (games * share).sum(axis=1))[:size]
        bend = games * share * (1 - share)
        step = np.linalg.solve((np.diag(bend.sum(axis=1)) - bend)[:size, :size], slope)
        strength[:size] += np.clip(step, -2, 2)
        if np.abs(step).max() < tolerance:
            break
    return strength[:size] - strength[:size].mean()


def bradley_terry_interval(pairs, systems, clusters, rounds=500, seed=0, level=0.95):
    """
    Ranking with percentile bootstrap over items.

    Args:
        pairs: list of (first system, second system, share of the first: 1, 0.5 or 0).
        systems: names. clusters: the item of each pair.

    Returns:
        {system: (log strength, low, high)}.
    """
    place = {name: index for index, name in enumerate(systems)}
    keys = sorted({str(key) for key in clusters})
    row = {key: index for index, key in enumerate(keys)}
    tables = np.zeros([len(keys), len(systems), len(systems)])
    for (first, second, share), key in zip(pairs, clusters):
        tables[row[str(key)], place[first], place[second]] += share
        tables[row[str(key)], place[second], place[first]] += 1 - share
    best = bradley_terry(tables.sum(axis=0))
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        weights = random.multinomial(len(keys), np.full(len(keys), 1 / len(keys)))
        drawn.append(bradley_terry(np.tensordot(weights, tables, 1), tolerance=1e-6))
    low, high = np.percentile(np.stack(drawn), [50 * (1 - level), 50 * (1 + level)], axis=0)
    return {name: (float(best[i]), float(low[i]), float(high[i])) for i, name in enumerate(systems)}
