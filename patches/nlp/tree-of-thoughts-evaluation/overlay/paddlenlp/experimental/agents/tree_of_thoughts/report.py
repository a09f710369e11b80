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

"""Tables and pictures from the logs of ``evaluation``."""

from __future__ import annotations

import textwrap
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..language_models.base import Price
from .evaluation import read_log, summarize

__all__ = ["PAPER", "draw_tree", "success_table"]

# Table 2 and section 4 of the paper, GPT-4: share of puzzles solved, in per cent (Creative Writing: mean score).
# "ToT (b=5), run again" is the authors' own second run, told in the README of their repository.
PAPER: Dict[str, List[Tuple[str, str]]] = {
    "game24": [
        ("IO", "7.3 %"),
        ("CoT", "4.0 %"),
        ("CoT-SC (k=100)", "9.0 %"),
        ("ToT (b=1)", "45 %"),
        ("ToT (b=5)", "74 %"),
        ("ToT (b=5), run again", "69 %"),
    ],
    "text": [("IO", "6.19"), ("CoT", "6.93"), ("ToT", "7.56")],
    "crosswords": [
        ("IO", "letters 38.7 %, words 14 %, games 0 %"),
        ("CoT", "letters 40.6 %, words 15.6 %, games 1 %"),
        ("ToT", "letters 78 %, words 60 %, games 20 %"),
    ],
}
COLUMNS = ("log", "method", "model", "puzzles", "mean", "any", "first", "requests", "sent", "tokens in / out", "cost")


def describe(search: Dict[str, Any]) -> str:
    """A short name of a search's settings."""
    if search["method"] == "sample":
        name = "IO" if search["prompt_style"] == "standard" else "CoT"
        return "{}{} x{}".format(name, "-SC" if search["select"] == "majority" else "", search["n_generate"])
    if search["method"] == "dfs":
        return "ToT DFS, {}, {} visits".format("pruned" if search["prune"] else "not pruned", search["max_visits"])
    return "ToT BFS, b={}, {} x{}, {} x{}".format(
        search["n_select"], search["generate"], search["n_generate"], search["evaluate"], search["n_evaluate"]
    )


def success_table(logs: Sequence[str], price: Optional[Price] = None) -> str:
    """A Markdown table with a row a log, and the paper's figures below it.

    Args:
        logs (sequence of str): Logs of one task.
        price (Price, optional): For the cost. Default: not stated.

    Raises:
        ValueError: The logs are of different tasks.
    """
    rows, tasks = [], set()
    for path in logs:
        settings, records = read_log(path)
        tasks.add(settings["task"])
        rows.append(_row(path, settings, summarize(records, price)))
    if len(tasks) != 1:
        raise ValueError(
            "the logs are of different tasks ({}), make a table for each".format(", ".join(sorted(tasks)))
        )
    (task,) = tasks
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    lines += ["", "The paper, with GPT-4 (IO and CoT: mean of all samples; ToT: best of the b outputs):", ""]
    lines += ["| method | result |", "| --- | --- |"] + ["| {} | {} |".format(*row) for row in PAPER[task]]
    return "\n".join(lines) + "\n"


def _row(path: str, settings: Dict[str, Any], summary: Dict[str, Any]) -> List[str]:
    scale, unit = (1, "") if settings["task"] == "text" else (100, " %")
    cells = [path.replace("\\", "/").rsplit("/", 1)[-1], describe(settings["search"])]
    cells += [settings["model"].split("|")[0].replace("\n", " "), str(summary["puzzles"])]
    cells[-1] += "".join(", {} {}".format(summary[name], name) for name in ("refused", "unread") if summary[name])
    cells += ["{:.1f}{}".format(scale * summary[name], unit) for name in ("mean", "any", "first")]
    cells += ["{:.1f}".format(summary[name]) for name in ("requests", "sent")]
    cells.append("{} / {}".format(summary["prompt_tokens"], summary["completion_tokens"]))
    cells.append("-" if summary["cost"] is None else "${:.2f}".format(summary["cost"]))
    return cells


def draw_tree(record: Dict[str, Any], path: str, shown: int = 10) -> None:
    """Draw what was searched for one puzzle.

    Breadth first: a column a level, best value on top; states that were kept are framed, and the path to an output with
    reward is green. Depth first: a line a visit; states that were left as impossible are red.

    Args:
        record (dict): A record of a log.
        path (str): Picture to write; its ending says the format.
        shown (int): States a level; how many more there were is said. Default: 10.

    Raises:
        ValueError: The record has no tree (answers were sampled without a search).
    """
    if record["steps"]:
        _draw_levels(record, path, shown)
    elif record["nodes"]:
        _draw_visits(record, path)
    else:
        raise ValueError("puzzle {} was answered without a search; there is no tree".format(record["index"]))


