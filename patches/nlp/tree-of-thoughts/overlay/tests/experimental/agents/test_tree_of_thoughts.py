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

import json
import re
import unittest
from fractions import Fraction

from paddlenlp.experimental.agents.language_models import CachedModel, Completion, RefusedError, ScriptedModel
from paddlenlp.experimental.agents.tree_of_thoughts import (
    TASKS,
    DescribedTask,
    Game24,
    SearchConfig,
    create_task,
    drive,
    drive_all,
    search,
)
from paddlenlp.experimental.agents.tree_of_thoughts.arithmetic import equals, evaluate
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import OWN, load_prompts
from paddlenlp.experimental.agents.tree_of_thoughts.tasks.game24 import current_numbers

PUZZLES = ["1 1 4 6", "4 5 6 10", "1 2 4 7", "3 3 8 8"]


def game24(parse="paper", prompts="en", puzzles=PUZZLES):
    return Game24(puzzles, load_prompts("game24", prompts), parse)


class ArithmeticTest(unittest.TestCase):
    def test_values(self):
        for text, value in (
            ("(1 + 2 + 3) * 4", 24),
            ("8 / (3 - 8 / 3)", 24),
            ("-(1 - 4) * 1 * 8", 24),
            ("2 ** 3 ** 2", 512),
            ("-2 ** 2", -4),
            ("2 ^ -1", Fraction(1, 2)),
            ("4! + sqrt(9)", 27),
            ("7 // 2 - 7 % 4", 0),
            ("-7 // 2", -4),
            ("sqrt(8/18)", Fraction(2, 3)),
            ("3!!", 720),
            ("1 - -1", 2),
        ):
            with self.subTest(text):
                self.assertEqual(evaluate(text), value)

    def test_irrational_parts_may_cancel(self):
        self.assertTrue(equals("sqrt(2) * sqrt(2) * 12", 24))
        self.assertFalse(equals("sqrt(2) * 17", 24))

    def test_what_is_no_expression(self):
        for text in (
            "",
            "4 5",
            "(4",
            "4)",
            "4 / (5 - 5)",
            "4 × 6",
            "4.0 * 6",
            "04 * 6",
            "__import__('os')",
            "x",
            "sqrt 4",
            "(0 - 4) ** (1 / 2)",
            "9 ** 9 ** 9",
            "999!",
            "((9**(6!))**(6!))",
            "((9**(6!))**(6!))**(6!)",
            "1" * 5000,
            "*".join(["200!"] * 150),
            "(" * 400 + "1" + ")" * 400,
            "+",
        ):
            with self.subTest(text), self.assertRaises(ValueError):
                evaluate(text)
            self.assertFalse(equals(text, 24))


