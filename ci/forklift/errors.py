"""One error type for everything a user can mend: what is wrong, where, what to type next."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable


class Reason(enum.Enum):
    """Why a check was skipped or ended in error: a closed list, so that tables can count."""

    BASE_MISSING = "base_missing"
    PARTIAL_BASE = "partial_base"
    BASE_DRIFT = "base_drift"
    ENV_FAILED = "env_failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    NETWORK_NEEDED = "network_needed"
    NEEDS_GPU = "needs_gpu"
    OTHER_PADDLE = "other_paddle"
    OUT_OF_TIME = "out_of_time"
    SCRIPT_FAILED = "script_failed"


class ForkliftError(Exception):
    """What is wrong (one line), the facts (label, text) and the command to type next."""

    exit_code = 1

    def __init__(
        self, what: str, facts: Iterable[tuple[str, object]] = (), next_step: str = "", reason: Reason | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.facts = [(label, str(text)) for label, text in facts]
        self.next_step = next_step
        self.reason = reason

    def __str__(self) -> str:
        rows = list(self.facts)
        if self.next_step:
            rows.append(("next", self.next_step))
        width = max((len(label) for label, _ in rows), default=0)
        lines = [f"error: {self.what}"]
        for label, text in rows:
            first, *rest = text.splitlines() or [""]
            lines.append(f"  {label.ljust(width)}  {first}")
            lines.extend(" " * (width + 4) + line for line in rest)
        return "\n".join(lines)


class UsageError(ForkliftError):
    """The command line or a manifest is wrong (exit code 2)."""

    exit_code = 2


class InterruptedByUserError(ForkliftError):
    """The user pressed ^C (exit code 130)."""

    exit_code = 130


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean X?` for the closest of `choices`, or an empty string."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else ""
