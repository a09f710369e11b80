"""What the scripts of all sweeps share: batches in turn, learning rates for small batches, other weights, and the gradients of a
first step. `rows.py` reads a row's settings; `training.py` trains it.
"""

import argparse
import multiprocessing
import os
from typing import Any, Callable, Dict, Iterable, Optional, Sequence

import numpy as np

from . import seeding, static_proof, training
from .record import write_json

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


def _first_step(task: training.Task, mode: str, change: float, seed: int, answer: Any) -> None:
    """Send the loss and the gradients, by the name of the parameter in the model, of the first step in `mode`."""
    static_proof.prepare_environment(mode)
    names = {parameter.name: name for name, parameter in task.model.named_parameters()}
    nudge(task.model, change)
    model = training.to_static(task, mode)
    training.seed_everything(seed)
    batch = task.batches(0)
    with static_proof.StaticProof() as proof:
        loss = training.loss_of(task, model, batch)
        loss.backward()
    gradients = {names[p.name]: p.grad.numpy() for p in task.model.parameters() if p.grad is not None}
    answer.send((float(loss), gradients, proof.executions))


def gap(loss: float, gradients: Dict[str, np.ndarray], wanted_loss: float, wanted: Dict[str, np.ndarray]) -> Dict[str, Any]:
    """The relative gap of two losses, the relative norm of the gap of all gradients, and parameters that have one in one only."""
    shared = sorted(set(gradients) & set(wanted))
    difference = np.sqrt(sum(np.square(gradients[name].astype(np.float64) - wanted[name]).sum() for name in shared))
    norm = np.sqrt(sum(np.square(wanted[name].astype(np.float64)).sum() for name in shared))
    return {
        "loss_gap": abs(loss - wanted_loss) / abs(wanted_loss),
        "gradient_gap": float(difference / norm),
        "gradient_norm": float(norm),
        "in_one_only": sorted(set(gradients) ^ set(wanted)),
    }


def compare_first_gradients(build: Callable[[argparse.Namespace], training.Task], words: Optional[Sequence[str]] = None) -> None:
    """The script of a sweep's gradients: gradients.json holds `gap` of every mode, and of dygraph from nudged weights, to dygraph.

    Losses of many steps mix two things: what a program computes, and how fast the network makes rounding grow. This shows them
    apart: a row whose static gradient equals dygraph's in float64 is right, and how much its gradient changes with its weights
    says how far float32 can follow.
    """
    parser = options()
    parser.set_defaults(nudge=1e-12)
    args = parser.parse_args(words)
    size, args.nudge = args.nudge, 0.0
    os.makedirs(args.out, exist_ok=True)
    static_proof.prepare_environment("dygraph")
    training.seed_everything(args.seed)
    task = build(args)
    fork = multiprocessing.get_context("fork")  # each mode starts from the same weights
    found, result = {}, {"row": args.row}  # type: Any
    for name in ["dygraph", *[mode for mode in args.mode if mode != "dygraph"], "changed"]:
        ours, theirs = fork.Pipe(duplex=False)
        mode, change = ("dygraph", size) if name == "changed" else (name, 0.0)
        child = fork.Process(target=_first_step, args=(task, mode, change, args.seed, theirs))
        child.start()
        theirs.close()
        try:
            loss, gradients, executions = ours.recv()
        except EOFError:
            raise SystemExit("%s ended without a result in %s: see the error above" % (args.row, name)) from None
        child.join()
        if mode != "dygraph" and not executions:
            raise SystemExit("%s: no static program ran in %s" % (args.row, name))
        found[name] = (loss, gradients)
        if name != "dygraph":
            result[name] = gap(loss, gradients, *found["dygraph"])
            print(name, result[name], flush=True)
    write_json(os.path.join(args.out, "gradients.json"), result)
