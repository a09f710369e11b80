"""Train rows in dygraph with the change's edits and with them taken back: not one bit may differ.

    python checks/dygraph_equal.py --out DIR [--rows ID ...] [--steps 3]

The working directory is the work tree of the branch. For each row the tree before is a copy of it without the edits that models.toml
names for the row, and two processes train the same seeded task. Compared: every loss, the names, types and bytes of the
state dict before and after the steps. metrics.json counts what was compared and what differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EDITS = os.path.join(os.path.dirname(HERE), "edits")
ROWS = ["matting-gca", "mobileseg", "emanet", "maskformer", "panopticseg-mask2former", "panopticseg-panopticdeeplab"]
# Without this one a project cannot be imported on paddle 2.6: it stays.
KEPT = ["contrib/PanopticSeg/paddlepanseg/datasets/base_dataset.py"]
PARTS = ["paddleseg", "Matting", "contrib"]


def gather_booleans():
    """Before the change MaskFormer gathers booleans, which paddle has for a GPU only: let this CPU gather them as integers."""
    import paddle

    original = paddle.gather

    def gather(x, index, axis=None, name=None):
        if x.dtype == paddle.bool:
            return original(x.astype("int32"), index, axis).astype("bool")
        return original(x, index, axis)

    paddle.gather = gather


def digest(value):
    array = value.numpy()
    return "%s %s %s" % (array.dtype, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()[:16])


def train(args):
    """One side: losses, and the state dict before and after, into result.json."""
    import sweep_row

    from proving import training
    from proving.static_proof import prepare_environment

    prepare_environment("dygraph")
    if args.before:
        gather_booleans()
    args.dtype = None
    training.seed_everything(0)
    task = sweep_row.build(args)
    first = {name: digest(value) for name, value in task.model.state_dict().items()}
    found = training.train(task, "dygraph", args.steps)
    last = {name: digest(value) for name, value in task.model.state_dict().items()}
    losses = [float(loss).hex() for loss in found["losses"]]
    with open(os.path.join(args.out, "result.json"), "w") as stream:
        json.dump({"losses": losses, "first": first, "last": last}, stream)


def tree_before(row, target):
    """A copy of the work tree without the edits of the row; returns how many were taken back."""
    for name in os.listdir("."):
        if name in PARTS:
            shutil.copytree(name, os.path.join(target, name), ignore=shutil.ignore_patterns("*.jpg", "*.png", "*.gif", "*.pyc"))
        elif os.path.isdir(name):
            os.symlink(os.path.abspath(name), os.path.join(target, name))
    taken = [path for path in row["edits"] if path not in KEPT]
    alone = dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(target))
    for path in taken:
        patch = os.path.join(EDITS, path + ".patch")
        subprocess.run(["git", "apply", "-R", patch], cwd=target, check=True, env=alone)
        with open(path, "rb") as ours, open(os.path.join(target, path), "rb") as theirs:
            if ours.read() == theirs.read():
                raise SystemExit("%s: taking the edit back changed nothing" % path)
    return len(taken)


def side(tree, args, row, before):
    out = os.path.join(args.out, row["id"], "before" if before else "after")
    os.makedirs(out)
    paths = [tree, *(path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path and path != os.getcwd())]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    words = [sys.executable, os.path.abspath(__file__), "--out", out, "--row", row["id"], "--steps", str(args.steps)]
    with open(os.path.join(out, "log"), "w") as log:
        done = subprocess.run(words + ["--before"] * before, cwd=tree, env=env, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        with open(os.path.join(out, "log")) as log:
            raise SystemExit("%s, %s: %s" % (row["id"], os.path.basename(out), log.read()[-2000:]))
    with open(os.path.join(out, "result.json")) as stream:
        return json.load(stream)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--row", help="train this one alone, in the tree that is the working directory")
    parser.add_argument("--before", action="store_true")
    args = parser.parse_args()
    args.out = os.path.abspath(args.out)
    if args.row:
        return train(args)

    from proving import rows
    from proving.record import write_metrics

    metrics = {"compared_tensors": 0, "differing_tensors": 0, "differing_names": 0, "differing_losses": 0, "moved_losses": 0}
    for name in args.rows:
        row = rows.read_row(os.path.join(HERE, os.pardir, "models.toml"), name)
        target = os.path.join(args.out, name, "tree")
        os.makedirs(target)
        tree_before(row, target)
        ours, theirs = side(os.getcwd(), args, row, False), side(target, args, row, True)
        shutil.rmtree(target)
        for key in ("first", "last"):
            shared = set(ours[key]) & set(theirs[key])
            metrics["compared_tensors"] += len(shared)
            metrics["differing_names"] += len(set(ours[key]) ^ set(theirs[key]))
            metrics["differing_tensors"] += sum(ours[key][one] != theirs[key][one] for one in shared)
        metrics["differing_losses"] += sum(a != b for a, b in zip(ours["losses"], theirs["losses"]))
        metrics["moved_losses"] += len(set(ours["losses"])) > 1
        print(name, ours["losses"] == theirs["losses"], ours["last"] == theirs["last"], len(ours["last"]), flush=True)
    write_metrics(args.out, metrics)


if __name__ == "__main__":
    main()
