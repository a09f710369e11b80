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

import hashlib
import importlib
import pkgutil
import re
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Type

from PIL import Image

from ..pictures import Gallery, PictureError
from ..pool import ModelPool

__all__ = [
    "Argument",
    "ArgumentError",
    "Context",
    "PICTURE",
    "SIZE",
    "TEXT",
    "Tool",
    "ToolCancelled",
    "ToolError",
    "all_tools",
    "register",
]

PICTURE, TEXT, SIZE = "picture", "text", "size"
MAX_TEXT = 1000
MAX_SIDE = 4096
BLANK = re.compile(r"\s+")


class ToolError(RuntimeError):
    """A tool cannot do what it is asked for. The message goes to the model, which may try another way."""


class ArgumentError(ToolError):
    """An argument is missing, unknown or of the wrong kind. The message says which, and what is taken."""


class ToolCancelled(RuntimeError):
    """The user stopped the turn, or the tool's time is over."""


@dataclass(frozen=True)
class Argument:
    """One argument of a tool.

    Args:
        kind (str): `PICTURE` (a name of the gallery), `TEXT` (1 to 1000 characters) or `SIZE` ("WIDTHxHEIGHT", each at most
            4096 pixels).
        description (str): What it means, in English.
        description_zh (str): The same in Chinese.
    """

    kind: str
    description: str = ""
    description_zh: str = ""

    def read(self, value: Any, gallery: Gallery) -> Any:
        """The value as the tool takes it: a name, a text, or (width, height).

        Raises:
            ArgumentError: It is none.
        """
        if not isinstance(value, str):
            raise ArgumentError("it must be a text, not {}".format(type(value).__name__))
        value = value.strip().strip('"').strip()
        if not value:
            raise ArgumentError("it is missing")
        if self.kind == PICTURE:
            try:
                return gallery.get(value).name
            except PictureError as error:
                raise ArgumentError(str(error)) from error
        if self.kind == SIZE:
            return self._size(value)
        if len(value) > MAX_TEXT:
            raise ArgumentError("it has {} characters, at most {} are taken".format(len(value), MAX_TEXT))
        return BLANK.sub(" ", "".join(c for c in value if c.isprintable() or c.isspace()))

    @staticmethod
    def _size(value: str) -> Tuple[int, int]:
        found = re.fullmatch(r"([0-9]{1,6})\s*[x×*X]\s*([0-9]{1,6})", value)
        if not found:
            raise ArgumentError("{!r} is no size; write it as 1024x576".format(value[:40]))
        size = int(found[1]), int(found[2])
        if not all(8 <= side <= MAX_SIDE for side in size):
            raise ArgumentError("sides are from 8 to {} pixels, not {}x{}".format(MAX_SIDE, *size))
        return size


@dataclass
class Context:
    """What a tool gets beside its arguments.

    Args:
        gallery (Gallery): Pictures of the user.
        pool (ModelPool): Models of the server.
        stopped (threading.Event): Set when the user stops, or the time is over.
        progress (callable): Told (done, all) of a long run.
        seed (int, optional): For models that draw random numbers; None for a new one each time.
    """

    gallery: Gallery
    pool: ModelPool
    stopped: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[int, int], None] = lambda done, all: None
    seed: Optional[int] = None

    def check(self) -> None:
        """
        Raises:
            ToolCancelled: The run is to end.
        """
        if self.stopped.is_set():
            raise ToolCancelled("the tool was stopped")

    @contextmanager
    def model(self, name: str) -> Iterator[Any]:
        """A model of the pool, for as long as the block runs."""
        self.check()
        with self.pool.use(name) as model:
            self.check()
            yield model


