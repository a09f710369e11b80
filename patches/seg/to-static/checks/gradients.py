"""Compare the gradients of a row's first step: static modes, and dygraph with slightly other weights, against dygraph.

Losses of 50 steps mix two things: what a program computes, and how fast the network makes rounding grow. This shows them apart. A
row whose static gradient equals dygraph's in float64 is right; how much its gradient changes with its weights says how far float32
can follow. Called like sweep_row.py; writes gradients.json: for each mode the relative gap of the loss, the relative norm of the
gap of all gradients, and the parameters that have a gradient in one of the two only.
"""

import multiprocessing
import os

import numpy as np
import sweep_row  # beside this file

from proving import static_proof, training
from proving.record import write_json


def change_weights(model, size):
    """Each weight times 1 + size or 1 - size."""
    random = np.random.RandomState(1)
    for parameter in model.parameters():
        value = parameter.numpy()
        parameter.set_value((value * (1 + size * random.choice([-1, 1], value.shape))).astype(value.dtype))


def first_step(task, mode, change, seed, answer):
    """Send the loss and the gradients, by the name of the parameter in the model, of the first step in `mode`."""
    static_proof.prepare_environment(mode)
    names = {parameter.name: name for name, parameter in task.model.named_parameters()}
    if change:
        change_weights(task.model, change)
    model = training.to_static(task, mode)
    training.seed_everything(seed)
    batch = task.batches(0)
    with static_proof.StaticProof() as proof:
        loss = training.loss_of(task, model, batch)
        loss.backward()
    gradients = {names[p.name]: p.grad.numpy() for p in task.model.parameters() if p.grad is not None}
    answer.send((float(loss), gradients, proof.executions))


def compare(loss, gradients, wanted_loss, wanted):
    shared = sorted(set(gradients) & set(wanted))
    gap = np.sqrt(sum(np.square(gradients[name].astype(np.float64) - wanted[name]).sum() for name in shared))
    norm = np.sqrt(sum(np.square(wanted[name].astype(np.float64)).sum() for name in shared))
    return {
        "loss_gap": abs(loss - wanted_loss) / abs(wanted_loss),
        "gradient_gap": float(gap / norm),
        "gradient_norm": float(norm),
        "in_one_only": sorted(set(gradients) ^ set(wanted)),
    }


def main():
    options = training.parser()
    options.add_argument("--row", required=True)
    options.add_argument("--dtype", choices=["float32", "float64"], help="default: the row's own, else float32")
    options.add_argument("--change", type=float, default=1e-12, help="relative change of the weights in `changed` (default 1e-12)")
    args = options.parse_args()
    os.makedirs(args.out, exist_ok=True)
    static_proof.prepare_environment("dygraph")
    training.seed_everything(args.seed)
    task = sweep_row.build(args)
    fork = multiprocessing.get_context("fork")  # each mode starts from the same weights
    found, result = {}, {"row": args.row}
    for name in ["dygraph", *[mode for mode in args.mode if mode != "dygraph"], "changed"]:
        ours, theirs = fork.Pipe(duplex=False)
        mode, change = ("dygraph", args.change) if name == "changed" else (name, 0)
        child = fork.Process(target=first_step, args=(task, mode, change, args.seed, theirs))
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
            result[name] = compare(loss, gradients, *found["dygraph"])
            print(name, result[name], flush=True)
    write_json(os.path.join(args.out, "gradients.json"), result)


if __name__ == "__main__":
    main()
