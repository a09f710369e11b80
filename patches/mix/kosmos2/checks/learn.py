"""Tuning that learns: made scenes, phrases that name one of their objects, and its box as the answer.

    python checks/learn.py --out DIR [--steps 4000]

Scenes hold two or three (those of the training also one) circles, squares and triangles of four colours and two sizes; phrases are of the kinds "red circle", "large
square" and "circle left of blue square". A model that starts from nothing is tuned with the example's own program (PaddleNLP's Trainer);
scenes that it never saw are answered by `generate` and counted with the metric of RefCOCO. Beside it stands the best that one box for all
phrases can reach (of all boxes of the grid, chosen on the held-out answers themselves).
"""

import json
import os
import sys

import numpy as np
import paddle
from paddlemix.metrics.grounding_metrics import box_iou, box_row, boxes_of_phrase, referring_accuracy
from paddlemix.models.kosmos2.configuration import Kosmos2Config
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_grounding import insert_boxes
from paddlemix.processors.kosmos2_processing import Kosmos2ImageProcessor, Kosmos2Processor, Kosmos2Tokenizer
from PIL import Image, ImageDraw

from proving.record import arguments, write_metrics
from proving.tree import on_path

SIZE, SIDE, QUERIES, PATCH = 72, 12, 24, 12
CELL = SIZE // SIDE
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (40, 60, 230), "yellow": (230, 210, 30)}
SHAPES = ("circle", "square", "triangle")
SIZES = {"small": 4, "large": 6}
# Those of the published sizes leave next to nothing of what differs between two pictures at these widths: the places of the patches are
# below a hundredth of what the patches hold, and the queries look at all patches alike.
DEVIATIONS = {"position_embedding.weight": 1.0, "patch_embedding.weight": 0.05, "image_to_text_projection.dense.weight": 1.0}


