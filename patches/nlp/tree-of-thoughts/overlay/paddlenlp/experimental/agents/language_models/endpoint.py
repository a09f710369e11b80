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

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Sequence
from urllib.parse import urlsplit

import requests as http

from .base import Completion, LanguageModel, LanguageModelError, Request

__all__ = ["EndpointModel"]

# Worth another try: the server was busy, restarting or rate-limited.
RETRIED_STATUS = frozenset([408, 409, 425, 429, 500, 502, 503, 504, 529])


class EndpointModel(LanguageModel):
    """A model behind an endpoint that speaks the OpenAI protocol (OpenAI, Azure, vLLM, FastDeploy, Ollama, ...).

    The requests of a batch are sent concurrently. Busy answers (429, 5xx) and broken connections are tried again with
    growing pauses, or after the pause that the server names in ``Retry-After``; other errors are final at once.

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
        self.model = model
        self.api = api
        self.system = system
        self.url = base_url.rstrip("/") + ("/chat/completions" if api == "chat" else "/completions")
        parts = urlsplit(self.url)
        public = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user:password@
        self.name = "{}@{}".format(model, public) + ("|" + system if system else "")
        self.choices_per_call = choices_per_call
        self.timeout = timeout
        self.attempts = attempts
        self.pause = pause
        self._key = api_key if api_key is not None else os.getenv("OPENAI_API_KEY", "")
        self._pool = ThreadPoolExecutor(max_workers=concurrency)
        self._jitter = random.Random(0)

    def close(self) -> None:
        self._pool.shutdown()

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        futures = [self._pool.submit(self._answer, request) for request in requests]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # Nobody waits for the rest: what has not started never will.
            for future in futures:
                future.cancel()
            raise

    def _answer(self, request: Request) -> Completion:
        """All answers to one request; a server that gives fewer than asked for is asked again for the rest."""
        whole = Completion([])
        empty = 0
        while len(whole.texts) < request.n:
            wanted = min(request.n - len(whole.texts), self.choices_per_call)
            reply = self._post(self._body(request, wanted))
            texts = self._texts(reply)[:wanted]
            empty = 0 if texts else empty + 1
            if empty == self.attempts:
                raise LanguageModelError("{} keeps answering without a choice: {}".format(self.url, _short(reply)))
            whole.texts.extend(texts)
            usage = reply.get("usage") or {}
            whole.prompt_tokens += int(usage.get("prompt_tokens") or 0)
            whole.completion_tokens += int(usage.get("completion_tokens") or 0)
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

    def _texts(self, reply: Dict[str, Any]) -> List[str]:
        try:
            if self.api == "chat":
                return [choice["message"]["content"] or "" for choice in reply["choices"]]
            return [choice["text"] or "" for choice in reply["choices"]]
        except (KeyError, TypeError):
            raise LanguageModelError("{} does not speak the OpenAI protocol: {}".format(self.url, _short(reply)))

    def _post(self, body: Dict[str, Any]) -> Dict[str, Any]:
        headers = {"Authorization": "Bearer " + self._key} if self._key else {}
        trouble = ""
        for attempt in range(self.attempts):
            wait = self.pause * 2**attempt * (1 + self._jitter.random()) / 2
            try:
                answer = http.post(self.url, json=body, headers=headers, timeout=self.timeout)
            except (http.ConnectionError, http.Timeout) as error:
                trouble = "{}: {}".format(type(error).__name__, error)
            else:
                if answer.status_code == 200:
                    try:
                        return answer.json()
                    except ValueError:
                        trouble = "status 200, but no JSON: {}".format(_short(answer.text))
                else:
                    trouble = "status {}: {}".format(answer.status_code, _short(answer.text))
                    if answer.status_code not in RETRIED_STATUS:
                        raise LanguageModelError(
                            "{} refused the request for {!r} ({}). {}".format(
                                self.url, self.model, trouble, _advice(answer.status_code)
                            )
                        )
                    wait = _retry_after(answer.headers.get("Retry-After"), wait)
            if attempt + 1 < self.attempts:
                time.sleep(wait)
        raise LanguageModelError(
            "{} did not answer after {} tries (last: {}). Check the address and the load of the server; the run can be "
            "resumed.".format(self.url, self.attempts, trouble)
        )


def _retry_after(header: Optional[str], otherwise: float) -> float:
    try:
        return max(0.0, float(header))
    except (TypeError, ValueError):  # absent, or a date
        return otherwise


def _advice(status: int) -> str:
    if status in (401, 403):
        return "Set OPENAI_API_KEY, or pass api_key."
    if status == 404:
        return "Check base_url (it ends before /chat/completions) and the name of the model."
    return "Check model, max_tokens and the length of the prompt."


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else text[:300] + "..."
