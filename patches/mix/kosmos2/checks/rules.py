"""What the port makes of texts, boxes and images, against the original's results; every case that differs is printed.

`grounding.json`: clean texts, entities and boxes of generated texts; boxes as cells and back; texts with boxes. `tokens.json`: ids of
texts, texts of ids, inputs with images and boxes. `images.npz`: pixels of images of many kinds. `refcoco_metric.json` and
`flickr_metric.json`: the official programs' results on made predictions.
"""

import json
import os
import tempfile

import numpy as np
from paddlemix.metrics.grounding_metrics import FlickrEntities, box_row, boxes_of_phrase, prediction_texts, referring_accuracy
from paddlemix.processors.kosmos2_grounding import box_to_cells, cells_to_box, extract_entities, insert_boxes
from paddlemix.processors.kosmos2_processing import Kosmos2ImageProcessor, Kosmos2Processor, Kosmos2Tokenizer
from PIL import Image

from proving import seeding
from proving.record import arguments, write_metrics

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")


class Count:
    """Cases and wrong ones, by the name of their kind."""

    def __init__(self):
        self.metrics = {}

    def __call__(self, kind, got, want, what):
        self.metrics.setdefault(kind, 0)
        self.metrics.setdefault(kind + "_wrong", 0)
        self.metrics[kind] += 1
        if got != want:
            self.metrics[kind + "_wrong"] += 1
            print(f"{kind}: {what!r}\n  got  {got!r}\n  want {want!r}", flush=True)


def entities(rows):
    return [[phrase, list(span), [list(box) for box in boxes]] for phrase, span, boxes in rows]


def grounding(folder, count, processor):
    stored = json.load(open(os.path.join(folder, "grounding.json"), encoding="utf-8"))
    side = stored["num_patches_per_side"]
    for row in stored["extract"]:
        text, found = extract_entities(row["text"], side)
        count("extracted", [text, entities(found)], [row["clean_text"], row["entities"]], row["text"])
        text, found = processor.post_process_generation(row["text"])
        want = [row["post_process_text"], row["post_process_entities"]]
        count("post_processed", [text, entities(found)], want, row["text"])
        whole = processor.post_process_generation(row["text"], cleanup_and_extract=False)
        count("post_processed", whole, row["post_process_no_cleanup"], row["text"])
    for row in stored["encode"]:
        cells = box_to_cells(row["box"], side)
        count("boxes", [list(cells), list(cells_to_box(*cells, side))], [row["patch_index"], row["decoded"]], row["box"])
    for row in stored["preprocess"]:
        image = " ".join(["<image>"] * (row["num_image_tokens"] + 1) + ["</image>", ""]) if row["with_image"] else ""
        count("texts_with_boxes", image + insert_boxes(row["text"].strip(), row["bboxes"], side), row["result"], row["text"])
    return stored["preprocess"]


def tokens(folder, count, processor, preprocess):
    stored = json.load(open(os.path.join(folder, "tokens.json"), encoding="utf-8"))
    tokenizer = processor.tokenizer
    count("ids", len(tokenizer), stored["tokens"], "size of the vocabulary")
    for row in stored["texts"]:
        count("ids", tokenizer.encode(row["text"]), row["ids"], row["text"])
    for row in stored["decoded"]:
        count("decoded", tokenizer.decode(row["ids"], row["skip"]), row["text"], row["ids"])
    for row in stored["inputs"]:
        case = preprocess[row["case"]]
        image = Image.new("RGB", (9, 9)) if case["with_image"] else None
        made = processor(image, case["text"], case["bboxes"], add_eos_token=row["end"], return_tensors="np")
        for key in ("input_ids", "image_embeds_position_mask"):
            got = made[key][0].tolist() if key in made else None
            count("inputs", got, row.get(key), (case["text"], key))


