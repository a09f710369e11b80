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
Human evaluation of runs by blind pairs: which pairs, in which order, what was voted, and how far raters agree.

A study is a directory: study.json (pairs, seed; written once) and votes/<rater>.jsonl (one line a vote, appended and synchronized).
"""

import csv
import fcntl
import hashlib
import io
import itertools
import json
import os
import re
import time

import numpy as np

from .statistics import bradley_terry_interval, cohen_kappa, fleiss_kappa, krippendorff_alpha
from .store import StoreError, write_whole

__all__ = ["CHOICES", "Study", "agreement"]

CHOICES = ("left", "right", "tie")


def read_run(root, task, prompt=None, parser=None):
    """{id: (picture, question, text)} of one prompt and parser of a run of run_eval.py; the first ones where none is named."""
    path, made = os.path.join(root, "results.jsonl"), {}
    if not os.path.exists(path):
        raise StoreError(f"{root}: holds no results.jsonl; next: let run_eval.py end in it")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                key, picture = row["id"], row["image"]
            except (ValueError, KeyError, TypeError):
                raise StoreError(f"{path}: line {number} is no row; next: run run_eval.py again with --only_score")
            if row.get("task") != task or "text" not in row:
                continue
            prompt, parser = prompt or row["prompt"], parser or row["parser"]
            if prompt in (row["prompt"], row["prompt"].split("@")[0]) and parser in (
                row["parser"],
                row["parser"].split("@")[0],
            ):
                made[key] = (picture, row.get("question", ""), row["text"])
    if not made:
        raise StoreError(
            f"{root}: has no texts of task {task}, prompt {prompt}, parser {parser}; next: look at its report.md"
        )
    return made


class Study:
    """
    A human evaluation.

    Args:
        root: directory of the study.

    Raises:
        StoreError: no study there.
    """

    def __init__(self, root):
        self.root = root
        path = os.path.join(root, "study.json")
        try:
            with open(path, encoding="utf-8") as stream:
                made = json.load(stream)
        except FileNotFoundError:
            raise StoreError(f"{root}: holds no study.json; next: human_eval.py make")
        except ValueError as error:
            raise StoreError(f"{path}: is no JSON ({error}); next: human_eval.py make, in another directory")
        self.systems, self.seed, self.pairs, self.task = made["systems"], made["seed"], made["pairs"], made["task"]
        self.place = {pair["key"]: pair for pair in self.pairs}
        os.makedirs(os.path.join(root, "votes"), exist_ok=True)

    @classmethod
    def make(cls, root, runs, task, prompt=None, parser=None, number=100, seed=0):
        """
        Draws the pairs of a new study.

        Args:
            runs: {name of the system: output directory of its run}. number: of rows; each gives a pair for every two systems. Pairs with
            equal texts are left out: nothing is to be seen in them.

        Raises:
            StoreError: a study is there, runs on other rows, fewer than two systems, nothing that differs.
        """
        if os.path.exists(os.path.join(root, "study.json")):
            raise StoreError(f"{root}: a study is there already; next: take another directory")
        if len(runs) < 2:
            raise StoreError("a study compares two systems or more; next: --runs NAME=DIR NAME=DIR")
        texts = {name: read_run(path, task, prompt, parser) for name, path in runs.items()}
        names, first = list(runs), next(iter(texts.values()))
        for name, made in texts.items():
            if set(made) != set(first):
                alone = sorted(set(made) ^ set(first))[:3]
                raise StoreError(
                    f"{runs[name]}: answers other rows than {runs[names[0]]} ({alone}); next: runs on the same rows"
                )
        order, pairs = np.random.default_rng(seed).permutation(sorted(first)), []
        for key in order[:number]:
            picture, question, _ = first[key]
            for one, two in itertools.combinations(names, 2):
                said = {name: texts[name][key][2] for name in (one, two)}
                if said[one] == said[two]:
                    continue
                entry = {"key": f"{key}|{one}|{two}", "id": str(key), "systems": [one, two], "texts": said}
                pairs.append({**entry, "image": picture, "question": question})
        if not pairs:
            raise StoreError("the systems say the same of every row; next: other runs, or a larger --number")
        os.makedirs(root, exist_ok=True)
        made = {"systems": names, "task": task, "seed": seed, "pairs": pairs}
        write_whole(os.path.join(root, "study.json"), json.dumps(made, ensure_ascii=False, indent=1))
        return cls(root)

    def rater(self, name):
        """The name as it is stored. Raises ValueError where it is no name."""
        name = " ".join((name or "").split())
        if not re.fullmatch(r"[\w][\w .-]{0,39}", name):
            raise ValueError("a name is 1 to 40 letters, digits, blanks, dots and hyphens")
        return name

    def _file(self, rater):
        return os.path.join(self.root, "votes", re.sub(r"[^\w-]", "_", rater) + "." + _digest(rater)[:8] + ".jsonl")

    def order(self, rater):
        """The rater's own order of the pairs: list of (pair, swapped), drawn from seed and name alone, so that it survives a restart."""
        random = np.random.default_rng(int(_digest(str(self.seed), rater)[:15], 16))
        swapped = random.random(len(self.pairs)) < 0.5
        return [(self.pairs[index], bool(swapped[index])) for index in random.permutation(len(self.pairs))]

    def votes(self, rater):
        """{key of the pair: vote} of a rater; the last vote of a pair counts, one that was taken back does not."""
        made = {}
        try:
            with open(self._file(rater), encoding="utf-8", errors="replace") as stream:
                lines = stream.read().split("\n")
        except FileNotFoundError:
            return made
        for number, line in enumerate(lines[:-1], 1):  # a last line without its end was not finished
            try:
                vote = json.loads(line)
                key, choice = vote["key"], vote["choice"]
            except (ValueError, KeyError, TypeError):
                raise StoreError(f"{self._file(rater)}: line {number} is no vote; next: take the line out")
            if key not in self.place:
                raise StoreError(
                    f"{self._file(rater)}: line {number} is a vote on {key!r}, which is no pair of this study; next: take the file out"
                )
            made.pop(key, None)
            if choice is not None:
                made[key] = vote
        return made

    def next(self, rater):
        """(pair, swapped, number of votes); pair is None where all is done."""
        done = self.votes(rater)
        for pair, swapped in self.order(rater):
            if pair["key"] not in done:
                return pair, swapped, len(done)
        return None, False, len(done)

    def token(self, rater, key):
        """What the browser holds for a pair; it does not say the systems' names, as the key does."""
        return _digest(str(self.seed), rater, key)[:16]

    def key(self, rater, token):
        """The key of the pair that a token was given for, or None."""
        return next((pair["key"] for pair in self.pairs if self.token(rater, pair["key"]) == token), None)

    def vote(self, rater, key, choice, comment=""):
        """
        Stores a vote, on the disk when this returns. A second vote on the same pair (a key pressed twice, a page that was left open) is
        not taken.

        Args:
            key: of the pair that was shown. choice: one of `CHOICES`, as the rater saw the sides.

        Returns:
            whether it was taken.
        """
        if key not in self.place or choice not in CHOICES:
            raise ValueError(f"no pair {key!r} or no choice {choice!r}")
        swapped = next(swapped for pair, swapped in self.order(rater) if pair["key"] == key)
        one, two = self.place[key]["systems"]
        left, right = (two, one) if swapped else (one, two)
        winner = {"left": left, "right": right, "tie": "tie"}[choice]
        vote = {"rater": rater, "key": key, "choice": choice, "winner": winner, "left": left, "right": right}
        vote.update(comment=comment or "", time=round(time.time(), 3))
        return self._append(rater, vote, lambda done: key not in done)

    def take_back(self, rater):
        """Takes the last vote back. Returns its pair's key, or None."""
        done = self.votes(rater)
        if not done:
            return None
        key = list(done)[-1]
        self._append(rater, {"rater": rater, "key": key, "choice": None}, lambda now: key in now)
        return key

    def _append(self, rater, vote, wanted):
        path = self._file(rater)
        with open(path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the same rater in two windows
            if not wanted(self.votes(rater)):
                return False
            with open(path, "ab+") as stream:
                stream.seek(0)
                content = stream.read()
                if content and not content.endswith(b"\n"):  # left by a process that was killed
                    stream.truncate(content.rfind(b"\n") + 1)
                stream.write(json.dumps(vote, ensure_ascii=False).encode("utf-8") + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        return True

    def all_votes(self):
        """{rater: {key: vote}} of everybody."""
        made = {}
        for name in sorted(os.listdir(os.path.join(self.root, "votes"))):
            if name.endswith(".jsonl"):
                with open(os.path.join(self.root, "votes", name), encoding="utf-8", errors="replace") as stream:
                    first = stream.readline()
                if not first.endswith("\n"):
                    continue
                try:
                    rater = json.loads(first)["rater"]
                except (ValueError, KeyError, TypeError):
                    raise StoreError(f"{self.root}/votes/{name}: line 1 is no vote; next: take the line out")
                made[rater] = self.votes(rater)
        return made

    def table(self):
        """All votes as CSV text. A comment that a spreadsheet would take for a formula begins with an apostrophe."""
        sink = io.StringIO()
        heads = ["rater", "id", "system_a", "system_b", "left", "right", "choice", "winner", "comment", "time"]
        writer = csv.DictWriter(sink, heads)
        writer.writeheader()
        for rater, votes in self.all_votes().items():
            for key, vote in votes.items():
                pair = self.place[key]
                row = {
                    "rater": rater,
                    "id": pair["id"],
                    "system_a": pair["systems"][0],
                    "system_b": pair["systems"][1],
                }
                row.update({name: vote[name] for name in ("left", "right", "choice", "winner", "comment", "time")})
                writer.writerow({name: _cell(value) for name, value in row.items()})
        return sink.getvalue()


def _cell(value):
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _digest(*words):
    return hashlib.sha256("\0".join(words).encode("utf-8")).hexdigest()


def agreement(study, seed=0):
    """
    What a study says.

    Returns:
        {"raters": {name: number of votes}, "cohen": {"a | b": (kappa, shared pairs)}, "fleiss": (kappa, pairs that all voted on),
        "krippendorff": alpha, "wins": {system: {system: wins of the first, ties as halves}}, "ties": share, "bradley_terry": {system: (log
        strength, low, high)}}. NaN where there is nothing to agree on.
    """
    votes = study.all_votes()
    raters = list(votes)
    table = [[votes[rater].get(pair["key"], {}).get("winner") for pair in study.pairs] for rater in raters]
    made = {"raters": {rater: len(votes[rater]) for rater in raters}, "cohen": {}}
    for one, two in itertools.combinations(range(len(raters)), 2):
        shared = sum(a is not None and b is not None for a, b in zip(table[one], table[two]))
        made["cohen"][f"{raters[one]} | {raters[two]}"] = (cohen_kappa(table[one], table[two]), shared)
    made["fleiss"] = fleiss_kappa(table) if table else (float("nan"), 0)
    made["krippendorff"] = krippendorff_alpha(table) if table else float("nan")
    pairs, clusters, wins = [], [], {a: {b: 0.0 for b in study.systems if b != a} for a in study.systems}
    for rater in raters:
        for key, vote in votes[rater].items():
            one, two = study.place[key]["systems"]
            share = {one: 1.0, two: 0.0, "tie": 0.5}[vote["winner"]]
            pairs.append((one, two, share))
            clusters.append(study.place[key]["id"])
            wins[one][two] += share
            wins[two][one] += 1 - share
    made["wins"] = wins
    made["ties"] = sum(share == 0.5 for _, _, share in pairs) / max(len(pairs), 1)
    made["bradley_terry"] = bradley_terry_interval(pairs, study.systems, clusters, seed=seed) if pairs else {}
    return made
