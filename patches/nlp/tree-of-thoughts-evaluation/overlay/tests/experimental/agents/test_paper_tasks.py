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

import re
import unittest

from paddlenlp.experimental.agents.language_models import LanguageModelError, ScriptedModel
from paddlenlp.experimental.agents.tree_of_thoughts import (
    CreativeWriting,
    Game24,
    Game24Oracle,
    MiniCrosswords,
    SearchConfig,
    Skill,
    drive,
    drive_all,
    search,
)
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts
from paddlenlp.experimental.agents.tree_of_thoughts.solver import moves, parse_numbers, reaches
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.crosswords import Board, render, render_clues
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers

PUZZLES = ["1 1 4 6", "4 5 6 10", "1 2 4 7", "3 3 8 8"]


def game24(parse="paper", prompts="en", puzzles=PUZZLES):
    return Game24(puzzles, load_prompts("game24", prompts), parse)


class SolverTest(unittest.TestCase):
    def test_moves_and_reach(self):
        found = {move.text: move.left for move in moves(parse_numbers("6 2"))}
        self.assertEqual(
            {text: [str(n) for n in left] for text, left in found.items()},
            {
                "2 + 6 = 8": ["8"],
                "2 * 6 = 12": ["12"],
                "2 - 6 = -4": ["-4"],
                "6 - 2 = 4": ["4"],
                "2 / 6 = 1/3": ["1/3"],
                "6 / 2 = 3": ["3"],
            },
        )
        self.assertTrue(reaches(parse_numbers("3 3 8 8")))
        self.assertFalse(reaches(parse_numbers("1 1 1 1")))

    def test_examples_of_game24_are_right(self):
        for language in ("en", "zh"):
            prompts = load_prompts("game24", language)
            shown = re.findall(
                r"Input: ([\d ]+)\n(?:Steps:\n(?:.*\n){3})?Answer: (.*)", prompts["standard"] + prompts["cot"]
            )
            self.assertGreaterEqual(len(shown), 4)
            judged = re.findall(r"Input: ([\d ]+)\nAnswer: (.*)\nJudge:\n(.*)", prompts["value_last_step"])
            self.assertGreaterEqual(len(judged), 4)
            task = game24()
            for numbers, answer, verdict in [(n, a, "sure") for n, a in shown] + judged:
                self.assertEqual(task.correct(numbers, answer), verdict == "sure", (numbers, answer))
            numbers, listed = re.search(
                r"Input: ([\d ]+)\nPossible next steps:\n((?:.*left.*\n)+)", prompts["propose"]
            ).groups()
            possible = {move.text: move.left for move in moves(parse_numbers(numbers))}
            for line in listed.strip().split("\n"):
                self.assertEqual(possible[line.split(" (")[0]], parse_numbers(current_numbers(line)))
            blocks = re.findall(r"^([\d ]+)\n(?:.*\n)*?(sure|likely|impossible)$", prompts["value"], re.MULTILINE)
            self.assertGreaterEqual(len(blocks), 5)
            for numbers, verdict in blocks:
                self.assertEqual(reaches(parse_numbers(numbers)), verdict == "sure", numbers)


class ReadingTest(unittest.TestCase):
    def test_votes_and_scores(self):
        task = CreativeWriting([], load_prompts("text", "en"), "lenient")
        for text, choice in (("best choice is **2**", 2), ("最佳选择：2", 2), ("Best choice: 1, not 2", 1), ("both", None)):
            self.assertEqual(task._choice(text), choice)
        for text, score in (("a coherency score of 7 out of 10", 7), ("连贯性评分：**7** 分", 7), ("good", None)):
            self.assertEqual(task.coherency(text), score)
        self.assertEqual(task._passage("Plan:\np\n\n**Passage:**\ntext"), "text")

    def test_words(self):
        task = MiniCrosswords([], load_prompts("crosswords", "en"), "lenient")
        text = "1. **h1**: APPLE - high\nv2. actor（中）\nh3. toolong (high)\nnone"
        self.assertEqual(task._listed(text), [("h1. apple", 0.5), ("v2. actor", 0.2)])
        self.assertEqual([task._verdict(text) for text in ("Maybe.", "不可能", "x")], ["maybe", "impossible", ""])


