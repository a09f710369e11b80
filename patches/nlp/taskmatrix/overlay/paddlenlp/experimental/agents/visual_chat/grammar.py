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

"""Grammars of a tool call, byte by byte, and what they leave of a vocabulary."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..language_models import Request
from .formats import Format, JsonFormat
from .tools import PICTURE, SIZE, Tool

__all__ = ["Alternatives", "Bytes", "Free", "Grammar", "GuidedRequest", "TokenTable", "call_grammar", "token_bytes"]

CONTROL = frozenset(range(32)) | {127}
ALPHANUMERIC = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
CJK_LEAD = frozenset(range(0xE4, 0xEA))
DIGITS = frozenset(b"0123456789")
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Bytes:
    """One byte out of a set."""

    allowed: FrozenSet[int]


@dataclass(frozen=True)
class Free:
    """At least one character of well-formed UTF-8 that is neither a control character nor one of `forbidden`.

    The first one is a letter or digit of ASCII or a Chinese character, so that the text is not blank.
    """

    forbidden: FrozenSet[int]
    begun: bool = False
    pending: int = 0  # bytes that the character under way still needs
    low: int = 0x80  # bounds of the next one of them
    high: int = 0xBF

    def take(self, byte: int) -> "Free":
        """After that byte; None if it may not come."""
        if self.pending:
            return Free(self.forbidden, True, self.pending - 1) if self.low <= byte <= self.high else None
        if not self.begun and byte not in ALPHANUMERIC and byte not in CJK_LEAD:
            return None
        if byte < 0x80:
            return None if byte in self.forbidden or byte in CONTROL else Free(self.forbidden, True)
        if 0xC2 <= byte <= 0xDF:
            return Free(self.forbidden, True, 1)
        if 0xE0 <= byte <= 0xEF:
            return Free(self.forbidden, True, 2, 0xA0 if byte == 0xE0 else 0x80, 0x9F if byte == 0xED else 0xBF)
        if 0xF0 <= byte <= 0xF4:
            return Free(self.forbidden, True, 3, 0x90 if byte == 0xF0 else 0x80, 0x8F if byte == 0xF4 else 0xBF)
        return None

    def rest(self) -> bytes:
        """The shortest end of it."""
        return (
            b""
            if self.begun and not self.pending
            else bytes([self.low] + [0x80] * (self.pending - 1))
            if self.begun
            else b"a"
        )


@dataclass(frozen=True)
class Alternatives:
    """One of several sequences of parts."""

    choices: Tuple[Tuple[Any, ...], ...]


Part = Union[bytes, Bytes, Free, Alternatives]
State = FrozenSet[Tuple[Part, ...]]


class Grammar:
    """A sequence of parts as an automaton: a state is the set of what may still come.

    Args:
        parts (sequence): bytes, :class:`Bytes`, :class:`Free`, :class:`Alternatives`.
    """

    def __init__(self, parts: Sequence[Part]):
        self.parts = tuple(parts)
        self.digest = hashlib.sha256(repr(self.parts).encode("utf-8")).hexdigest()[:16]
        self._next: Dict[Tuple[State, int], State] = {}
        self._shortest: Dict[State, bytes] = {}
        self.start: State = frozenset(self._open(self.parts))

    def _open(self, parts: Tuple[Part, ...]) -> Iterable[Tuple[Part, ...]]:
        """The sequence with its first part opened, as all that it can begin with."""
        if not parts:
            yield ()
            return
        head, rest = parts[0], parts[1:]
        if isinstance(head, bytes):
            if head:
                yield parts
            else:
                yield from self._open(rest)
        elif isinstance(head, Alternatives):
            for choice in head.choices:
                yield from self._open(tuple(choice) + rest)
        else:
            yield parts
            if isinstance(head, Free) and head.begun and not head.pending:
                yield from self._open(rest)

    def step(self, state: State, byte: int) -> State:
        """The state after one byte; empty if it may not come."""
        key = (state, byte)
        if key not in self._next:
            found: List[Tuple[Part, ...]] = []
            for parts in state:
                if not parts:
                    continue
                head, rest = parts[0], parts[1:]
                if isinstance(head, bytes):
                    if head[0] == byte:
                        found += self._open((head[1:],) + rest)
                elif isinstance(head, Bytes):
                    if byte in head.allowed:
                        found += self._open(rest)
                else:
                    after = head.take(byte)
                    if after is not None:
                        found += self._open((after,) + rest)
            self._next[key] = frozenset(found)
        return self._next[key]

    def run(self, data: bytes, state: State = None) -> State:
        """The state after some bytes."""
        state = self.start if state is None else state
        for byte in data:
            state = self.step(state, byte)
            if not state:
                break
        return state

    @staticmethod
    def complete(state: State) -> bool:
        """Whether a whole sentence has been read."""
        return () in state

    def shortest(self, state: State) -> bytes:
        """The shortest end of a sentence from here; of equal ones the first in the order of bytes."""
        if state not in self._shortest:
            self._shortest[state] = min((self._end(parts) for parts in state), key=lambda end: (len(end), end))
        return self._shortest[state]

    def _end(self, parts: Tuple[Part, ...]) -> bytes:
        end = b""
        for part in parts:
            if isinstance(part, bytes):
                end += part
            elif isinstance(part, Bytes):
                end += bytes([min(part.allowed)])
            elif isinstance(part, Free):
                end += part.rest()
            else:
                end += min((self._end(choice) for choice in part.choices), key=lambda text: (len(text), text))
        return end


@dataclass(frozen=True)
class GuidedRequest(Request):
    """A request whose answer is a sentence of a grammar. Models that cannot do this take it as any other request.

    Args:
        grammar (Grammar, optional): Default: none.
    """

    grammar: Optional[Grammar] = None

    def key(self) -> Tuple:
        return super().key() + (self.grammar.digest if self.grammar is not None else "",)


def _size() -> Tuple[Part, ...]:
    """100 to 3999, x, and the same."""
    three = (Bytes(DIGITS - {ord("0")}), Bytes(DIGITS), Bytes(DIGITS))
    four = (Bytes(frozenset(b"123")), Bytes(DIGITS), Bytes(DIGITS), Bytes(DIGITS))
    side = Alternatives((three, four))
    return (side, b"x", side)


def _argument(kind: str, names: Sequence[str], forbidden: bytes) -> Tuple[Part, ...]:
    if kind == PICTURE:
        return (Alternatives(tuple((name.encode("utf-8"),) for name in names)),)
    return _size() if kind == SIZE else (Free(frozenset(forbidden)),)


def call_grammar(format: Format, tools: Sequence[Tool], names: Sequence[str]) -> Grammar:
    """All calls and answers that a format allows: tools that there are, with all of their arguments, pictures that there are.

    Args:
        names (sequence of str): The user's pictures; without any, tools that take one are left out.
    """
    tools = [tool for tool in tools if names or all(a.kind != PICTURE for a in tool.arguments.values())]
    json_format = isinstance(format, JsonFormat)
    calls = [_json_call(tool, names) if json_format else _text_call(format, tool, names) for tool in tools]
    quoted = Free(frozenset(b'"\\'))
    answer = (b'{"answer": "', quoted, b'"}') if json_format else (b" No\nAI: ", Free(frozenset()), b"\n")
    return Grammar([Alternatives(tuple(calls) + (answer,))])


def _json_call(tool: Tool, names: Sequence[str]) -> Tuple[Part, ...]:
    parts: List[Part] = [b'{"tool": ' + json.dumps(tool.name).encode("utf-8") + b', "arguments": {']
    for number, (name, argument) in enumerate(tool.arguments.items()):
        parts.append((b", " if number else b"") + json.dumps(name).encode("utf-8") + b': "')
        parts += _argument(argument.kind, names, b'"\\')
        parts.append(b'"')
    return tuple(parts) + (b"}}",)


def _text_call(format: Format, tool: Tool, names: Sequence[str]) -> Tuple[Part, ...]:
    parts: List[Part] = [b" Yes\nAction: " + format.shown(tool).encode("utf-8") + b"\nAction Input: "]
    last = len(tool.arguments) - 1
    for number, argument in enumerate(tool.arguments.values()):
        parts += _argument(argument.kind, names, b"" if number == last else b",")
        parts.append(b"\n" if number == last else b", ")
    return tuple(parts)


def token_bytes(tokenizer) -> List[bytes]:
    """What each token of a vocabulary stands for; b"" for special ones.

    Byte-level BPE (GPT, SmolLM2) and sentencepiece with byte tokens (LLaMA, ChatGLM2) are known.
    """
    special = set(tokenizer.all_special_ids)
    decoder = getattr(tokenizer, "byte_decoder", None)
    table = []
    for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if number in special or not isinstance(token, str):
            table.append(b"")
        elif decoder is not None:
            table.append(bytes(decoder[c] for c in token) if all(c in decoder for c in token) else b"")
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            table.append(bytes([int(token[3:5], 16)]))
        else:
            table.append(token.replace("\u2581", " ").encode("utf-8"))
    return table


class TokenTable:
    """A vocabulary as a tree of bytes.

    Args:
        tokens (sequence of bytes): What each token stands for; b"" for those that are never taken.
    """

    def __init__(self, tokens: Sequence[bytes]):
        self.tokens = list(tokens)
        self._tree: Dict[Any, Any] = {}
        for number, token in enumerate(self.tokens):
            node = self._tree
            for byte in token:
                node = node.setdefault(byte, {})
            if token:
                node.setdefault("tokens", []).append(number)
        self._needs: Dict[Tuple[str, State], np.ndarray] = {}

    def needs(self, grammar: Grammar, state: State) -> np.ndarray:
        """How many more bytes a sentence needs at least after each token, int32 [V]; `NEVER` for tokens that may not come.

        A token that would run over the end of a sentence may not come.
        """
        key = (grammar.digest, state)
        if key not in self._needs:
            if len(self._needs) > 4000:
                self._needs.clear()
            needs = np.full(len(self.tokens), NEVER, "int32")
            stack = [(self._tree, state)]
            while stack:
                node, here = stack.pop()
                for byte, below in node.items():
                    if byte == "tokens":
                        continue
                    after = grammar.step(here, byte)
                    if after:
                        if "tokens" in below:
                            needs[below["tokens"]] = len(grammar.shortest(after))
                        stack.append((below, after))
            self._needs[key] = needs
        return self._needs[key]
