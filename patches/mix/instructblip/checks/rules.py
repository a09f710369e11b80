"""The metrics of the evaluation against the public programs' results: VQA accuracy by three sets of rules, normalization step by step,
the table of contractions, BLEU, ROUGE-L and CIDEr."""

import json
import os

from paddlemix.metrics import vqa_metrics as ours
from paddlemix.metrics.caption_metrics import caption_scores

from proving.record import arguments, write_metrics

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return json.load(stream)


def main():
    args = arguments()
    folder = args.reference or FILES
    vqa, wrong, cases = read(folder, "vqa_accuracy.json"), 0, 0
    for case in vqa["cases"]:
        for rules in ours.RULES:
            got = 100 * ours.vqa_accuracy(case["prediction"], case["answers"], rules)
            bad = abs(got - case["accuracy_" + rules]) > 1e-6
            if bad:
                print(rules, got, case)
            wrong, cases = wrong + bad, cases + 1
    for row in vqa["normalisation"]:
        punctuation = ours.remove_punctuation(row["text"])
        bad = (punctuation, ours.normalize_words(punctuation)) != (row["after_punctuation"], row["normalised"])
        if bad:
            print(row, repr(punctuation))
        wrong, cases = wrong + bad, cases + 1
    tables = vqa["tables"]
    pairs = (
        (ours.CONTRACTIONS, tables["contractions"]),
        (ours.NUMBERS, tables["manual_map"]),
        (dict.fromkeys(ours.PUNCTUATION), dict.fromkeys(tables["punct"])),
        (dict.fromkeys(ours.ARTICLES), dict.fromkeys(tables["articles"])),
    )
    table = sum(len(set(one.items()) ^ set(two.items())) for one, two in pairs)
    gap, sets = 0.0, read(folder, "caption_metrics.json")["sets"]
    for each in sets:
        captions = {key: value[0] for key, value in each["hypotheses"].items()}
        got = caption_scores(each["references"], captions, tokenize=False)
        want = {"CIDEr": each["cider"], "ROUGE-L": each["rouge_l"]}
        want.update({f"BLEU-{number + 1}": value for number, value in enumerate(each["bleu"])})
        gap = max(gap, *(abs(got[key] - want[key]) for key in want))
    write_metrics(
        args.out,
        {"vqa_cases": cases, "vqa_cases_wrong": wrong, "table_entries_wrong": table, "caption_sets": len(sets), "caption_gap": gap},
    )


if __name__ == "__main__":
    main()
