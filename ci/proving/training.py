"""Train a task for some steps in a mode and write its losses: dygraph, whole-graph static (AST), or SOT."""

import argparse
import math
import os
import random
import re
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from . import gradients
from .record import write_json
from .static_proof import StaticProof, clean_reason, prepare_environment, short_path
from .worker import fork_bound, serve

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
    update: (model, batch) -> scalar tensor, for a trainer whose step has several updates; it makes them itself.
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
    update: Optional[Callable[[Any, Any], Any]] = None
    after_step: Optional[Callable[[Any, int], None]] = None


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and paddle."""
    import paddle

    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)


def cast(model: Any, dtype: str) -> None:
    """Parameters and floating-point buffers of `model` in `dtype`; `Layer.to` would cast indices as well."""
    layers = model.sublayers(include_self=True)
    buffers = [(layer, name, value) for layer in layers for name, value in layer._buffers.items() if value is not None]
    kept = [(layer, name, value.clone()) for layer, name, value in buffers if not value.is_floating_point()]
    model.to(dtype=dtype)
    for layer, name, value in kept:
        layer._buffers[name] = value


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


def train(task: Task, mode: str, steps: int, seed: int = 0, turn: Callable[[], Any] = lambda: None) -> Dict[str, Any]:
    """Train `task` and return the contents of `<mode>.json`; `turn` returns, after each step, when the next may start."""
    import paddle

    prepare_environment(mode)
    model = to_static(task, mode)
    optimizers = list(task.optimizer) if isinstance(task.optimizer, (list, tuple)) else [task.optimizer]
    losses, milliseconds, busy = [], [], []  # type: List[float], List[float], List[float]
    seed_everything(seed)  # again: building the model took random numbers
    with StaticProof() as proof:
        for step in range(steps):
            batch = task.batches(step)
            start, start_busy = time.perf_counter(), time.process_time()
            losses.append(_step(task, model, optimizers, batch))
            if task.after_step is not None:
                task.after_step(model, step)
            milliseconds.append((time.perf_counter() - start) * 1e3)
            busy.append((time.process_time() - start_busy) * 1e3)
            turn()
    return {
        "mode": mode,
        "steps": steps,
        "seed": seed,
        "losses": losses,
        "ms_per_step": milliseconds,
        "cpu_ms_per_step": busy,
        "paddle": paddle.__version__,
        "dtype": _dtype_of(task.model),
        "static": None if mode == "dygraph" else proof.summary(),
    }


def _dtype_of(model: Any) -> str:
    """The type of the first floating-point parameter, as `float64`."""
    kinds = (str(value.dtype).rpartition(".")[2].lower() for value in model.parameters())
    return next((kind for kind in kinds if "float" in kind), "")


def loss_of(task: Task, model: Any, batch: Any) -> Any:
    """The scalar loss of `model`, which is the model of `task` in some mode, on `batch`."""
    if task.objective is not None:
        loss = task.objective(model, batch)
    elif task.loss is not None:
        loss = task.loss(model(*(task.inputs(batch) if task.inputs is not None else [batch[0]])), batch)
    else:
        raise ValueError("the task has neither `loss` nor `objective`")
    if loss.size != 1:
        raise ValueError("the task's loss has shape %s; it must be a scalar" % list(loss.shape))
    return loss


def _step(task: Task, model: Any, optimizers: Sequence[Any], batch: Any) -> float:
    if task.update is not None:
        return float(task.update(model, batch).numpy().reshape(-1)[0])
    loss = loss_of(task, model, batch)
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
    options.add_argument("--mode", required=True, nargs="+", choices=MODES)
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--gradients", action="store_true", help="compare the gradients of the first step with dygraph's, and stop"
    )
    return options


def run(args: argparse.Namespace, build: Callable[[argparse.Namespace], Task]) -> None:
    """Build the task, train it in each mode, write `<mode>.json`. `args` comes from `parser()`, with options of the script added.

    Several modes start from the one task: each trains in a process of its own, forked from this one, so that imports and
    construction are paid once. They take turns, a step each, so that their times compare whatever else the machine does. A static
    mode that fails writes `<mode>.failed.json` and does not stop the next one.
    """
    os.makedirs(args.out, exist_ok=True)
    prepare_environment(args.mode[0])
    seed_everything(args.seed)
    task = build(args)
    if args.gradients:
        gradients.compare(args, task, args.mode)
    elif len(args.mode) == 1:
        _train_and_write(args, task, args.mode[0])
    else:
        _take_turns(args, task)


def _take_turns(args: argparse.Namespace, task: Task) -> None:
    running = {}  # type: Dict[str, Tuple[int, socket.socket]]
    for mode in args.mode:
        ours, theirs = socket.socketpair()
        child = fork_bound()
        if child == 0:
            os._exit(_in_child(args, task, mode, theirs))
        theirs.close()
        running[mode] = (child, ours)
    while running:
        for mode, (child, ours) in list(running.items()):
            if _one_turn(ours):
                continue
            del running[mode]
            status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                _write_failure(args, mode, "ended by signal %d" % os.WTERMSIG(status), [])
            if status != 0 and mode == "dygraph":  # nothing to compare with
                for other, _ in running.values():
                    os.kill(other, signal.SIGKILL)
                    os.waitpid(other, 0)
                return


def _one_turn(channel: socket.socket) -> bool:
    """Let the process at the other end do a step; False where it has ended."""
    try:
        channel.sendall(b".")
        return channel.recv(1) != b""
    except OSError:
        return False


def _in_child(args: argparse.Namespace, task: Task, mode: str, channel: socket.socket) -> int:
    def turn() -> None:
        channel.sendall(b".")
        channel.recv(1)

    try:
        channel.recv(1)
        _train_and_write(args, task, mode, turn)
        return 0
    except BaseException as error:  # whatever a model raises is this mode's result
        traceback.print_exc()
        frames = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(error.__traceback__)]
        frames += re.findall(r'File "([^"]+)", line (\d+), in (\w+)', str(error))  # the source of code that paddle converted
        places = ["%s:%s %s" % (short_path(f[0]), f[1], f[2]) for f in frames if f[0].startswith(os.getcwd() + os.sep)][-2:]
        _write_failure(args, mode, "%s: %s" % (type(error).__name__, clean_reason(error)), places)
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _write_failure(args: argparse.Namespace, mode: str, last: str, places: Sequence[str]) -> None:
    write_json(os.path.join(args.out, mode + ".failed.json"), {"last": last, "places": list(places)})


def _train_and_write(args: argparse.Namespace, task: Task, mode: str, turn: Callable[[], Any] = lambda: None) -> None:
    result = train(task, mode, args.steps, args.seed, turn)
    result["losses"] = [value if math.isfinite(value) else None for value in result["losses"]]  # JSON has no nan
    write_json(os.path.join(args.out, mode + ".json"), result)


def main(
    build: Callable[[argparse.Namespace], Task],
    options: Optional[argparse.ArgumentParser] = None,
    warm: Optional[Callable[[], Any]] = None,
) -> None:
    """The whole check script: `build(arguments)` gives the task. With `--worker` it stays and takes jobs (`worker.serve`), after
    `warm()` has imported what every job needs."""
    options = options or parser()
    if sys.argv[1:] != ["--worker"]:
        run(options.parse_args(), build)
        return
    if warm is not None:
        warm()
    serve(lambda words: run(options.parse_args(words), build))
