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
One run: jobs that ask the model, rows that are stored, figures beside their controls.
"""

import json
import os
import platform
import sys

import numpy as np
from tqdm import tqdm

from . import datasets, models, prompts, scoring
from .report import UNFIT, write_report
from .statistics import bootstrap, paired_test
from .store import SCORING, job_name, sha256_files, write_whole

__all__ = ["Task", "manifest", "ask", "evaluate"]

PROTOCOL = 1  # of what a row's answer depends on beside prompts and parsers: batches, likelihoods, controls


class Task:
    """One task of a run: its rows, prompts, parsers and candidates."""

    def __init__(self, name, files, images, split, limit, prompt, parser, candidates=None, answers=None):
        self.name, self.files, self.images, self.split = name, files, images, split
        rows = datasets.read_set(name, files, images, split)
        self.known = {row["id"] for row in rows}
        self.rows = rows[:limit]
        self.candidates = ["yes", "no"] if name == "pope" and not answers else None
        if candidates:
            with open(candidates, encoding="utf-8-sig") as stream:
                self.candidates = [line.strip() for line in stream if line.strip()]
            if len(self.candidates) < 2 or len(set(self.candidates)) < len(self.candidates):
                raise ValueError(
                    f"{candidates}: holds {len(self.candidates)} candidates, or one twice; next: one answer a line"
                )
        self.prompts = ["-"] if answers else prompts.choose(prompts.PROMPTS, name, prompt, "prompt")
        if name == "retrieval" and answers:
            self.parsers = ["given"]
        else:
            self.parsers = prompts.choose(prompts.PARSERS, name, parser, "parser", self.candidates is not None)
        self.choice = []
        if name != "retrieval":
            self.choice = [one for one in self.parsers if prompts.PARSERS[name][one].likelihood]
        if self.choice and (self.candidates is None or answers):
            raise ValueError(
                f"--parser {self.choice[0]}: needs a model and --candidates {name}=FILE; next: give both, or another parser"
            )
        self.captions = [text for row in self.rows for text in row.get("references", ())]

    def text(self, prompt, row):
        return prompts.PROMPTS[self.name][prompt].replace("{question}", row.get("question", ""))

    def jobs(self, blind):
        """(job, system, prompt, kind, ids) of everything that the model is asked."""
        made, ids = [], [row["id"] for row in self.rows]
        for prompt in self.prompts:
            for system in ("model", "blind") if blind else ("model",):
                if self.name == "retrieval":
                    whole = ids if system == "model" else ["captions"]
                    made.append((job_name(self.name, system, prompt), system, prompt, "matrix", whole))
                    continue
                if len(self.choice) < len(self.parsers):
                    made.append((job_name(self.name, system, prompt), system, prompt, "text", ids))
                if self.choice:
                    made.append((job_name(self.name, system + "_choice", prompt), system, prompt, "choice", ids))
        if self.name == "retrieval" and not blind:  # the likelihoods without picture are a part of two scorers
            made += [(job_name(self.name, "blind", one), "blind", one, "matrix", ["captions"]) for one in self.prompts]
        return made


def manifest(tasks, model, options, seed):
    """What a run's answers depend on, and how they are scored. model: directory or None. options: of the model."""
    made = {"protocol": PROTOCOL, "seed": seed, "frame": prompts.FRAME, "blind frame": models.BLIND_FRAME, "tasks": {}}
    made[SCORING] = {task.name: {"prompts": task.prompts, "parsers": task.parsers} for task in tasks}
    for task in tasks:
        made["tasks"][task.name] = {
            "annotations": [os.path.basename(file) for file in task.files],
            "sha256": sha256_files(task.files),
            "split": task.split,
            "rows": len(task.rows),
            "prompts": prompts.PROMPTS[task.name],
            "candidates": task.candidates,
        }
    made["versions"] = {"python": platform.python_version(), "numpy": np.__version__}
    if model:
        import paddle
        import paddlenlp

        names = [name for name in os.listdir(model) if os.path.isfile(os.path.join(model, name))]
        weights = [os.path.join(model, name) for name in names if not name.startswith(".")]
        made["model"] = {"name": os.path.basename(os.path.abspath(model)), "sha256": sha256_files(weights), **options}
        made["versions"].update(paddle=paddle.__version__, paddlenlp=paddlenlp.__version__)
    return made


def ask(task, store, model, blind, quiet=False):
    """Asks the model what is not stored yet; a batch is on the disk before the next is asked."""
    for job, system, prompt, kind, ids in task.jobs(blind):
        store.repair(job)
        done = store.read(job, set(ids))
        rows = {row["id"]: row for row in task.rows}
        mine = store.mine(ids)
        left = [name for name in mine if name not in done]
        bar = tqdm(total=len(mine), initial=len(mine) - len(left), desc=job, file=sys.stderr, disable=quiet)
        with bar:
            for records in _records(task, model, system == "blind", prompt, kind, [rows.get(name) for name in left]):
                store.append(job, records)
                bar.update(len(records))