def pictures():
    """The images of make_reference.py."""
    draw = np.random.default_rng(77)
    colours = draw.integers(0, 256, [120, 90, 4]).astype("uint8")
    rgba = Image.fromarray(colours, "RGBA")
    made = {"rgb": rgba.convert("RGB"), "grey": rgba.convert("L"), "alpha": rgba, "cmyk": rgba.convert("RGB").convert("CMYK")}
    made["palette"] = rgba.convert("RGB").convert("P")
    made["pixel"], made["line"] = made["rgb"].crop((3, 4, 4, 5)), made["rgb"].crop((0, 0, 1, 100))
    made["wide"], made["one_bit"] = Image.fromarray(np.tile(colours[:20, :, :3], (1, 4, 1))), made["grey"].convert("1")
    return made


def images(folder, processor):
    """(number of images, largest difference of a pixel)."""
    with np.load(os.path.join(folder, "images.npz")) as stored:
        arrays = {key: stored[key] for key in stored.files}
    gap, made = 0.0, pictures()
    for name, image in made.items():
        ours, want = seeding.samples(arrays, name, processor.image_processor(image)[0])
        gap = max(gap, float(np.abs(ours - want).max()))
    return {"images": len(made), "image_gap": gap}


def referring(folder, count, processor):
    """The official program's accuracies and IoU; the largest difference of both."""
    stored = json.load(open(os.path.join(folder, "refcoco_metric.json"), encoding="utf-8"))
    texts, rows, gap = prediction_texts(stored["prediction_lines"]), [], 0.0
    count("predictions", len(texts), len(stored["images"]), "lines")
    for text, image, annotation, want in zip(texts, stored["images"], stored["annotations"], stored["per_item"]):
        entities = processor.post_process_generation(text)[1]
        boxes = boxes_of_phrase(entities, image["caption"], image["width"], image["height"])
        count("predictions", boxes, want["boxes"], text)
        rows.append(box_row(image["dataset_name"], boxes, annotation["bbox"]))
        pairs = [*zip(rows[-1]["iou"], want["iou"]), (rows[-1]["mean_box_iou"], want["mean_box_iou"])]
        gap = max(gap, *(abs(one - two) for one, two in pairs))
    found = referring_accuracy(rows, stored["thresh_iou"])
    accuracy = max(abs(found[name][key] - value) for name, row in stored["accuracy"].items() for key, value in row.items())
    return {"refcoco_accuracy_gap": accuracy, "refcoco_iou_gap": gap}


def recall(folder, processor):
    """The official program's recall by category, k and protocol; the largest difference, and how many figures there are."""
    stored = json.load(open(os.path.join(folder, "flickr_metric.json"), encoding="utf-8"))
    texts, gap, figures = prediction_texts(stored["lines"]), 0.0, 0
    for protocol, want in stored["recall"].items():
        metric, number = FlickrEntities(stored["files"].__getitem__, merged=protocol == "merged"), 0
        for entry in stored["files"]["images"]:
            for ((start, end),) in entry["tokens_positive_eval"]:
                phrase = entry["caption"][start:end]
                entities = processor.post_process_generation(texts[number])[1]
                boxes = boxes_of_phrase(entities, phrase, entry["width"], entry["height"])
                metric.add(entry["original_img_id"], entry["sentence_id"], phrase, boxes)
                number += 1
        found = metric.report()
        for k, row in want.items():
            for kind, value in row.items():
                gap, figures = max(gap, abs(found[int(k)][kind] - value)), figures + 1
        assert number == len(texts) and {len(row) for row in found.values()} == {len(row) for row in want.values()}
    return {"flickr_recall_gap": gap, "flickr_figures": figures}


def main():
    args = arguments()
    folder, count = args.reference or FILES, Count()
    tokenizer = Kosmos2Tokenizer(os.path.join(folder, "pieces.model"))
    processor = Kosmos2Processor(Kosmos2ImageProcessor(42), tokenizer, num_image_tokens=5)
    tokens(folder, count, processor, grounding(folder, count, processor))
    with tempfile.TemporaryDirectory() as place:
        processor.save_pretrained(place)
        again = Kosmos2Processor.from_pretrained(place)
        count("saved", [again.tokenizer.ids, again.num_image_tokens], [tokenizer.ids, 5], "saved and loaded")
    referred = referring(folder, count, processor)
    write_metrics(args.out, {**count.metrics, **images(folder, processor), **referred, **recall(folder, processor)})


if __name__ == "__main__":
    main()
