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

"""Runs a search over many puzzles, keeps a log that can be resumed, and sums it up."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from typing import Any, Dict, Iterable, List, Optional, Tuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from ..language_models.base import LanguageModel, LanguageModelError, Price, RefusedError, Usage
from .search import SearchConfig, SearchResult, drive_all, search
from .tasks.base import Task

__all__ = ["LogError", "PRESETS", "PUZZLES", "UnreadError", "evaluate", "preset", "read_log", "summarize"]

FORMAT = 2
# So many refused puzzles without one that was answered are no matter of the puzzles.
MOST_REFUSED = 3

# The settings of the paper's experiments (sections 4.1 to 4.3 and the scripts of the official repository).
PRESETS: Dict[Tuple[str, str], Dict[str, Any]] = {
    ("game24", "io"): dict(method="sample", select="all", prompt_style="standard", n_generate=100),
    ("game24", "cot"): dict(method="sample", select="all", prompt_style="cot", n_generate=100),
    ("game24", "cot-sc"): dict(method="sample", select="majority", prompt_style="cot", n_generate=100),
    ("game24", "tot"): dict(),
    ("text", "io"): dict(method="sample", select="all", prompt_style="standard", n_generate=10, temperature=1.0),
    ("text", "cot"): dict(method="sample", select="all", prompt_style="cot", n_generate=10, temperature=1.0),
    ("text", "tot"): dict(
        generate="sample", evaluate="vote", n_generate=5, n_evaluate=5, n_select=1, temperature=1.0, prompt_style="cot"
    ),
    ("crosswords", "io"): dict(method="sample", select="all", prompt_style="standard", n_generate=10),
    ("crosswords", "cot"): dict(method="sample", select="all", prompt_style="cot", n_generate=10),
    ("crosswords", "tot"): dict(method="dfs", n_generate=8, n_evaluate=1),
}
# The puzzles the paper evaluates.
PUZZLES = {"game24": range(900, 1000), "text": range(0, 100), "crosswords": range(0, 100, 5)}


class UnreadError(LanguageModelError):
    """Nothing of the answers to the first puzzle could be read. The message shows one and says what to do."""


class LogError(RuntimeError):
    """A log cannot be resumed or read. The message says where it is wrong and what to do."""


def preset(task: str, name: str, **changes: Any) -> SearchConfig:
    """The paper's settings for a task ("io", "cot", "cot-sc", "tot"), with changes."""
    if (task, name) not in PRESETS:
        there = sorted(n for t, n in PRESETS if t == task)
        raise ValueError("no preset {!r} for {!r}; there are {}".format(name, task, ", ".join(there)))
    return SearchConfig(**{**PRESETS[task, name], **changes})


def _settings(task: Task, model: LanguageModel, config: SearchConfig) -> Dict[str, Any]:
    """What makes two runs the same experiment."""
    digest = hashlib.sha256(json.dumps([task.inputs, task.prompts], sort_keys=True).encode("utf-8")).hexdigest()
    return {
        "task": task.name,
        "parse": task.parse,
        "texts": digest,  # of puzzles and prompts
        "model": model.name,
        "search": asdict(config),
    }