class Game24Test(unittest.TestCase):
    def test_verdict(self):
        task = game24()
        for output, right in (
            ("Answer: (4 * 6) * 1 * 1 = 24", 1),
            ("1 + 1 = 2\n\nanswer: 4 * 6 / 1 / 1", 1),
            ("Answer: (4 * 6) * 1 * 1 = 23", 1),  # what is after = is not looked at
            ("Answer: 4 * 6 * 1 = 24", 0),
            ("Answer: 4 * 6 * 1 * 1 + 0 = 24", 0),
            ("Answer: 4 + 6 + 1 + 1 = 24", 0),
            ("Answer: 4 * 6 * 1 * 1 = 24\nQED", 0),
            ("", 0),
        ):
            with self.subTest(output):
                self.assertEqual(drive(task.score(0, output), None), {"r": right})

    def test_current_numbers(self):
        for y, numbers in (
            ("1 2 3 4", "1 2 3 4"),
            ("1 + 2 = 3 (left: 3 3 4)\n", "3 3 4"),
            ("a (left: 4 6)\nb (left: 24)\n", "24"),
        ):
            self.assertEqual(current_numbers(y), numbers)

    def test_values(self):
        task = game24()
        y = "1 + 1 = 2 (left: 2 4 6)\n"
        self.assertEqual(task.value("", y, ["so\nsure", "likely", "impossible"]), 21.001)
        self.assertEqual(task.value("", y, ["Sure", "sure.", "sure\n"]), 0)
        self.assertEqual(task.value("", "a\nb\nc\nd", ["sure"]), 0)
        self.assertEqual(task.value("", "a\nb\nc\nanswer: d", ["sure"]), 20)

    def test_strict_reading_knows_the_official_form_alone(self):
        task, y = game24(), "x (left: 4 6)"
        self.assertEqual(task.value("", y, ["4 * 6 = 24\nsure\n1 1\nimpossible"]), 0.001)
        for text in ("Sure.", "**sure**", "sure（能）", "Judge: sure"):
            self.assertEqual(task.value("", y, [text]), 0)
        self.assertEqual(task.proposals("1 2", "", "1. a\n\n- b"), ["1. a\n", "\n", "- b\n"])
        self.assertFalse(task.correct("1 1 4 6", "Answer: 4 × 6 × 1 × 1 = 24"))

    def test_lenient_reading(self):
        task = game24("lenient")
        move = "4 + 6 = 10 (left: 1 1 10)\n"
        for text in (
            " 4 + 6 = 10 (left: 1 1 10) good\nwell\n4 + 6 = 10 (left: 1 1 10)\n\nInput: 2 2\n2 + 2 = 4 (left: 4)",
            "Sure! Here is a step:\n\n1. 4+6=10 (Left: 1, 1, 10)",
            "- **4 + 6 = 10**（剩余：1、1、10）",
            "1.4 ＋ 6 ＝ 10，剩下 1 1 10",
            "| 4 + 6 = 10 | 1 1 10 |",
            "<think>1 + 1 = 2 (left: 2 4 6)</think>$4 + 6 = 10$ → 1 1 10",
        ):
            with self.subTest(text):
                self.assertEqual(task.proposals("1 1 4 6", "", text), [move])
        for text in ("no idea", "4 + 6 = 10, then 10 + 1 = 11 (left: 1 11)", "1 * 4 + 6 = 10 (left: 1 10)"):
            with self.subTest(text):
                self.assertEqual(task.proposals("1 1 4 6", "", text), [])
        last = "a (left: 4 6)\n4 * 6 = 24 (left: 24)\n"
        for text in ("Answer: 4 * 6 = 24\nInput: 3", "So, the answer is **4 × 6 = 24**.\n\nGood luck!", "24 = 4 * 6"):
            with self.subTest(text):
                self.assertEqual(task.proposals("4 6", last, text), [last + "Answer: 4 * 6 = 24\n"])
        for texts, value in (
            (["4 * 6 = 24\nSure.\n1 1\nimpossible", "no idea"], 20),
            (["sure（能）", "**Likely**", "Judge: impossible", "可能", "不可能", "“sure”"], 42.002),
            (["not sure", "unlikely", "能否得到", "Sure, I'd be happy to help! What is it?"], 0),
        ):
            with self.subTest(texts):
                self.assertAlmostEqual(task.value("", "x (left: 4 6)", texts), value)
        self.assertTrue(task.correct("1 1 4 6", "Let me think.\n\n**Answer: 4 × 6 × 1 × 1 = 24**\n\nDone."))
        self.assertEqual(task.answer("Answer: 4 × 6 = 24\n\nGood luck!"), "4*6")


class PromptsTest(unittest.TestCase):
    def test_every_template_is_there_and_can_be_filled(self):
        for (name, language), prompts in OWN.items():
            with self.subTest(task=name, language=language):
                self.assertEqual(set(TASKS[name].templates), set(prompts))
                for template in prompts.values():
                    template.format(input="INPUT", answer="ANSWER")

    def test_unknown_language(self):
        with self.assertRaisesRegex(ValueError, "there are en, zh"):
            load_prompts("game24", "fr")
        with self.assertRaisesRegex(ValueError, "lack cot, propose"):
            Game24(PUZZLES, {"standard": "", "value": "", "value_last_step": ""})
        with self.assertRaisesRegex(ValueError, "no task 'chess'"):
            create_task("chess", puzzles=[])


def proposer(numbers):
    """A model for the Game of 24 that lists given moves, and rates "4 6" and the right answer highest."""

    def answer(request):
        last = request.prompt.strip().split("\n")[-1]
        if "Judge:" in last:
            return ["sure" if "4 * 6" in request.prompt.split("\n")[-2] else "impossible"] * request.n
        if "Possible next steps" in last:
            return [numbers[request.prompt.strip().split("\n")[-2].replace("Input: ", "")]] * request.n
        if "Steps:" in request.prompt.split("Input: ")[-1]:
            return ["Answer: 4 * 6 * 1 * 1 = 24"] * request.n
        return ["{}\n{}".format(last, "sure" if last in ("1 4 6", "4 6", "24") else "likely")] * request.n

    return answer


