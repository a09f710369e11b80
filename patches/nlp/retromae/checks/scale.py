"""What token ids on disk cost for many passages: CPU time to make them once, and memory of a process that uses them.

The passages are made: each joins windows of the docstrings of corpus.py, and ends in its own number, so that no two are equal. A passage has
60 words, about what a passage of MS MARCO has.
"""

import json
import os
import resource
import subprocess
import sys
import time

import assets
import corpus
import numpy as np
import port

from proving.record import arguments, write_metrics

READER = """
import os, sys
from proving.tree import on_path
on_path(sys.argv[1])
import numpy as np
from paddlenlp.transformers import BertTokenizer
from retriever.masking import RetroMAECollator
from retriever.tokens import TokenFile

def private():
    with open("/proc/self/smaps_rollup") as stream:
        return sum(int(line.split()[1]) for line in stream if line.startswith("Private"))

tokenizer = BertTokenizer.from_pretrained(sys.argv[2])
collator = RetroMAECollator(tokenizer, max_length=128)
before = private()
data = TokenFile(sys.argv[3], tokenizer, 128)
rng = np.random.default_rng(0)
for _ in range(50):
    collator([data[int(i)] for i in rng.integers(0, len(data), 32)])
print(len(data), private() - before)
"""


def write_passages(path, count):
    words = " ".join(passage for _, passage in corpus.pairs()).split()
    starts = np.random.default_rng(0).integers(0, len(words) - 59, count)
    with open(path, "w", encoding="utf-8") as stream:
        for number, start in enumerate(starts.tolist()):
            text = " ".join(words[start : start + 59] + [str(number)])
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


def main():
    args = arguments(lambda parser: parser.add_argument("--passages", type=int, default=50000))
    port.use_overlay()
    from paddlenlp.transformers import BertTokenizer
    from retriever.tokens import TokenFile

    path, model = os.path.join(args.out, "texts.jsonl"), assets.minilm_here()
    write_passages(path, args.passages)
    used, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    data = TokenFile(path, BertTokenizer.from_pretrained(model), 128)
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    size = sum(os.path.getsize(os.path.join(data.folder, name)) for name in os.listdir(data.folder))
    again = time.monotonic()
    command = [sys.executable, "-c", READER, os.path.join("examples", "semantic_indexing", "bge"), model, path]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    rows, private = map(int, done.stdout.split()[-2:])
    found = {
        "passages": rows,
        "cpu_s": cpu,
        "wall_s": again - wall,
        "passages_per_cpu_s": rows / cpu,
        "disk_bytes_per_passage": size / rows,
        "private_kb_of_a_reader": private,
    }
    write_metrics(args.out, found)
    for name in os.listdir(data.folder):
        os.unlink(os.path.join(data.folder, name))
    os.unlink(path)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
