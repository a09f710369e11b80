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
Evaluation of Kosmos-2: RefCOCO, RefCOCO+, RefCOCOg, Flickr30k Entities, captions, VQA.

    python paddlemix/examples/kosmos2/run_eval.py --model output/kosmos-2 --format mdetr --annotations finetune_refcoco_val.json \
        --images coco2014 --out output/refcoco_val
    python paddlemix/examples/kosmos2/run_eval.py --model output/kosmos-2 --format flickr30k --images flickr30k-images \
        --annotations final_flickr_separateGT_test.json --entities flickr30k_entities --out output/flickr_test

`--format refer` reads REFER's own files (`--annotations refer/data/refcoco --split testA`), `--tsv` the published prompts. Answers are
written as they come, one file for each rank; a run that was stopped goes on where it ended. With several processes
(`python -m paddle.distributed.launch`, or `--rank` and `--world`) each takes its rows. The last one to end writes the report: JSON,
markdown, a picture of misses. The article's figures stand in a table of their own: they are of other weights and another run.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys

from paddlemix.metrics.grounding_metrics import FlickrEntities, box_row, boxes_of_phrase, referring_accuracy
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_grounding import extract_entities
from paddlemix.processors.kosmos2_processing import Kosmos2Processor
from PIL import Image, ImageDraw
from tqdm import tqdm

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from eval_sets import SETS  # noqa: E402

# arXiv:2306.14824, tables 3 and 2
ARTICLE = {
    "refcoco": "val 52.32, testA 57.42, testB 47.26",
    "refcoco+": "val 45.48, testA 50.73, testB 42.24",
    "refcocog": "val 60.57, test 61.65",
    "flickr30k": "R@1 val 77.8, test 78.7",
}


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Evaluation of Kosmos-2.")
    parser.add_argument("--model", required=True, help="directory of weights and processor")
    parser.add_argument("--format", required=True, choices=sorted(SETS), help="of the annotations")
    parser.add_argument("--annotations", required=True, help="the published file, or REFER's folder")
    parser.add_argument("--images", required=True, help="folder of the images")
    parser.add_argument("--split", help="refer: val (default), testA, testB, test; caption: test (default)")
    parser.add_argument("--tsv", help="mdetr: the published prompts (*.locout)")
    parser.add_argument("--questions", help="vqa: the file of the questions")
    parser.add_argument(
        "--no_ptb", action="store_true", help="caption: words as they stand, without the official tokenizer (Java)"
    )
    parser.add_argument("--entities", help="flickr30k: folder of Flickr30k Entities (Annotations, Sentences)")
    parser.add_argument("--out", required=True, help="folder for answers and report")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--max_new_tokens", type=int, default=64)
    parser.add_argument("--limit", type=int, help="the first rows only")
    parser.add_argument("--rank", type=int, default=int(os.environ.get("PADDLE_TRAINER_ID", 0)))
    parser.add_argument("--world", type=int, default=int(os.environ.get("PADDLE_TRAINERS_NUM", 1)))
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    args = parser.parse_args(argv)
    if not 0 <= args.rank < args.world or args.batch_size < 1:
        parser.error(
            f"rank {args.rank} of {args.world}, batch_size {args.batch_size}: a rank is below world, a batch has a row"
        )
    if args.format == "flickr30k" and not args.entities:
        parser.error("flickr30k needs --entities")
    if args.format == "vqa" and not args.questions:
        parser.error("vqa needs --questions")
    if args.format == "caption" and not args.no_ptb and shutil.which("java") is None:
        parser.error(
            "caption scores take the official PTB tokenizer, which needs Java; next: install a JRE, or give --no_ptb"
        )
    return args


def read_rows(args):
    options = {
        "refer": {"split": args.split or "val"},
        "mdetr": {"tsv": args.tsv},
        "vqa": {"questions": args.questions},
    }
    options["caption"] = {"split": args.split or "test"}
    rows = SETS[args.format](args.annotations, args.images, **options.get(args.format, {}))[: args.limit]
    if not rows:
        raise ValueError(f"{args.annotations} gives no row")
    return rows


