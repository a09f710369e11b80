"""Metrics of the evaluation against public programs' results: VQA accuracy by three sets of rules, captions, recall, boxes, agreement of raters."""

import json
import os

import numpy as np

from proving.record import arguments, write_metrics
from proving.seeding import seeded
from proving.tree import on_path

HERE = os.path.dirname(os.path.abspath(__file__))
OWN = os.path.join(HERE, "..", "reference")
SHARED = os.path.join(HERE, "..", "..", "instructblip", "reference")  # of the change that holds these metrics
on_path("paddlemix", "examples", "minigpt4")
from zeroshot import prompts, scoring, statistics  # noqa: E402


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return json.load(stream)


def vqa():
    """Through the program's own path: parser raw, all three figures."""
    cases, wrong = read(SHARED, "vqa_accuracy.json")["cases"], 0
    names = {"official": "accuracy", "lavis": "accuracy (LAVIS)", "minigpt4": "accuracy (MiniGPT-4)"}
    for case in cases:
        row = {"id": "0", "group": "0", "question": "", "answers": case["answers"], "kind": ""}
        figures = scoring.score_texts(
            "vqa", [row], {"0": case["prediction"]}, prompts.PARSERS["vqa"]["raw@1"].take, interval=False
        ).figures
        for rules, name in names.items():
            if abs(figures[name] - case["accuracy_" + rules]) > 1e-9:
                print(rules, figures[name], case)
                wrong += 1
    return {"vqa_cases": len(cases), "vqa_cases_wrong": wrong}


def captions():
    from paddlemix.metrics.caption_metrics import caption_scores

    gap = 0.0
    for each in read(SHARED, "caption_metrics.json")["sets"]:
        made = {key: value[0] for key, value in each["hypotheses"].items()}
        got, images = caption_scores(each["references"], made, tokenize=False, per_image=True)
        want = {"CIDEr": each["cider"], "ROUGE-L": each["rouge_l"]}
        want.update({f"BLEU-{number + 1}": value for number, value in enumerate(each["bleu"])})
        gap = max(gap, *(abs(got[key] - want[key]) for key in want))
        for name, values in (("CIDEr", each["cider_per_item"]), ("ROUGE-L", each["rouge_l_per_item"])):
            gap = max(gap, *(abs(images[name][key] - value) for key, value in zip(each["order"], values)))
    return {"caption_gap": gap}


def retrieval():
    data = read(OWN, "retrieval_metric.json")
    counts = data["captions_per_image"]
    shape, owners = (data["images"], data["texts"]), np.repeat(np.arange(len(counts)), counts)
    match = (owners[None] == np.arange(len(counts))[:, None]).astype(np.float32)
    sims = seeded("input:coco_retrieval:sims", shape, "normal") * np.float32(0.1) + np.float32(0.15) * match
    itm = seeded("input:coco_retrieval:itm", shape, "normal") + np.float32(1.5) * match
    gap = 0.0

    def compare(scores, want, names):
        figures, _, _ = scoring.recall_at(scores, owners)
        return max(abs(figures[f"R@{n} {way}"] - want[f"{short}_r{n}"]) for n in (1, 5, 10) for short, way in names.items())

    both = {"txt": "image to text", "img": "text to image"}
    gap = compare(sims, data["metrics_itc_only"], both)
    for key, top in (("metrics_reranked", data["k_test"]), ("metrics_reranked_k16", 16)):
        for axis, names in ((1, {"txt": both["txt"]}), (0, {"img": both["img"]})):
            scores = np.full(shape, -100.0, np.float32)
            best = np.argsort(-sims, axis=axis, kind="stable")
            chosen = best[:, :top] if axis else best[:top]
            np.put_along_axis(scores, chosen, np.take_along_axis(itm + sims, chosen, axis), axis)
            gap = max(gap, compare(scores, data[key], names))
    return {"recall_gap": float(gap)}


def boxes():
    gap, wrong = 0.0, 0
    cases = read(OWN, "minigptv2_refcoco_iou.json")["cases"]
    for case in cases:
        row = {
            "id": "0",
            "group": "0",
            "question": "",
            "kind": "",
            "box": case["bbox_xywh"],
            "size": [case["width"], case["height"]],
        }
        figures = scoring.score_texts("refcoco", [row], {"0": case["answer"]}, prompts.box, interval=False).figures
        gap = max(gap, abs(figures["IoU"] / 100 - case.get("iou", 0.0)))
        wrong += (figures["accuracy"] == 100) != case["correct"]
    return {"box_cases": len(cases), "box_cases_wrong": wrong, "iou_gap": gap}


def raters():
    data, gap, strengths = read(OWN, "agreement.json"), 0.0, 0.0
    for case in data["agreement"]:
        votes = case["votes"]
        for pair, want in case["cohen"].items():
            one, two = map(int, pair.split())
            gap = max(gap, abs(statistics.cohen_kappa(votes[one], votes[two]) - want))
        kappa, items = statistics.fleiss_kappa(votes)
        gap = max(gap, abs(kappa - case["fleiss"]), abs(items - case["fleiss_items"]))
        gap = max(gap, abs(statistics.krippendorff_alpha(votes) - case["krippendorff"]))
    for case in data["bradley_terry"]:
        strengths = max(strengths, np.abs(statistics.bradley_terry(case["wins"]) - np.array(case["strength"])).max())
    return {"agreement_cases": len(data["agreement"]), "agreement_gap": gap, "bradley_terry_gap": float(strengths)}


def main():
    args = arguments()
    metrics = {}
    for part in (vqa, captions, retrieval, boxes, raters):
        metrics.update(part())
    print(metrics)
    write_metrics(args.out, metrics)


if __name__ == "__main__":
    main()
