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
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

__all__ = [
    "Completion",
    "LanguageModel",
    "LanguageModelError",
    "Merged",
    "PRICES",
    "Price",
    "RefusedError",
    "Request",
    "Usage",
    "merge_requests",
    "well_formed",
]


class LanguageModelError(RuntimeError):
    """A language model could not answer. The message says which model, why, and what to do.

    Args:
        message (str): See above.
        answered (dict, optional): What had been answered before, :class:`Completion` by the place of its request in the
            batch, perhaps with fewer texts than were asked for. A cache keeps it. Default: nothing.
    """

    def __init__(self, message: str, answered: Optional[Dict[int, "Completion"]] = None):
        super().__init__(message)
        self.answered = dict(answered or {})


class RefusedError(LanguageModelError):
    """The model refuses one request (content filter, too long, ...); others may be answered.

    ``usage`` is what was spent before, where that is known.
    """

    usage: Optional["Usage"] = None


def well_formed(text: str) -> str:
    """`text` as it can be stored: halves of a surrogate pair are joined, and a lone one becomes U+FFFD."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class Request:
    """One prompt, and how its answers are to be sampled.

    Args:
        prompt (str): The text the model continues (or, for a chat model, the user's turn).
        n (int): How many independent answers are wanted. Default: 1.
        stop (tuple of str, or str, or None): An answer ends before the first of these. Default: none.
        temperature (float): 0 means greedy decoding. Default: 0.7, the value of the paper's Game of 24.
        top_p (float): Nucleus of the distribution that is sampled, in (0, 1]. Default: 1.
        max_tokens (int): Upper bound on the tokens of one answer. Default: 1000, as in the paper's runs.
        scope (str): Answers are shared (see :class:`CachedModel`) only between requests of one scope. Default: "".
        shared (bool): Equal requests of one batch may have the same answers; otherwise each gets answers of its own.
            Default: False.
    """

    prompt: str
    n: int = 1
    stop: Tuple[str, ...] = ()
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1000
    scope: str = ""
    shared: bool = False

    def __post_init__(self):
        stop = self.stop
        stop = () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "prompt", well_formed(self.prompt))
        if self.n < 1:
            raise ValueError("Request.n is {}, it must be at least 1".format(self.n))
        if self.max_tokens < 1:
            raise ValueError("Request.max_tokens is {}, it must be at least 1".format(self.max_tokens))
        if self.temperature < 0:
            raise ValueError("Request.temperature is {}, it must not be negative".format(self.temperature))
        if not 0 < self.top_p <= 1:
            raise ValueError("Request.top_p is {}, it must lie in (0, 1]".format(self.top_p))
        if any(not text for text in stop):
            raise ValueError("Request.stop holds an empty string, which would end every answer at once")

    def with_n(self, n: int) -> "Request":
        """The same request for another number of answers."""
        return replace(self, n=n)

    def key(self) -> Tuple:
        """What two requests must have in common for their answers to come from one distribution."""
        return (self.prompt, self.stop, self.temperature, self.top_p, self.max_tokens, self.scope)

    def seed(self, seed: int, choice: int) -> int:
        """A 64-bit seed of the ``choice``-th answer: it depends on the request alone, not on batch or order."""
        text = "\x1f".join([str(seed), str(choice)] + [repr(part) for part in self.key()])
        return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


@dataclass
class Completion:
    """The answers to one request.

    Args:
        texts (list of str): ``n`` answers, without the stop string; none if the request was refused.
        prompt_tokens (int): Tokens of the prompt that were paid for (once for all answers).
        completion_tokens (int): Tokens of all answers together that were paid for.
        cached (int): How many of the answers (the first ones) came from a cache and cost nothing.
        sent (int): How many requests went out to the model, repeated ones too: 0 if a cache or another request of the
            batch served it.
        refused (str): Why the model refuses this request; "" if it was answered.
    """

    texts: List[str]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = 0
    sent: int = 1
    refused: str = ""

    def __post_init__(self):
        self.texts = [well_formed(text) for text in self.texts]


class Price(NamedTuple):
    """US dollars for 1000 tokens."""

    prompt: float
    completion: float


# The prices the paper's runs were charged (2023); add or override what you use.
PRICES: Dict[str, Price] = {"gpt-4": Price(0.03, 0.06), "gpt-3.5-turbo": Price(0.0015, 0.002)}


@dataclass
class Usage:
    """A running account: ``requests`` that the agent made, how many were ``sent``, and ``refused``; answers and tokens.

    Add to it with :meth:`add`, join two accounts with ``+``.
    """

    requests: int = 0
    sent: int = 0
    choices: int = 0
    cached_choices: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: int = 0

    def add(self, completion: Completion) -> None:
        """Count the completion of one request."""
        self.requests += 1
        self.sent += completion.sent
        self.choices += len(completion.texts)
        self.cached_choices += completion.cached
        self.prompt_tokens += completion.prompt_tokens
        self.completion_tokens += completion.completion_tokens
        self.refused += bool(completion.refused)

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = asdict(self), asdict(other)
        return Usage(**{name: mine[name] + theirs[name] for name in mine})

    def cost(self, price: Optional[Price]) -> Optional[float]:
        """US dollars, or None if there is no price."""
        if price is None:
            return None
        return (self.prompt_tokens * price.prompt + self.completion_tokens * price.completion) / 1000

    def as_dict(self) -> Dict[str, int]:
        return asdict(self)


class LanguageModel(ABC):
    """Answers batches of requests. Every agent of this package speaks to models through this class alone.

    A subclass needs ``name`` (it is part of cache keys and logs: two models that answer differently must differ in it)
    and :meth:`complete`.
    """

    name: str = ""

    @abstractmethod
    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        """Answer all requests, in their order. A request that the model refuses has a completion that says so.

        Raises:
            LanguageModelError: The model cannot answer the batch; the error holds what it had answered.
        """

    def ask(self, prompt: str, **options: Union[int, float, str, Tuple[str, ...], None]) -> List[str]:
        """The answers to a single prompt; ``options`` are the fields of :class:`Request`.

        Raises:
            RefusedError: The model refuses the prompt.
            LanguageModelError: The model cannot answer.
        """
        (completion,) = self.complete([Request(prompt, **options)])
        if completion.refused:
            raise RefusedError(completion.refused)
        return completion.texts

    def close(self) -> None:
        """Free what the model holds (threads, files). Calling it twice is harmless."""

    def __enter__(self) -> "LanguageModel":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


@dataclass
class Merged:
    """A batch in which requests that differ in ``n`` alone have become one."""

    requests: List[Request] = field(default_factory=list)
    _place: List[Tuple[int, int, int]] = field(default_factory=list)

    def split(self, completions: Sequence[Completion]) -> List[Completion]:
        """Give every original request its own answers. The first one of a group is charged for the group."""
        parts, charged = [], set()
        for group, start, n in self._place:
            whole = completions[group]
            if not whole.refused and len(whole.texts) != self.requests[group].n:
                raise LanguageModelError(
                    "the model gave {} answers where {} were asked for: {!r}".format(
                        len(whole.texts), self.requests[group].n, self.requests[group].prompt[-80:]
                    )
                )
            # Cached answers are the first ones of a completion.
            part = Completion(whole.texts[start : start + n], cached=min(n, max(0, whole.cached - start)), sent=0)
            part.refused = whole.refused
            if group not in charged:
                part.prompt_tokens, part.completion_tokens = whole.prompt_tokens, whole.completion_tokens
                part.sent = whole.sent
                charged.add(group)
            parts.append(part)
        return parts


def merge_requests(requests: Sequence[Request]) -> Merged:
    """Join requests with equal :meth:`Request.key`: the prompt is sent once, for the sum of the answers.

    The answers stay independent samples, so nothing changes but the cost. Of requests that are ``shared``, the largest
    number of answers is asked for, and each takes the first ones.
    """
    merged, index = Merged(), {}
    for request in requests:
        key = (request.key(), request.shared)
        if key not in index:
            index[key] = len(merged.requests)
            merged.requests.append(request)
            merged._place.append((index[key], 0, request.n))
            continue
        group = index[key]
        there = merged.requests[group]
        start = 0 if request.shared else there.n
        merged.requests[group] = there.with_n(max(there.n, start + request.n))
        merged._place.append((group, start, request.n))
    return merged