class _Log:
    """A file with a header line and one line a puzzle. Appending a line is the only thing ever done to it."""

    def __init__(self, path: str, settings: Dict[str, Any]):
        self.path = path
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self.records: Dict[int, Dict[str, Any]] = {}
        self._lock = FileLock(path + ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise LogError("another process writes {}. Give another --output, or wait for it.".format(path))
        try:
            self._open(path, {"format": FORMAT, "settings": settings})
        except BaseException:
            self._lock.release()
            raise

    def _open(self, path: str, header: Dict[str, Any]) -> None:
        settings = header["settings"]
        if os.path.exists(path) and _drop_torn_line(path):
            there, self.records = _parse(path)
            changed = [
                name
                for name in sorted(set(there["settings"]) | set(settings))
                if there["settings"].get(name) != settings.get(name)
            ]
            if there["format"] != FORMAT or changed:
                raise LogError(
                    "{} is the log of another run (different: {}). Give another --output, or delete the file to start "
                    "afresh.".format(path, ", ".join(changed) or "format")
                )
            self._stream = open(path, "a", encoding="utf-8")
        else:
            self._stream = open(path, "w", encoding="utf-8")
            self._write(header)

    def _write(self, record: Dict[str, Any]) -> None:
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def append(self, record: Dict[str, Any]) -> None:
        self._write(record)
        self.records[record["index"]] = record

    def close(self) -> None:
        self._stream.close()
        self._lock.release()


def _drop_torn_line(path: str) -> bool:
    """Cut off a last line that a killed process did not finish; whether anything is left."""
    with open(path, "r+b") as stream:
        data = stream.read()
        end = data.rfind(b"\n") + 1
        stream.truncate(end)
    return end > 0


def _parse(path: str) -> Tuple[Dict[str, Any], Dict[int, Dict[str, Any]]]:
    records: Dict[int, Dict[str, Any]] = {}
    header: Optional[Dict[str, Any]] = None
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith("\n"):
                break  # being written, or torn
            try:
                record = json.loads(line)
                if header is None:
                    header = {"format": record["format"], "settings": record["settings"]}
                else:
                    records[record["index"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise LogError(
                    "line {} of {} is not of a log ({}: {})".format(number, path, type(error).__name__, error)
                )
    if header is None:
        raise LogError("{} has no header line; it is not a log".format(path))
    return header, records


def read_log(path: str) -> Tuple[Dict[str, Any], List[Dict[str, Any]]]:
    """(settings, records in the order of the puzzles) of a log; a torn last line is passed over.

    Raises:
        LogError: The file is not a log.
    """
    header, records = _parse(path)
    return header["settings"], [records[index] for index in sorted(records)]


def _solve(task: Task, index: int, config: SearchConfig, values: Dict[str, float]):
    """Search, then score every output; the account of the scoring is kept apart."""
    result = yield from search(task, task.input(index), config, str(index), values)
    scores, scoring = [], Usage()
    for output in result.outputs:
        dialogue = task.score(index, output)
        try:
            requests = dialogue.send(None)
            while True:
                completions = yield requests
                for completion in completions:
                    scoring.add(completion)
                    if completion.refused:
                        error = RefusedError(completion.refused)
                        error.usage = result.usage + scoring
                        raise error
                requests = dialogue.send(completions)
        except StopIteration as stop:
            scores.append(stop.value)
    return result, scores, scoring


def _refused(task: Task, index: int, error: RefusedError, seconds: float) -> Dict[str, Any]:
    return {
        "index": index,
        "input": task.input(index),
        "refused": str(error),
        "outputs": [],
        "scores": [],
        "usage": (error.usage or Usage(refused=1)).as_dict(),
        "finished_after_s": round(seconds, 3),
        "steps": [],
        "nodes": [],
    }


def _record(task: Task, index: int, result: SearchResult, scores: List[Dict], scoring: Usage, seconds: float) -> Dict:
    return {
        "index": index,
        "refused": "",
        "unread": result.unread,
        "input": task.input(index),
        "outputs": result.outputs,
        "scores": scores,
        "usage": result.usage.as_dict(),
        "scoring": scoring.as_dict(),
        "finished_after_s": round(seconds, 3),
        "steps": [asdict(step) for step in result.steps],
        "nodes": [asdict(node) for node in result.nodes],
    }


def evaluate(
    task: Task,
    model: LanguageModel,
    config: SearchConfig,
    indices: Iterable[int],
    log: str,
    in_flight: int = 1,
    progress: bool = True,
    stop_unread: bool = True,
) -> List[Dict[str, Any]]:
    """Search puzzles that are not in the log yet, and append each to it when it is done.

    A process that is killed loses the puzzles in flight (one, with `in_flight` 1), and with a
    :class:`CachedModel` on disk not even the answers they got.

    Args:
        task (Task), model (LanguageModel), config (SearchConfig): What, by whom, how.
        indices (iterable of int): Puzzles.
        log (str): A JSON-lines file, made if needed, resumed if it is of the same task, prompts, model and settings.
        in_flight (int): Puzzles that are searched at once; their requests become one batch. Default: 1.
        progress (bool): Show a progress bar. Default: True.
        stop_unread (bool): Stop if nothing can be read of the answers to the first puzzle. Default: True.

    Returns:
        list of dict: The records of `indices`, in their order. A puzzle that the model refuses has "refused", the reason, and
        no output; it is not asked again.

    Raises:
        LogError: The log belongs to another run, or another process writes it.
        UnreadError: Nothing could be read of the answers to the first puzzle.
        LanguageModelError: The model gave up, or refuses every puzzle; the log keeps what was finished.
    """
    indices = list(indices)
    for index in indices:
        task.input(index)  # a wrong one is told before the first request
    if in_flight < 1:
        raise ValueError("in_flight is {}, it must be at least 1".format(in_flight))
    book = _Log(log, _settings(task, model, config))
    values: Dict[str, float] = {}
    try:
        todo = [index for index in indices if index not in book.records]
        bar = tqdm(
            total=len(indices), initial=len(indices) - len(todo), desc=task.name, unit="puzzle", disable=not progress
        )
        with bar:
            start = time.perf_counter()
            dialogues = ((index, _solve(task, index, config, values)) for index in todo)
            for index, found in drive_all(dialogues, model, in_flight):
                seconds = time.perf_counter() - start
                if isinstance(found, RefusedError):
                    record = _refused(task, index, found, seconds)
                else:
                    record = _record(task, index, *found, seconds)
                answered = [other for other in book.records.values() if not other["refused"]]
                if stop_unread and not answered and record.get("unread"):
                    raise UnreadError(
                        "puzzle {}: {}. Try --parse lenient, other --prompts or another --prompt_format; --go_on goes on "
                        "all the same.".format(index, record["unread"])
                    )
                book.append(record)
                if record["refused"] and not answered and len(book.records) >= MOST_REFUSED:
                    raise LanguageModelError(
                        "the model refuses every puzzle, {} up to now. The last one: {}".format(
                            len(book.records), record["refused"]
                        )
                    )
                done = [book.records[i] for i in indices if i in book.records]
                bar.set_postfix_str(_so_far(done))
                bar.update()
        return [book.records[index] for index in indices]
    finally:
        book.close()


def _so_far(records: List[Dict[str, Any]]) -> str:
    answered = [record for record in records if not record["refused"]]
    text = "r {:.3f}".format(sum(map(_best, answered)) / len(answered)) if answered else "r -"
    refused = len(records) - len(answered)
    return text + (", {} refused".format(refused) if refused else "")


def _best(record: Dict[str, Any]) -> float:
    return max((score["r"] for score in record["scores"]), default=0)


def summarize(records: List[Dict[str, Any]], price: Optional[Price] = None) -> Dict[str, Any]:
    """Means over puzzles. Rewards are between 0 and 1 (Creative Writing: up to 10).

    Returns:
        dict: "puzzles", those that were answered; "refused" and "unread", how many were not, and of how many nothing could be
        read (they count as unsolved); "mean" (of all outputs of a puzzle: what the paper gives for IO and CoT), "any" (the best output:
        what it gives for ToT), "first" (the output ranked first); means of all other scores of the first outputs;
        "requests" and "sent" a puzzle; tokens and "cost" (None without a price) in total, without the scoring.
    """
    if not records:
        raise ValueError("no puzzle is finished, so there is nothing to sum up")
    usage = Usage()
    for record in records:
        usage = usage + Usage(**record["usage"])
    refused = sum(bool(record.get("refused")) for record in records)
    records = [record for record in records if not record.get("refused")]
    if not records:
        raise ValueError("the model refused all of the {} puzzles".format(refused))
    count = len(records)
    rewards = [[score["r"] for score in record["scores"]] or [0] for record in records]
    summary: Dict[str, Any] = {
        "puzzles": count,
        "refused": refused,
        "unread": sum(bool(record.get("unread")) for record in records),
        "mean": sum(sum(r) / len(r) for r in rewards) / count,
        "any": sum(max(r) for r in rewards) / count,
        "first": sum(r[0] for r in rewards) / count,
        "requests": usage.requests / count,
        "sent": usage.sent / count,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost": usage.cost(price),
    }
    for name in sorted({name for record in records for score in record["scores"][:1] for name in score}):
        values = [record["scores"][0].get(name) if record["scores"] else 0 for record in records]
        if name != "r" and all(isinstance(value, (int, float)) for value in values):
            summary[name] = sum(values) / count
    return summary
