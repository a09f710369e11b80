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

"""Search over partial solutions ("thoughts").

The algorithms know nothing of models: each is a generator that yields a list of requests, is sent their completions,
and returns a :class:`SearchResult`. :func:`drive` and :func:`drive_all` connect generators to a model; the latter runs
several puzzles at once and gives their requests to the model as one batch.

Paper: "Tree of Thoughts: Deliberate Problem Solving with Large Language Models" (https://arxiv.org/abs/2305.10601),
section 3 and algorithms 1 and 2. Behaviour of breadth-first search was measured on princeton-nlp/tree-of-thought-llm @
ab40034 (MIT), that of depth-first search on the notebook and the logs of the same commit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Dict, Generator, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ..language_models.base import Completion, LanguageModel, RefusedError, Request, Usage, merge_requests
from .tasks.base import Task

__all__ = ["Node", "SearchConfig", "SearchResult", "Step", "drive", "drive_all", "search"]

Dialogue = Generator[List[Request], List[Completion], Any]


@dataclass
class SearchConfig:
    """How a puzzle is searched. The defaults are the paper's for the Game of 24.

    Args:
        method (str): "bfs", "dfs", or "sample" (no search: independent answers, the paper's IO and CoT baselines).
        generate (str): How "bfs" makes children: "propose" (one answer lists several) or "sample" (every answer is one).
        evaluate (str): How "bfs" judges them: "value" (each by itself) or "vote" (all of a level against each other).
        select (str): "greedy" (best first, ties in order) or "sample" (with probability in proportion to the value).
            With method "sample": "all", or "majority" for self-consistency (the paper's CoT-SC).
        n_generate (int): Answers sampled for a prompt that generates.
        n_evaluate (int): Answers sampled for a prompt that judges.
        n_select (int): States kept on a level, the paper's b.
        prompt_style (str): "standard" (IO) or "cot", for sampled answers.
        temperature, top_p, max_tokens: As of :class:`Request`.
        seed (int): Of the selection by sampling.
        prune (bool): "dfs" leaves a state that is judged impossible. Default: True.
        prune_below (float): For tasks judged by values: what is worth no more than this is impossible. Default: 0.003,
            three times "impossible" in the Game of 24.
        max_visits (int): "dfs" visits no more states. Default: 100.
        max_children (int): "dfs" tries no more children of one state. Default: 3.
        first_goal (bool): "dfs" ends with the first complete state. Default: False (it spends its visits).
        share_values (bool): A state that was judged in an earlier puzzle keeps its value. Default: True.
        share_answers (bool): A prompt cache may serve one puzzle with the answers of another. Default: False.
    """

    method: str = "bfs"
    generate: str = "propose"
    evaluate: str = "value"
    select: str = "greedy"
    n_generate: int = 1
    n_evaluate: int = 3
    n_select: int = 5
    prompt_style: str = "cot"
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1000
    seed: int = 0
    prune: bool = True
    prune_below: float = 0.003
    max_visits: int = 100
    max_children: int = 3
    first_goal: bool = False
    share_values: bool = True
    share_answers: bool = False

    CHOICES = {
        "method": ("bfs", "dfs", "sample"),
        "generate": ("propose", "sample"),
        "evaluate": ("value", "vote"),
        "select": ("greedy", "sample", "all", "majority"),
        "prompt_style": ("standard", "cot"),
    }

    def __post_init__(self):
        for name, choices in self.CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    "{} is {!r}, it must be one of {}".format(name, getattr(self, name), ", ".join(choices))
                )
        for name in ("n_generate", "n_evaluate", "n_select", "max_visits", "max_children"):
            if getattr(self, name) < 1:
                raise ValueError("{} is {}, it must be at least 1".format(name, getattr(self, name)))
        fits = ("all", "majority") if self.method == "sample" else ("greedy", "sample")
        if self.method != "dfs" and self.select not in fits:
            raise ValueError("method {!r} selects by {}, not {!r}".format(self.method, " or ".join(fits), self.select))

    def request(self, prompt: str, n: int, scope: str, stop: Optional[str] = None, shared: bool = False) -> Request:
        return Request(prompt, n, stop, self.temperature, self.top_p, self.max_tokens, scope, shared)


@dataclass
class Step:
    """One level of a breadth-first search: `candidates[i]` is a child of `frontier[parents[i]]`."""

    frontier: List[str]
    candidates: List[str]
    parents: List[int]
    values: List[float]
    selected: List[int]


@dataclass
class Node:
    """One state a depth-first search visited, in the order of visits; `parent` is -1 for a child of the root."""

    state: str
    parent: int
    depth: int
    value: float
    impossible: bool
    detail: Dict[str, Any] = field(default_factory=dict)


@dataclass
class SearchResult:
    """`outputs` are the final states, best first; `steps` (breadth first) or `nodes` (depth first) say how. `unread` says
    what could not be read of any answer ("" if something could), with an example."""

    outputs: List[str]
    usage: Usage
    steps: List[Step] = field(default_factory=list)
    nodes: List[Node] = field(default_factory=list)
    unread: str = ""


KINDS = {"proposals": "proposals", "judgement": "a judgement", "output": "a whole solution"}


class _Search:
    """What the algorithms share: one puzzle, its account, and the values known so far."""

    def __init__(self, task: Task, x: str, config: SearchConfig, scope: str, values: Optional[Dict[str, float]]):
        self.task, self.x, self.config = task, x, config
        self.scope = "" if config.share_answers else scope
        # Judgements are shared like values are, so that a resumed run finds them in the prompt cache.
        self.value_scope = "" if config.share_values else self.scope
        self.values = values if values is not None and config.share_values else {}
        self.answers: Dict[str, List[str]] = {}
        self.usage = Usage()
        # Answers that were read, and one that was not, by kind: "proposals", "judgement", "output".
        self.was_read: Dict[str, int] = {}
        self.was_not: Dict[str, str] = {}

    def ask(self, requests: List[Request]) -> Dialogue:
        if not requests:
            return []
        completions = yield requests
        for completion in completions:
            self.usage.add(completion)
        refused = next((completion.refused for completion in completions if completion.refused), "")
        if refused:
            error = RefusedError(refused)
            error.usage = self.usage
            raise error
        return completions

    def note(self, kind: str, text: str, understood: bool) -> None:
        self.was_read[kind] = self.was_read.get(kind, 0) + understood
        if not understood:
            self.was_not.setdefault(kind, text)

    def unread(self) -> str:
        for kind, text in self.was_not.items():
            if not self.was_read[kind]:
                return "nothing could be read of any answer with {}, for example {!r}".format(KINDS[kind], text[:200])
        return ""

    def judgement(self, prompt: str, n: int) -> Request:
        """A request that judges a state; puzzles that are searched at once may share its answers."""
        return self.config.request(prompt, n, self.value_scope, shared=True)

    # ------------------------------------------------------------------ breadth first

    def children(self, step: int, frontier: List[str]) -> Dialogue:
        """(children, their parents) of a level; all prompts are asked at once."""
        config, task = self.config, self.task
        open_ones = [y for y in frontier if not task.finished(self.x, y)]
        if config.generate == "propose":
            prompts, stop = [task.propose_prompt(self.x, y) for y in open_ones], None
        else:
            prompts, stop = [task.sample_prompt(config.prompt_style, self.x, y) for y in open_ones], task.stops[step]
        completions = yield from self.ask([config.request(p, config.n_generate, self.scope, stop) for p in prompts])
        children, parents, answers = [], [], iter(completions)
        for parent, y in enumerate(frontier):
            if task.finished(self.x, y):
                children.append(y)
                parents.append(parent)
                continue
            for text in next(answers).texts:
                new = task.proposals(self.x, y, text) if config.generate == "propose" else [y + text]
                if config.generate == "propose":
                    self.note("proposals", text, bool(new))
                children += new
                parents += [parent] * len(new)
        return children, parents

    def judge_values(self, candidates: Sequence[str]) -> Dialogue:
        """A value for each candidate; a repeated candidate is worth 0, so that it is not kept twice."""
        first = {}
        for y in candidates:
            if y not in first:
                first[y] = self.task.value_prompt(self.x, y)
        unknown: Dict[str, str] = {}  # prompt -> the candidate that is judged by it
        for y, prompt in first.items():
            if prompt not in self.values and prompt not in unknown:
                unknown[prompt] = y
        n = self.config.n_evaluate
        completions = yield from self.ask([self.judgement(p, n) for p in unknown])
        for (prompt, y), completion in zip(unknown.items(), completions):
            for text in completion.texts:
                self.note("judgement", text, self.task.understood("judgement", text))
            self.values[prompt] = self.task.value(self.x, y, completion.texts)
        values, seen = [], set()
        for y in candidates:
            values.append(0 if y in seen else self.values[first[y]])
            seen.add(y)
        return values

    def judge_votes(self, candidates: Sequence[str]) -> Dialogue:
        prompt = self.task.vote_prompt(self.x, candidates)
        completions = yield from self.ask([self.config.request(prompt, self.config.n_evaluate, self.scope)])
        for text in completions[0].texts:
            self.note("judgement", text, self.task.understood("judgement", text))
        return self.task.votes(completions[0].texts, len(candidates))

    def breadth_first(self) -> Dialogue:
        config, frontier, steps = self.config, [""], []
        random = np.random.RandomState(config.seed)
        for number in range(self.task.steps):
            if number and all(self.task.finished(self.x, y) for y in frontier):
                break
            candidates, parents = yield from self.children(number, frontier)
            if not candidates:
                frontier = []
                break
            judge = self.judge_values if config.evaluate == "value" else self.judge_votes
            values = yield from judge(candidates)
            selected = _select(values, config, random)
            steps.append(Step(frontier, candidates, parents, values, selected))
            frontier = [candidates[i] for i in selected]
        return SearchResult(frontier, self.usage, steps=steps, unread=self.unread())

    # ------------------------------------------------------------------ depth first

    def judgements(self, prompts: List[str], n: int) -> Dialogue:
        """The answers to each prompt; a prompt that was asked before keeps its answers."""
        unknown = [p for p in dict.fromkeys(prompts) if p not in self.answers]
        completions = yield from self.ask([self.judgement(p, n) for p in unknown])
        for p, completion in zip(unknown, completions):
            self.answers[p] = completion.texts
            for text in completion.texts:
                self.note("judgement", text, self.task.understood("judgement", text))
        return [self.answers[p] for p in prompts]

    def depth_first(self) -> Dialogue:
        nodes: List[Node] = []
        yield from self._visit("", -1, 0, nodes)
        # The paper's rule: the deepest state, the first one that was visited if there are several.
        best = max(nodes, key=lambda node: node.depth, default=None)
        output = self.task.output(self.x, best.state if best is not None else "")
        return SearchResult([output], self.usage, nodes=nodes, unread=self.unread())

    def _visit(self, state: str, number: int, depth: int, nodes: List[Node]) -> Dialogue:
        """Visit the children of a state; True if the search is over."""
        config, task = self.config, self.task
        if depth + 1 >= task.max_depth or len(nodes) >= config.max_visits:
            return False
        prompt = task.propose_prompt(self.x, state)
        completions = yield from self.ask([config.request(prompt, config.n_generate, self.scope)])
        tried, children = 0, task.ranked_proposals(self.x, state, completions[0].texts)
        self.note("proposals", completions[0].texts[0], bool(children))
        for child in children:
            if len(nodes) >= config.max_visits:
                return False
            if not task.admissible(self.x, child):
                continue
            tried += 1
            if tried > config.max_children:
                break
            prompts, n = task.assessment_prompts(self.x, child, config.n_evaluate)
            answers = yield from self.judgements(prompts, n)
            value, detail = task.assess(self.x, child, answers)
            impossible = task.impossible(value, detail, config.prune_below)
            nodes.append(Node(child, number, depth + 1, value, impossible, detail))
            if config.first_goal and task.complete(self.x, child) and not impossible:
                return True
            if not (config.prune and impossible):
                over = yield from self._visit(child, len(nodes) - 1, depth + 1, nodes)
                if over:
                    return True
        return False

    # ------------------------------------------------------------------ no search

    def sample_answers(self) -> Dialogue:
        config = self.config
        prompt = self.task.sample_prompt(config.prompt_style, self.x, "")
        completions = yield from self.ask([config.request(prompt, config.n_generate, self.scope)])
        outputs = list(completions[0].texts)
        for text in outputs:
            self.note("output", text, self.task.understood("output", text))
        if config.select == "majority":
            answers = [self.task.answer(y) for y in outputs]
            outputs = [outputs[answers.index(max(answers, key=answers.count))]]
        return SearchResult(outputs, self.usage, unread=self.unread())


def _select(values: Sequence[float], config: SearchConfig, random: np.random.RandomState) -> List[int]:
    if config.select == "greedy":
        # sorted() is stable: of equal values the earlier candidate comes first.
        return sorted(range(len(values)), key=lambda i: values[i], reverse=True)[: config.n_select]
    total = sum(values)
    chance = np.array(values) / total if total > 0 else None
    return random.choice(len(values), size=config.n_select, p=chance).tolist()


def search(
    task: Task, x: str, config: SearchConfig, scope: str = "", values: Optional[Dict[str, float]] = None
) -> Dialogue:
    """The search of one puzzle: algorithm 1 of the paper ("bfs": level by level, `config.n_select` states are kept),
    algorithm 2 ("dfs": the most promising child first, back when a state is impossible), or "sample" (no search).

    Args:
        task (Task): What the thoughts are.
        x (str): The puzzle.
        config (SearchConfig): See there.
        scope (str): Names the puzzle, so that a prompt cache keeps puzzles apart. Default: "".
        values (dict, optional): Values by prompt that are known already; it is filled. Default: none.

    Returns:
        Generator that yields lists of requests, is sent lists of completions and returns a SearchResult.
    """
    one = _Search(task, x, config, scope, values)
    return {"bfs": one.breadth_first, "dfs": one.depth_first, "sample": one.sample_answers}[config.method]()


def drive(dialogue: Dialogue, model: LanguageModel, merge: bool = True) -> Any:
    """Run one generator to its end and return what it returns.

    Args:
        dialogue (generator): From :func:`search`, or a task's ``score``.
        model (LanguageModel): Answers its requests.
        merge (bool): Send equal requests of one batch once. Default: True.

    Raises:
        RefusedError: The model refuses one of the requests.
        LanguageModelError: The model cannot answer.
    """
    (result,) = [result for _, result in drive_all([(None, dialogue)], model, merge=merge)]
    if isinstance(result, RefusedError):
        raise result
    return result


def drive_all(
    dialogues: Iterable[Tuple[Any, Dialogue]], model: LanguageModel, in_flight: int = 1, merge: bool = True
) -> Iterator[Tuple[Any, Any]]:
    """Run many generators, `in_flight` at a time, and yield (key, result) as each one ends.

    Whatever the generators in flight ask for goes to the model as one batch. The result of a generator of which a request
    was refused is the :class:`RefusedError`.
    """
    waiting = iter(dialogues)
    running: List[Tuple[Any, Dialogue, List[Request]]] = []

    def go_on(key: Any, dialogue: Dialogue, completions: Optional[List[Completion]]) -> Iterator[Tuple[Any, Any]]:
        """Run a generator until it asks again, or give its result."""
        try:
            running.append((key, dialogue, dialogue.send(completions)))
        except RefusedError as error:
            yield key, error
        except StopIteration as stop:
            yield key, stop.value

    while True:
        while len(running) < in_flight:
            pair = next(waiting, None)
            if pair is None:
                break
            yield from go_on(*pair, None)
        if not running:
            return
        asked, running = running, []
        completions = iter(_complete(model, [request for _, _, own in asked for request in own], merge))
        for key, dialogue, own in asked:
            yield from go_on(key, dialogue, list(itertools.islice(completions, len(own))))


def _complete(model: LanguageModel, batch: List[Request], merge: bool) -> List[Completion]:
    if not merge:
        return model.complete(batch)
    merged = merge_requests(batch)
    return merged.split(model.complete(merged.requests))