LISTED = {
    "1 1 4 6": "1 + 1 = 2 (left: 2 4 6)\n1 * 1 = 1 (left: 1 4 6)\n1 - 1 = 0 (left: 0 4 6)\n1 * 1 = 1 (left: 1 4 6)",
    "2 4 6": "2 + 4 = 6 (left: 6 6)\n4 - 2 = 2 (left: 2 6)",
    "1 4 6": "1 * 4 = 4 (left: 4 6)\n4 - 1 = 3 (left: 3 6)",
    "0 4 6": "0 + 4 = 4 (left: 4 6)",
    "4 6": "4 * 6 = 24 (left: 24)\n4 + 6 = 10 (left: 10)",
    "6 6": "6 + 6 = 12 (left: 12)",
    "3 6": "3 * 6 = 18 (left: 18)",
    "2 6": "2 * 6 = 12 (left: 12)",
    "10": "10",
    "12": "12",
    "18": "18",
}


class BreadthFirstTest(unittest.TestCase):
    def test_levels(self):
        model = ScriptedModel(proposer(LISTED))
        result = drive(search(game24(), "1 1 4 6", SearchConfig(n_select=2)), model)
        first, second, third, fourth = result.steps
        # The repeated candidate is worth nothing; ties keep their order.
        self.assertEqual((first.values, first.selected), ([3, 60, 3, 0], [1, 0]))
        self.assertEqual(second.frontier, ["1 * 1 = 1 (left: 1 4 6)\n", "1 + 1 = 2 (left: 2 4 6)\n"])
        self.assertEqual((second.values, second.parents), ([60, 3, 3, 3], [0, 0, 1, 1]))
        self.assertEqual((third.values, third.selected), ([60, 3, 3], [0, 1]))
        self.assertEqual(fourth.values, [60, 0])
        self.assertEqual(result.outputs[0].split("\n")[3], "Answer: 4 * 6 * 1 * 1 = 24")
        self.assertTrue(game24().correct("1 1 4 6", result.outputs[0]))

    def test_a_level_is_two_batches(self):
        batches = []

        class Model(ScriptedModel):
            def complete(self, requests):
                batches.append(len(requests))
                return super().complete(requests)

        result = drive(search(game24(), "1 1 4 6", SearchConfig(n_select=2)), Model(proposer(LISTED)))
        # Proposals and values of each level; "10" and "24" were not judged before.
        self.assertEqual(batches, [1, 3, 2, 4, 2, 3, 2, 2])
        self.assertEqual((result.usage.requests, result.usage.sent), (19, 19))

    def test_known_values_are_not_asked_again(self):
        model, values = ScriptedModel(proposer(LISTED)), {}
        config = SearchConfig(n_select=2)
        first = drive(search(game24(), "1 1 4 6", config, "0", values), model)
        again = drive(search(game24(), "1 1 4 6", config, "1", values), model)
        self.assertEqual(first.outputs, again.outputs)
        self.assertEqual((first.usage.requests, again.usage.requests), (19, 7))
        apart = drive(search(game24(), "1 1 4 6", SearchConfig(n_select=2, share_values=False), "1", values), model)
        self.assertEqual(apart.usage.requests, 19)

    def test_equal_prompts_of_a_level_are_sent_once(self):
        listed = dict(LISTED)
        listed["1 1 4 6"] = "1 * 1 = 1 (left: 1 4 6)\n1 / 1 = 1 (left: 1 4 6)"
        config = SearchConfig(n_select=2)
        merged, apart = ScriptedModel(proposer(listed)), ScriptedModel(proposer(listed))
        one = drive(search(game24(), "1 1 4 6", config), merged)
        two = drive(search(game24(), "1 1 4 6", config), apart, merge=False)
        self.assertEqual(one.outputs, two.outputs)
        self.assertEqual([step.selected for step in one.steps], [step.selected for step in two.steps])
        self.assertEqual(one.usage.requests, two.usage.requests)
        self.assertEqual((two.usage.sent - one.usage.sent), len(apart.calls) - len(merged.calls))
        self.assertEqual(len(apart.calls) - len(merged.calls), 2)

    def test_sampled_selection_is_seeded(self):
        def run(seed):
            config = SearchConfig(select="sample", n_select=3, seed=seed)
            result = drive(search(game24(), "1 1 4 6", config), ScriptedModel(proposer(LISTED)))
            return [step.selected for step in result.steps]

        self.assertEqual(run(0), run(0))
        self.assertGreater(len({json.dumps(run(seed)) for seed in range(5)}), 1)

    def test_nothing_proposed(self):
        result = drive(search(game24("lenient"), "1 1 4 6", SearchConfig()), ScriptedModel(["no idea"]))
        self.assertEqual((result.outputs, result.steps), ([], []))

    def test_what_could_not_be_read_is_told(self):
        def unread(answer, **config):
            model = ScriptedModel(lambda request: [answer(request)] * request.n)
            return drive(search(game24("lenient"), "1 1 4 6", SearchConfig(**config)), model).unread

        proposing = lambda request: "Possible next steps" in request.prompt  # noqa: E731
        self.assertIn("proposals, for example 'no idea'", unread(lambda request: "no idea"))
        told = unread(lambda request: "1 + 1 = 2 (left: 2 4 6)" if proposing(request) else "well")
        self.assertIn("a judgement, for example 'well'", told)
        self.assertEqual(unread(lambda request: "1 + 1 = 2 (left: 2 4 6)" if proposing(request) else "sure"), "")
        self.assertIn("a whole solution", unread(lambda request: "hello", method="sample", select="all"))
        self.assertIn("proposals", unread(lambda request: "no idea", method="dfs"))

    def test_a_refused_puzzle_leaves_the_others(self):
        class Refusing(ScriptedModel):
            def complete(self, requests):
                return [
                    Completion([], refused="no") if "2 2 2 2" in request.prompt else Completion(["x"] * request.n)
                    for request in requests
                ]

        dialogues = ((x, search(game24("lenient"), x, SearchConfig())) for x in ("2 2 2 2", "1 1 4 6"))
        found = dict(drive_all(dialogues, Refusing([]), 2))
        self.assertIsInstance(found["2 2 2 2"], RefusedError)
        self.assertEqual(found["2 2 2 2"].usage.refused, 1)
        self.assertEqual(found["1 1 4 6"].outputs, [])
        with self.assertRaisesRegex(RefusedError, "no"):
            drive(search(game24(), "2 2 2 2", SearchConfig()), Refusing([]))

    def test_samples_and_majority(self):
        texts = ["Answer: 1 + 2 = 3", "Steps:\nAnswer: 4*6 = 24", "Answer: 4 * 6 = 24", "Answer: 5 = 5"]
        config = SearchConfig(method="sample", select="all", n_generate=4)
        self.assertEqual(drive(search(game24(), "1 1 4 6", config), ScriptedModel(texts)).outputs, texts)
        config = SearchConfig(method="sample", select="majority", n_generate=4)
        self.assertEqual(drive(search(game24(), "1 1 4 6", config), ScriptedModel(texts)).outputs, texts[1:2])

    def test_several_puzzles_share_a_batch(self):
        sizes = []

        class Model(ScriptedModel):
            def complete(self, requests):
                sizes.append(len(requests))
                return super().complete(requests)

        def run(in_flight):
            del sizes[:]
            dialogues = ((i, search(game24(), "1 1 4 6", SearchConfig(n_select=2), str(i))) for i in range(4))
            found = dict(drive_all(dialogues, Model(proposer(LISTED)), in_flight))
            return {i: result.outputs for i, result in found.items()}, len(sizes)

        one, calls_of_one = run(1)
        four, calls_of_four = run(4)
        self.assertEqual(one, four)
        self.assertEqual((calls_of_one, calls_of_four), (32, 8))

    def test_depth_first(self):
        config = SearchConfig(method="dfs", n_evaluate=1, first_goal=True, prune_below=1)
        result = drive(search(game24(), "1 1 4 6", config), ScriptedModel(proposer(LISTED)))
        self.assertTrue(game24().correct("1 1 4 6", result.outputs[0]), result.outputs)
        self.assertEqual([node.depth for node in result.nodes], [1, 1, 2, 3, 4])

    def test_settings_are_checked(self):
        for options in ({"method": "astar"}, {"n_select": 0}, {"select": "all"}, {"method": "sample"}):
            with self.subTest(options), self.assertRaises(ValueError):
                SearchConfig(**options)


