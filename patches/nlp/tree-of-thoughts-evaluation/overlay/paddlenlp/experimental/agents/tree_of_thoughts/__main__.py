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

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from typing import Any, Dict, List, Optional

from ..language_models import (
    PRICES,
    CachedModel,
    EndpointModel,
    IncrementalModel,
    LanguageModel,
    LanguageModelError,
    Price,
    convert_gguf,
)
from ..language_models.generation import GRAPHS
from .data import AssetError
from .evaluation import PUZZLES, LogError, evaluate, preset, read_log
from .oracle import Game24Oracle, Skill
from .prompts import LANGUAGES
from .report import draw_tree, success_table
from .search import SearchConfig
from .tasks import TASKS, create_task
from .tasks.base import PARSERS

PROGRAM = "python -m paddlenlp.experimental.agents.tree_of_thoughts"


def _typed(pairs: List[str], of: type) -> Dict[str, Any]:
    """The settings "name=value" of a dataclass, each read as JSON or else as text."""
    known = {item.name for item in fields(of)}
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            raise ValueError("{!r} is not name=value with a name of {}".format(pair, ", ".join(sorted(known))))
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _unescaped(text: str) -> str:
    r"""A stop string as it is typed, with \n for the end of a line; other characters stay, of any script."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def _price(args: argparse.Namespace) -> Optional[Price]:
    return Price(*args.price) if args.price else PRICES.get(getattr(args, "model", None))


def _model(args: argparse.Namespace, prompts: Dict[str, str]) -> LanguageModel:
    if args.backend == "oracle":
        if args.task != "game24":
            raise ValueError("the oracle knows game24 alone")
        return Game24Oracle(prompts, Skill(**_typed(args.skill, Skill)), args.seed)
    if not args.model:
        raise ValueError("--backend {} needs --model".format(args.backend))
    if args.backend == "endpoint":
        return EndpointModel(args.model, args.base_url, api=args.api, concurrency=args.concurrency)
    return IncrementalModel.from_pretrained(
        args.model,
        dtype=args.dtype,
        prompt_format=args.prompt_format,
        stop=args.stop,
        seed=args.seed,
        max_rows=args.max_rows,
        graph=args.graph,
    )


def _run(args: argparse.Namespace) -> int:
    config = preset(args.task, args.preset, **_typed(args.set, SearchConfig))
    task = create_task(args.task, args.prompts, args.parse, args.assets)
    standard = PUZZLES[args.task]
    start = standard.start if args.start is None else args.start
    end = standard.stop if args.end is None else args.end
    model = _model(args, task.prompts)
    if args.prompt_cache:
        model = CachedModel(model, args.prompt_cache)
    with model:
        try:
            puzzles = range(start, end, args.stride or standard.step)
            evaluate(task, model, config, puzzles, args.output, args.in_flight, stop_unread=not args.go_on)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from {}".format(args.output), file=sys.stderr)
            return 130
    print(success_table([args.output], _price(args)))
    return 0


def _report(args: argparse.Namespace) -> int:
    table = success_table(args.logs, _price(args))
    print(table)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as stream:
            stream.write(table)
    return 0


def _tree(args: argparse.Namespace) -> int:
    _, records = read_log(args.log)
    there = {record["index"]: record for record in records}
    index = args.index if args.index is not None else min(there, default=None)
    if index not in there:
        raise ValueError("puzzle {} is not in {}".format(index, args.log))
    draw_tree(there[index], args.output)
    return 0


def _convert(args: argparse.Namespace) -> int:
    print(convert_gguf(args.gguf, args.folder))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Tree of Thoughts on PaddleNLP")
    commands = parser.add_subparsers(dest="command", required=True)
    add = argparse.ArgumentDefaultsHelpFormatter

    run = commands.add_parser("run", help="search puzzles, or go on with a log", formatter_class=add)
    run.set_defaults(function=_run)
    run.add_argument("--task", choices=sorted(TASKS), default="game24")
    run.add_argument("--preset", default="tot", help="io, cot, cot-sc or tot: the paper's settings")
    run.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="changes to them, e.g. n_select=1")
    run.add_argument("--prompts", choices=LANGUAGES, default="en")
    run.add_argument("--parse", choices=PARSERS, default="paper", help="lenient: for models below GPT-4's discipline")
    run.add_argument("--assets", default=None, help="folder with the paper's puzzles (default: downloaded once)")
    run.add_argument("--start", type=int, default=None, help="first puzzle (default: the paper's)")
    run.add_argument("--end", type=int, default=None, help="one after the last puzzle (default: the paper's)")
    run.add_argument("--stride", type=int, default=None, help="every how many-th (default: the paper's)")
    run.add_argument("--output", required=True, help="log (JSON lines); an existing one is gone on with")
    run.add_argument("--prompt_cache", default=None, help="SQLite file that keeps all answers; runs may share it")
    run.add_argument(
        "--go_on", action="store_true", help="even if nothing can be read of the answers to the first puzzle"
    )
    run.add_argument("--in_flight", type=int, default=1, help="puzzles searched at once")
    run.add_argument("--seed", type=int, default=0, help="of the model in process and of the oracle")
    run.add_argument("--backend", choices=["paddlenlp", "endpoint", "oracle"], default="paddlenlp")
    run.add_argument("--model", default=None, help="name or folder (paddlenlp), or the endpoint's name for it")
    run.add_argument("--dtype", default="float32", help="paddlenlp: float32, float16 or bfloat16")
    run.add_argument(
        "--prompt_format", default="plain", help="paddlenlp: plain, chatml, llama2, chatglm2 or a template"
    )
    run.add_argument(
        "--stop", nargs="*", default=[], type=_unescaped, help=r"paddlenlp: further stop strings, e.g. '\nInput:'"
    )
    run.add_argument("--max_rows", type=int, default=32, help="paddlenlp: largest batch")
    run.add_argument("--graph", choices=GRAPHS, default="dygraph", help="paddlenlp: how tokens are decoded")
    run.add_argument("--base_url", default=None, help="endpoint: address up to /chat/completions")
    run.add_argument(
        "--api", choices=["chat", "completions"], default="chat", help="endpoint: which of its interfaces"
    )
    run.add_argument("--concurrency", type=int, default=8, help="endpoint: requests at once")
    run.add_argument("--skill", nargs="*", default=[], metavar="NAME=VALUE", help="oracle: e.g. judge=0.7 proposals=8")
    run.add_argument("--price", type=float, nargs=2, default=None, metavar=("IN", "OUT"), help="$ for 1000 tokens")

    report = commands.add_parser("report", help="table of success, calls, tokens and cost", formatter_class=add)
    report.set_defaults(function=_report)
    report.add_argument("logs", nargs="+")
    report.add_argument("--output", default=None, help="write the table there too")
    report.add_argument("--price", type=float, nargs=2, default=None, metavar=("IN", "OUT"), help="$ for 1000 tokens")

    tree = commands.add_parser("tree", help="picture of the search for one puzzle", formatter_class=add)
    tree.set_defaults(function=_tree)
    tree.add_argument("log")
    tree.add_argument("--index", type=int, default=None, help="puzzle (default: the first of the log)")
    tree.add_argument("--output", default="tree.png")

    convert = commands.add_parser("convert", help="a LLaMA in GGUF to a PaddleNLP checkpoint", formatter_class=add)
    convert.set_defaults(function=_convert)
    convert.add_argument("gguf")
    convert.add_argument("folder")
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    args = _parser().parse_args(argv)
    try:
        return args.function(args)
    except (AssetError, LanguageModelError, LogError, ValueError, IndexError, OSError) as error:
        print("{} {}: error: {}".format(PROGRAM, args.command, error), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