class Answers:
    """The answers of all ranks in a folder; this process appends to a file of its own."""

    def __init__(self, folder, rank, settings):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.settings = folder, settings
        self.stream = open(os.path.join(folder, f"answers.{rank}.jsonl"), "a+b")
        try:
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process writes {self.stream.name}; next: give each one a --rank of its own")
        self.stream.seek(0)
        whole = self.stream.read()
        self.stream.truncate(whole.rfind(b"\n") + 1)  # a line that a stopped process did not end
        if self.stream.seek(0, os.SEEK_END) == 0:
            self.put([{"settings": settings}])

    def put(self, lines):
        self.stream.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def read(self):
        """
        {number of a row: text} of all files.

        Raises:
            ValueError: a file belongs to another evaluation.
        """
        found = {}
        for name in sorted(os.listdir(self.folder)):
            if not (name.startswith("answers.") and name.endswith(".jsonl")):
                continue
            with open(os.path.join(self.folder, name), "rb") as stream:
                lines = [json.loads(line) for line in stream.read().split(b"\n")[:-1]]
            for line in lines:
                if line.get("settings", self.settings) != self.settings:
                    raise ValueError(
                        f"{name} is of another evaluation ({line['settings']}); next: another --out, or remove it"
                    )
                if "row" in line:
                    found[line["row"]] = line["text"]
        return found


def settings_of(args, rows):
    """What answers depend on."""
    digest = hashlib.sha256(json.dumps([[row["image"], row["prompt"]] for row in rows]).encode()).hexdigest()[:16]
    names = ("format", "max_new_tokens", "dtype")
    weights = [name for name in sorted(os.listdir(args.model)) if name.endswith(".pdparams")]
    files = [
        [name, os.path.getsize(path), int(os.path.getmtime(path))]
        for name in weights
        for path in [os.path.join(args.model, name)]
    ]
    model = {"model": os.path.abspath(args.model), "weights": files}
    return {**{name: getattr(args, name) for name in names}, **model, "rows": digest}


def answer_all(args, rows, answers):
    done = answers.read()
    left = [number for number in range(args.rank, len(rows), args.world) if number not in done]
    if not left:
        return
    processor = Kosmos2Processor.from_pretrained(args.model)
    model = Kosmos2ForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    model.eval()
    for first in tqdm(range(0, len(left), args.batch_size), file=sys.stderr, disable=None):
        part = left[first : first + args.batch_size]
        inputs = processor([rows[n]["image"] for n in part], [rows[n]["prompt"] for n in part])
        ids, _ = model.generate(**inputs, max_new_tokens=args.max_new_tokens)
        texts = processor.batch_decode(ids, inputs["input_ids"])
        answers.put([{"row": number, "text": text} for number, text in zip(part, texts)])


def without_prompt(text, prompt):
    """What was answered: the text behind the prompt."""
    clean, _ = extract_entities(prompt)
    return text[len(clean) :].strip() if text.startswith(clean) else text


def score(args, rows, texts, side):
    """(figures of the report, numbers of the rows that were missed)."""
    entities = [extract_entities(text, side) for text in texts]
    if args.format in ("caption", "vqa"):
        answers = [without_prompt(clean, row["prompt"]) for row, (clean, _) in zip(rows, entities)]
        if args.format == "vqa":
            from paddlemix.metrics.vqa_metrics import vqa_accuracy

            hits = [vqa_accuracy(text, row["answers"], "official") for row, text in zip(rows, answers)]
            return {"vqa": {"accuracy": sum(hits) / len(hits), "number": len(rows)}}, [
                n for n, hit in enumerate(hits) if not hit
            ]
        from paddlemix.metrics.caption_metrics import caption_scores

        keys, name = [
            str(number) for number in range(len(rows))
        ], "caption" + ", without the PTB tokenizer" * args.no_ptb
        gold = {key: row["answers"] for key, row in zip(keys, rows)}
        scores = caption_scores(gold, dict(zip(keys, answers)), tokenize=not args.no_ptb)
        return {name: {**scores, "number": len(rows)}}, []
    boxes = [
        boxes_of_phrase(found, row["phrase"], row["width"], row["height"]) for row, (_, found) in zip(rows, entities)
    ]
    if args.format == "flickr30k":
        return _flickr(args, rows, boxes)
    found = [box_row(row["dataset"], many, row["target"]) for row, many in zip(rows, boxes)]
    return referring_accuracy(found), [number for number, row in enumerate(found) if row["iou"][0] < 0.5]


