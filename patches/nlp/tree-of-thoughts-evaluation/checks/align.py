"""Parity with princeton-nlp/tree-of-thought-llm of what nlp-tree-of-thoughts does not have. The recorded runs and answers, and what
compares them, are those of nlp-tree-of-thoughts.

- search: the recorded runs of Creative Writing (sampled thoughts, votes) are replayed: prompts, calls, states, values and selections must be
  the official ones, with equal prompts merged, too.
- parse: how answers become votes and comparisons, and the sha256 of the prompts.
- chat: what --parse lenient reads of lists of words in the manner of ten chat models.
"""

import numpy as np
import packages
from paddlenlp.experimental.agents.tree_of_thoughts import create_task

from proving.record import Recorder, arguments

parity = packages.parity()


def parsing(recorder, text, stored):
    for i, case in enumerate(stored["vote"]):
        recorder.add("parse", "vote%d" % i, np.array(text.votes(case["outputs"], case["n"])), np.array(case["votes"]))
    compared = [text.compared(case["output"]) for case in stored["compare"]]
    recorder.add("parse", "compare", np.array(compared, float), np.array([case["value"] for case in stored["compare"]], float))
    made = [text.vote_prompt(case["x"], case["ys"]) for case in stored["vote_prompt"]]
    recorder.add("parse", "prompt.vote", parity.code(made), parity.raw([case["sha256"] for case in stored["vote_prompt"]]))


def main():
    args = arguments()
    recorder = Recorder(args.out)
    text = create_task("text", "paper", assets=packages.assets())
    runs = parity.read(parity.REFERENCE, "bfs_transcripts.json")["runs"]
    parity.replay_runs(recorder, {"text": text}, [run for run in runs if run["task"] == "text"])
    parsing(recorder, text, parity.read(parity.REFERENCE, "unwrap_cases.json"))
    words = create_task("crosswords", "en", "lenient", puzzles=[])
    cases = [case for case in parity.read(parity.REFERENCE, "chat_answers.json") if case[1] == "words"]
    parity.chat(recorder, cases, {"words": lambda given, text: [word for word, _ in words._listed(text)]})
    recorder.write()


if __name__ == "__main__":
    main()
