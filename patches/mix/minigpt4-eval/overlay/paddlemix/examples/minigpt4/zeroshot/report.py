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
Report of a run as markdown and plots, and the comparison of two runs.
"""

import json
import os

from .statistics import paired_test
from .store import StoreError, read_manifest, write_whole

__all__ = ["UNFIT", "write_report", "compare"]

# verdict on a parser that looks for what the set does not ask for (quotes in VQA, say)
UNFIT = "says nothing: the parser finds no answer in the annotators' own answers either"

SYSTEMS = ("model", "blind", "random", "constant", "oracle")


def _cell(system):
    value, low, high = system["interval"]
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def write_report(root, results, main):
    """report.md, and for each task <task>.png (figures beside controls) and, with several prompts or parsers, <task>_sensitivity.png."""
    made = ["# Zero-shot evaluation\n"]
    model = results["manifest"].get("model", {"name": "answers of a file"})
    made.append(
        f"Model: {model['name']}" + (f", sha256 `{model['sha256'][:16]}`" if "sha256" in model else "") + ".\n"
    )
    made += [note + "\n" for note in results["notes"]]
    made.append(
        "Brackets are 95 % bootstrap intervals over pictures. oracle: the annotators' own commonest answer; random: the answer of another "
        "row; constant: one answer for all rows; blind: the model without the picture. A figure is worth what it is above random, constant "
        "and blind.\n"
    )
    for task, prompts in results["tasks"].items():
        rows = sum(1 for _ in prompts) * max(len(parsers) for parsers in prompts.values())
        number = results["manifest"]["tasks"][task]["rows"]
        made.append(f"## {task}: {main[task]}, {number} rows\n")
        made.append("| prompt | parser | " + " | ".join(SYSTEMS) + " | model - blind | unparsed | |")
        made.append("|" + "---|" * (len(SYSTEMS) + 5))
        for prompt, parsers in prompts.items():
            for parser, entry in parsers.items():
                cells = [_cell(entry["systems"][name]) if name in entry["systems"] else "-" for name in SYSTEMS]
                test = entry.get("model against blind")
                test = (
                    f"{test['difference']:.2f} [{test['low']:.2f}, {test['high']:.2f}], p {test['p']:.4f}"
                    if test
                    else "-"
                )
                unparsed = f"{entry['systems']['model']['unparsed']:.1f} %"
                sign = {"inside": "", UNFIT: UNFIT}.get(entry["verdict"], "outside: " + entry["verdict"])
                made.append(f"| {prompt} | {parser} | " + " | ".join(cells) + f" | {test} | {unparsed} | {sign} |")
        made.append("\nAll figures of the model:\n")
        names = list(next(iter(next(iter(prompts.values())).values()))["systems"]["model"]["figures"])
        made.append("| prompt | parser | " + " | ".join(names) + " |")
        made.append("|" + "---|" * (len(names) + 2))
        for prompt, parsers in prompts.items():
            for parser, entry in parsers.items():
                figures = entry["systems"]["model"]["figures"]
                made.append(f"| {prompt} | {parser} | " + " | ".join(f"{figures[name]:.2f}" for name in names) + " |")
        made.append(f"\n![{task}]({task}.png)\n")
        _bars(os.path.join(root, task + ".png"), task, prompts, main[task])
        if rows > 1:
            made.append(f"![{task}, prompts and parsers]({task}_sensitivity.png)\n")
            _heat(os.path.join(root, task + "_sensitivity.png"), task, prompts, main[task])
    write_whole(os.path.join(root, "report.md"), "\n".join(made) + "\n")


def _figure(width, height):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot, *pyplot.subplots(figsize=(width, height), layout="constrained")


def _save(pyplot, figure, path):
    figure.savefig(path + ".part.png", dpi=100)
    os.replace(path + ".part.png", path)
    pyplot.close(figure)


def _bars(path, task, prompts, name):
    """The main figure of every prompt and parser, with its interval and the controls as marks."""
    entries = [
        (f"{prompt}\n{parser}", entry) for prompt, parsers in prompts.items() for parser, entry in parsers.items()
    ]
    pyplot, figure, axes = _figure(3 + 1.3 * len(entries), 4)
    for index, (_, entry) in enumerate(entries):
        value, low, high = entry["systems"]["model"]["interval"]
        spread = [[max(value - low, 0)], [max(high - value, 0)]]
        axes.bar(index, value, width=0.5, color="tab:blue", label="model" if index == 0 else None)
        axes.errorbar(index, value, yerr=spread, color="black", capsize=4)
        for system, color in zip(SYSTEMS[1:], ("tab:gray", "tab:orange", "tab:red", "tab:green")):
            if system in entry["systems"]:
                level = entry["systems"][system]["interval"][0]
                label = system if index == 0 else None
                axes.plot([index - 0.4, index + 0.4], [level, level], color=color, linestyle="--", label=label)
    axes.set_xticks(range(len(entries)), [label for label, _ in entries], fontsize=8)
    axes.set_ylabel(f"{name} (%)")
    axes.set_title(task)
    axes.legend(fontsize=8)
    _save(pyplot, figure, path)


def _heat(path, task, prompts, name):
    """The main figure by prompt and parser."""
    parsers = list(next(iter(prompts.values())))
    table = [[entries[parser]["systems"]["model"]["interval"] for parser in parsers] for entries in prompts.values()]
    pyplot, figure, axes = _figure(3 + 1.6 * len(parsers), 1.5 + 0.7 * len(table))
    image = axes.imshow([[cell[0] for cell in row] for row in table], cmap="viridis", aspect="auto")
    for y, row in enumerate(table):
        for x, (value, low, high) in enumerate(row):
            text = f"{value:.1f}\n[{low:.1f}, {high:.1f}]"
            axes.text(
                x, y, text, ha="center", va="center", fontsize=8, bbox={"facecolor": "white", "alpha": 0.7, "lw": 0}
            )
    axes.set_xticks(range(len(parsers)), parsers, fontsize=8)
    axes.set_yticks(range(len(table)), list(prompts), fontsize=8)
    axes.set_title(f"{task}: {name} (%) by prompt and parser")
    figure.colorbar(image)
    _save(pyplot, figure, path)


def _scores(root):
    """{(task, prompt, parser): {id: (group, score)}} of a run."""
    path, made = os.path.join(root, "results.jsonl"), {}
    if not os.path.exists(path):
        raise StoreError(f"{root}: holds no results.jsonl; next: let run_eval.py end in it")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                entry = made.setdefault((row["task"], row["prompt"], row["parser"]), {})
                entry[row["id"]] = (row["group"], row["scores"]["model"])
            except (ValueError, KeyError, TypeError):
                raise StoreError(f"{path}: line {number} is no row; next: run the same command with --only_score")
    return made


def _differences(first, second, where=""):
    """What differs between two manifests, as lines "key: one | other"."""
    made = []
    for key in sorted(set(first) | set(second)):
        one, two = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            made += _differences(one, two, f"{where}{key}.")
        elif one != two:
            made.append(f"{where}{key}: {one} | {two}")
    return made


def compare(first, second, seed=0):
    """
    Two runs on the same rows: what differs in their manifests, and paired tests of what both asked.

    Args:
        first, second: output directories of run_eval.py.

    Returns:
        {"differences": list of lines, "tests": {(task, prompt, parser): as of `paired_test`}}.

    Raises:
        StoreError: other annotation files, other rows, or nothing that both asked.
    """
    manifests = [read_manifest(root) for root in (first, second)]
    scores, tests = [_scores(root) for root in (first, second)], {}
    for key in scores[0]:
        # one run may be of another program's answers, which have no prompt
        others = [
            other for other in scores[1] if other == key or ("-" in (key[1], other[1]) and other[::2] == key[::2])
        ]
        for other in others:
            task, one, two = key[0], scores[0][key], scores[1][other]
            hashes = [made["tasks"][task]["sha256"] for made in manifests]
            if hashes[0] != hashes[1] or set(one) != set(two):
                alone = sorted(set(one) ^ set(two))[:3]
                raise StoreError(
                    f"{first} and {second}: task {task} was run on other rows ({len(one)} and {len(two)}, only in one: {alone}); "
                    "next: run both with the same --annotations, --split and --limit"
                )
            ids = sorted(one)
            label = key if key == other else (task, f"{key[1]} | {other[1]}", key[2])
            groups = [one[name][0] for name in ids]
            tests[label] = paired_test(
                [one[name][1] for name in ids], [two[name][1] for name in ids], groups, seed=seed
            )
    if not tests:
        raise StoreError(
            f"{first} and {second}: have no task, prompt and parser in common; next: run both with the same ones"
        )
    return {"differences": _differences(*manifests), "tests": tests}
