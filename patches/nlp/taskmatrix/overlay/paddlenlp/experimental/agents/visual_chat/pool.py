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

import gc
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional

__all__ = ["Loader", "ModelPool", "PoolError"]


class PoolError(RuntimeError):
    """A model cannot be had. The message says which, and why."""


@dataclass(frozen=True)
class Loader:
    """How a model is made.

    Args:
        load (callable): Called with the device; gives the model.
        memory_mb (int): What it takes on that device.
    """

    load: Callable[[str], Any]
    memory_mb: int


@dataclass
class _Entry:
    model: Any
    memory_mb: int
    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class ModelPool:
    """Models that are loaded when first needed; those not used for longest leave when the memory budget is reached.

    A model that is in use never leaves, and is used by one thread at a time.

    Args:
        loaders (dict): :class:`Loader` by name.
        budget_mb (int): Memory of all models together.
        device (str): What loaders are told. Default: "cpu".
        patience_s (float): How long to wait for models in use to make room. Default: 600.
    """

    def __init__(self, loaders: Dict[str, Loader], budget_mb: int, device: str = "cpu", patience_s: float = 600.0):
        self.loaders, self.budget_mb, self.device, self.patience_s = dict(loaders), budget_mb, device, patience_s
        self.loads: List[str] = []
        self._entries: "OrderedDict[str, _Entry]" = OrderedDict()
        self._changed = threading.Condition()
        self._loading: Dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.loaders

    def loaded(self) -> List[str]:
        """Names of the models in memory, the least recently used first."""
        with self._changed:
            return list(self._entries)

    def memory_mb(self) -> int:
        """What models in memory, and those being loaded, take together."""
        with self._changed:
            return self._used()

    def _used(self) -> int:
        return sum(entry.memory_mb for entry in self._entries.values()) + sum(self._loading.values())

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """The model, for as long as the block runs.

        Raises:
            PoolError: There is no such model, it is larger than the budget, no room was made in time, or loading failed.
        """
        entry = self._take(name)
        try:
            with entry.lock:
                yield entry.model
        finally:
            with self._changed:
                entry.users -= 1
                self._changed.notify_all()

    def _take(self, name: str) -> _Entry:
        if name not in self.loaders:
            raise PoolError("there is no model {!r} on this server".format(name))
        loader = self.loaders[name]
        if loader.memory_mb > self.budget_mb:
            raise PoolError(
                "the model {!r} takes {} MB, the budget is {} MB".format(name, loader.memory_mb, self.budget_mb)
            )
        end = time.monotonic() + self.patience_s
        with self._changed:
            while True:
                entry = self._entries.get(name)
                if entry is not None:
                    entry.users += 1
                    self._entries.move_to_end(name)
                    return entry
                if name not in self._loading and self._make_room(loader.memory_mb):
                    self._loading[name] = loader.memory_mb
                    break
                left = end - time.monotonic()
                if left <= 0:
                    raise PoolError("no room for the model {!r}: others are in use".format(name))
                self._changed.wait(left)
        entry: Optional[_Entry] = None
        try:
            entry = _Entry(loader.load(self.device), loader.memory_mb, users=1)
        except Exception as error:  # whatever a loader raises: no weights, no package, no memory
            raise PoolError("the model {!r} could not be loaded: {}".format(name, error)) from error
        finally:
            with self._changed:
                del self._loading[name]
                if entry is not None:
                    self._entries[name] = entry
                    self.loads.append(name)
                self._changed.notify_all()
        return entry

    def _make_room(self, memory_mb: int) -> bool:
        """Drop idle models until there is room. Nothing is dropped where that would not be enough."""
        idle = [name for name, entry in self._entries.items() if not entry.users]
        spare = sum(self._entries[name].memory_mb for name in idle)
        if self._used() - spare + memory_mb > self.budget_mb:
            return False
        dropped = False
        for name in idle:
            if self._used() + memory_mb <= self.budget_mb:
                break
            del self._entries[name]
            dropped = True
        if dropped:
            gc.collect()
            self._free_device()
        return True

    def _free_device(self) -> None:
        if self.device.startswith("gpu"):
            import paddle

            paddle.device.cuda.empty_cache()

    def clear(self) -> None:
        """Drop all models that are not in use."""
        with self._changed:
            for name in [name for name, entry in self._entries.items() if not entry.users]:
                del self._entries[name]
        gc.collect()
        self._free_device()
