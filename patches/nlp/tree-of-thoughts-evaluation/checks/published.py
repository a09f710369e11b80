"""Replays the trajectories that the paper's authors published (GPT-4) through the searches of the change.

Not a check of CI: it needs `logs/` of a checkout of princeton-nlp/tree-of-thought-llm @ ab40034, which is not in any package.

    python patches/nlp/tree-of-thoughts/checks/published.py --out DIR --logs CHECKOUT/logs

(with PYTHONPATH as docs/check-scripts.md has it). It writes metrics.json:

- game24, breadth first: the 100 puzzles of the authors' own run (b=5). A model that gives the logged proposals, and judgements
  that add up to the logged values, must lead to the same candidates, values, selections and rewards on all levels.
- text, breadth first: 100 instructions; the votes are the logged ones.
- crosswords, depth first: 20 puzzles, with and without pruning. Proposals are the logged confidences (env_cache.json), the
  verdicts on clues the logged counts. The words tried, in order, and their scores must be the logged ones. What GPT-4 said of
  each clue is in a file that is not read here, so a state's verdicts are replaced by their counts. The confidences of states
  that only the run without pruning saw were not published; there the words that run went on to try are proposed.
- verdicts: every output of the logged IO and CoT runs (100 x 100 and 20 x 10, twice each) is judged again.
"""

import itertools
import json
import os

import packages
from paddlenlp.experimental.agents.language_models import Completion, LanguageModel
from paddlenlp.experimental.agents.tree_of_thoughts import MiniCrosswords, create_task, drive, search
from paddlenlp.experimental.agents.tree_of_thoughts.evaluation import preset
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.crosswords import CONFIDENCE
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import WORDS

from proving.record import arguments, write_metrics

digest = packages.parity().digest

LOGS = {
    "game24": "game24/gpt-4_0.7_propose1_value3_greedy5_start900_end1000.json",
    "text": "text/gpt-4_1.0_generate_sample_select_greedy_sample5_start0_end100.json",
    "game24_io": "game24/gpt-4_0.7_naive_standard_sample_100_start900_end1000.json",
    "game24_cot": "game24/gpt-4_0.7_naive_cot_sample_100_start900_end1000.json",
    "crosswords_io": "crosswords/gpt-4_0.7_naive_standard_sample_10_start0_end20.json",
    "crosswords_cot": "crosswords/gpt-4_0.7_naive_cot_sample_10_start0_end20.json",
}


class Answers(LanguageModel):
    """Gives prepared answers by prompt; a prompt that comes again takes the next ones."""

    name = "published"

    def __init__(self):
        self.prepared = {}
        self.calls = 0

    def prepare(self, prompt, texts):
        self.prepared.setdefault(digest(prompt), []).append(list(texts))

    def complete(self, requests):
        completions = []
        for request in requests:
            queue = self.prepared[digest(request.prompt)]
            texts = queue.pop(0) if len(queue) > 1 else queue[0]
            assert len(texts) == request.n, (len(texts), request.n)
            self.calls += 1
            completions.append(Completion(texts))
        return completions


def words_worth(value, n=3):
    """n judgements whose values add up to `value`; 0 where none of them is a word."""
    words = list(WORDS) + ["?"]
    for said in itertools.combinations_with_replacement(words, n):
        if abs(sum(worth * said.count(word) for word, worth in WORDS.items()) - value) < 1e-9:
            return list(said)
    raise ValueError("no %d judgements are worth %r" % (n, value))


