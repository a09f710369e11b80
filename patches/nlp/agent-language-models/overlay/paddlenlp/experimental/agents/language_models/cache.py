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
import os
import sqlite3
import threading
from typing import Dict, List, Optional, Sequence

from .base import Completion, LanguageModel, LanguageModelError, Request, merge_requests

__all__ = ["CachedModel"]

TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (key, number)
) WITHOUT ROWID"""
# Seconds to wait for another process that writes.
PATIENCE = 60.0


class CachedModel(LanguageModel):
    """Remembers the answers of another model, in memory or, with ``path``, in a SQLite file.

    A request is answered from the cache with the first ``n`` answers known for it, and only what is missing is asked
    for; so asking twice gives the same answers twice. Requests that differ in prompt, stop, temperature, top_p,
    max_tokens, scope or model never share answers. Within one batch equal requests are sent once and still get
    independent answers. What the model refuses is not remembered.

    Several processes may share a file on a local disk. Answers are stored in one transaction a batch: a killed process
    loses the batch it was in. When the model fails, what it had answered before is stored. When the file cannot be
    written, the answers stay in memory, and are written with the next batch.

    Args:
        model (LanguageModel): The model that is asked for what is missing.
        path (str, optional): File that outlives the process. Default: memory only.

    Raises:
        LanguageModelError: The file is not of this cache, or cannot be read or written.
    """

    def __init__(self, model: LanguageModel, path: Optional[str] = None):
        self.model = model
        self.name = model.name
        self.path = path
        self._unwritten: Dict[str, List[str]] = {}
        self._lock = threading.RLock()
        if path is not None:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self._database: Optional[sqlite3.Connection] = sqlite3.connect(
            path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        self._execute(TABLE)

    def _execute(self, command: str, values: Sequence = ()) -> List[tuple]:
        try:
            return self._database.execute(command, values).fetchall()
        except sqlite3.DatabaseError as error:
            told = "{}: {}".format(type(error).__name__, error)
            advice = "Check the free space and that no other program holds the file."
            if "not a database" in str(error):
                advice = "Give another file, or delete it to start afresh."
            raise LanguageModelError("the prompt cache {} does not work ({}). {}".format(self.path, told, advice))

    def _key(self, request: Request) -> str:
        text = "\x1f".join([self.name] + [repr(part) for part in request.key()])
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def __len__(self) -> int:
        return self._execute("SELECT count(DISTINCT key) FROM answers")[0][0]

    def _known(self, key: str, n: int) -> List[str]:
        rows = self._execute("SELECT text FROM answers WHERE key = ? ORDER BY number LIMIT ?", (key, n))
        return ([text for (text,) in rows] + self._unwritten.get(key, []))[:n]

    def _keep(self, answers: Dict[str, List[str]]) -> None:
        """Store more answers, and those that could not be stored before: all of them or none."""
        for key, texts in answers.items():
            if texts:
                self._unwritten.setdefault(key, []).extend(texts)
        if not self._unwritten:
            return
        self._execute("BEGIN IMMEDIATE")
        try:
            for key, texts in self._unwritten.items():
                (count,) = self._execute("SELECT count(*) FROM answers WHERE key = ?", (key,))[0]
                for number, text in enumerate(texts, count):
                    self._execute("INSERT INTO answers VALUES (?, ?, ?)", (key, number, text))
            self._execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk may have ended it
                self._database.rollback()
            raise
        self._unwritten.clear()

    def complete(self, requests: Sequence[Request]) -> List[Completion]:
        with self._lock:
            return self._complete(requests)

    def _complete(self, requests: Sequence[Request]) -> List[Completion]:
        merged = merge_requests(requests)
        keys = [self._key(request) for request in merged.requests]
        known = [len(self._known(key, request.n)) for key, request in zip(keys, merged.requests)]
        missing = [i for i, request in enumerate(merged.requests) if known[i] < request.n]
        fresh: Dict[int, Completion] = {}
        if missing:
            asked = [merged.requests[i].with_n(merged.requests[i].n - known[i]) for i in missing]
            try:
                fresh = dict(zip(missing, self.model.complete(asked)))
            except BaseException as error:
                answered, error.answered = getattr(error, "answered", {}), {}
                self._keep({keys[missing[place]]: part.texts for place, part in answered.items()})
                raise
            self._keep({keys[i]: completion.texts for i, completion in fresh.items()})
        whole = []
        for i, request in enumerate(merged.requests):
            new = fresh.get(i, Completion([], sent=0))
            texts = [] if new.refused else self._known(keys[i], request.n)
            tokens = (new.prompt_tokens, new.completion_tokens)
            whole.append(
                Completion(texts, *tokens, cached=known[i] if texts else 0, sent=new.sent, refused=new.refused)
            )
        return merged.split(whole)

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                try:
                    self._keep({})
                finally:
                    self._database.close()
                    self._database = None
                    self.model.close()
