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

import json
import math
import os
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Dict, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

import requests as http
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.retry import Retry

from .base import Completion, LanguageModel, LanguageModelError, RefusedError, Request

__all__ = ["EndpointModel"]

# Worth another try, with every 5xx: the server was busy, restarting or rate-limited.
BUSY = frozenset([408, 409, 425, 429])
# About the content of one request, not about the key, the address or the model.
REFUSED = frozenset([400, 413, 422, 451])
# Seconds; no pause is longer, whatever a server asks for.
LONGEST_PAUSE = 60.0


class _Busy(Exception):
    """The server gave no usable answer, and may give one to the same request later."""


class _Retry(Retry):
    """urllib3's account of tries, in which every pause is bounded: pause, 2 pause, 4 pause, ... with jitter."""

    def parse_retry_after(self, retry_after: str) -> float:
        try:
            seconds = float(retry_after)
        except ValueError:
            try:
                seconds = super().parse_retry_after(retry_after)  # a date
            except (HTTPError, ValueError, OverflowError):
                return 0.0
        return 0.0 if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_PAUSE)

    def get_backoff_time(self) -> float:
        pause = self.backoff_factor * 2.0 ** min(len(self.history) - 1, 30)
        return min(pause, LONGEST_PAUSE) * random.uniform(0.5, 1.0)