def _records(task, model, blind, prompt, kind, rows):
    """Lists of records, a batch each."""
    if kind == "text":
        texts = {row["id"]: task.text(prompt, row) for row in rows}
        if not blind:
            for batch in model.batches(rows, texts, False):
                said = model.generate(batch, False)
                yield [{"id": row["id"], "text": text} for (row, _, _), text in zip(batch, said)]
            return
        same = {}  # without picture the same words have the same answer
        for row in rows:
            same.setdefault(texts[row["id"]], []).append(row)
        for batch in model.batches([group[0] for group in same.values()], texts, True):
            said = model.generate(batch, True)
            yield [
                {"id": row["id"], "text": text}
                for (first, _, _), text in zip(batch, said)
                for row in same[texts[first["id"]]]
            ]
    elif kind == "choice":
        for row in rows:
            sums, _ = model.likelihood(row, task.text(prompt, row), task.candidates, blind)
            yield [{"id": row["id"], "scores": sums.round(6).tolist()}]
    else:
        for row in rows:
            name = row["id"] if row else "captions"
            text = task.text(prompt, row or {})
            sums, lengths = model.likelihood(row or {"id": name}, text, task.captions, blind)
            yield [{"id": name, "scores": sums.round(6).tolist(), "lengths": lengths.tolist()}]


def _given_matrix(path, task):
    """Scores of another program (ITM of a BLIP-2, say): .npy [images, captions], in the order of the annotation file."""
    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise datasets.DataError(f"{path}: is no .npy file of numbers ({error}); next: numpy.save(path, scores)")
    want = (len(task.rows), len(task.captions))
    if getattr(scores, "shape", None) != want or not np.isfinite(scores).all():
        raise datasets.DataError(
            f"{path}: scores {getattr(scores, 'shape', None)}, wanted {want} finite numbers; next: images and captions of this split, in "
            "the order of the annotation file"
        )
    return scores


def _collect(task, store, blind, answers):
    """{(system, prompt): {"text": {id: text}, "choice": ..., "matrix": ...}} of everything that is stored or given."""
    made = {}
    if answers:
        if task.name == "retrieval":
            made["model", "-"] = {"matrix": _given_matrix(answers, task)}
        else:
            made["model", "-"] = {"text": datasets.read_answers(answers, task.rows, task.known)}
        return made
    for job, system, prompt, kind, ids in task.jobs(blind):
        records = store.complete(job, ids)
        entry = made.setdefault((system, prompt), {})
        if kind == "text":
            entry["text"] = {name: record["text"] for name, record in records.items()}
        elif kind == "choice":
            entry["choice"] = {name: task.candidates[int(np.argmax(one["scores"]))] for name, one in records.items()}
        else:
            entry["matrix"] = np.array([records[name]["scores"] for name in ids])
            entry["lengths"] = np.array(records[ids[0]]["lengths"])
    return made


def _same(text, row):
    return text


def _matrix(entries, system, prompt, parser, images):
    """Scores [images, captions] by a scorer; without picture all images have the same."""
    how = prompts.SCORERS.get(parser, "sum")
    prior, entry = entries.get(("blind", prompt)), entries[system, prompt]
    scores = np.broadcast_to(entry["matrix"], [images, entry["matrix"].shape[1]])
    if how == "mean":
        scores = scores / entry["lengths"][None]
    elif how == "without_prior":
        scores = scores - prior["matrix"] if system == "model" else np.zeros_like(scores)
    return scores


def paired_values(task, scored):
    """One figure [N] of each row, for paired tests: the main one, accuracy for POPE, mean of both directions for retrieval."""
    if task == "pope":
        return 100 * (scored.values[:, 0] + scored.values[:, 3])
    if task == "retrieval":
        return 50 * (scored.values[:, 0] + scored.values[:, 2] / scored.values[:, 3])
    return scored.values


def verdict(task, systems, seed):
    """ "inside", `UNFIT`, or why the model's figure stands outside of its controls."""
    model = systems["model"]
    main = scoring.MAIN[task]
    if systems["oracle"].unparsed == 100:
        return UNFIT
    for name in ("random", "constant"):
        if systems["oracle"].figures[main] < systems[name].figures[main]:
            return (
                f"the control {name} ({systems[name].figures[main]:.2f}) is better than the oracle ({systems['oracle'].figures[main]:.2f}): "
                "annotations or parser are not those of this task"
            )
    if model.unparsed == 100:
        return "the parser found no answer in any row"
    values = paired_values(task, model)
    above = bootstrap(values - paired_values(task, systems["oracle"]), model.groups, seed=seed)
    if above[1] > 0:
        return f"better than the oracle by {above[0]:.2f} [{above[1]:.2f}, {above[2]:.2f}]: answers of the set leak into the model's"
    below = bootstrap(values - paired_values(task, systems["random"]), model.groups, seed=seed)
    if below[2] < 0:
        return (
            f"worse than random answers by {-below[0]:.2f} [{-below[2]:.2f}, {-below[1]:.2f}]: the model's text is not what the parser "
            "looks for, or picture, prompt or weights are wrong"
        )
    return "inside"


