"""Reading order on 20 made layouts whose order is known: Kendall's tau of this code and of ppstructure/recovery.

A layout is a list of regions in reading order; they are given to both in another order. Tau is 1 when every pair of regions is read in its order.
"""

import json
import os
import random

from blocks import everything
from build import recover_command
from pages import WIDTH
from parity import run

from proving.record import arguments, write_json, write_metrics

L, R, WHOLE = (120, 800), (850, 1530), (120, 1530)
THIRDS = (120, 570), (600, 1050), (1080, 1530)
ARABIC = "نص عربي يكتب من اليمين"


def down(columns, spans, kind="text"):
    """Regions of one column, from the top: [(kind, x1, y1, x2, y2), ...]."""
    return [(kind, columns[0], y1, columns[1], y2) for y1, y2 in spans]


def each(columns, spans):
    return [region for column in columns for region in down(column, spans)]


def parts(top, bottom, count, gap=30):
    """`count` spans of equal height."""
    high = (bottom - top - gap * (count - 1)) / count
    return [(int(top + i * (high + gap)), int(top + i * (high + gap) + high)) for i in range(count)]


def layouts():
    """{name: (regions in reading order, script of the lines)}."""
    title = ("title", 160, 120, 1490, 180)
    short = ("title", 560, 120, 1100, 180)
    latin = {
        "one_column": down(WHOLE, parts(120, 2200, 8)),
        "two_columns_aligned": each((L, R), parts(120, 2200, 5)),
        "two_columns_staggered": down(L, parts(120, 2200, 5)) + down(R, parts(120, 2200, 4)),
        "title_and_two_columns": [title, *each((L, R), parts(260, 2200, 4))],
        "short_title_and_authors": [short, ("text", 620, 210, 1040, 250), *each((L, R), parts(330, 2200, 4))],
        "three_columns": each(THIRDS, parts(120, 2200, 5)),
        "short_title_and_three_columns": [("title", 640, 120, 1010, 180), *each(THIRDS, parts(260, 2200, 4))],
        "equations_in_a_column": [
            *down(L, [(120, 420)]),
            ("equation", 400, 450, 640, 500),
            *down(L, [(530, 900)]),
            ("equation", 330, 930, 700, 980),
            *down(L, [(1010, 2200)]),
            *down(R, parts(120, 2200, 4)),
        ],
        "figure_across": [
            *each((L, R), parts(120, 800, 2)),
            ("table", 120, 850, 1530, 1300),
            ("table_caption", 500, 1310, 1150, 1350),
            *each((L, R), parts(1400, 2200, 2)),
        ],
        "footnotes_below": [
            *each((L, R), parts(120, 1700, 3)),
            ("table", 120, 1750, 1530, 2050),
            *down(WHOLE, parts(2080, 2200, 2, 20)),
        ],
        "sidebar": down((120, 420), parts(120, 2200, 5)) + down((470, 1530), parts(120, 2200, 4)),
        "narrow_gutter": down((120, 826), parts(120, 2200, 6, 8)) + down((822, 1530), parts(120, 2200, 5, 8)),
        "headline_over_two_of_three": [
            title,
            *down(THIRDS[0], parts(260, 2200, 3)),
            ("title", 600, 260, 1530, 330),
            *each(THIRDS[1:], parts(380, 2200, 3)),
        ],
        "abstract_above": [short, ("text", 350, 260, 1300, 600), *each((L, R), parts(680, 2200, 3))],
        "last_page": down(L, parts(120, 1800, 6)) + down(R, parts(120, 700, 2)),
        "two_figures_with_captions": [
            *down(WHOLE, [(120, 400)]),
            ("table", 120, 450, 780, 850),
            ("table_caption", 250, 860, 650, 900),
            ("table", 870, 450, 1530, 850),
            ("table_caption", 1000, 860, 1400, 900),
            *down(WHOLE, parts(960, 2200, 3)),
        ],
        "columns_line_columns": [
            *each((L, R), parts(120, 900, 2)),
            *down(WHOLE, [(950, 1100)]),
            *each(THIRDS, parts(1150, 2200, 3)),
        ],
        "region_over_the_gutter": [
            *down(L, [(120, 600)]),
            *down(R, [(120, 640)]),
            ("table", 300, 610, 1350, 1000),
            *down(L, parts(990, 2200, 2)),
            *down(R, parts(1010, 2200, 3)),
        ],
    }
    made = {name: (regions, "latin") for name, regions in latin.items()}
    made["right_to_left"] = ([title, *each((R, L), parts(260, 2200, 3))], "arabic")
    upper = [("text", x, 200, x + 60, 1000) for x in (1400, 1250, 1100, 950, 800)]
    lower = [("text", x, 1150, x + 60, 2100) for x in (1400, 1250, 1100, 950, 800)]
    made["vertical"] = (upper + lower, "vertical")
    return made