class EndpointModel(LanguageModel):
    """A model behind an endpoint that speaks the OpenAI protocol (OpenAI, Azure, vLLM, FastDeploy, Ollama, ...).

    The requests of a batch are sent concurrently. A busy server (408, 409, 425, 429, 5xx, an error or no choice under
    status 200) and a broken connection or body are tried again, after the pause that the server names in
    ``Retry-After`` or growing ones, none above a minute. A request that the server refuses (400, 413, 422, 451,
    content filter) has a completion that says so; other errors end the batch.

    Args:
        model (str): Name of the model at the endpoint, for example "gpt-4".
        base_url (str, optional): Address up to and without "/chat/completions". Default: the environment variable
            OPENAI_API_BASE, else https://api.openai.com/v1.
        api_key (str, optional): Default: the environment variable OPENAI_API_KEY; none is sent if that is empty too.
        api (str): "chat" (the prompt is one user turn) or "completions" (the prompt is continued). Default: "chat".
        system (str, optional): A system turn before the prompt ("chat" only). Default: none.
        concurrency (int): Requests in flight at once. Default: 8.
        choices_per_call (int): Larger ``n`` are split, because servers bound it. Default: 20.
        timeout (float): Seconds to wait for one answer. Default: 120.
        attempts (int): Tries for one request before giving up. Default: 6.
        pause (float): Seconds before the second try; doubled for each further one, with jitter. Default: 1.

    The name of the model in logs and caches holds the address and ``api``, since the same name may mean another model
    elsewhere. The key is never logged.

    Raises:
        ValueError: An option is wrong; the message says which.
    """

    def __init__(
        self,
        model: str,
        base_url: Optional[str] = None,
        api_key: Optional[str] = None,
        api: str = "chat",
        system: Optional[str] = None,
        concurrency: int = 8,
        choices_per_call: int = 20,
        timeout: float = 120.0,
        attempts: int = 6,
        pause: float = 1.0,
    ):
        if api not in ("chat", "completions"):
            raise ValueError("api is {!r}, it must be 'chat' or 'completions'".format(api))
        if system is not None and api != "chat":
            raise ValueError("a system turn needs api='chat'")
        for name, value in (
            ("concurrency", concurrency),
            ("choices_per_call", choices_per_call),
            ("attempts", attempts),
        ):
            if value < 1:
                raise ValueError("{} is {}, it must be at least 1".format(name, value))
        base_url = base_url or os.getenv("OPENAI_API_BASE") or "https://api.openai.com/v1"
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("base_url is {!r}, it must begin with http:// or https://".format(base_url))
        self.model = model
        self.api = api
        self.system = system
        self.url = base_url.rstrip("/") + ("/chat/completions" if api == "chat" else "/completions")
        parts = urlsplit(self.url)
        public = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user:password@
        self.name = "{}@{}".format(model, public) + ("|" + system if system else "")
        self._public = public
        self.choices_per_call = choices_per_call
        self.timeout = timeout
        self.attempts = attempts
        self.pause = pause
        self._key = api_key if api_key is not None else os.getenv("OPENAI_API_KEY", "")
        self._pool = ThreadPoolExecutor(max_workers=concurrency)

    def close(self) -> None:
        self._pool.shutdown()

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        futures = [self._pool.submit(self._answer, request) for request in requests]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            for future in futures:
                future.cancel()  # what has not started never will
            if isinstance(error, LanguageModelError):
                wait(futures)  # what has started is paid for
            error.answered = {i: part for i, part in enumerate(map(_answered, futures)) if part is not None}
            raise

    def _answer(self, request: Request) -> Completion:
        """All answers to one request; a server that gives fewer than asked for is asked again for the rest."""
        whole = Completion([], sent=0)
        while len(whole.texts) < request.n:
            wanted = min(request.n - len(whole.texts), self.choices_per_call)
            try:
                texts, usage = self._post(self._body(request, wanted), whole)
            except RefusedError as error:
                whole.texts, whole.refused = [], str(error)
                return whole
            except LanguageModelError as error:
                error.answered = {0: whole}
                raise
            whole.texts.extend(Completion(texts[:wanted]).texts)
            whole.prompt_tokens += _count(usage, "prompt_tokens")
            whole.completion_tokens += _count(usage, "completion_tokens")
        return whole

    def _body(self, request: Request, n: int) -> Dict[str, Any]:
        body: Dict[str, Any] = {"model": self.model, "n": n, "temperature": request.temperature}
        body["max_tokens"] = request.max_tokens
        if request.top_p < 1:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop"] = list(request.stop)
        if self.api == "chat":
            turns = [{"role": "system", "content": self.system}] if self.system else []
            body["messages"] = turns + [{"role": "user", "content": request.prompt}]
        else:
            body["prompt"] = request.prompt
        return body

    def _post(self, body: Dict[str, Any], account: Completion) -> Tuple[List[str], Any]:
        """(texts, usage), after as many tries as are needed and allowed; `account` counts them."""
        headers = {"Authorization": "Bearer " + self._key} if self._key else {}
        retry = _Retry(total=self.attempts - 1, backoff_factor=self.pause)
        while True:
            answer = None
            account.sent += 1
            try:
                answer = http.post(self.url, json=body, headers=headers, timeout=self.timeout, stream=True)
                return self._texts(answer.status_code, self._read(answer))
            except (_Busy, http.RequestException) as error:
                trouble = str(error) if isinstance(error, _Busy) else "{}: {}".format(type(error).__name__, error)
            finally:
                if answer is not None:
                    answer.close()
            try:
                retry = retry.increment("POST", self._public)
            except MaxRetryError:
                raise LanguageModelError(
                    "{} did not answer after {} tries (last: {}). Check the address and the load of the server; the run "
                    "can be resumed.".format(self._public, self.attempts, _short(trouble))
                ) from None
            retry.sleep(None if answer is None else answer.raw)

    def _read(self, answer: http.Response) -> bytes:
        """The whole body, within the time limit: that of `requests` is for each piece of it."""
        body, end = [], time.monotonic() + self.timeout
        for piece in answer.iter_content(64):
            body.append(piece)
            if time.monotonic() > end:
                raise _Busy("the answer was not whole after {:g} s".format(self.timeout))
        return b"".join(body)

    def _texts(self, status: int, body: bytes) -> Tuple[List[str], Any]:
        """(texts, usage) of an answer.

        Raises:
            _Busy, RefusedError, LanguageModelError
        """
        if status != 200:
            raise self._error(status, _short(body.decode("utf-8", "replace")))
        try:
            reply = json.loads(body)
        except ValueError:
            raise _Busy("status 200, but no JSON: {}".format(_short(body.decode("utf-8", "replace"))))
        if isinstance(reply, dict) and reply.get("error"):
            code = reply["error"].get("code") if isinstance(reply["error"], dict) else None
            status = int(code) if str(code).isdigit() else 400 if _filtered(code) else 503
            raise self._error(status, "an error under status 200: {}".format(_short(reply["error"])))
        try:
            choices = reply["choices"]
            turns = [choice["message"] if self.api == "chat" else choice for choice in choices]
            texts = [_text(turn["content" if self.api == "chat" else "text"]) for turn in turns]
            filtered = [_filtered(choice.get("finish_reason")) for choice in choices]
        except (KeyError, TypeError, AttributeError):
            raise LanguageModelError(
                "{} does not speak the OpenAI protocol: {}".format(
                    self._public, _short(body.decode("utf-8", "replace"))
                )
            )
        if not texts:
            raise _Busy("an answer without a choice: {}".format(_short(reply)))
        if all(filtered) and not any(texts):
            raise RefusedError("{} refused the request (content filter)".format(self._public))
        return texts, reply.get("usage")

    def _error(self, status: int, told: str) -> Exception:
        trouble = "status {}: {}".format(status, told)
        if status in BUSY or status >= 500:
            return _Busy(trouble)
        kind = RefusedError if status in REFUSED else LanguageModelError
        advice = "Check model, max_tokens, choices_per_call and the length of the prompt."
        if status in (401, 403):
            advice = "Set OPENAI_API_KEY, or pass api_key."
        if status == 404:
            advice = "Check base_url (it ends before /chat/completions) and the name of the model."
        return kind("{} refused the request for {!r} ({}). {}".format(self._public, self.model, trouble, advice))


def _answered(future: Future) -> Optional[Completion]:
    """What a request has got, all of it or a part."""
    if future.cancelled() or not future.done():
        return None
    error = future.exception()
    return getattr(error, "answered", {}).get(0) if error is not None else future.result()


def _text(content: Any) -> str:
    """The text of a choice: null and missing are empty, and some servers give a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError("content")
    return content or ""


def _filtered(reason: Any) -> bool:
    return str(reason) in ("content_filter", "content_policy_violation", "sensitive")


def _count(usage: Any, name: str) -> int:
    """A number of tokens; 0 if the server tells none, or something else."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return max(0, int(value)) if isinstance(value, (int, float)) and math.isfinite(value) else 0


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else text[:300] + "..."