def _flickr(args, rows, boxes):
    def read(name):
        with open(os.path.join(args.entities, name), encoding="utf-8-sig") as stream:
            return stream.read()

    figures, missed = {}, []
    for protocol, merged in (("any box", False), ("merged boxes", True)):
        metric = FlickrEntities(read, merged)
        for number, (row, many) in enumerate(zip(rows, boxes)):
            metric.add(*row["flickr"], row["phrase"], many)
            if not merged and not metric.hits[1, "all"][-1]:
                missed.append(number)
        figures[protocol] = {("upper bound" if k == -1 else f"R@{k}"): row for k, row in metric.report().items()}
    return {"flickr30k": {**figures, "number": len(rows)}}, missed


def markdown(figures):
    lines = ["| set | figure | this run |", "|-|-|-|"]

    def put(name, value, path=()):
        for key, one in value.items():
            if isinstance(one, dict):
                put(name, one, (*path, key))
            else:
                shown = str(one) if key == "number" else f"{100 * one:.2f}"
                lines.append(f"| {name} | {' '.join((*path, key))} | {shown} |")

    for name, value in figures.items():
        put(name, value)
    known = {name: text for name, text in ARTICLE.items() if name in figures}
    if known:
        lines += [
            "",
            "The article's figures (arXiv:2306.14824; other weights, another run):",
            "",
            "| set | article |",
            "|-|-|",
        ]
        lines += [f"| {name} | {text} |" for name, text in known.items()]
    return "\n".join(lines) + "\n"


def failures(path, rows, texts, missed, side, most=12):
    """A picture of the first misses: what was asked for (green), what was answered (red)."""
    wide, columns = 240, 4
    chosen = missed[:most]
    sheet = Image.new("RGB", (columns * wide, max(-(-len(chosen) // columns), 1) * (wide + 16)), "white")
    for place, number in enumerate(chosen):
        row, x, y = rows[number], place % columns * wide, place // columns * (wide + 16)
        image = Image.open(row["image"]).convert("RGB").resize((wide, wide))
        pen, scale = ImageDraw.Draw(image), (wide / row["width"], wide / row["height"])
        if "target" in row:
            left, top, width, height = row["target"]
            box = (left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1])
            pen.rectangle(box, outline="green", width=3)
        for name, _, boxes in extract_entities(texts[number], side)[1]:
            if name == row["phrase"].strip():
                for x1, y1, x2, y2 in boxes:
                    corners = [v * wide for v in (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))]
                    pen.rectangle(corners, outline="red", width=2)
        sheet.paste(image, (x, y + 16))
        ImageDraw.Draw(sheet).text((x + 2, y + 2), row["phrase"][:38], fill="black")
    sheet.save(path)


def write_whole(path, text):
    with open(path + ".part", "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(path + ".part", path)


def main(argv=None):
    args = arguments(argv)
    rows = read_rows(args)
    answers = Answers(args.out, args.rank, settings_of(args, rows))
    answer_all(args, rows, answers)
    done = answers.read()
    left = [number for number in range(len(rows)) if number not in done]
    if left:
        print(
            f"{len(rows) - len(left)} of {len(rows)} rows are answered; the report follows when the other ranks have ended"
        )
        return None
    texts = [done[number] for number in range(len(rows))]
    side = Kosmos2Processor.from_pretrained(args.model).tokenizer.side
    figures, missed = score(args, rows, texts, side)
    write_whole(os.path.join(args.out, "report.md"), markdown(figures))
    if args.format not in ("caption", "vqa"):
        failures(os.path.join(args.out, "failures.png"), rows, texts, missed, side)
    report = {"figures": figures, "missed": missed, "settings": answers.settings}
    write_whole(os.path.join(args.out, "report.json"), json.dumps(report, indent=1))
    print(markdown(figures))
    return figures


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
