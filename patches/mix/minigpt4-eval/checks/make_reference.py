"""reference/agreement.json: votes that are drawn, and what public libraries say of them.

VENV/bin/python checks/make_reference.py    # numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, statsmodels 0.15.0, krippendorff 0.9.0, choix 0.4.1
"""

import json
import os

import choix
import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

CATEGORIES = ("a", "b", "tie")


def votes(seed, raters, items, missing, agree):
    """[raters][items] of categories; `agree` is the share of votes that follow the item's own, `missing` that of gaps."""
    draw = np.random.default_rng(seed)
    own = draw.choice(3, items, p=[0.5, 0.3, 0.2])
    table = np.where(draw.random([raters, items]) < agree, own, draw.integers(0, 3, [raters, items])).astype(float)
    table[draw.random([raters, items]) < missing] = np.nan
    return table


def main():
    made = {"agreement": [], "bradley_terry": []}
    for seed, (raters, items, missing, agree) in enumerate(
        [(2, 40, 0.0, 0.6), (3, 60, 0.0, 0.4), (3, 50, 0.2, 0.7), (5, 30, 0.3, 0.2), (4, 80, 0.1, 0.95), (2, 12, 0.0, 0.0)]
    ):
        table = votes(seed, raters, items, missing, agree)
        full = table[:, ~np.isnan(table).any(axis=0)].astype(int)
        counts, _ = aggregate_raters(full.T)
        cohen = {}
        for one in range(raters):
            for two in range(one + 1, raters):
                shared = ~np.isnan(table[[one, two]]).any(axis=0)
                cohen[f"{one} {two}"] = float(cohen_kappa_score(table[one][shared], table[two][shared]))
        made["agreement"].append(
            {
                "votes": [[None if np.isnan(v) else CATEGORIES[int(v)] for v in row] for row in table],
                "cohen": cohen,
                "fleiss": float(fleiss_kappa(counts, method="fleiss")),
                "fleiss_items": int(full.shape[1]),
                "krippendorff": float(krippendorff.alpha(table, level_of_measurement="nominal", value_domain=[0.0, 1.0, 2.0])),
            }
        )
    for seed, (systems, games) in enumerate([(2, 30), (3, 60), (5, 200)]):
        draw = np.random.default_rng(100 + seed)
        strength = draw.normal(0, 1, systems)
        wins = np.zeros([systems, systems])
        for _ in range(games):
            one, two = draw.choice(systems, 2, replace=False)
            first = draw.random() < 1 / (1 + np.exp(strength[two] - strength[one]))
            wins[(one, two) if first else (two, one)] += 1
        # the same half victory and half defeat against an opponent of strength 0, which is the last system there
        table = np.zeros([systems + 1, systems + 1])
        table[:systems, :systems], table[:systems, -1], table[-1, :systems] = wins, 0.5, 0.5
        found = choix.ilsr_pairwise_dense(table, max_iter=10000, tol=1e-12)[:systems]
        made["bradley_terry"].append({"wins": wins.tolist(), "strength": (found - found.mean()).tolist()})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference", "agreement.json")
    with open(path, "w") as stream:
        json.dump(made, stream, indent=None)
        stream.write("\n")


if __name__ == "__main__":
    main()