def breadth_first_game24(task, records):
    counts = dict.fromkeys(("puzzles", "identical", "levels", "states", "any", "first", "mean"), 0)
    values = {}
    for record in records:
        model = Answers()
        x = task.input(record["idx"])
        for step in record["steps"]:
            texts = []
            for i, y in enumerate(step["ys"]):
                mine = [new[len(y) : -1] for new in children(step, i, y)]
                texts.append((task.propose_prompt(x, y), ["\n".join(mine)]))
            for prompt, text in texts:
                model.prepare(prompt, text)
            for y, value in zip(step["new_ys"], step["values"]):
                if value or digest(task.value_prompt(x, y)) not in model.prepared:
                    model.prepared[digest(task.value_prompt(x, y))] = [words_worth(value)]
        # The run's value cache outlived a puzzle: what was judged before keeps the value it was logged with.
        result = drive(search(task, x, preset("game24", "tot"), str(record["idx"]), values), model, merge=False)
        same = len(result.steps) == len(record["steps"])
        for got, want in zip(result.steps, record["steps"]):
            same &= got.frontier == want["ys"] and got.candidates == want["new_ys"] and got.values == want["values"]
            same &= [got.candidates[i] for i in got.selected] == want["select_new_ys"]
            counts["levels"] += 1
            counts["states"] += len(got.candidates)
        rewards = [drive(task.score(record["idx"], y), None)["r"] for y in result.outputs]
        same &= rewards == [info["r"] for info in record["infos"]]
        counts["puzzles"] += 1
        counts["identical"] += bool(same)
        counts["any"] += max(rewards)
        counts["first"] += rewards[0]
        counts["mean"] += sum(rewards) / len(rewards)
    return counts


def children(step, i, y):
    """The candidates that came from the i-th state of a level: they begin with it, and are logged state by state."""
    if not y:
        return step["new_ys"]
    blocks, start = [], 0
    for state in step["ys"]:
        end = start
        while end < len(step["new_ys"]) and step["new_ys"][end].startswith(state):
            end += 1
        # Equal states follow each other with a block each; a repeated first child starts the next block.
        block = step["new_ys"][start:end]
        if step["ys"].count(state) > 1 and block:
            again = [k for k in range(1, len(block)) if block[k] == block[0]]
            remaining = step["ys"].count(state) - sum(1 for s in step["ys"][: len(blocks)] if s == state)
            if remaining > 1 and again:
                end = start + again[0]
                block = step["new_ys"][start:end]
        blocks.append(block)
        start = end
    return blocks[i]


def breadth_first_text(task, records):
    counts = dict.fromkeys(("puzzles", "identical"), 0)
    for record in records:
        model, x = Answers(), task.input(record["idx"])
        first, second = record["steps"]
        config = preset("text", "tot")
        model.prepare(task.sample_prompt("cot", x, ""), first["new_ys"])
        chosen = first["select_new_ys"][0]
        model.prepare(task.sample_prompt("cot", x, chosen), [new[len(chosen) :] for new in second["new_ys"]])
        for step in (first, second):
            ballots = ["The best choice is %d" % (i + 1) for i, votes in enumerate(step["values"]) for _ in range(votes)]
            ballots += ["undecided"] * (config.n_evaluate - len(ballots))
            model.prepare(task.vote_prompt(x, step["new_ys"]), ballots)
        result = drive(search(task, x, config, str(record["idx"])), model)
        same = all(
            got.candidates == want["new_ys"]
            and got.values == want["values"]
            and [got.candidates[i] for i in got.selected] == want["select_new_ys"]
            for got, want in zip(result.steps, record["steps"])
        )
        counts["puzzles"] += 1
        counts["identical"] += bool(same and len(result.steps) == 2 and result.outputs == record["ys"])
    return counts


class Logged(MiniCrosswords):
    """The crosswords with what GPT-4 proposed and found possible taken from the logs; the search is not touched."""

    name = "crosswords"

    def know(self, confidences, infos):
        self.confidences = confidences
        self.count = {"".join(action + "\n" for action in info["actions"]): info["count"] for info in infos}
        self.without_confidences = 0

    def ranked_proposals(self, x, y, texts):
        listed = self.confidences.get(texts[0])
        if listed is None:
            self.without_confidences += 1
            return [state for state in self.count if state.startswith(y) and state.count("\n") == y.count("\n") + 1]
        return [y + word + "\n" for word in sorted(listed, key=listed.get, reverse=True)]

    def assessment_prompts(self, x, y, n):
        return [], 1

    def assess(self, x, y, answers):
        count = self.count.get(y, {"sure": 0, "maybe": 0, "impossible": 0})
        return -float(count["impossible"]), count