class Tool(ABC):
    """One thing that the agent can do with pictures. A subclass is a file's worth of facts and one method.

    Attributes:
        name (str): What the model writes; lower case words joined by "_".
        description, description_zh (str): When to use it, one sentence for the model.
        arguments (dict): :class:`Argument` by name, in the order of the text format. The last TEXT takes what is left.
        lineage (str): Part of the names of pictures it makes; "" for a tool that gives text.
        models (tuple): Names of the pool's models it needs. It is offered only where all of them are there.
        timeout_s (float): Longest run.
    """

    name: str = ""
    description: str = ""
    description_zh: str = ""
    arguments: Dict[str, Argument] = {}
    lineage: str = ""
    models: Tuple[str, ...] = ()
    timeout_s: float = 300.0

    @abstractmethod
    def run(self, context: Context, **arguments: Any) -> Any:
        """A text, or (if it has a `lineage`) a PIL image. Arguments are as :meth:`Argument.read` gives them, pictures as names."""

    def fake(self, context: Context, **arguments: Any) -> Any:
        """What a test takes in place of :meth:`run`: it needs no model, and depends on the arguments alone."""
        said = hashlib.sha256(repr((self.name, sorted(arguments.items()))).encode("utf-8")).digest()
        if not self.lineage:
            return "{} says {}".format(self.name, said.hex()[:8])
        source = self.source(arguments)
        size = context.gallery.get(source).size if source else (64, 64)
        return Image.new("RGB", size, tuple(said[:3]))

    def source(self, arguments: Dict[str, Any]) -> str:
        """The picture that a result descends from, or ""."""
        return next((arguments[n] for n, a in self.arguments.items() if a.kind == PICTURE), "")

    def read(self, given: Dict[str, Any], gallery: Gallery) -> Dict[str, Any]:
        """All arguments, checked.

        Raises:
            ArgumentError: One is missing, unknown, or of another kind; the message is for the model.
        """
        unknown = [name for name in given if name not in self.arguments]
        missing = [name for name in self.arguments if name not in given]
        if unknown or missing:
            told = ["there is no argument {}".format(n[:40]) for n in unknown] + [
                "{} is missing".format(n) for n in missing
            ]
            raise ArgumentError(
                "{}; {} takes {}".format("; ".join(told), self.name, ", ".join(self.arguments) or "nothing")
            )
        values = {}
        for name, argument in self.arguments.items():
            try:
                values[name] = argument.read(given[name], gallery)
            except ArgumentError as error:
                raise ArgumentError("{} of {}: {}".format(name, self.name, error)) from error
        return values

    def split(self, text: str) -> Dict[str, str]:
        """The arguments of the text format: fields joined by commas, of which the last text takes the rest.

        Raises:
            ArgumentError: There are too few fields, or too many for a tool without a text.
        """
        names, kinds = list(self.arguments), [a.kind for a in self.arguments.values()]
        open_end = bool(kinds) and kinds[-1] == TEXT
        fields = text.split(",", len(names) - 1) if open_end else text.split(",")
        if len(fields) != len(names):
            wanted = ", ".join(names)
            raise ArgumentError("{} takes {} ({}), not {}".format(self.name, len(names), wanted, len(fields)))
        return dict(zip(names, (part.strip() for part in fields)))


_REGISTRY: Dict[str, Type[Tool]] = {}


def register(cls: Type[Tool]) -> Type[Tool]:
    """Class decorator: the tool is offered from now on.

    Raises:
        ValueError: The class is incomplete, or its name or lineage is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", cls.name) or not cls.description or not cls.description_zh:
        raise ValueError("{} needs a name and descriptions in both languages".format(cls.__name__))
    if cls.name in _REGISTRY and _REGISTRY[cls.name] is not cls:
        raise ValueError("there is a tool {} already".format(cls.name))
    if not re.fullmatch(r"[a-z0-9-]*", cls.lineage):
        raise ValueError("the lineage {!r} of {} would break the names of pictures".format(cls.lineage, cls.name))
    _REGISTRY[cls.name] = cls
    return cls


def all_tools(names: Optional[Sequence[str]] = None, pool: Optional[ModelPool] = None) -> List[Tool]:
    """One of each tool, in the order of their modules.

    Args:
        names (sequence, optional): Only these.
        pool (ModelPool, optional): Only those whose models it has.

    Raises:
        ValueError: A name is unknown.
    """
    package = importlib.import_module(__package__)
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(__package__ + "." + module)
    unknown = sorted(set(names or ()) - set(_REGISTRY))
    if unknown:
        raise ValueError("there is no tool {}; tools: {}".format(", ".join(unknown), ", ".join(_REGISTRY)))
    chosen: Iterable[str] = _REGISTRY if names is None else names
    tools = [_REGISTRY[name]() for name in chosen]
    return [tool for tool in tools if pool is None or all(model in pool for model in tool.models)]
