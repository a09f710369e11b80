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

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Generator, List, Optional, Sequence, Tuple, Union

from PIL import Image

from ..language_models import Completion, LanguageModel, RefusedError, Request
from .formats import FORMATS, Answer, Call, Format, FormatError, harmless
from .grammar import Grammar, GuidedRequest, call_grammar
from .memory import Memory, estimated_tokens
from .pictures import Gallery, PictureError
from .pool import ModelPool, PoolError
from .prompts import TEXTS, Texts, prompt_head, prompt_tail
from .tools import ArgumentError, Context, Tool, ToolCancelled, ToolError, all_tools

__all__ = ["Policy", "Session", "Step", "Turn", "VisualChatAgent", "linked", "memory_for"]

logger = logging.getLogger(__name__)

NAME = re.compile(r"image/[-\w]*\.png")
MAX_INPUT = 4000
MAX_ABANDONED = 4
MAX_GRAMMARS = 64


def linked(text: str, gallery: Optional[Gallery] = None) -> str:
    """An answer as Markdown: names of pictures become pictures. With a gallery, only its own."""

    def link(found) -> str:
        name = found[0]
        return "![](file={0})*{0}*".format(name) if gallery is None or name in gallery else name

    return NAME.sub(link, text.replace("\\", "/"))


@dataclass(frozen=True)
class Policy:
    """Bounds of one turn.

    Args:
        max_steps (int): Most tools, repairs included.
        repairs (int): How often in a turn the model is told that its output could not be read; then the turn fails.
        same_calls (int): How often one call may be made with the same arguments; later ones are not run. 0: no bound.
        max_tokens (int): Longest output of the model.
        temperature (float): Of the model.
        guided (bool): Requests carry the grammar of a call, which a `GuidedModel` keeps to.
    """

    max_steps: int = 15
    repairs: int = 2
    same_calls: int = 2
    max_tokens: int = 256
    temperature: float = 0.0
    guided: bool = False


@dataclass
class Step:
    """One action of a turn.

    Args:
        tool (str): As the model wrote it; "" for an output that could not be read.
        raw (str): The input as the model wrote it.
        arguments (dict): As the tool got them; {} if it was not run.
        observation (str): What the model was told.
        picture (str): Name of the picture that was made, or "".
        error (str): Why nothing was done, or "".
        seconds (float): How long the tool took.
    """

    tool: str
    raw: str
    arguments: Dict[str, Any] = field(default_factory=dict)
    observation: str = ""
    picture: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass
class Turn:
    """What came of one input. `trouble` says why there is no answer of the model; nothing is remembered then."""

    text: str
    answer: str = ""
    steps: List[Step] = field(default_factory=list)
    trouble: str = ""


class Session:
    """One user's pictures and conversation.

    Args:
        folder (str): A directory of this user alone.
        language (str): "en" or "zh".
        memory (Memory, optional): Default: one of 1500 tokens.
        unique (callable, optional): As of :class:`Gallery`.
    """

    def __init__(self, folder: str, language: str = "en", memory: Optional[Memory] = None, unique=None):
        if language not in TEXTS:
            raise ValueError("language is {!r}, it must be one of {}".format(language, ", ".join(TEXTS)))
        self.gallery = Gallery(folder, unique)
        self.language = language
        self.memory = memory if memory is not None else Memory()
        self.stopped = threading.Event()
        self.turns: List[Turn] = []
        self.lock = threading.Lock()

    def stop(self) -> None:
        """End the turn that is under way, from another thread."""
        self.stopped.set()

    def undo(self) -> Optional[str]:
        """Forget the last turn and the pictures that it made; gives its input, or None if there is none."""
        if not self.turns:
            return None
        turn = self.turns.pop()
        if not turn.trouble:
            self.memory.forget(turn.text.strip(), turn.answer)
        for step in turn.steps:
            if step.picture:
                self.gallery.drop(step.picture)
        return turn.text

    def clear(self) -> None:
        """Forget everything."""
        self.turns.clear()
        self.memory.clear()
        self.gallery.clear()


Dialogue = Generator[List[Request], List[Completion], Turn]


