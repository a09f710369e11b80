"""Images of two pages whose text is known, as a scanner would give them: `draw(folder) -> expected`."""

import os

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1240, 1754  # A4 at 150 dots an inch
FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-%s.ttc"  # Debian: fonts-noto-cjk
TITLE = "版面复原 Layout Recovery"
LEFT = [
    "版面复原把扫描的页面变成可以",
    "编辑的文档。首先由版面分析模型",
    "找到标题、正文、表格和图片，然",
    "后识别其中的文字，最后按照阅读",
    "的先后顺序写成段落。",
]
RIGHT = [
    "Recovered lines become paragraphs",
    "of text, not one paragraph a line.",
    "The left column is read before the",
    "right one, and tables stay tables",
    "with merged cells.",
]
CAPTIONS = ["图1 每页用时的比较", "表1 识别结果"]
# (row, column, row span, column span, text)
TABLE = [
    (0, 0, 2, 1, "方法"),
    (0, 1, 2, 1, "数据"),
    (0, 2, 1, 2, "得分"),
    (1, 2, 1, 1, "精度"),
    (1, 3, 1, 1, "召回"),
    (2, 0, 1, 1, "方法甲"),
    (2, 1, 1, 1, "ICDAR"),
    (2, 2, 1, 1, "95.9"),
    (2, 3, 1, 1, "1,024"),
    (3, 0, 1, 1, "方法乙"),
    (3, 1, 1, 1, "ReCTS"),
    (3, 2, 1, 1, "93.6"),
    (3, 3, 1, 1, "980"),
]
END = [
    "The page ends with one paragraph that runs from the left edge to the",
    "right edge below the table, and this is its second and last line.",
]
SECOND = ["The second page of the document", "holds one table, square as the page."]
SQUARE = [
    ["Model", "Size", "Score", "Pages"],
    ["Alpha", "12.5", "95.1", "1,200"],
    ["Beta", "20.0", "96.4", "1,150"],
    ["Gamma", "31.5", "97.0", "980"],
    ["Delta", "44.0", "97.8", "875"],
    ["Omega", "60.5", "98.3", "640"],
]
SQUARE_CELLS = [(r, c, 1, 1, words) for r, row in enumerate(SQUARE) for c, words in enumerate(row)]


class Sheet:
    def __init__(self):
        self.image = Image.new("RGB", (WIDTH, HEIGHT), "white")
        self.pen = ImageDraw.Draw(self.image)

    def write(self, x, y, words, size, weight="Regular", middle=False):
        font = ImageFont.truetype(FONT % weight, size, index=2)
        shift = self.pen.textlength(words, font=font) / 2 if middle else 0
        self.pen.text((x - shift, y), words, fill="black", font=font)

    def lines(self, x, y, lines, size, pitch=48):
        for i, words in enumerate(lines):
            self.write(x, y + pitch * i, words, size)

    def table(self, xs, ys, cells, size):
        for r, c, down, across, words in cells:
            box = [xs[c], ys[r], xs[c + across], ys[r + down]]
            self.pen.rectangle(box, outline="black", width=3)
            self.write((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.75 * size, words, size, middle=True)


def draw(folder):
    """Write page_1.png and page_2.png; returns for each page its texts in reading order and its table."""
    first, second = Sheet(), Sheet()
    first.write(WIDTH / 2, 110, TITLE, 52, "Bold", middle=True)
    first.write(160, 260, LEFT[0], 30)
    first.lines(100, 308, LEFT[1:], 30)
    first.lines(660, 260, RIGHT, 28)
    first.pen.rectangle([100, 580, 1140, 960], fill=(228, 236, 246))
    for i, high in enumerate([120, 260, 180, 310, 220]):
        first.pen.rectangle([200 + 190 * i, 930 - high, 300 + 190 * i, 930], fill=(40 + 40 * i, 90, 200 - 30 * i))
    first.write(WIDTH / 2, 975, CAPTIONS[0], 28, middle=True)
    first.write(WIDTH / 2, 1056, CAPTIONS[1], 28, middle=True)
    first.table([160, 440, 700, 900, 1080], [1110, 1170, 1230, 1290, 1350], TABLE, 28)
    first.lines(100, 1420, END, 30)
    second.lines(100, 120, SECOND, 36, 60)
    second.table([200, 410, 620, 830, 1040], [340 + 140 * i for i in range(7)], SQUARE_CELLS, 36)
    for name, sheet in (("page_1.png", first), ("page_2.png", second)):
        sheet.image.save(os.path.join(folder, name))
    return [
        {"texts": [TITLE, "".join(LEFT), " ".join(RIGHT), *CAPTIONS, " ".join(END)], "table": TABLE, "pictures": 1},
        {"texts": [" ".join(SECOND)], "table": SQUARE_CELLS, "pictures": 0},
    ]
