"""Logic parity with princeton-nlp/tree-of-thought-llm, Game of 24, and the reading of chat models.

- search: the recorded runs of the official solve() and naive_solve() with a deterministic language model are replayed. The
  prompts (by sha256), their order, their numbers of answers, the states, values and selections of every level must be the
  official ones. Each run is also replayed with equal prompts merged, where the calls are fewer and everything else the same.
- verdict: what is right in the Game of 24, on the stored cases of the official test_output and on seeded random expressions
  against sympy.simplify, which the official code uses.
- parse: how answers become values and numbers, and the sha256 of prompts.
- chat: what parse "lenient" reads of 182 answers in the manner of ten chat models.
"""

import numpy as np
import packages
from paddlenlp.experimental.agents.tree_of_thoughts import Game24
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers
from parity import chat, code, raw, read, replay_runs, verdicts

from proving.record import Recorder, arguments


def parsing(recorder, tasks, stored):
    game, add = tasks["game24"], recorder.add
    values = [game.value("", case["y"], case["outputs"]) for case in stored["value"]]
    add("parse", "value", np.array(values, float), np.array([case["value"] for case in stored["value"]], float))
    cases = stored["current_numbers"]
    add("parse", "numbers", code([current_numbers(case["y"]) for case in cases]), code([case["numbers"] for case in cases]))
    prompts = {
        "propose": [game.propose_prompt(case["x"], case["y"]) for case in stored["propose_prompt"]],
        "value": [game.value_prompt(case["x"], case["y"]) for case in stored["value_prompt"]],
        "standard": [game.sample_prompt("standard", case["x"], case["y"]) for case in stored["standard_prompt"]],
        "cot": [game.sample_prompt("cot", case["x"], "") for case in stored["cot_prompt"]],
    }
    for name, made in prompts.items():
        add("parse", "prompt." + name, code(made), raw([case["sha256"] for case in stored[name + "_prompt"]]))


def main():
    args = arguments()
    recorder = Recorder(args.out)
    tasks = {"game24": Game24(packages.puzzles(), packages.prompts())}
    runs = read(args.reference, "bfs_transcripts.json")["runs"]
    replay_runs(recorder, tasks, [run for run in runs if run["task"] in tasks])
    verdicts(recorder, tasks["game24"], read(args.reference, "game24_test_output.json")["cases"])
    parsing(recorder, tasks, read(args.reference, "unwrap_cases.json"))
    # those that are lists of words belong to the crosswords of nlp-tree-of-thoughts-evaluation
    chat(recorder, [case for case in read(args.reference, "chat_answers.json") if case[1] != "words"])
    recorder.write()


if __name__ == "__main__":
    main()