def scene(draw, least):
    """(picture, objects): `least` to three objects (colour, shape, size, box in pixels), which do not overlap."""
    image = Image.new("RGB", (SIZE, SIZE), tuple(int(v) for v in draw.integers(150, 256, 3)))
    pen, objects = ImageDraw.Draw(image), []
    for _ in range(int(draw.integers(least, 4))):
        for _ in range(20):
            size = str(draw.choice(list(SIZES)))
            side = SIZES[size] * CELL
            x, y = (PATCH * int(v) for v in draw.integers(0, (SIZE - side) // PATCH + 1, 2))
            box = (x, y, x + side, y + side)
            if all(box[2] <= o[3][0] or o[3][2] <= box[0] or box[3] <= o[3][1] or o[3][3] <= box[1] for o in objects):
                break
        else:
            continue
        colour, shape = str(draw.choice(list(COLOURS))), str(draw.choice(SHAPES))
        last = (box[2] - 1, box[3] - 1)
        if shape == "circle":
            pen.ellipse([box[:2], last], fill=COLOURS[colour])
        elif shape == "square":
            pen.rectangle([box[:2], last], fill=COLOURS[colour])
        else:
            pen.polygon([((box[0] + box[2]) // 2, box[1]), (box[0], last[1]), last], fill=COLOURS[colour])
        objects.append((colour, shape, size, box))
    return image, objects


def phrases(objects):
    """[(kind, phrase, box)] of the phrases that fit exactly one object."""
    found = {}
    for colour, shape, size, box in objects:
        found.setdefault(("colour", f"{colour} {shape}"), []).append(box)
        found.setdefault(("size", f"{size} {shape}"), []).append(box)
        for other, what, _, place in objects:
            if box[2] <= place[0]:
                found.setdefault(("relation", f"{shape} left of {other} {what}"), []).append(box)
    return [(kind, phrase, boxes[0]) for (kind, phrase), boxes in found.items() if len(set(boxes)) == 1]


def made(folder, number, seed, least):
    """Rows of phrases of `number` scenes with `least` objects or more, with the pictures in the folder."""
    os.makedirs(folder, exist_ok=True)
    draw, rows = np.random.default_rng(seed), []
    for index in range(number):
        image, objects = scene(draw, least)
        image.save(os.path.join(folder, f"{index}.png"))
        rows += [(f"{index}.png", *row) for row in phrases(objects)]
    return rows


def pieces(folder):
    import sentencepiece

    words = [*COLOURS, *SHAPES, *SIZES, "left", "of", "image", "an"]
    text = os.path.join(folder, "words")
    with open(text, "w", encoding="utf-8") as stream:
        for row in range(200):
            stream.write(" ".join(np.random.default_rng(row).permutation(words)) + "\n")
    path = os.path.join(folder, "sentencepiece.bpe")
    options = {"vocab_size": 90, "hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(input=text, model_prefix=path, **options)
    return path + ".model"


def start(folder):
    """A model of new weights with its processor, saved as the tuning program wants it."""
    paddle.seed(0)
    processor = Kosmos2Processor(Kosmos2ImageProcessor(SIZE), Kosmos2Tokenizer(pieces(folder), SIDE**2), QUERIES, 96)
    small = {"embed_dim": 64, "layers": 2, "ffn_dim": 128, "attention_heads": 4, "max_position_embeddings": 96, "init_std": 0.125}
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Kosmos2Config(
        text_config={"vocab_size": len(processor.tokenizer), "dropout": 0.0, "attention_dropout": 0.0, **small},
        vision_config={"image_size": SIZE, "patch_size": PATCH, **vision},
        latent_query_num=QUERIES,
    )
    target, model = os.path.join(folder, "start"), Kosmos2ForConditionalGeneration(config)
    for name, value in model.named_parameters():
        for end, std in DEVIATIONS.items():
            if name.endswith(end):
                value.set_value(paddle.normal(0.0, std, value.shape))
    model.save_pretrained(target, save_function=paddle.save)
    processor.save_pretrained(target)
    return target


def evaluate(path, folder, rows):
    """(rows of the metric, boxes in pixels) of the held-out phrases."""
    processor = Kosmos2Processor.from_pretrained(path)
    model = Kosmos2ForConditionalGeneration.from_pretrained(path)
    model.eval()
    found, boxes = [], []
    for first in range(0, len(rows), 64):
        part = rows[first : first + 64]
        inputs = processor(
            [os.path.join(folder, row[0]) for row in part], [f"<grounding><phrase> {row[2]}</phrase>" for row in part]
        )
        texts = processor.batch_decode(model.generate(**inputs, max_new_tokens=6)[0], inputs["input_ids"])
        for (_, kind, phrase, (x1, y1, x2, y2)), text in zip(part, texts):
            boxes.append(boxes_of_phrase(processor.post_process_generation(text)[1], phrase, SIZE, SIZE))
            found.append(box_row(kind, boxes[-1], (x1, y1, x2 - x1, y2 - y1)))
    return found, boxes


def best_guess(rows):
    """The largest share of the rows that one box of the grid meets, for all rows and for each kind."""
    edges = np.array(
        [(x1, y1, x2, y2) for x1 in range(SIDE) for y1 in range(SIDE) for x2 in range(x1, SIDE) for y2 in range(y1, SIDE)]
    )
    guesses = (edges + 0.5) * CELL
    targets, kinds = np.array([row[3] for row in rows], float), np.array([row[1] for row in rows])
    hits = box_iou(guesses, targets) >= 0.5
    return {"all": hits.mean(axis=1).max(), **{kind: hits[:, kinds == kind].mean(axis=1).max() for kind in set(kinds)}}


def picture(path, folder, rows, boxes, found, columns=6):
    """Held-out scenes with the answer (white: what was asked for; red: a miss)."""
    scale, chosen = (
        3,
        [n for n in range(len(rows)) if found[n]["iou"][0] >= 0.5][:9]
        + [n for n in range(len(rows)) if found[n]["iou"][0] < 0.5][:9],
    )
    wide, high = SIZE * scale, SIZE * scale + 14
    sheet = Image.new("RGB", (columns * wide, -(-len(chosen) // columns) * high), "white")
    for place, number in enumerate(chosen):
        image = Image.open(os.path.join(folder, rows[number][0])).resize((wide, wide))
        pen = ImageDraw.Draw(image)
        pen.rectangle([v * scale for v in rows[number][3]], outline="white", width=2)
        box = [v * scale for v in boxes[number][0]]
        box = [min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])]
        pen.rectangle(box, outline="black" if found[number]["iou"][0] >= 0.5 else "red", width=3)
        x, y = place % columns * wide, place // columns * high
        sheet.paste(image, (x, y + 14))
        ImageDraw.Draw(sheet).text((x + 2, y + 1), rows[number][2], fill="black")
    sheet.save(path)


def curve(path, steps, losses):
    image = Image.new("RGB", (640, 320), "white")
    pen, top = ImageDraw.Draw(image), max(losses)
    points = [(40 + 580 * step / steps[-1], 290 - 270 * loss / top) for step, loss in zip(steps, losses)]
    pen.line([(40, 20), (40, 290), (620, 290)], fill="black")
    pen.line(points, fill="blue", width=2)
    for text, place in (
        ("%.2f" % top, (4, 14)),
        ("0", (28, 284)),
        ("loss of the answer", (300, 4)),
        ("%d steps" % steps[-1], (550, 298)),
    ):
        pen.text(place, text, fill="black")
    image.save(path)


def main():
    args = arguments(
        add=lambda parser: [parser.add_argument("--" + name, type=kind, default=value) for name, kind, value in OPTIONS]
    )
    on_path("paddlemix", "examples", "kosmos2")
    import run_finetune

    scratch = os.path.join(args.out, "scratch")
    train, test = os.path.join(scratch, "train"), os.path.join(scratch, "test")
    rows, held = made(train, args.scenes, 1, 1), made(test, 500, 2, 2)
    with open(os.path.join(train, "train.jsonl"), "w", encoding="utf-8") as stream:
        for image, _, phrase, box in rows:
            words = f"<phrase> {phrase}</phrase>"
            answer = insert_boxes(words, [[v / SIZE for v in box]], SIDE)[len(words) :]
            stream.write(json.dumps({"image": image, "prompt": "<grounding>" + words, "answer": answer}) + "\n")
    tuned = os.path.join(scratch, "tuned")
    words = ["--model_name_or_path", start(scratch), "--train_file", os.path.join(train, "train.jsonl"), "--output_dir", tuned]
    words += ["--max_steps", str(args.steps), "--per_device_train_batch_size", "32", "--learning_rate", str(args.rate)]
    words += ["--warmup_steps", "100", "--weight_decay", "0.01", "--lr_scheduler_type", "cosine", "--train_vision", "True"]
    words += ["--logging_steps", "100", "--save_strategy", "no", "--device", "cpu", "--disable_tqdm", "True", "--report_to", "none"]
    _, trainer = run_finetune.main(words)
    log = [row for row in trainer.state.log_history if "loss" in row]
    found, boxes = evaluate(tuned, test, held)
    figures, guess = referring_accuracy(found), best_guess(held)
    accuracy = float(np.mean([row["iou"][0] >= 0.5 for row in found]))
    metrics = {"phrases": len(held), "accuracy": accuracy, "best_guess": guess["all"], "over_guess": accuracy / guess["all"]}
    for kind, row in figures.items():
        metrics.update({f"accuracy_{kind}": row["1"], f"best_guess_{kind}": guess[kind], f"phrases_{kind}": row["number"]})
    metrics["steps"], metrics["training_phrases"] = args.steps, len(rows)
    picture(os.path.join(args.out, "scenes.png"), test, held, boxes, found)
    curve(
        os.path.join(args.out, "curve.png"), [row.get("global_step", row.get("step")) for row in log], [row["loss"] for row in log]
    )
    write_metrics(args.out, metrics, {"loss": [row["loss"] for row in log]}, ["scenes.png", "curve.png"])
    print(json.dumps(metrics, indent=1), file=sys.stderr)


OPTIONS = (("steps", int, 4000), ("scenes", int, 12000), ("rate", float, 2e-3))

if __name__ == "__main__":
    main()