def evaluate(tasks, store, blind, seed, rounds, answers, manifest_made, meteor=True):
    """
    Figures of everything that is stored, written as results.json, results.jsonl, report.md and plots.

    Args:
        answers: {task: file} of another program's answers, in place of a model. meteor: METEOR of the model's captions, where Java is.

    Returns:
        list of (task, prompt, parser, why) that stand outside of their controls.
    """
    results, outside, lines = {}, [], []
    java = scoring.has_java()
    notes = ["SPICE is left out: it needs Stanford CoreNLP and its models, which are downloaded while it runs."]
    if "caption" in [task.name for task in tasks]:
        if java:
            notes.append("Captions are tokenized by the official PTB tokenizer (Java is here).")
        else:
            notes.append(
                "Java is missing: captions are tokenized by a plain rule, not by the official PTB tokenizer, so that BLEU, "
                "ROUGE-L and CIDEr are not comparable with published ones; METEOR is left out."
            )
        if java and not meteor:
            notes.append("METEOR was left out by --skip_meteor.")
    if not blind:
        notes.append("The control without picture (blind) was not run.")
    for task in tasks:
        entries = _collect(task, store, blind, answers.get(task.name))
        captions = scoring.Captions(task.rows) if task.name == "caption" else None
        options = {"seed": seed, "rounds": rounds}
        results[task.name], shared, unfit = {}, {}, []
        for prompt in task.prompts:
            results[task.name][prompt] = {}
            for parser in task.parsers:
                systems = {}
                for system in ("model", "blind", *models.CONTROLS):
                    if system == "blind" and (("blind", prompt) not in entries or not blind):
                        continue
                    control = system in models.CONTROLS
                    if control and (system, parser) in shared:  # controls know no prompt
                        systems[system] = shared[system, parser]
                        continue
                    if task.name == "retrieval":
                        if control:
                            scores = models.control_matrix(system, task.rows, seed)
                        else:
                            scores = _matrix(entries, system, prompt, parser, len(task.rows))
                        scored = scoring.score_matrix(task.rows, scores, **options)
                    else:
                        rule = prompts.PARSERS[task.name][parser]
                        take = _same if rule.likelihood else rule.take
                        if control:
                            texts = models.control_texts(system, task.name, task.rows, seed)
                        else:
                            texts = entries[system, prompt]["choice" if rule.likelihood else "text"]
                        scored = scoring.score_texts(
                            task.name, task.rows, texts, take, captions, meteor=meteor and system == "model", **options
                        )
                    systems[system] = scored
                    if control:
                        shared[system, parser] = scored
                why = verdict(task.name, systems, seed)
                if why != "inside":
                    (unfit if why == UNFIT else outside).append((task.name, prompt, parser, why))
                entry = {"verdict": why, "systems": {}}
                for system, scored in systems.items():
                    entry["systems"][system] = {
                        "figures": scored.figures,
                        "interval": scored.interval,
                        "unparsed": scored.unparsed,
                    }
                if "blind" in systems:
                    values = [paired_values(task.name, systems[name]) for name in ("model", "blind")]
                    entry["model against blind"] = paired_test(*values, systems["model"].groups, seed=seed)
                results[task.name][prompt][parser] = entry
                lines += _rows(task, prompt, parser, systems, entries)
        if len(unfit) == len(task.prompts) * len(task.parsers):  # beside one that fits, they only say so in the table
            outside += unfit
    whole = {"manifest": manifest_made, "notes": notes, "rounds": rounds, "tasks": results}
    write_whole(os.path.join(store.root, "results.jsonl"), "".join(lines))
    write_report(store.root, whole, scoring.MAIN)
    # last, since its time says that the others are there
    write_whole(os.path.join(store.root, "results.json"), json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    return outside


def _rows(task, prompt, parser, systems, entries):
    """One JSON line a row: what was asked and said, the answer, and the figure of every system."""
    values = {system: paired_values(task.name, scored) for system, scored in systems.items()}
    texts = entries["model", prompt].get("text", {})
    made = []
    for index, row in enumerate(task.rows):
        one = {"task": task.name, "prompt": prompt, "parser": parser, "id": row["id"], "group": row["group"]}
        one["image"] = os.path.relpath(row["image"], task.images)
        if "question" in row:
            one["question"] = row["question"]
        if task.name != "retrieval":
            one["text"], one["answer"] = texts.get(row["id"], ""), systems["model"].answers[row["id"]]
        one["scores"] = {system: round(float(each[index]), 9) for system, each in values.items()}
        made.append(json.dumps(one, ensure_ascii=False) + "\n")
    return made
