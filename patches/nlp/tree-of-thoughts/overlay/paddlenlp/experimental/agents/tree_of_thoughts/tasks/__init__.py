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

from typing import Sequence

from ..prompts import load_prompts
from .base import PARSERS, Task
from .described import DescribedTask
from .game24 import Game24

TASKS = {task.name: task for task in (Game24,)}


def create_task(name: str, prompts: str = "en", parse: str = "paper", puzzles: Sequence = ()) -> Task:
    """A task by name.

    Args:
        name (str): "game24".
        prompts (str): "en" or "zh", see ``prompts.load_prompts``. Default: "en".
        parse (str): "paper" or "lenient", see ``tasks.base.PARSERS``. Default: "paper".
        puzzles (sequence): Default: none.
    """
    if name not in TASKS:
        raise ValueError("no task {!r}; there are {}".format(name, ", ".join(sorted(TASKS))))
    return TASKS[name](puzzles, load_prompts(name, prompts), parse)
