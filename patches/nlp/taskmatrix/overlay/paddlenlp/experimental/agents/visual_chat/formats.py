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

"""How a model asks for a tool, and how it is read: one parser for each of the two formats."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from .tools import Tool

__all__ = ["FORMATS", "Answer", "Call", "Format", "FormatError", "JsonFormat", "TextFormat", "harmless"]

MAX_COMPLETION = 20000
MARKS = re.compile(r"\b(AI|Human|Action Input|Action|Observation|Thought|Result)\s*[:：]", re.IGNORECASE)
LINE_BREAKS = re.compile(r"[\r\n\u2028\u2029\x0b\x0c\x1c-\x1e\x85]+")


class FormatError(ValueError):
    """A completion is neither a call nor an answer. The message tells the model what was wrong."""


@dataclass(frozen=True)
class Call:
    """A tool that the model asks for.

    Args:
        tool (str): As the model wrote it.
        raw (str): The input as the model wrote it.
        arguments (dict, optional): The arguments, where the format has them by name; None where `raw` is to be split.
        more (int): How many further calls the completion has, which are not run.
    """

    tool: str
    raw: str
    arguments: Optional[Dict[str, Any]] = None
    more: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model says to the user."""

    text: str


def harmless(text: str, limit: int = 1000) -> str:
    """What a tool read or saw, as one line that cannot be taken for the model's own: no line ends, no marks of a format."""
    line = LINE_BREAKS.sub(" ", text).strip()
    line = MARKS.sub(lambda found: found[1] + " ", line)
    return line if len(line) <= limit else line[:limit] + "..."


class Format(ABC):
    """Args:
    names (dict, optional): What the model calls each tool, where it is not `Tool.name`.
    """

    stop: Tuple[str, ...] = ()

    def __init__(self, names: Optional[Mapping[str, str]] = None):
        self.names = dict(names or {})

    def shown(self, tool: Tool) -> str:
        return self.names.get(tool.name, tool.name)

    def find(self, tools: Sequence[Tool], name: str) -> Optional[Tool]:
        """The tool of that name; capital letters count."""
        return next((tool for tool in tools if self.shown(tool) == name), None)

    @abstractmethod
    def parse(self, completion: str) -> Union[Call, Answer]:
        """
        Raises:
            FormatError: It is neither a call nor an answer.
        """

    @abstractmethod
    def example(self, tool: Tool) -> str:
        """The arguments of a tool, as the model is shown them."""

    @abstractmethod
    def step(self, completion: str, observation: str) -> str:
        """What the next prompt holds of a step that is done."""

    @abstractmethod
    def written(self, tool: Optional[Tool], content: Any) -> str:
        """A completion: the call of a tool with its arguments (a dict), or without a tool an answer (a text)."""


class TextFormat(Format):
    """TaskMatrix's format: `Action: TOOL`, then `Action Input: A, B` in one line; or `AI: ANSWER`.

    What follows the last "AI:" is the answer, even beside an action. Of several actions the first one counts.
    """

    stop = ("\nObservation: ", "\n\tObservation: ", "\nObservation:")
    ACTION = re.compile(r"Action[:：](.*?)\nAction Input[:：](.*)", re.DOTALL)

    def parse(self, completion: str) -> Union[Call, Answer]:
        text = completion[:MAX_COMPLETION].replace("AI：", "AI:").replace("\r\n", "\n")
        if "AI:" in text:
            return Answer(text.rsplit("AI:", 1)[1].strip())
        found = self.ACTION.search(text)
        if not found:
            raise FormatError(
                "there was neither a line 'Action:' followed by a line 'Action Input:', nor an answer after 'AI:'"
            )
        rest = found[2].split("\n", 1)
        more = len(self.ACTION.findall(rest[1])) if len(rest) > 1 else 0
        return Call(found[1].strip(), rest[0].strip(" ").strip('"'), more=more)

    def example(self, tool: Tool) -> str:
        return ", ".join(tool.arguments)

    def step(self, completion: str, observation: str) -> str:
        return completion + "\nObservation: " + observation + "\nThought:"

    def written(self, tool: Optional[Tool], content: Any) -> str:
        if tool is None:
            return " No\nAI: " + content
        return " Yes\nAction: {}\nAction Input: {}".format(self.shown(tool), ", ".join(content.values()))


class JsonFormat(Format):
    """A JSON object: {"tool": NAME, "arguments": {...}} or {"answer": TEXT}. Text around it is passed over."""

    stop = ("\nResult:",)

    def parse(self, completion: str) -> Union[Call, Answer]:
        objects = self._objects(completion[:MAX_COMPLETION])
        for number, found in enumerate(objects):
            if isinstance(found.get("answer"), str):
                return Answer(found["answer"].strip())
            if "tool" in found:
                return self._call(found, len([o for o in objects[number + 1 :] if "tool" in o]))
        raise FormatError('there was no JSON object with "tool" and "arguments", or with "answer"')

    @staticmethod
    def _call(found: Dict[str, Any], more: int) -> Call:
        arguments = found.get("arguments", {})
        if not isinstance(found["tool"], str) or not isinstance(arguments, dict):
            raise FormatError('"tool" must be a text and "arguments" an object')
        return Call(found["tool"].strip(), json.dumps(arguments, ensure_ascii=False), arguments, more)

    @staticmethod
    def _objects(text: str) -> List[Dict[str, Any]]:
        decoder, objects, place = json.JSONDecoder(), [], 0
        for _ in range(50):  # braces in prose must not cost a scan of the rest each
            place = text.find("{", place)
            if place < 0:
                break
            try:
                found, place = decoder.raw_decode(text, place)
                objects.append(found)
            except (json.JSONDecodeError, RecursionError):
                place += 1
        return objects

    def example(self, tool: Tool) -> str:
        return json.dumps({name: a.kind for name, a in tool.arguments.items()})

    def step(self, completion: str, observation: str) -> str:
        return completion.strip() + "\nResult: " + observation + "\n"

    def written(self, tool: Optional[Tool], content: Any) -> str:
        said = {"answer": content} if tool is None else {"tool": self.shown(tool), "arguments": content}
        return json.dumps(said, ensure_ascii=False)


FORMATS = {"text": TextFormat, "json": JsonFormat}
