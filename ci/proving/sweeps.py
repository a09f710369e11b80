"""What the scripts of all sweeps share: batches in turn, learning rates for small batches, other weights, and the gradients of a
first step. `rows.py` reads a row's settings; `training.py` trains it.
"""

import argparse
import os
from typing import Any, Callable, Dict, Iterable, Optional, Sequence

import numpy as np

from . import gradients, seeding, static_proof, training

BATCHES = 4  # distinct batches, used in turn


def in_turn(make: Callable[[int], Any]) -> Callable[[int], Any]:
    """`step -> batch` for a Task: `make(index)` of BATCHES batches, made once and used in turn."""
    made = [make(index) for index in range(BATCHES)]
    return lambda step: made[step % BATCHES]


def rate_factor(row: Dict[str, Any], usual: float, devices: int = 4) -> float:
    """What a row's learning rate is multiplied by: the config's belongs to `usual` samples on each of that many devices."""
    return row["batch"] / (float(devices) * usual) * row.get("lr_factor", 1)


def scale_rates(
    schedule: Dict[str, Any], factor: float, keys: Iterable[str] = ("learning_rate", "values", "warmup_start_lr")
) -> None:
    """Multiply those learning rates of a schedule that it has, lists of them too."""
    for key in keys:
        if schedule.get(key):
            value = schedule[key]
            schedule[key] = [float(v) * factor for v in value] if isinstance(value, list) else float(value) * factor


def whole_model(network: Any, mode: str) -> Any:
    """The line of most trainers, for `Task.apply_to_static`: the environment chooses between whole graph and SOT."""
    import paddle

    return paddle.jit.to_static(network)


def nudge(model: Any, size: float) -> None:
    """Initial weights off by `size`, relative: how far apart dygraph and dygraph end shows what rounding does to a row."""
    for name, value in model.named_parameters() if size else ():
        noise = seeding.seeded("nudge:" + name, tuple(value.shape), "input").astype(np.float64)
        value.set_value((value.numpy() * (1 + size * noise)).astype(value.numpy().dtype))


def options() -> argparse.ArgumentParser:
    """The options of a script that trains a row: those of `training.parser`, --row, --dtype and --nudge."""
    parser = training.parser()
    parser.add_argument("--row", required=True)
    parser.add_argument("--dtype", choices=["float32", "float64"], help="default: the row's own, else float32")
    parser.add_argument("--nudge", "--change", type=float, default=0.0, help="start from weights that are off by so much, relative")
    return parser


def compare_first_gradients(build: Callable[[argparse.Namespace], training.Task], words: Optional[Sequence[str]] = None) -> None:
    """The script of a sweep's gradients (`gradients.compare`): every mode, and dygraph from nudged weights, against dygraph."""
    parser = options()
    parser.set_defaults(nudge=1e-12)
    args = parser.parse_args(words)
    size, args.nudge = args.nudge, 0.0
    os.makedirs(args.out, exist_ok=True)
    static_proof.prepare_environment("dygraph")
    training.seed_everything(args.seed)
    found = gradients.compare(args, build(args), args.mode, lambda model: nudge(model, size))
    for name, facts in found.items():
        print(args.row, name, facts, flush=True)
    broken = sorted(name for name, facts in found.items() if "error" in facts)
    if broken:
        raise SystemExit("%s: no gradients in %s, see %s" % (args.row, ", ".join(broken), os.path.join(args.out, gradients.FILE)))