class CacheTest(unittest.TestCase):
    def test_a_second_search_costs_nothing(self):
        model = CachedModel(ScriptedModel(proposer(LISTED)))
        first = drive(search(game24(), "1 1 4 6", SearchConfig(n_select=2), "0"), model)
        again = drive(search(game24(), "1 1 4 6", SearchConfig(n_select=2), "0"), model)
        self.assertEqual(first.outputs, again.outputs)
        self.assertEqual((again.usage.sent, again.usage.cached_choices), (0, again.usage.choices))


class Planner:
    """A model for any question: thoughts "plan 1", "plan 2", ...; more is better; it answers on the level that is asked for."""

    def __init__(self, answer_at=99, zh=False):
        self.answer_at, self.zh, self.prompts = answer_at, zh, []

    def __call__(self, request):
        self.prompts.append(request.prompt)
        numbers = re.findall(r"(?:plan|方案) (\d)", request.prompt)
        if "Score: N" in request.prompt or "评分：N" in request.prompt:
            score = min(10, 3 + sum(int(n) for n in numbers))
            return [
                "想一想。\n评分：{} 分".format(score) if self.zh else "Well.\n\n**Score: {}/10**".format(score)
            ] * request.n
        if "Now give" in request.prompt or "现在请给出" in request.prompt or len(numbers) >= self.answer_at:
            return [("**答案：** {}" if self.zh else "Sure!\n\nAnswer: {}").format(" ".join(numbers))] * request.n
        if self.zh:
            return ["好的，以下是方案：\n\n1. 方案 1\n2、方案 2\n（3）方案 3，\n   分两天\n\n希望有帮助！"] * request.n
        return ["Here are some:\n\n- plan 1\n- plan 2,\n  in two parts\n\nGood luck!"] * request.n


