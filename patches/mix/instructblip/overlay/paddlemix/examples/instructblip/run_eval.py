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
Zero-shot evaluation on the sets of table 1 (arXiv:2305.06500).

    python paddlemix/examples/instructblip/run_eval.py --model output/instructblip --dataset gqa \
        --annotations testdev_balanced_questions.json --images images --out gqa.json

Prints the figure of these weights, and the article's in a line of its own: they are of other weights and of the authors' run.
"""

import argparse
import json
import os
import sys

import numpy as np
from tqdm import tqdm

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from eval_sets import SETS  # noqa: E402
from paddlemix.metrics.caption_metrics import caption_scores  # noqa: E402
from paddlemix.metrics.ranking_metrics import mean_reciprocal_rank, ranking_accuracy, roc_auc  # noqa: E402
from paddlemix.metrics.vqa_metrics import RULES, exact_match, ivqa_accuracy, vqa_accuracy  # noqa: E402
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration  # noqa: E402
from paddlemix.processors.instructblip_processing import InstructBlipProcessor  # noqa: E402


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Zero-shot evaluation on the sets of table 1.")
    parser.add_argument("--model", required=True, help="directory of weights and processor")
    parser.add_argument("--dataset", required=True, choices=sorted(SETS))
    parser.add_argument("--annotations", required=True, help="the annotation file that the set publishes")
    parser.add_argument("--images", required=True, help="folder of the images, or of the videos' frames")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--limit", type=int, help="the first rows only")
    parser.add_argument("--vqa_rules", default="official", choices=RULES)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--out", help="file for predictions and figures")
    return parser.parse_args(argv)


def pictures(rows):
    """A path for each row, or the list of paths of its frames."""
    return [row["images"] if len(row["images"]) > 1 else row["images"][0] for row in rows]


def answer(model, processor, rows, options, batch_size):
    """Generated text for each row."""
    made = []
    for start in tqdm(range(0, len(rows), batch_size), file=sys.stderr):
        part = rows[start : start + batch_size]
        inputs = processor(images=pictures(part), text=[row["text"] for row in part])
        ids, _ = model.generate(**inputs, **options)
        made.extend(processor.batch_decode(ids))
    return made


def rank(model, processor, rows):
    """Losses of each row's candidates; rows are read one by one, since their candidates differ."""
    made = []
    for row in tqdm(rows, file=sys.stderr):
        inputs = processor(images=pictures([row]), text=[row["text"]])
        made.append(model.predict_class(processor.candidates(row["candidates"]), **inputs).numpy()[0])
    return made


def score(metric, rows, made, vqa_rules="official"):
    """Figures in percent of generated texts or of losses."""
    if metric == "cider":
        keys = [str(index) for index in range(len(rows))]
        gold = {key: row["answers"] for key, row in zip(keys, rows)}
        return {key: 100 * value for key, value in caption_scores(gold, dict(zip(keys, made))).items()}
    if metric in ("ranking", "mrr"):
        rule = ranking_accuracy if metric == "ranking" else mean_reciprocal_rank
        values = [rule(np.asarray(losses)[None], [row["gold"]]) for row, losses in zip(rows, made)]
        return {"accuracy" if metric == "ranking" else "MRR": 100 * float(np.mean(values))}
    if metric == "auc":
        scores = [losses[0] - losses[1] for losses in made]  # log odds of the second candidate
        return {"AUC": 100 * roc_auc(scores, [row["gold"] for row in rows])}
    rules = {
        "vqa": lambda text, gold: vqa_accuracy(text, gold, vqa_rules),
        "exact": exact_match,
        "ivqa": ivqa_accuracy,
    }
    return {"accuracy": 100 * float(np.mean([rules[metric](text, row["answers"]) for row, text in zip(rows, made)]))}


def main(argv=None):
    args = arguments(argv)
    chosen = SETS[args.dataset]
    rows = chosen.read(args.annotations, args.images)[: args.limit]
    if not rows:
        raise SystemExit(f"{args.annotations} gives no row for {args.dataset}")
    processor = InstructBlipProcessor.from_pretrained(args.model)
    model = InstructBlipForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    model.eval()
    if chosen.options is None:
        made = rank(model, processor, rows)
    else:
        made = answer(model, processor, rows, chosen.options, args.batch_size)
    figures = score(chosen.metric, rows, made, args.vqa_rules)
    print(f"{args.dataset}: {len(rows)} rows, " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    print("article (other weights): FlanT5-XL {} FlanT5-XXL {} Vicuna-7B {} Vicuna-13B {}".format(*chosen.paper))
    if args.out:
        made = [one if isinstance(one, str) else [float(value) for value in one] for one in made]
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump({"figures": figures, "predictions": made}, stream, ensure_ascii=False, indent=1)
    return figures


if __name__ == "__main__":
    main()