def _last_line(y: str) -> str:
    return y.strip().split("\n")[-1]


def _axes(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_axis_off()
    return figure, axes


def _draw_levels(record: Dict[str, Any], path: str, shown: int) -> None:
    steps = record["steps"]
    good = {y for y, score in zip(record["outputs"], record["scores"]) if score["r"] > 0}
    columns = [_visible(step, shown) for step in steps]
    height = max(len(column) for column in columns) + 2.5
    figure, axes = _axes(2.7 * (len(steps) + 0.75), 0.36 * height + 0.3)
    axes.set_xlim(-0.3, len(steps) + 0.45)
    axes.set_ylim(-height, 0.6)
    places: Dict[Tuple[int, int], Tuple[float, float]] = {}
    root = (0.0, -height / 2)
    axes.text(
        *root,
        record["input"].strip()[:40],
        ha="center",
        va="center",
        bbox=_box("#dddddd", "black"),
        fontsize=9,
        zorder=3,
    )
    # Where a state of this level stood among the candidates of the level before.
    for number, (step, column) in enumerate(zip(steps, columns)):
        top = -(height - len(column)) / 2
        x = number + 1.0
        count = len(step["candidates"])
        head = "level {}: {} candidate{}".format(number + 1, count, "" if count == 1 else "s")
        axes.text(x, 0.25, head, ha="center", fontsize=9)
        for line, i in enumerate(column):
            places[number, i] = (x, top - line)
        for i in column:
            y = step["candidates"][i]
            kept, winning = i in step["selected"], any(output.startswith(y) for output in good)
            start = (
                root if number == 0 else places.get((number - 1, steps[number - 1]["selected"][step["parents"][i]]))
            )
            place = places[number, i]
            colour = "#2e8b57" if winning and kept else "#444444" if kept else "#c0c0c0"
            if start is not None:
                axes.plot(
                    [start[0], place[0]],
                    [start[1], place[1]],
                    color=colour,
                    lw=1.6 if kept else 0.6,
                    zorder=1 if kept else 0,
                )
            label = "{}   [{:g}]".format(_last_line(y)[:44], step["values"][i])
            face = "#d5f0df" if winning and kept else "white"
            axes.text(
                *place,
                label,
                ha="center",
                va="center",
                fontsize=7,
                bbox=_box(face, colour, 1.4 if kept else 0.5),
                zorder=3,
            )
        hidden = len(step["candidates"]) - len(column)
        if hidden:
            axes.text(x, top - len(column), "and {} more".format(hidden), ha="center", fontsize=7, color="#777777")
    figure.savefig(path)


def _box(face: str, edge: str, width: float = 1.0) -> Dict[str, Any]:
    return {"boxstyle": "round,pad=0.25", "facecolor": face, "edgecolor": edge, "linewidth": width}


def _visible(step: Dict[str, Any], shown: int) -> List[int]:
    """Candidates that are drawn: all that were kept, then the best of the rest; by value."""
    order = sorted(range(len(step["candidates"])), key=lambda i: -step["values"][i])
    rest = [i for i in order if i not in step["selected"]]
    picked = set(step["selected"]) | set(rest[: max(0, shown - len(set(step["selected"])))])
    return [i for i in order if i in picked]


def _draw_visits(record: Dict[str, Any], path: str) -> None:
    nodes = record["nodes"]
    figure, axes = _axes(9, 0.2 * (len(nodes) + 3))
    axes.set_xlim(0, 14)
    axes.set_ylim(-len(nodes) - 1, 1.5)
    axes.text(0.1, 0.6, textwrap.shorten(record["input"].replace("\n", "; "), 110), fontsize=7, va="center")
    deepest = max(range(len(nodes)), key=lambda i: nodes[i]["depth"])
    best_path = set()
    i = deepest
    while i >= 0:
        best_path.add(i)
        i = nodes[i]["parent"]
    for i, node in enumerate(nodes):
        x = 0.3 + 0.9 * (node["depth"] - 1)
        if node["parent"] >= 0:
            above = nodes[node["parent"]]
            left = 0.3 + 0.9 * (above["depth"] - 1) + 0.15
            axes.plot([left, left, x - 0.05], [-node["parent"] - 0.4, -i, -i], color="#bbbbbb", lw=0.6)
        colour = "#b22222" if node["impossible"] else "#2e8b57" if i in best_path else "black"
        detail = "  ".join("{} {}".format(name, value) for name, value in node["detail"].items())
        text = "{}. {}    {}".format(i + 1, _last_line(node["state"]), detail or "value {:g}".format(node["value"]))
        axes.text(x, -i, text, fontsize=6.5, va="center", color=colour, weight="bold" if i in best_path else "normal")
    figure.savefig(path)