class VisualChatAgent:
    """Talks about pictures and edits them by tools, whose use a language model plans.

    The agent holds nothing of a user; a :class:`Session` does. So one agent serves many users at once.

    Args:
        model (LanguageModel): Any of `paddlenlp.experimental.agents.language_models`.
        pool (ModelPool): The models of the tools.
        tools (sequence of Tool, optional): Default: all of which the pool has the models.
        format (str or Format): "text" (TaskMatrix's) or "json" (for models that write function calls). Default: "text".
        policy (Policy): Bounds of a turn.
        texts (dict, optional): :class:`Texts` by language, in the place of `TEXTS`.
        seed (int, optional): Seed of tools that draw random numbers; None for a new one each time.
    """

    def __init__(
        self,
        model: LanguageModel,
        pool: ModelPool,
        tools: Optional[Sequence[Tool]] = None,
        format: Union[str, Format] = "text",
        policy: Policy = Policy(),
        texts: Optional[Dict[str, Texts]] = None,
        seed: Optional[int] = None,
    ):
        if isinstance(format, str) and format not in FORMATS:
            raise ValueError("format is {!r}, it must be one of {}".format(format, ", ".join(FORMATS)))
        self.model, self.pool, self.policy, self.seed = model, pool, policy, seed
        self.tools = list(all_tools(pool=pool) if tools is None else tools)
        self.format = FORMATS[format]() if isinstance(format, str) else format
        self.texts = dict(texts or TEXTS)
        names = [self.format.shown(tool) for tool in self.tools]
        if len(set(names)) != len(names):
            raise ValueError("two tools have one name: {}".format(", ".join(sorted(names))))
        self._heads = {
            language: prompt_head(texts, language, self.format, self.tools) for language, texts in self.texts.items()
        }
        self._abandoned: List[threading.Thread] = []
        self._grammars: Dict[Tuple[str, ...], Grammar] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ what a user does

    def show(self, session: Session, source: Union[str, bytes, Image.Image]) -> str:
        """Take an upload into the conversation; gives its name.

        Raises:
            PictureError: It cannot be taken.
        """
        texts = self.texts[session.language]
        tool = next((tool for tool in self.tools if tool.name == "describe_picture"), None)
        with session.lock:
            session.stopped.clear()
            name = session.gallery.upload(source)
            caption = "?"
            if tool is not None:
                try:
                    caption = harmless(str(self._timed(tool, self._context(session), {"picture": name})))
                except (ToolError, ToolCancelled, PoolError, PictureError) as error:
                    logger.warning("no caption of %s: %s", name, error)
            session.memory.add(texts.picture_shown.format(name=name, caption=caption), texts.received)
        return name

    def run(self, session: Session, text: str, on_step: Callable[[Step], None] = lambda step: None) -> Turn:
        """Answer an input; `on_step` is told each step as it is done.

        Raises:
            LanguageModelError: The model cannot be had.
        """
        with session.lock:
            session.stopped.clear()
            dialogue, completions = self.turn(session, text, on_step), None
            while True:
                try:
                    requests = dialogue.send(completions)
                except StopIteration as end:
                    return end.value
                completions = self.model.complete(requests)

    def turn(self, session: Session, text: str, on_step: Callable[[Step], None] = lambda step: None) -> Dialogue:
        """The same as a generator: it yields requests to the model and is sent completions, as
        `tree_of_thoughts.drive_all` does for many users at once."""
        texts, turn = self.texts[session.language], Turn(text)
        session.memory.cut()
        try:
            turn.answer = yield from self._answer(session, turn, texts, on_step)
        except (ToolCancelled, FormatError, RefusedError, PictureError) as error:
            turn.trouble = str(error)
        else:
            session.memory.add(text.strip(), turn.answer)
        session.turns.append(turn)
        return turn

    # ------------------------------------------------------------------ one turn

    def _answer(
        self, session: Session, turn: Turn, texts: Texts, on_step
    ) -> Generator[List[Request], List[Completion], str]:
        text, history = turn.text.strip(), session.memory.text()
        if not text or len(text) > MAX_INPUT:
            raise PictureError("an input has from 1 to {} characters, not {}".format(MAX_INPUT, len(text)))
        scratchpad, repairs = "", 0
        done: Dict[Tuple[str, str], List[str]] = {}
        for _ in range(self.policy.max_steps):
            if session.stopped.is_set():
                raise ToolCancelled(texts.stopped)
            request = self.request(session, text, history, scratchpad)
            (completion,) = yield [request]
            if completion.refused:
                raise RefusedError(completion.refused)
            said = completion.texts[0]
            try:
                parsed = self.format.parse(said)
            except FormatError as error:
                repairs += 1
                if repairs > self.policy.repairs:
                    raise FormatError(texts.gave_up.format(error=error)) from error
                step = Step("", said, observation=texts.malformed.format(error=error), error=str(error))
            else:
                if isinstance(parsed, Answer):
                    return parsed.text
                step = self._step(session, parsed, texts, done)
            turn.steps.append(step)
            on_step(step)
            scratchpad += self.format.step(said, step.observation)
        return texts.out_of_steps.format(steps=self.policy.max_steps)

    def request(self, session: Session, text: str, history: str, scratchpad: str) -> Request:
        """The question to the model for the next action."""
        names = session.gallery.names()
        tail = prompt_tail(self.texts[session.language], self.format, names, history, text, scratchpad)
        options = {"temperature": self.policy.temperature, "max_tokens": self.policy.max_tokens}
        prompt = self._heads[session.language] + tail
        if not self.policy.guided:
            return Request(prompt, stop=self.format.stop, **options)
        return GuidedRequest(prompt, grammar=self._grammar(tuple(names)), **options)

    def _grammar(self, names: Tuple[str, ...]) -> Grammar:
        """The grammar for these pictures; the last ones are kept, since most steps make no picture."""
        grammar = self._grammars.get(names)
        if grammar is None:
            grammar = call_grammar(self.format, self.tools, names)
            with self._lock:
                self._grammars[names] = grammar
                while len(self._grammars) > MAX_GRAMMARS:
                    del self._grammars[next(iter(self._grammars))]
        return grammar

    def _step(self, session: Session, call: Call, texts: Texts, done: Dict[Tuple[str, str], List[str]]) -> Step:
        step = Step(call.tool, call.raw)
        tool = self.format.find(self.tools, call.tool)
        if tool is None:
            names = ", ".join(self.format.shown(tool) for tool in self.tools)
            step.error = "unknown tool"
            step.observation = texts.unknown_tool.format(name=harmless(call.tool, 60), tools=names)
            return step
        earlier = done.setdefault((call.tool, call.raw), [])
        if self.policy.same_calls and len(earlier) >= self.policy.same_calls:
            step.error = "repeated"
            step.observation = texts.repeated.format(result=earlier[-1])
            return step
        start = time.perf_counter()
        try:
            given = tool.split(call.raw) if call.arguments is None else call.arguments
            step.arguments = tool.read(given, session.gallery)
            step.observation, step.picture = self._use(tool, session, step.arguments)
        except ArgumentError as error:
            step.error, step.observation = str(error), texts.wrong_arguments.format(error=harmless(str(error)))
        except (ToolError, PictureError, PoolError) as error:
            step.error, step.observation = str(error), texts.failed.format(error=harmless(str(error)))
        step.seconds = time.perf_counter() - start
        earlier.append(step.observation)
        if call.more:
            step.observation += " " + texts.only_first
        return step

    def _context(self, session: Session) -> Context:
        return Context(session.gallery, self.pool, stopped=session.stopped, seed=self.seed)

    def _use(self, tool: Tool, session: Session, arguments: Dict[str, Any]) -> Tuple[str, str]:
        """What a tool gives, as (observation, name of the picture or "")."""
        result = self._timed(tool, self._context(session), arguments)
        if not tool.lineage:
            return harmless(str(result)), ""
        if not isinstance(result, Image.Image):
            raise ToolError("{} gave no picture".format(tool.name))
        name = session.gallery.add(result, tool.source(arguments), tool.lineage)
        return name, name

    def _timed(self, tool: Tool, context: Context, arguments: Dict[str, Any]) -> Any:
        """Run a tool in a thread of its own, for as long as its time and the user allow.

        A run that does not end by itself then is left alone: what it still gives is not kept.
        """
        with self._lock:
            self._abandoned[:] = [thread for thread in self._abandoned if thread.is_alive()]
            busy = len(self._abandoned) >= MAX_ABANDONED
        if busy:
            raise ToolError("the server is busy with runs that did not end; try again later")
        user, context = context.stopped, replace(context, stopped=threading.Event())
        finished, outcome = threading.Event(), {}

        def work() -> None:
            try:
                outcome["result"] = tool.run(context, **arguments)
            except BaseException as error:  # raised again below, in the thread that waits
                outcome["error"] = error
            finished.set()

        thread = threading.Thread(target=work, name="tool-" + tool.name, daemon=True)
        thread.start()
        end = time.monotonic() + tool.timeout_s
        while not finished.wait(min(0.1, max(0.0, end - time.monotonic()))):
            late = time.monotonic() >= end
            if late or user.is_set():
                context.stopped.set()
                if not finished.wait(0.2):
                    with self._lock:
                        self._abandoned.append(thread)
                if user.is_set():
                    raise ToolCancelled("stopped")
                raise ToolError("{} took longer than {:g} s".format(tool.name, tool.timeout_s))
        error = outcome.get("error")
        if isinstance(error, (ToolError, ToolCancelled, PictureError, PoolError)):
            raise error
        if error is not None:  # whatever a model raises; the user and the language model get no internals of it
            logger.error("%s failed", tool.name, exc_info=error)
            raise ToolError("{} could not be done ({})".format(tool.name, type(error).__name__)) from error
        return outcome["result"]


def memory_for(model: LanguageModel, limit: int = 1500) -> Memory:
    """A memory cut by the model's own tokens, where it has a tokenizer in this process."""
    tokenizer = getattr(getattr(model, "model", model), "tokenizer", None) or getattr(model, "tokenizer", None)
    if tokenizer is None:
        return Memory(limit, estimated_tokens)
    return Memory(limit, lambda text: len(tokenizer(text)["input_ids"]))
