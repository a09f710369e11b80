# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
Raw answers on disk: one JSON line a row, appended and synchronized batch by batch, one file for each process.

    OUT/manifest.json                          what the run is: weights, sets, prompts, versions
    OUT/raw/<task>.<system>.<prompt>.<rank>.jsonl

A run that was killed goes on where it stood: what is in any file of the job is not asked again. Processes share nothing but these files:
rows are dealt by their place in the set, so that their number may change from one start to the next.
"""

import fcntl
import glob
import hashlib
import json
import os
import re
import sys
import time

__all__ = ["StoreError", "Store", "sha256_files", "SCORING"]

# The part of a manifest that may change from one start to the next: stored answers do not depend on it.
SCORING = "scoring"


class StoreError(ValueError):
    """A fault of the output directory: message with the file, the id and what to do next."""


def sha256_files(paths):
    """One hexadecimal digest over names (without directory) and bytes of files."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=os.path.basename):
        digest.update(os.path.basename(path).encode() + b"\0")
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 22), b""):
                digest.update(block)
    return digest.hexdigest()


def write_whole(path, text):
    """A file that is there as a whole or not at all."""
    part = f"{path}.{os.getpid()}.part"
    with open(part, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)


class Store:
    """
    The output directory of a run.

    Args:
        root: directory; made where it is not. rank, ranks: this process and their number.
    """

    def __init__(self, root, rank=0, ranks=1):
        self.root, self.rank, self.ranks = root, rank, ranks
        os.makedirs(os.path.join(root, "raw"), exist_ok=True)
        self._locks = []

    def _lock(self, rank, patience=0.0):
        """The open lock file of a rank, or None where another process holds it."""
        stream = open(os.path.join(self.root, "raw", f".lock-{rank}"), "w")
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return stream
            except OSError:
                if time.monotonic() > end:
                    stream.close()
                    return None
                time.sleep(0.1)

    def lock(self):
        """
        Keeps this rank's files from a second run.

        Raises:
            StoreError: another process writes as this rank into this directory.
        """
        held = self._lock(self.rank, patience=3)  # who repairs a dead rank's file holds its lock for a moment
        if held is None:
            raise StoreError(
                f"{self.root}: another run writes here as rank {self.rank}; next: wait for it, or take another --output_dir"
            )
        self._locks.append(held)  # held until the process ends, however it ends

    def manifest(self, made):
        """
        Writes the manifest, or compares it with the one that is there; how the answers are scored may change.

        Raises:
            StoreError: the directory holds another run; the message names what differs.
        """
        path = os.path.join(self.root, "manifest.json")
        text = json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        with open(path + ".lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not os.path.exists(path):
                write_whole(path, text)
                return
            found = read_manifest(self.root)
            other = [key for key in sorted(set(found) | set(made)) if found.get(key) != made.get(key)]
            if other == [SCORING]:
                write_whole(path, text)
                other = []
        if other:
            shown = "; ".join(f"{key} was {str(found.get(key))[:80]}, now {str(made.get(key))[:80]}" for key in other)
            raise StoreError(f"{path}: this directory holds another run ({shown}); next: take another --output_dir")

    def mine(self, rows):
        """The rows of this rank: every ranks-th by its place in the set."""
        return rows[self.rank :: self.ranks]

    def _files(self, job):
        return sorted(
            glob.glob(os.path.join(glob.escape(os.path.join(self.root, "raw")), glob.escape(job) + ".*.jsonl"))
        )

    def _own(self, job):
        return os.path.join(self.root, "raw", f"{job}.{self.rank}.jsonl")

    def repair(self, job):
        """Cuts lines that killed processes left half written; their rows are asked again. Files of running processes are left alone."""
        for path in self._files(job):
            rank = int(path.split(".")[-2])
            held = None if rank == self.rank else self._lock(rank)
            if rank != self.rank and held is None:
                continue
            with open(path, "rb+") as stream:
                content = stream.read()
                whole = content.rfind(b"\n") + 1
                if whole < len(content):
                    stream.truncate(whole)
                    print(f"{path}: the last line was half written, its row is asked again", file=sys.stderr)
            if held is not None:
                held.close()

    def read(self, job, known):
        """
        What is stored for a job. A last line without its end is of a process that is writing, or was killed: it counts as not there.

        Args:
            known: ids of the set.

        Returns:
            {id: record}.

        Raises:
            StoreError: a line that is no record, an id of another set, two different records of an id.
        """
        made = {}
        for path in self._files(job):
            with open(path, encoding="utf-8", errors="replace", newline="\n") as stream:
                lines = stream.read().split("\n")
            for number, line in enumerate(lines[:-1], 1):
                try:
                    record = json.loads(line)
                    name = record["id"]
                except (ValueError, KeyError, TypeError):
                    raise StoreError(
                        f"{path}: line {number} is no record; next: take the line out and run the same command again"
                    )
                if name not in known:
                    raise StoreError(
                        f"{path}: line {number} is of id {name}, which is not in this set; next: take another --output_dir"
                    )
                if name in made and made[name] != record:
                    raise StoreError(
                        f"{path}: line {number} answers id {name} another time, and differently; next: take one of them out"
                    )
                made[name] = record
        return made

    def complete(self, job, known):
        """
        `read`, where every id must be there.

        Raises:
            StoreError: rows are missing; the message names the half-written file, if there is one.
        """
        made = self.read(job, known)
        missing = [name for name in known if name not in made]
        if missing:
            half = [path for path in self._files(job) if not _ends(path)]
            where = half[0] + " is half written" if half else os.path.join(self.root, "raw", job + ".*.jsonl")
            raise StoreError(
                f"{where}: {len(missing)} of {len(known)} rows are missing, the first is id {missing[0]}; "
                "next: run the same command again without --only_score, it asks these rows only"
            )
        return made

    def append(self, job, records):
        """Adds records to this rank's file; they are on the disk when this returns."""
        with open(self._own(job), "a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
            stream.flush()
            os.fsync(stream.fileno())

    def finishing(self):
        """A lock under which one process looks whether all rows are there, and writes the results."""
        stream = open(os.path.join(self.root, "raw", ".finish"), "w")
        fcntl.flock(stream, fcntl.LOCK_EX)
        return stream


def _ends(path):
    with open(path, "rb") as stream:
        content = stream.read()
    return not content or content.endswith(b"\n")


def read_manifest(root):
    """The manifest of a run. Raises StoreError where there is none."""
    path = os.path.join(root, "manifest.json")
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        raise StoreError(f"{root}: holds no manifest.json; next: give the --output_dir of a run of run_eval.py")
    except ValueError as error:
        raise StoreError(f"{path}: is no JSON ({error}); next: take another --output_dir")


def job_name(task, system, prompt):
    """File name of a job; names are made of letters, digits, @, _ and -."""
    name = f"{task}.{system}.{prompt}"
    if not re.fullmatch(r"[\w@.-]+", name):
        raise ValueError(f"{name!r} is no file name")
    return name
