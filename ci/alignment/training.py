"""Train a task for some steps in one mode and write its losses: dygraph, whole-graph static (AST), or SOT."""

import argparse
import math
import os
import random
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from .record import write_json
from .static_proof import StaticProof, prepare_environment

MODES = ("dygraph", "ast", "sot")


@dataclass
class Task:
    """What is trained.

    model: a `paddle.nn.Layer`, in the mode (train or eval) it shall run in.
    loss: (outputs, batch) -> scalar tensor; None with `objective`.
    optimizer: one optimizer or a list of them, over the parameters of `model`.
    batches: step -> batch; the same batch for the same step in every process.
    input_spec: what the suite's own switch passes to `to_static`; None = deduced.
    inputs: batch -> positional arguments of the model; None = [batch[0]].
    apply_to_static: (model, mode) -> model, the suite's own switch; None = plain `paddle.jit.to_static`.
    objective: (model, batch) -> scalar tensor, for a trainer that does more than loss(model(inputs)).
    after_step: (model, step) -> None, what the suite's loop does after an update (a moving average, for instance).
    """

    model: Any
    loss: Optional[Callable[[Any, Any], Any]]
    optimizer: Any
    batches: Callable[[int], Any]
    input_spec: Any = None
    inputs: Optional[Callable[[Any], Sequence[Any]]] = None
    apply_to_static: Optional[Callable[[Any, str], Any]] = None
    objective: Optional[Callable[[Any, Any], Any]] = None
    after_step: Optional[Callable[[Any, int], None]] = None


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and paddle."""
    import paddle

    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)


def to_static(task: Task, mode: str) -> Any:
    """The model of `task` in `mode`, by the suite's own switch where the task brings one."""
    if mode == "dygraph":
        return task.model
    if task.apply_to_static is not None:
        return task.apply_to_static(task.model, mode)
    import paddle

    if mode == "ast":
        return paddle.jit.to_static(task.model, input_spec=task.input_spec, full_graph=True)
    return paddle.jit.to_static(task.model, full_graph=False)  # SOT ignores an input_spec and warns


def train(task: Task, mode: str, steps: int, seed: int = 0) -> Dict[str, Any]:
    """Train `task` and return the contents of `<mode>.json`."""
    import paddle

    prepare_environment(mode)
    model = to_static(task, mode)
    optimizers = list(task.optimizer) if isinstance(task.optimizer, (list, tuple)) else [task.optimizer]
    losses, milliseconds = [], []  # type: List[float], List[float]
    seed_everything(seed)  # again: building the model took random numbers
    with StaticProof() as proof:
        for step in range(steps):
            batch = task.batches(step)
            start = time.perf_counter()
            losses.append(_step(task, model, optimizers, batch))
            if task.after_step is not None:
                task.after_step(model, step)
            milliseconds.append((time.perf_counter() - start) * 1e3)
    return {
        "mode": mode,
        "steps": steps,
        "seed": seed,
        "losses": losses,
        "ms_per_step": milliseconds,
        "paddle": paddle.__version__,
        "static": None if mode == "dygraph" else proof.summary(),
    }


def _step(task: Task, model: Any, optimizers: Sequence[Any], batch: Any) -> float:
    if task.objective is not None:
        loss = task.objective(model, batch)
    elif task.loss is not None:
        loss = task.loss(model(*(task.inputs(batch) if task.inputs is not None else [batch[0]])), batch)
    else:
        raise ValueError("the task has neither `loss` nor `objective`")
    if loss.size != 1:
        raise ValueError("the task's loss has shape %s; it must be a scalar" % list(loss.shape))
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.clear_grad()
        rate = optimizer._learning_rate  # paddle has no public way to ask for the scheduler
        if hasattr(rate, "step") and not getattr(rate, "by_epoch", False):  # a suite's mark of schedulers that step by epoch
            rate.step()
    return float(loss.numpy().reshape(-1)[0])


def parser() -> argparse.ArgumentParser:
    """--out, --mode, --steps, --seed (and --reference, which the harness may pass to any script)."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", required=True)
    options.add_argument("--reference", default=None)
    options.add_argument("--mode", required=True, choices=MODES)
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    return options


def run(args: argparse.Namespace, build: Callable[[argparse.Namespace], Task]) -> Dict[str, Any]:
    """Build the task, train it, write `<mode>.json`. `args` comes from `parser()`, with options of the script added."""
    os.makedirs(args.out, exist_ok=True)
    prepare_environment(args.mode)
    seed_everything(args.seed)
    result = train(build(args), args.mode, args.steps, args.seed)
    result["losses"] = [value if math.isfinite(value) else None for value in result["losses"]]  # JSON has no nan
    write_json(os.path.join(args.out, args.mode + ".json"), result)
    return result


def main(build: Callable[[argparse.Namespace], Task], options: Optional[argparse.ArgumentParser] = None) -> None:
    """The whole check script: `build(arguments)` gives the task."""
    run((options or parser()).parse_args(), build)
