"""The kinds of checks: one module each with a `Spec`, independent of the others. A new kind is a new file here, and its docs."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Union

from forklift.model import CheckSpec


def _specs() -> dict[str, type[CheckSpec]]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").Spec for name in names}


KINDS = _specs()
# for msgspec: the kind of a [[check]] decides which keys it may have
AnySpec: Any = Union[tuple(KINDS.values())]
