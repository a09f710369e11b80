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
import json
import os
from typing import Dict, List, Optional, Sequence

from .base import Completion, LanguageModel, LanguageModelError, Request, merge_requests

__all__ = ["CachedModel"]


class CachedModel(LanguageModel):
    """Remembers the answers of another model, in memory and, with ``path``, on disk.

    A request is answered from the cache with the first ``n`` answers known for it, and only what is missing is asked
    for; so asking twice gives the same answers twice. Requests that differ in prompt, stop, temperature, top_p,
    max_tokens, scope or model never share answers. Within one batch equal requests are sent once and still get
    independent answers.

    The file holds one JSON object a line and is only appended to: a killed process loses the batch it was in, and a
    half-written last line is dropped at the next start.

    Args:
        model (LanguageModel): The model that is asked for what is missing.
        path (str, optional): File that outlives the process. Default: memory only.
    """

    def __init__(self, model: LanguageModel, path: Optional[str] = None):
        self.model = model
        self.name = model.name
        self.path = path
        self._texts: Dict[str, List[str]] = {}
        self._stream = None
        if path is not None:
            self._load(path)
            self._stream = open(path, "a", encoding="utf-8")

    def _load(self, path: str) -> None:
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(path):
            return
        with open(path, "rb") as stream:
            data = stream.read()
        end = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:end].splitlines(), 1):
            try:
                record = json.loads(line.decode("utf-8"))
                self._texts.setdefault(record["key"], []).extend(record["texts"])
            except (ValueError, KeyError, TypeError) as error:
                raise LanguageModelError(
                    "line {} of the prompt cache {} is not a record of this cache ({}). Give another file, or delete "
                    "it to start afresh.".format(number, path, error)
                )
        if end < len(data):
            with open(path, "r+b") as stream:
                stream.truncate(end)

    def _key(self, request: Request) -> str:
        text = "\x1f".join([self.name] + [repr(part) for part in request.key()])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def __len__(self) -> int:
        return len(self._texts)

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        merged = merge_requests(requests)
        keys = [self._key(request) for request in merged.requests]
        known = [len(self._texts.get(key, ())) for key in keys]
        missing = [i for i, request in enumerate(merged.requests) if known[i] < request.n]
        fresh: Dict[int, Completion] = {}
        if missing:
            asked = [merged.requests[i].with_n(merged.requests[i].n - known[i]) for i in missing]
            fresh = dict(zip(missing, self.model.complete(asked)))
            for i in missing:
                self._texts.setdefault(keys[i], []).extend(fresh[i].texts)
            self._append([{"key": keys[i], "texts": fresh[i].texts} for i in missing])
        whole = []
        for i, request in enumerate(merged.requests):
            tokens = fresh.get(i, Completion([], sent=0))
            whole.append(
                Completion(
                    self._texts[keys[i]][: request.n],
                    tokens.prompt_tokens,
                    tokens.completion_tokens,
                    cached=min(known[i], request.n),
                    sent=tokens.sent,
                )
            )
        return merged.split(whole)

    def _append(self, records: List[Dict]) -> None:
        if self._stream is None:
            return
        self._stream.write("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        self._stream.flush()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self.model.close()