class DescribedTaskTest(unittest.TestCase):
    def test_a_question(self):
        planner = Planner()
        task = DescribedTask("Propose a plan.", "Judge its cost.", "the plan is whole", width=2)
        result = drive(search(task, "What to do?", SearchConfig(n_select=2, n_evaluate=1)), ScriptedModel(planner))
        self.assertEqual([len(step.candidates) for step in result.steps], [2, 4, 2])
        self.assertEqual(result.steps[0].candidates, ["plan 1\n", "plan 2, in two parts\n"])
        self.assertEqual(result.steps[0].values, [4.0, 5.0])
        self.assertEqual(task.reply(result.outputs[0]), "2 2")
        self.assertEqual(result.unread, "")
        self.assertIn("Propose a plan.\n\nQuestion: What to do?\n", planner.prompts[0])
        self.assertIn("As soon as the plan is whole", planner.prompts[0])
        self.assertTrue(
            planner.prompts[1].startswith("Judge its cost.\n\nQuestion: What to do?\nSteps so far:\nplan 1\n")
        )

    def test_a_question_in_chinese(self):
        task = DescribedTask(language="zh")
        result = drive(search(task, "怎么办？", SearchConfig(n_select=1, n_evaluate=2)), ScriptedModel(Planner(zh=True)))
        self.assertEqual(result.steps[0].candidates, ["方案 1\n", "方案 2\n", "方案 3，分两天\n"])
        self.assertEqual((result.steps[0].values, task.reply(result.outputs[0])), ([4.0, 5.0, 6.0], "3 3"))

    def test_an_early_answer_ends_the_search(self):
        planner = Planner(answer_at=1)
        task = DescribedTask(steps=9, width=2)
        result = drive(search(task, "x", SearchConfig(n_select=2, n_evaluate=1)), ScriptedModel(planner))
        self.assertEqual(len(result.steps), 2)
        self.assertEqual([task.reply(y) for y in result.outputs], ["2", "1"])
        mixed = ScriptedModel(lambda r: ["Score: 5" if "Score: N" in r.prompt else "1. more\nAnswer: 7"] * r.n)
        result = drive(search(DescribedTask(steps=2), "x", SearchConfig(n_select=2)), mixed)
        self.assertEqual(result.outputs, ["Answer: 7\n"])

    def test_what_is_read(self):
        task = DescribedTask()
        for text, thoughts in (
            ("Step 1: look\nStep 2: think", ["look", "think"]),
            ("(1) a\n(2) b\n(3) c\n(4) d", ["a", "b", "c"]),
            ("One long\nthought.", ["One long thought."]),
            ("<think>1. no</think>", []),
            ("The final answer is: 42", ["Answer: 42"]),
        ):
            self.assertEqual(task.proposals("x", "", text), [thought + "\n" for thought in thoughts], text)
        self.assertEqual(task.proposals("x", "a\nb\n", "It is 42."), ["a\nb\nAnswer: It is 42.\n"])
        self.assertEqual(task.value("x", "a\n", ["Score: 8", "no idea", "score is 99"]), 8)
        for wrong in ({"steps": 0}, {"width": "2"}, {"language": "fr"}, {"judge": " "}, {"stop": 3}):
            with self.assertRaises(ValueError):
                DescribedTask(**wrong)


if __name__ == "__main__":
    unittest.main()
