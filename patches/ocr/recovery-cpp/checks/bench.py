"""CPU time of pages: the C++ command against ppstructure/recovery, on the same structure results, in turn.

The command is timed as a process (start, reading the files, writing .docx and .xlsx); Python only as calls inside a running process
(reading the files, sorting, writing the .docx), so its start and imports do not count.
"""

import json
import os
import resource
import time

from build import recover_command
from pages import inputs, save
from parity import python_recovery, run

from proving.record import arguments
from proving.timing import interleave, write_benchmark

COUNTS = {"text pages": 100, "tables": 20, "300 blocks": 4}  # pages in one document


def cpu_time():
    """CPU seconds of this process and of the children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main():
    args = arguments(lambda parser: parser.add_argument("--rounds", type=int, default=5))
    command = recover_command()
    made = inputs()
    kinds = {
        "text pages": ["single_column", "two_columns", "mixed_columns", "chinese", "arabic"],
        "tables": ["all_tables", "spans", "table_in_columns", "formatted_cells"],
        "300 blocks": ["blocks_300"],
    }
    rows = []
    for kind, names in kinds.items():
        count = COUNTS[kind]
        pages = [made[names[i % len(names)]]["pages"][0] for i in range(count)]
        name = kind.replace(" ", "_")
        folder = save(os.path.join(args.out, "stage"), name, pages)
        theirs = os.path.join(args.out, "python")
        os.makedirs(os.path.join(theirs, name))

        def cpp(folder=folder):
            status, messages = run(command, folder, os.path.join(args.out, "cpp"))
            if status != 0:
                raise RuntimeError(messages)

        def python(folder=folder, name=name, count=count, theirs=theirs):
            read = []
            for index in range(count):
                with open(os.path.join(folder, "res_%d.txt" % index), encoding="utf8") as stream:
                    read.append([json.loads(line) for line in stream])
            python_recovery(name, read, theirs)

        samples = interleave({"cpp": cpp, "python": python}, rounds=args.rounds, warmup=1, clock=cpu_time)
        best = {side: count / min(times) * 1e3 for side, times in samples.items()}
        print(kind, {side: "%.1f pages a CPU second" % value for side, value in best.items()}, flush=True)
        rows.append({"name": "%d x %s" % (count, kind), "ours": "cpp", "against": "python", "samples": samples})
    write_benchmark(args.out, rows)


if __name__ == "__main__":
    main()
