"""Page images through `ppocr` with real weights, each document beside what an older `ppocr_recover` makes of the same results. For the evidence.

    python checks/scans.py --out DIR [--before PROGRAM] IMAGE...      # DIR/<name>.png: page, before, after

What the older program gets are the regions and lines that `ppocr` prints: no cells of tables, figures as crops.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

from inference import build, words_of
from pictures import pages
from PIL import Image
from weights import weights

from proving.record import arguments
from proving.wheels import cache

HIGH, GAP = 460, 8


def regions_of(messages):
    """Regions as the Python side saves them, out of what `ppocr` prints."""
    found = []
    for words in messages.splitlines():
        region = re.match(r"\d+\ttype: (\S+), region: \[(.*?)\], score: (\S+), res: ?(.*)", words)
        line = re.match(r"\d+\tdet boxes: \[(.*)\] ?rec text: (.*) rec score: (\S+)", words)
        if region:
            html = {"html": region.group(4)} if region.group(4).startswith("<") else []
            box = [int(float(v)) for v in region.group(2).split(",")]
            found.append({"type": region.group(1), "bbox": box, "score": float(region.group(3)), "res": html})
        elif line and isinstance(found[-1]["res"], list):
            x, y = found[-1]["bbox"][:2]
            quad = [[int(a) + x, int(b) + y] for a, b in re.findall(r"(-?\d+),(-?\d+)", line.group(1))]
            found[-1]["res"].append({"text": line.group(2), "confidence": float(line.group(3)), "text_region": quad})
    return found


def save(folder, image, regions):
    os.makedirs(folder)
    page = Image.open(image).convert("RGB")
    with open(os.path.join(folder, "res_0.txt"), "w", encoding="utf8") as stream:
        for region in regions:
            stream.write(json.dumps({**region, "img_idx": 0}, ensure_ascii=False) + "\n")
            x1, y1, x2, y2 = region["bbox"]
            if region["type"] in ("figure", "equation") and x2 > x1 and y2 > y1:
                page.crop((x1, y1, x2, y2)).save(os.path.join(folder, "%s_0.jpg" % region["bbox"]))
    return page.size


def beside(images, path):
    images = [image.resize((image.width * HIGH // image.height, HIGH), Image.LANCZOS) for image in images]
    sheet = Image.new("RGB", (sum(image.width + GAP for image in images) + GAP, HIGH + 2 * GAP), (150, 150, 150))
    x = GAP
    for image in images:
        sheet.paste(image, (x, GAP))
        x += image.width + GAP
    sheet.quantize(48).save(path, optimize=True)


def options(parser):
    parser.add_argument("--before", default="")
    parser.add_argument("images", nargs="+")


def main():
    args = arguments(options)
    folder = cache("ocr-recovery-cpp")
    models, command = weights("onnxruntime", folder), build("onnxruntime", folder)
    for image in args.images:
        name = os.path.splitext(os.path.basename(image))[0]
        out = os.path.join(args.out, name)
        os.makedirs(os.path.join(out, "after"))
        done = subprocess.run(
            words_of(command, models, image, os.path.join(out, "after")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        regions = regions_of(done.stdout)
        print(name, "exit code %d," % done.returncode, len(regions), "regions", done.stderr, file=sys.stderr, flush=True)
        wide, high = save(os.path.join(out, "stage", name), image, regions)
        found = [Image.open(image).convert("RGB")]
        if args.before:
            words = ["--input=" + os.path.join(out, "stage", name), "--output=" + os.path.join(out, "before")]
            subprocess.run([args.before, *words, "--page_width=%d" % wide, "--page_height=%d" % high], check=False)
        for side in ("before", "after"):
            path = os.path.join(out, side, name + "_ocr.docx")
            if os.path.exists(path):
                with tempfile.TemporaryDirectory() as scratch:
                    found += pages(path, scratch)
        beside(found, os.path.join(args.out, name + ".png"))


if __name__ == "__main__":
    main()