class Echo(LanguageModel):
    """Answers with the part of the prompt that shows the board: the key of the logged confidences."""

    name = "echo"

    def complete(self, requests):
        return [Completion([self.board(request.prompt)] * request.n) for request in requests]

    @staticmethod
    def board(prompt):
        start = prompt.index("Current Board:\n")
        end = prompt.index("Changed:\n") + len("Changed:\n")
        return prompt[start:end]


def depth_first(task, confidences, published, prune):
    names = ("puzzles", "identical", "visits", "states_without_confidences", "r_letter", "r_word", "r_game")
    counts = dict.fromkeys(names, 0)
    best = dict.fromkeys(("r_letter", "r_word", "r_game"), 0)
    for index, infos in zip(range(0, 100, 5), published):
        task.know(confidences, infos)
        x = task.input(index)
        result = drive(search(task, x, preset("crosswords", "tot", prune=prune), str(index)), Echo())
        got = [node.state for node in result.nodes]
        want = ["".join(action + "\n" for action in info["actions"]) for info in infos]
        rewards = [task.compare(index, task.board(state)) for state in got]
        same = got == want and [node.depth for node in result.nodes] == [info["env_step"] for info in infos]
        same &= all(abs(r["r_word"] - i["info"]["r_word"]) < 1e-9 for r, i in zip(rewards, infos))
        same &= all(abs(r["r_letter"] - i["info"]["r_letter"]) < 1e-9 for r, i in zip(rewards, infos))
        counts["puzzles"] += 1
        counts["identical"] += bool(same)
        counts["visits"] += len(got)
        counts["states_without_confidences"] += task.without_confidences
        score = drive(task.score(index, result.outputs[0]), None)
        for name in best:
            counts[name] += score[name] / len(published)
            best[name] += max(reward[name] for reward in rewards) / len(published)
    return dict(counts, **{"best_" + name: value for name, value in best.items()})


def verdicts(task, records, stride=1):
    """Outputs judged, how many as logged, the mean reward in per cent, and how many puzzles the best output solves."""
    judged = same = solved = 0
    mean = []
    for record in records:
        index = record["idx"] * stride
        logged = record["accs"] if "accs" in record else [info["r"] for info in record["infos"]]
        rewards = [drive(task.score(index, y), None)["r"] for y in record["ys"]]
        judged += len(rewards)
        same += sum(abs(a - b) < 1e-9 for a, b in zip(rewards, logged))
        solved += max(rewards)
        mean.append(sum(rewards) / len(rewards))
    return {"outputs": judged, "identical": same, "mean_percent": 100 * sum(mean) / len(mean), "solved": solved}


def main():
    args = arguments(lambda p: p.add_argument("--logs", required=True, help="the folder logs/ of a checkout"))

    def load(name):
        with open(os.path.join(args.logs, LOGS.get(name, name)), encoding="utf-8") as stream:
            return json.load(stream)

    folder = packages.assets()
    game24, text = (create_task(name, "paper", assets=folder) for name in ("game24", "text"))
    crosswords = create_task("crosswords", "paper", assets=folder)
    logged = Logged(crosswords.puzzles, crosswords.prompts)
    confidences = load("crosswords/env_cache.json")
    assert set(CONFIDENCE) == {"certain", "high", "medium", "low"}
    parts = {
        "game24_bfs": breadth_first_game24(game24, load("game24")),
        "text_bfs": breadth_first_text(text, load("text")),
        "crosswords_dfs_prune": depth_first(logged, confidences, load("crosswords/infoss_dfs_prune.json"), True),
        "crosswords_dfs_no_prune": depth_first(logged, confidences, load("crosswords/infoss_dfs_no_prune.json"), False),
        "verdict_game24_io": verdicts(game24, load("game24_io")),
        "verdict_game24_cot": verdicts(game24, load("game24_cot")),
    }
    write_metrics(args.out, {"%s.%s" % (part, name): value for part, row in parts.items() for name, value in row.items()})
    print(json.dumps(parts, indent=1))


if __name__ == "__main__":
    main()