class OracleTest(unittest.TestCase):
    def setUp(self):
        self.prompts = load_prompts("game24", "en")

    def best(self, skill, config, seed=0):
        model, task = Game24Oracle(self.prompts, skill, seed), game24()
        results = drive_all(((i, search(task, x, config)) for i, x in enumerate(PUZZLES)), model)
        return [any(task.correct(PUZZLES[i], y) for y in result.outputs) for i, result in results]

    def test_without_fault_everything_is_solved(self):
        for config in (
            SearchConfig(n_select=1),
            SearchConfig(method="sample", select="all", prompt_style="standard"),
            SearchConfig(method="sample", select="all", prompt_style="cot"),
            SearchConfig(method="dfs", max_children=40),
        ):
            self.assertEqual(self.best(Skill(), config), [True] * 4)

    def test_without_any_skill_little_is(self):
        nothing = Skill(0, 0, 0, 3, 0)
        self.assertEqual(self.best(nothing, SearchConfig(method="sample", select="all")), [False] * 4)
        self.assertLess(sum(self.best(nothing, SearchConfig(n_select=1))), 4)

    def test_answers_that_repeat_themselves(self):
        model = Game24Oracle(self.prompts, Skill(step=0.3, answers=2, chains=3))
        for style, independent in (("standard", 2), ("cot", 3)):
            texts = model.ask(self.prompts[style].format(input="4 5 6 10"), n=9)
            self.assertEqual(texts, texts[:independent] * (9 // independent) + texts[: 9 % independent])
            self.assertEqual(len(set(texts)), independent)
        with self.assertRaisesRegex(ValueError, "chains is 0"):
            Skill(chains=0)

    def test_a_foreign_prompt(self):
        with self.assertRaisesRegex(LanguageModelError, "does not know"):
            Game24Oracle(self.prompts).ask("What is gravity?")

    def test_several_puzzles_share_a_batch(self):
        prompts = load_prompts("game24", "en")
        sizes = []

        class Model(Game24Oracle):
            def complete(self, requests):
                sizes.append(len(requests))
                return super().complete(requests)

        def run(in_flight):
            del sizes[:]
            dialogues = ((i, search(game24(), x, SearchConfig(), str(i))) for i, x in enumerate(PUZZLES))
            found = dict(drive_all(dialogues, Model(prompts, Skill(proposals=8, judge=0.8)), in_flight))
            return {i: result.outputs for i, result in found.items()}, len(sizes)

        one, calls_of_one = run(1)
        four, calls_of_four = run(4)
        self.assertEqual(one, four)
        self.assertEqual((calls_of_one, calls_of_four), (32, 8))


class CreativeWritingTest(unittest.TestCase):
    def setUp(self):
        self.task = CreativeWriting(["One. Two. Three. Four."], load_prompts("text", "en"))

    def test_votes(self):
        texts = ["The best choice is 2", "best choice is 12", "The Best choice is 3", "best choice is {5}.", "no"]
        self.assertEqual(self.task.votes(texts, 5), [0, 2, 0, 0, 1])
        lenient = CreativeWriting([], load_prompts("text", "en"), "lenient")
        self.assertEqual(
            lenient.votes(["best choice is 12 of 13", "best choice is 2, not 1"], 12), [0, 1] + [0] * 9 + [1]
        )

    def test_search_and_score(self):
        def answer(request):
            if "best choice" in request.prompt:
                return ["The best choice is 2"] * request.n
            if "coherency" in request.prompt:
                return ["Thus the coherency score is {}".format(i + 5) for i in range(4)] + ["it is fine"]
            written = ["{}{}".format(len(request.prompt), i) for i in range(request.n)]
            return ["Plan:\n" + t if request.stop else "\nPassage:\n" + t for t in written]

        model = ScriptedModel(answer)
        config = SearchConfig(generate="sample", evaluate="vote", n_generate=3, n_evaluate=2, n_select=1)
        result = drive(search(self.task, self.task.input(0), config), model)
        self.assertEqual([step.selected for step in result.steps], [[1], [1]])
        self.assertEqual(model.calls[0].stop, ("\nPassage:\n",))
        self.assertEqual(model.calls[2].stop, ())
        score = drive(self.task.score(0, result.outputs[0]), model)
        self.assertEqual(score, {"r": 6.5, "scores": [5, 6, 7, 8]})
        self.assertIn(result.outputs[0].split("Passage:\n")[1], model.calls[-1].prompt)
        self.assertNotIn("Plan", model.calls[-1].prompt.split("\n", 1)[1])

    def test_comparison(self):
        prompt = self.task.compare_prompt("Plan:\na\nPassage:\nb", "c")
        self.assertTrue(prompt.endswith("Passage 1:\nb\n\nPassage 2:\nc\n"))
        said = ["the more coherent passage is 1", "The two passages are similarly coherent", "hm"]
        self.assertEqual([self.task.compared(text) for text in said], [0, 0.5, -1])


CLUES = ["across {}".format(i) for i in range(1, 6)] + ["down {}".format(i) for i in range(1, 6)]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXY"


class CrosswordsTest(unittest.TestCase):
    def setUp(self):
        self.task = MiniCrosswords([(CLUES, list(LETTERS))], load_prompts("crosswords", "en"))

    def test_board(self):
        board = Board().write("h2", "fghij")
        self.assertEqual(board.words()[1], "FGHIJ")
        self.assertEqual(board.words()[5], "_F___")
        self.assertEqual(board.status, (0, 1) + (0,) * 8)
        crossed = board.write("v1", "axkpu")
        self.assertEqual(crossed.letters[5], "X")
        self.assertEqual(crossed.status, (0, 2, 0, 0, 0, 1, 0, 0, 0, 0))
        for place, word in (("h6", "abcde"), ("x1", "abcde"), ("h1", "abcd")):
            with self.assertRaises(ValueError):
                board.write(place, word)

    def test_render(self):
        text = render(CLUES, Board().write("v5", "ejoty"))
        self.assertTrue(
            text.startswith("Current Board:\n____E\n____J\n____O\n____T\n____Y\n\nUnfilled:\nh1. across 1: ____E\n")
        )
        self.assertTrue(text.endswith("v4. down 4: _____\n\nFilled:\nv5. down 5: EJOTY\n\nChanged:\n"))

    def test_score(self):
        right = "\n".join(" ".join(LETTERS[i : i + 5]) for i in range(0, 25, 5))
        self.assertEqual(
            drive(self.task.score(0, "Thoughts\nOutput:\n" + right), None),
            {"r": 1.0, "r_letter": 1.0, "r_word": 1.0, "r_game": 1.0},
        )
        wrong = right.replace("A", "Z")
        self.assertEqual(
            drive(self.task.score(0, wrong), None), {"r": 0.8, "r_letter": 0.96, "r_word": 0.8, "r_game": 0.0}
        )
        self.assertEqual(drive(self.task.score(0, "nonsense and more"), None)["r"], 0)

    def test_confidences_are_summed_over_answers(self):
        texts = [
            "h1. abcde (low)\nv1. afkpu (high)",
            "h1. abcde (medium)\nh2. toolong (high)",
            "h1. abcde (high) sure",
        ]
        self.assertEqual(self.task.ranked_proposals("", "", texts), ["h1. abcde\n", "v1. afkpu\n"])

    def depth_first(self, proposals, impossible=(), **options):
        """The search with a model that lists `proposals` (by the words on the board) and calls patterns impossible."""

        def answer(request):
            if "Say sure, maybe or impossible" in request.prompt:
                pattern = request.prompt.strip().split("\n")[-1].split(": ")[1].replace(" ", "")
                return ["hm\nimpossible" if pattern in impossible else "maybe"]
            board = request.prompt.split("Current Board:\n")[1].split("\n\n")[0].replace("\n", "")
            return [proposals.get(board, "")] * request.n

        model = ScriptedModel(answer)
        config = SearchConfig(method="dfs", **options)
        return drive(search(self.task, self.task.input(0), config), model), model

    def test_depth_first(self):
        empty, one = "_" * 25, "ABCDE" + "_" * 20
        proposals = {
            empty: "h1. abcde (certain)\nh1. zzzzz (low)",
            one: "v1. zzzzz (certain)\nh2. fghix (high)\nh2. fghij (medium)",
            "ABCDEFGHIJ" + "_" * 15: "h3. klmno (high)",
        }
        result, model = self.depth_first(proposals, impossible=["ex___"])
        visited = [
            (node.state.strip().split("\n")[-1], node.depth, node.parent, node.impossible) for node in result.nodes
        ]
        self.assertEqual(
            visited,
            [
                ("h1. abcde", 1, -1, False),
                # v1. zzzzz would change a letter and is not tried
                ("h2. fghix", 2, 0, True),
                ("h2. fghij", 2, 0, False),
                ("h3. klmno", 3, 2, False),
                ("h1. zzzzz", 1, -1, False),
            ],
        )
        self.assertEqual(result.outputs, ["A B C D E\nF G H I J\nK L M N O\n_ _ _ _ _\n_ _ _ _ _"])
        prompts = [call.prompt for call in model.calls]
        self.assertEqual(len(prompts), len(set(prompts)))

    def test_pruning_saves_visits(self):
        one = "ABCDE" + "_" * 20
        proposals = {
            "_" * 25: "h1. abcde (certain)",
            one: "h2. fghix (high)\nh2. fghij (medium)",
            "ABCDEFGHIX" + "_" * 15: "h3. qqqqq (high)",
        }
        pruned, _ = self.depth_first(proposals, impossible=["ex___"])
        whole, _ = self.depth_first(proposals, impossible=["ex___"], prune=False)
        self.assertEqual((len(pruned.nodes), len(whole.nodes)), (3, 4))

    def test_bounds(self):
        proposals = {"_" * 25: "\n".join("h1. abcd{} (high)".format(c) for c in "efghi")}
        self.assertEqual(len(self.depth_first(proposals, max_children=3)[0].nodes), 3)
        self.assertEqual(len(self.depth_first(proposals, max_children=5, max_visits=2)[0].nodes), 2)
        result, _ = self.depth_first({})
        self.assertEqual((result.nodes, result.outputs[0].count("_")), ([], 25))

    def test_puzzles_are_checked(self):
        with self.assertRaisesRegex(ValueError, "crossword 0 has 9 clues"):
            MiniCrosswords([(CLUES[:9], LETTERS)], load_prompts("crosswords", "en"))
        self.assertEqual(self.task.clues(render_clues(CLUES)), CLUES)


if __name__ == "__main__":
    unittest.main()
