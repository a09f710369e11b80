"""Measure the ratio of two things by running them in turn."""

import os
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from .record import write_json


def interleave(
    sides: Mapping[str, Callable[[], Any]], rounds: int = 7, warmup: int = 2, clock: Callable[[], float] = time.perf_counter
) -> Dict[str, List[float]]:
    """Milliseconds of every call, one call a side and round; `clock` gives seconds, on a shared machine time.process_time.

    The order turns by one each round, so that no side always runs on the caches its neighbour left.
    """
    if rounds < 1 or not sides:
        raise ValueError("interleave needs at least one side and one round")
    for _ in range(warmup):
        for run in sides.values():
            run()
    names = list(sides)
    samples = {name: [] for name in names}  # type: Dict[str, List[float]]
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = clock()
            sides[name]()
            samples[name].append((clock() - start) * 1e3)
    return samples


def write_benchmark(out: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write benchmark.json; a row is {name, ours, against, samples} with samples from `interleave`."""
    for row in rows:
        missing = [key for key in ("name", "ours", "against", "samples") if key not in row]
        missing += [row[side] for side in ("ours", "against") if side in row and row[side] not in row.get("samples", {})]
        if missing:
            raise ValueError("benchmark row %s lacks %s" % (row.get("name", "?"), ", ".join(missing)))
    write_json(os.path.join(out, "benchmark.json"), list(rows))
