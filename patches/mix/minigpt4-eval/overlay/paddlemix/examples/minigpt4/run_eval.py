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
Zero-shot evaluation of MiniGPT-4, beside its controls.

    python paddlemix/examples/minigpt4/run_eval.py --model your_minigpt4_path --task vqa,pope \
        --annotations vqa=v2_OpenEnded_mscoco_val2014_questions.json,v2_mscoco_val2014_annotations.json pope=coco_pope_random.json \
        --images vqa=val2014 pope=val2014 --prompt all --parser all --output_dir output/minigpt4_7b

    python paddlemix/examples/minigpt4/run_eval.py compare output/minigpt4_7b output/minigpt4_13b

A run that was interrupted goes on when the same command is given again. With several GPUs, or processes on CPUs:
`python -m paddle.distributed.launch ... run_eval.py ...`. Exit status: 0 good; 1 an error, which is said; 3 a figure stands outside of its
controls (the results are written all the same).
"""

import argparse
import importlib.util
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from zeroshot.datasets import SETS, check_images  # noqa: E402
from zeroshot.report import compare  # noqa: E402
from zeroshot.runner import Task, ask, evaluate, manifest  # noqa: E402
from zeroshot.store import Store, StoreError, read_manifest  # noqa: E402


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        description="Zero-shot evaluation of MiniGPT-4 beside its controls.",
        epilog="VALUES may be given for one task as TASK=VALUE, for all tasks as VALUE.",
    )
    parser.add_argument("--task", required=True, help="comma separated: " + ", ".join(SETS))
    parser.add_argument("--annotations", required=True, nargs="+", help="TASK=FILE[,FILE]: what the set publishes")
    parser.add_argument("--images", required=True, nargs="+", help="TASK=FOLDER of the pictures")
    parser.add_argument("--model", help="directory of MiniGPT-4: weights, configuration, processor")
    parser.add_argument(
        "--answers", nargs="+", default=[], help="TASK=FILE: score another program's answers, without a model"
    )
    parser.add_argument("--prompt", nargs="+", default=[], help="TASK=NAME[,NAME] or all; default: one a task")
    parser.add_argument("--parser", nargs="+", default=[], help="TASK=NAME[,NAME] or all; default: one a task")
    parser.add_argument(
        "--candidates", nargs="+", default=[], help="TASK=FILE of answers, one a line, for the parser choice"
    )
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--split", default="test", help="split of Karpathy's files")
    parser.add_argument("--limit", type=int, help="the first rows only")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--max_new_tokens", type=int, default=64)
    parser.add_argument("--dtype", choices=("float32", "float16"), help="default: float16 on a GPU, float32 on a CPU")
    parser.add_argument("--device", help="gpu or cpu; default: what Paddle takes")
    parser.add_argument("--seed", type=int, default=0, help="of the random control and of the bootstrap")
    parser.add_argument("--rounds", type=int, default=2000, help="of the bootstrap")
    parser.add_argument(
        "--skip_blind", action="store_true", help="leave out the control without picture; the report says so"
    )
    parser.add_argument(
        "--outside", default="stop", choices=("stop", "report"), help="what a figure outside its controls does"
    )
    parser.add_argument("--skip_meteor", action="store_true", help="leave METEOR out: it takes long to start")
    parser.add_argument("--only_score", action="store_true", help="figures of what --output_dir holds; needs no model")
    args = parser.parse_args(argv)
    for name in ("limit", "batch_size", "max_new_tokens", "rounds"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    return args


def by_task(values, tasks, option):
    """{task: value} of words TASK=VALUE or VALUE."""
    made, general = {}, []
    for word in values:
        name, equal, value = word.partition("=")
        if equal and name in SETS:
            if name not in tasks:
                raise ValueError(
                    f"--{option} {word}: task {name} is not in --task {','.join(tasks)}; next: add it, or take this out"
                )
            if name in made:
                raise ValueError(f"--{option} {word}: {name} is given twice; next: give it once")
            made[name] = value
        else:
            general.append(word)
    if general:
        for task in tasks:
            made.setdefault(task, ",".join(general))
    return made


def tasks_of(args):
    """The tasks of the command line, with their rows."""
    names = [name.strip() for name in args.task.split(",") if name.strip()]
    unknown = [name for name in names if name not in SETS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"--task {args.task}: unknown, empty or twice {unknown}; next: of {', '.join(SETS)}, each once"
        )
    options = ("annotations", "images", "prompt", "parser", "candidates", "answers")
    given = {option: by_task(getattr(args, option), names, option) for option in options}
    for option in ("annotations", "images"):
        for name in names:
            if name not in given[option]:
                raise ValueError(f"--{option}: nothing for task {name}; next: --{option} {name}=...")
    if given["answers"] and (args.model or set(given["answers"]) != set(names)):
        raise ValueError(
            "--answers takes the place of --model, for every task; next: a run for the model, one for the answers"
        )
    if not given["answers"] and not args.model and not args.only_score:
        raise ValueError("there is neither --model nor --answers; next: give one of them")
    tasks = []
    for name in names:
        words = [given[option].get(name) for option in ("prompt", "parser", "candidates", "answers")]
        files = given["annotations"][name].split(",")
        tasks.append(Task(name, files, given["images"][name], args.split, args.limit, *words))
    return tasks, given["answers"]


def check_packages(tasks):
    """Raises ValueError where a package is missing that is needed at the end, after hours."""
    needed = ["matplotlib"] + ["pycocoevalcap"] * any(task.name == "caption" for task in tasks)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)}: not installed; next: pip install {' '.join(missing)}")


def run(args):
    """One run. Returns the exit status."""
    started = time.time()
    tasks, answers = tasks_of(args)
    check_packages(tasks)
    rank, ranks = int(os.environ.get("PADDLE_TRAINER_ID", 0)), int(os.environ.get("PADDLE_TRAINERS_NUM", 1))
    blind = not args.skip_blind and not answers
    options = {"max_new_tokens": args.max_new_tokens}
    if args.model and not args.only_score:
        if not os.path.isdir(args.model):
            raise ValueError(f"--model {args.model}: is no directory; next: convert the weights as in README.md")
        import paddle

        if args.device:
            paddle.set_device(args.device)
        options["dtype"] = args.dtype or ("float32" if "cpu" in paddle.get_device() else "float16")
    made = manifest(tasks, None if args.only_score else args.model, options, args.seed)
    if args.only_score:  # on a machine without the model
        found = read_manifest(args.output_dir)
        made.update({key: found[key] for key in ("model", "versions") if key in found})
    if answers:
        from zeroshot.store import sha256_files

        made["answers"] = {
            task: [os.path.basename(file), sha256_files([file])]
            for task, file in answers.items()
            if os.path.isfile(file)
        }
    store = Store(args.output_dir, rank, ranks)
    store.manifest(made)
    if args.model and not args.only_score:
        for task in tasks:
            check_images(task.rows)
        store.lock()
        from zeroshot.models import MiniGPT4

        model = MiniGPT4(args.model, batch_size=args.batch_size, **options)
        for task in tasks:
            ask(task, store, model, blind, quiet=rank > 0)
    with store.finishing():
        if not answers:
            missing = 0
            for task in tasks:
                for job, _, _, _, ids in task.jobs(blind):
                    missing += len(ids) - len(store.read(job, set(ids)))
            if missing and not args.only_score:
                if ranks == 1:
                    raise StoreError(
                        f"{args.output_dir}: {missing} rows are missing; next: run the same command again"
                    )
                print(
                    f"rank {rank}: has ended; {missing} rows of others are to come, the last process writes the results",
                    file=sys.stderr,
                )
                return 0
        written = os.path.join(args.output_dir, "results.json")
        if ranks > 1 and os.path.exists(written) and os.path.getmtime(written) > started:
            return 0  # another rank found everything there before
        outside = evaluate(tasks, store, blind, args.seed, args.rounds, answers, made, not args.skip_meteor)
    with open(os.path.join(args.output_dir, "report.md"), encoding="utf-8") as stream:
        print(stream.read())
    for task, prompt, parser, why in outside:
        print(f"outside: {task}, prompt {prompt}, parser {parser}: {why}", file=sys.stderr)
    if outside and args.outside == "stop":
        print(
            f"stopped: {len(outside)} figures stand outside of their controls; what was said is in {store.root}/results.jsonl; "
            "next: read some answers there, or --outside report",
            file=sys.stderr,
        )
        return 3
    return 0


def run_compare(argv):
    """compare A B. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="run_eval.py compare", description="Two runs on the same rows, by paired tests."
    )
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="JSON file for the result")
    args = parser.parse_args(argv)
    made = compare(args.first, args.second, args.seed)
    print("What differs between the runs (first | second):\n")
    print("\n".join("- " + line for line in made["differences"]) or "- nothing")
    print("\n| task | prompt | parser | first - second | 95 % | p | rows |\n|---|---|---|---|---|---|---|")
    for (task, prompt, name), test in made["tests"].items():
        cells = (
            f"{test['difference']:.2f} | [{test['low']:.2f}, {test['high']:.2f}] | {test['p']:.4f} | {test['rows']}"
        )
        print(f"| {task} | {prompt.replace('|', '/')} | {name} | {cells} |")
    if args.out:
        tests = [dict(zip(("task", "prompt", "parser"), key), **test) for key, test in made["tests"].items()]
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump({"differences": made["differences"], "tests": tests}, stream, indent=1, ensure_ascii=False)
    return 0


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    try:
        return run_compare(argv[1:]) if argv[:1] == ["compare"] else run(arguments(argv))
    except (ValueError, OSError) as error:  # faults of files and options, with what to do next
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
