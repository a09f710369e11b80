"""Compare the gradients of a task's first step in a static mode with dygraph's.

Losses of many steps mix two things: what a program computes, and how fast the network makes rounding grow. The first step shows the
program alone: in float64 the gradients of a right one are dygraph's, however ill-conditioned the network is.
"""

import argparse
import math
import os
import pickle
import traceback
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from .record import write_json
from .static_proof import StaticProof, clean_reason, prepare_environment
from .worker import fork_bound

FILE = "gradients.json"


def first_step(task: Any, mode: str, seed: int) -> Dict[str, Any]:
    """loss, gradients {name of the parameter: array} and executions of a static program, of the first step in `mode`."""
    from . import training

    prepare_environment(mode)
    names = {parameter.name: name for name, parameter in task.model.named_parameters()}
    model = training.to_static(task, mode)
    training.seed_everything(seed)
    with StaticProof() as proof:
        loss = training.loss_of(task, model, task.batches(0))
        loss.backward()
    found = [parameter for parameter in task.model.parameters() if parameter.grad is not None]
    gradients = {names[parameter.name]: parameter.grad.numpy() for parameter in found}
    return {"loss": float(loss), "gradients": gradients, "executions": proof.executions}


def gaps(ours: Dict[str, Any], wanted: Dict[str, Any]) -> Dict[str, Any]:
    """Relative gap of the loss, norm of the gap of all gradients relative to their norm, and what has one in one mode only."""
    theirs, mine = wanted["gradients"], ours["gradients"]
    shared = sorted(set(mine) & set(theirs))
    gap = math.sqrt(sum(np.square(mine[name].astype(np.float64) - theirs[name]).sum() for name in shared))
    norm = math.sqrt(sum(np.square(theirs[name].astype(np.float64)).sum() for name in shared))
    return {
        "loss_gap": abs(ours["loss"] - wanted["loss"]) / max(abs(wanted["loss"]), 1e-300),
        "gradient_gap": gap / max(norm, 1e-300),
        "gradient_norm": norm,
        "in_one_only": sorted(set(mine) ^ set(theirs)),
    }


def compare(
    args: argparse.Namespace, task: Any, modes: Sequence[str], change: Optional[Callable[[Any], Any]] = None
) -> Dict[str, Any]:
    """Write and return {mode: what `gaps` gives, or an error}; each mode in a process forked from this one.

    change: what is done to the model before a further run in dygraph, `changed`: how much the gradients change with the weights
    says how far a mode's may be away.
    """
    wanted = _forked(args, lambda: first_step(task, "dygraph", args.seed))
    result = {}
    for mode in modes:
        if mode == "dygraph":
            continue
        found = wanted if "error" in wanted else _forked(args, lambda mode=mode: first_step(task, mode, args.seed))
        if "error" in found:
            result[mode] = {"error": found["error"]}
        elif not found["executions"]:
            result[mode] = {"error": "no static program ran"}
        else:
            result[mode] = gaps(found, wanted)
            if not all(math.isfinite(result[mode][name]) for name in ("loss_gap", "gradient_gap", "gradient_norm")):
                result[mode] = {"error": "a gradient is not finite"}
    if change is not None and "error" not in wanted:
        found = _forked(args, lambda: (change(task.model), first_step(task, "dygraph", args.seed))[1])
        result["changed"] = found if "error" in found else gaps(found, wanted)
    write_json(os.path.join(args.out, FILE), result)
    return result


def _forked(args: argparse.Namespace, work: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    path = os.path.join(args.out, "first_step.pickle")
    child = fork_bound()
    if child == 0:
        os._exit(_write(path, work))
    status = os.waitpid(child, 0)[1]
    found = _take(path)
    return found if found is not None else {"error": "ended by signal %d" % os.WTERMSIG(status)}


def _write(path: str, work: Callable[[], Dict[str, Any]]) -> int:
    try:
        found = work()
    except BaseException as error:  # whatever a model raises is this mode's result
        traceback.print_exc()
        found = {"error": "%s: %s" % (type(error).__name__, clean_reason(error))}
    with open(path + ".part", "wb") as stream:
        pickle.dump(found, stream)
    os.replace(path + ".part", path)
    return 0


def _take(path: str) -> Optional[Dict[str, Any]]:
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        found: Dict[str, Any] = pickle.load(stream)
    os.unlink(path)
    return found