def with_text(region, label, script):
    """The region with lines that fill its box; the first holds the label."""
    kind, x1, y1, x2, y2 = region
    words = {"latin": "words of a region", "arabic": ARABIC, "vertical": "竖排文字"}[script]
    found = []
    pitch = y2 - y1 if script == "vertical" or y2 - y1 < 80 else 44
    for i, y in enumerate(range(y1, y2 - 20, pitch)):
        low = min(y2, y + (pitch if pitch > 60 or script == "vertical" else 32))
        text = "%s %s" % (label, words) if i == 0 else words
        found.append(
            {
                "text": words + label if script == "vertical" else text,
                "confidence": 0.9,
                "text_region": [[x1, y], [x2, y], [x2, low], [x1, low]],
            }
        )
    if kind == "table":
        found = {"html": "<table><tr><td>%s</td><td>1</td></tr></table>" % label}
    return {"type": kind, "bbox": [x1, y1, x2, y2], "res": found}


def tau(places):
    """Kendall's tau of the places against their order."""
    pairs = [(a, b) for i, a in enumerate(places) for b in places[i + 1 :]]
    return sum(1 if a < b else -1 for a, b in pairs) / len(pairs)


def main():
    args = arguments()
    command = recover_command()
    from ppstructure.recovery.recovery_to_doc import sorted_layout_boxes

    report = {}
    for name, (order, script) in layouts().items():
        labels = ["r%02d" % i for i in range(len(order))]
        regions = [with_text(region, label, script) for region, label in zip(order, labels)]
        mixed = list(zip(labels, regions))
        random.Random(name).shuffle(mixed)
        folder = os.path.join(args.out, "stage", name)
        os.makedirs(folder)
        with open(os.path.join(folder, "res_0.txt"), "w", encoding="utf8") as stream:
            for _, region in mixed:
                stream.write(json.dumps({**region, "img_idx": 0}) + "\n")
        status, messages = run(command, folder, os.path.join(args.out, "cpp"))
        if status != 0:
            raise SystemExit("error: %s: %s" % (name, messages))
        text = everything(os.path.join(args.out, "cpp", name + "_ocr.docx"))
        theirs = sorted_layout_boxes([dict(region, label=label) for label, region in mixed], WIDTH)
        theirs = [region["label"] for region in theirs]
        report[name] = {
            "cpp": tau([text.index(label) for label in labels]),
            "python": tau([theirs.index(label) for label in labels]),
        }
        print(name, report[name], flush=True)
    write_json(os.path.join(args.out, "orders.json"), report)
    values = {side: [row[side] for row in report.values()] for side in ("cpp", "python")}
    write_metrics(
        args.out,
        metrics={
            "layouts": len(report),
            "tau_least": min(values["cpp"]),
            "tau_mean": sum(values["cpp"]) / len(report),
            "python_tau_mean": sum(values["python"]) / len(report),
            "python_in_order": sum(value == 1 for value in values["python"]),
        },
    )


if __name__ == "__main__":
    main()
