"""Whether float32 programs convert to the same bytes as before: every program of tests/fp16_scan.py in float32, opsets 7 to 19.

--before names the module of another core (paddle2onnx_cpp2py_export*.so): the release's, or one built from the commit that the branch
starts from. It converts in a process of its own, since it may end in abort(). A conversion counts as the same where both give the same
bytes, or where both refuse; what only one of them converts is named.
"""

import argparse
import collections
import json
import multiprocessing
import os
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

from package import assemble

from proving.record import arguments, write_metrics


def load(path):
    name = "paddle2onnx_cpp2py_export"
    spec = spec_from_loader(name, ExtensionFileLoader(name, path))
    core = module_from_spec(spec)
    spec.loader.exec_module(core)
    return core


def quietly(core, path, opset, external):
    params = path + ".pdiparams"
    return core.export(
        path + ".pdmodel",
        params if os.path.isfile(params) else "",
        opset,
        True,
        False,
        True,
        True,
        True,
        {},
        "onnxruntime",
        "",
        external,
        False,
    )


def serve(core_path, connection):
    """Convert what comes through `connection`, each in a forked child; b"" where that ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    core = load(core_path)
    with tempfile.TemporaryDirectory() as scratch:
        result = os.path.join(scratch, "model")
        while True:
            request = connection.recv()
            if request is None:
                return
            child = os.fork()
            if child == 0:
                try:
                    data = quietly(core, *request, os.path.join(scratch, "external"))
                    with open(result, "wb") as file:
                        file.write(data)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            data = b""
            if os.path.isfile(result):
                with open(result, "rb") as file:
                    data = file.read()
                os.remove(result)
            connection.send(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", required=True)
    parser.add_argument("--only", default="", help="these operators, split by commas")
    parser.add_argument("--opsets", default="7,8,9,10,11,12,13,14,15,16,17,18,19")
    args = arguments(parser=parser)
    assemble(args.out)
    context = multiprocessing.get_context("spawn")
    servers = []
    for core in (os.path.abspath(args.before), os.path.abspath(os.environ["PADDLE2ONNX_CORE"])):
        ours, theirs = context.Pipe()
        worker = context.Process(target=serve, args=(core, theirs), daemon=True)
        worker.start()
        servers.append((ours, worker))
    import fp16_scan
    from fp16_base import lower

    counts, rows = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only.split(",") if args.only else sorted(fp16_scan.CASES):
            try:
                path = lower(fp16_scan.Case(name, folder, run=False).path)
            except Exception as error:
                counts["not saved"] += 1
                rows.append({"operator": name, "result": "not saved", "detail": repr(error)[:200]})
                continue
            for opset in map(int, args.opsets.split(",")):
                for connection, _ in servers:
                    connection.send((path, opset))
                before, now = [connection.recv() for connection, _ in servers]
                word = "same" if before == now and now else "both refuse" if before == now else "differs"
                if not before or not now:
                    word = word if word == "both refuse" else "only before" if before else "only now"
                counts[word] += 1
                if word not in ("same", "both refuse"):
                    rows.append({"operator": name, "opset": opset, "result": word})
    for connection, worker in servers:
        connection.send(None)
        worker.join()
    with open(os.path.join(args.out, "float32_same.json"), "w") as file:
        json.dump({"counts": counts, "rows": rows}, file, indent=1)
    words = ("same", "both refuse", "differs", "only before", "only now", "not saved")
    write_metrics(args.out, metrics={word.replace(" ", "_"): counts[word] for word in words})
    print(dict(counts))
    print(rows[:20], file=sys.stderr)


if __name__ == "__main__":
    main()
