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

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from filelock import FileLock
from paddlenlp.experimental.agents.language_models import (
    CachedModel,
    Completion,
    LanguageModelError,
    Price,
    ScriptedModel,
)
from paddlenlp.experimental.agents.tree_of_thoughts import Game24, Game24Oracle, MiniCrosswords, SearchConfig, Skill
from paddlenlp.experimental.agents.tree_of_thoughts.__main__ import _unescaped, main
from paddlenlp.experimental.agents.tree_of_thoughts.evaluation import (
    PRESETS,
    LogError,
    UnreadError,
    evaluate,
    preset,
    read_log,
    summarize,
)
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts
from paddlenlp.experimental.agents.tree_of_thoughts.report import draw_tree, success_table

PUZZLES = ["1 1 4 6", "4 5 6 10", "1 2 4 7", "3 3 8 8", "2 4 6 8", "1 2 3 4"]
SKILL = Skill(step=0.5, write=0.9, insight=0.6, proposals=6, judge=0.8)

# Run in a process of its own, to be killed: the model takes its time.
KILLED = """
import sys, time
from paddlenlp.experimental.agents.language_models import CachedModel
from paddlenlp.experimental.agents.tree_of_thoughts import Game24, Game24Oracle, SearchConfig, Skill
from paddlenlp.experimental.agents.tree_of_thoughts.evaluation import evaluate
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts

class Slow(Game24Oracle):
    def complete(self, requests):
        time.sleep(0.25)
        return super().complete(requests)

prompts = load_prompts("game24", "en")
model = CachedModel(Slow(prompts, {skill!r}), sys.argv[2])
evaluate(Game24({puzzles!r}, prompts), model, SearchConfig(), range(6), sys.argv[1], progress=False)
"""


class Fixture(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.log = os.path.join(self.folder, "log.jsonl")
        self.prompts = load_prompts("game24", "en")
        self.task = Game24(PUZZLES, self.prompts)

    def run_all(self, log=None, model=None, indices=range(6), config=None, **options):
        model = model or Game24Oracle(self.prompts, SKILL)
        return evaluate(
            self.task, model, config or SearchConfig(), indices, log or self.log, progress=False, **options
        )

    def lines(self):
        with open(self.log, "rb") as stream:
            return stream.read().splitlines(keepends=True)


def what_was_found(records):
    """A record without its time and its account, which a cache and values known before change."""
    return [
        {name: record[name] for name in ("index", "outputs", "scores", "steps")}
        for record in sorted(records, key=lambda record: record["index"])
    ]


class EvaluateTest(Fixture):
    def test_log(self):
        records = self.run_all()
        settings, logged = read_log(self.log)
        self.assertEqual(logged, records)
        self.assertEqual((settings["task"], settings["search"]["n_select"]), ("game24", 5))
        self.assertEqual([record["input"] for record in records], PUZZLES)
        self.assertEqual(len(self.lines()), 7)

    def test_a_finished_log_asks_nothing(self):
        first = self.run_all()
        silent = ScriptedModel([], name=Game24Oracle(self.prompts, SKILL).name)
        self.assertEqual(self.run_all(model=silent), first)

    def test_more_puzzles_of_the_same_run(self):
        self.run_all(indices=[1, 3])
        records = self.run_all(indices=range(5))
        self.assertEqual([record["index"] for record in records], [0, 1, 2, 3, 4])
        self.assertEqual([json.loads(line)["index"] for line in self.lines()[1:]], [1, 3, 0, 2, 4])

    def test_in_flight_changes_nothing(self):
        config = SearchConfig(share_values=False)
        one = self.run_all(config=config)
        many = self.run_all(log=self.log + "2", config=config, in_flight=4)
        self.assertEqual(what_was_found(one), what_was_found(many))

    def test_another_run_is_refused(self):
        self.run_all(indices=[0])
        with self.assertRaisesRegex(LogError, r"another run \(different: search\)"):
            self.run_all(config=SearchConfig(n_select=1))
        with self.assertRaisesRegex(LogError, r"different: model"):
            self.run_all(model=Game24Oracle(self.prompts))
        self.task = Game24(PUZZLES[1:], self.prompts)
        with self.assertRaisesRegex(LogError, r"different: texts"):
            self.run_all(indices=[0])

    def test_a_foreign_file_is_refused_and_kept(self):
        with open(self.log, "w") as stream:
            stream.write("my notes\n")
        with self.assertRaisesRegex(LogError, "line 1"):
            self.run_all()
        self.assertEqual(self.lines(), [b"my notes\n"])

    def test_an_unknown_puzzle_is_told_before_the_first_request(self):
        with self.assertRaisesRegex(IndexError, "0 to 5, not 6"):
            self.run_all(model=ScriptedModel([]), indices=[0, 6])

    def test_a_model_that_gives_up_loses_only_the_puzzle_in_flight(self):
        good = Game24Oracle(self.prompts, SKILL)

        class Tired(Game24Oracle):
            left = 20

            def complete(self, requests):
                if not self.left:
                    raise LanguageModelError("enough")
                self.left -= 1
                return super().complete(requests)

        with self.assertRaisesRegex(LanguageModelError, "enough"):
            self.run_all(model=Tired(self.prompts, SKILL))
        self.assertEqual(len(self.lines()), 3)  # header, and two puzzles of eight batches each
        self.assertEqual(len(self.run_all(model=good)), 6)

    def refusing(self, *refused):
        class Refusing(Game24Oracle):
            def complete(self, requests):
                whole = super().complete(requests)
                return [
                    Completion([], refused="content filter") if request.scope in refused else completion
                    for request, completion in zip(requests, whole)
                ]

        return Refusing(self.prompts, SKILL)

    def test_a_refused_puzzle_is_recorded_and_counted_apart(self):
        records = self.run_all(model=self.refusing("1", "4"))
        self.assertEqual([bool(record["refused"]) for record in records], [False, True, False, False, True, False])
        self.assertEqual(records[1]["usage"]["refused"], 1)
        summary = summarize(records)
        self.assertEqual((summary["puzzles"], summary["refused"]), (4, 2))
        self.assertIn("| 4, 2 refused |", success_table([self.log]))
        silent = ScriptedModel([], name=Game24Oracle(self.prompts, SKILL).name)
        self.assertEqual(self.run_all(model=silent), records)  # a resume does not stop there

    def test_a_model_that_refuses_everything(self):
        with self.assertRaisesRegex(LanguageModelError, "refuses every puzzle, 3 up to now.* content filter"):
            self.run_all(model=self.refusing(*map(str, range(6))))
        with self.assertRaisesRegex(ValueError, "refused all"):
            summarize(read_log(self.log)[1])

    def test_nothing_to_read_is_told_at_the_first_puzzle(self):
        self.task = Game24(PUZZLES, self.prompts, "lenient")
        asked = []
        model = ScriptedModel(lambda request: asked.append(1) or ["As a language model, I cannot."] * request.n)
        with self.assertRaisesRegex(
            UnreadError, "puzzle 0: .* proposals, for example 'As a language.*--parse lenient"
        ):
            self.run_all(model=model)
        self.assertEqual((len(asked), len(self.lines())), (1, 1))
        records = self.run_all(model=model, stop_unread=False)
        self.assertEqual(summarize(records)["unread"], 6)
        self.assertIn("6 unread", success_table([self.log]))

    def test_two_processes_do_not_write_one_log(self):
        other = FileLock(self.log + ".lock")
        with other:
            with self.assertRaisesRegex(LogError, "another process writes"):
                self.run_all()
        self.assertEqual(len(self.run_all()), 6)

    def test_every_torn_end_is_resumed(self):
        whole = self.run_all(config=SearchConfig(share_values=False))
        data = b"".join(self.lines())
        ends = [len(data) - len(self.lines()[-1]) + k for k in (0, 1, 50)] + [len(data) - 1, 5]
        for end in ends:
            with self.subTest(end=end):
                with open(self.log, "wb") as stream:
                    stream.write(data[:end])
                again = self.run_all(config=SearchConfig(share_values=False))
                self.assertEqual(what_was_found(again), what_was_found(whole))
                self.assertEqual(len(self.lines()), 7)

    def test_a_killed_process_loses_at_most_the_puzzle_in_flight(self):
        cache = os.path.join(self.folder, "cache.sqlite")
        script = os.path.join(self.folder, "killed.py")
        with open(script, "w") as stream:
            stream.write(textwrap.dedent(KILLED).format(skill=SKILL, puzzles=PUZZLES))
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
        process = subprocess.Popen(
            [sys.executable, script, self.log, cache],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(process.stdout.close)
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if os.path.exists(self.log) and len(self.lines()) >= 3:
                time.sleep(0.6)  # somewhere within the next puzzle
                break
            time.sleep(0.02)
        self.assertIsNone(process.poll(), "ended before it was killed")
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = self.lines()
        kept = len(before) - 1
        self.assertGreaterEqual(kept, 2)
        self.assertLess(kept, 6)

        asked = []

        class Watched(Game24Oracle):
            def complete(self, requests):
                asked.extend(requests)
                return super().complete(requests)

        with CachedModel(Watched(self.prompts, SKILL), cache) as model:
            resumed = self.run_all(model=model)
        self.assertEqual(b"".join(self.lines())[: len(b"".join(before))], b"".join(before))
        straight = self.run_all(log=self.log + "2")
        self.assertEqual(what_was_found(resumed), what_was_found(straight))
        # What the killed process had asked for the puzzle it was in was not asked again.
        for record in resumed[:kept]:
            self.assertFalse([request for request in asked if request.scope == str(record["index"])])
        propose = [request for request in asked if request.scope == str(kept)]
        self.assertLess(len(propose), sum(len(step["frontier"]) for step in resumed[kept]["steps"]))


class ReportTest(Fixture):
    def test_summary(self):
        record = {
            "usage": dict(requests=4, sent=3, choices=9, cached_choices=0, prompt_tokens=500, completion_tokens=100),
            "scores": [{"r": 0, "r_word": 0.5}, {"r": 1, "r_word": 1}],
        }
        other = dict(record, scores=[{"r": 1, "r_word": 0.7}])
        summary = summarize([record, other, dict(record, scores=[])], Price(1, 2))
        self.assertEqual(summary["puzzles"], 3)
        self.assertAlmostEqual(summary["mean"], 1.5 / 3)
        self.assertAlmostEqual(summary["any"], 2 / 3)
        self.assertAlmostEqual(summary["first"], 1 / 3)
        self.assertAlmostEqual(summary["r_word"], 1.2 / 3)
        self.assertAlmostEqual(summary["cost"], 1.5 + 0.6)
        self.assertEqual((summary["requests"], summary["sent"]), (4, 3))
        with self.assertRaisesRegex(ValueError, "no puzzle is finished"):
            summarize([])

    def test_table(self):
        self.run_all()
        cot = self.log + "2"
        self.run_all(log=cot, config=preset("game24", "cot", n_generate=5))
        table = success_table([self.log, cot], Price(0.03, 0.06))
        rows = [line for line in table.split("\n") if line.startswith("| log.jsonl")]
        self.assertIn("ToT BFS, b=5, propose x1, value x3 | oracle | 6 |", rows[0])
        self.assertIn("CoT x5 | oracle | 6 |", rows[1])
        self.assertIn("$", rows[0])
        self.assertIn("| ToT (b=5) | 74 % |", table)

    def test_pictures(self):
        def size(path):
            with open(path, "rb") as stream:
                head = stream.read(24)
            self.assertEqual(head[:8], b"\x89PNG\r\n\x1a\n")
            return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")

        picture = os.path.join(self.folder, "tree.png")
        draw_tree(self.run_all(indices=[0])[0], picture)
        self.assertGreater(min(size(picture)), 200)
        clues = ["clue {}".format(i) for i in range(10)]
        task = MiniCrosswords([(clues, "A" * 25)], load_prompts("crosswords", "en"))

        def answer(request):
            verdict = "Say sure" in request.prompt
            return ["maybe" if verdict else "h1. aaaaa (high)\nv2. abbbb (low)"] * request.n

        (record,) = evaluate(
            task, ScriptedModel(answer), preset("crosswords", "tot"), [0], self.log + "3", progress=False
        )
        draw_tree(record, picture)
        self.assertGreater(min(size(picture)), 100)
        (sampled,) = self.run_all(log=self.log + "4", indices=[0], config=preset("game24", "io", n_generate=2))
        with self.assertRaisesRegex(ValueError, "no tree"):
            draw_tree(sampled, picture)

    def test_presets_are_valid(self):
        for task, name in PRESETS:
            preset(task, name)
        with self.assertRaisesRegex(ValueError, "there are cot, io, tot"):
            preset("text", "cot-sc")


class CommandTest(Fixture):
    def command(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
        return code, out.getvalue(), err.getvalue()

    def assets(self):
        """A folder as `data` expects one, with texts of our own; the checks of the paper's files are put aside."""
        from paddlenlp.experimental.agents.tree_of_thoughts import data

        digests, data.SHA256 = data.SHA256, {}
        self.addCleanup(setattr, data, "SHA256", digests)
        contents = {data.FILES["game24"]: "Rank,Puzzles\n" + "".join("1,{}\n".format(x) for x in PUZZLES)}
        for name in list(data.FILES.values()) + list(data.PROMPTS.values()):
            path = os.path.join(self.folder, "assets", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(contents.get(name, "cot_prompt = '''{input}\n'''\nsystem = 'x'\n"))
        return os.path.join(self.folder, "assets")

    def test_run_report_tree(self):
        run = ["run", "--backend", "oracle", "--skill", "judge=0.9", "proposals=6", "--start", "0", "--end", "3"]
        run += ["--assets", self.assets(), "--output", self.log, "--prompt_cache", self.log + ".cache"]
        code, out, err = self.command(*run, "--set", "n_select=2")
        self.assertEqual(code, 0, err)
        self.assertIn("ToT BFS, b=2", out)
        self.assertIn("3/3", err)
        code, _, err = self.command(*run)
        self.assertEqual(code, 2)
        self.assertIn("is the log of another run", err)
        code, out, _ = self.command("report", self.log, "--price", "0.03", "0.06")
        self.assertEqual(code, 0)
        self.assertIn("$", out)
        picture = os.path.join(self.folder, "tree.png")
        self.assertEqual(self.command("tree", self.log, "--index", "1", "--output", picture)[0], 0)
        self.assertTrue(os.path.getsize(picture))
        code, _, err = self.command("tree", self.log, "--index", "5")
        self.assertEqual(code, 2)
        self.assertIn("puzzle 5 is not in", err)

    def test_mistakes_are_told(self):
        assets = self.assets()
        run = ["run", "--assets", assets, "--output", self.log]
        for arguments, told in (
            (["--backend", "endpoint"], "needs --model"),
            (["--set", "beam=3", "--backend", "oracle"], "is not name=value"),
            (["--preset", "dfs", "--backend", "oracle"], "no preset"),
            (["--backend", "oracle", "--start", "5", "--end", "9"], "has the puzzles 0 to 5"),
        ):
            with self.subTest(arguments):
                code, _, err = self.command(*run, *arguments)
                self.assertEqual(code, 2)
                self.assertIn(told, err)

    def test_stop_strings_of_any_script(self):
        self.assertEqual(_unescaped(r"\nInput:"), "\nInput:")
        self.assertEqual(_unescaped(r"\n输入：é"), "\n输入：é")

    def test_prompts_are_read_without_running_their_module(self):
        from paddlenlp.experimental.agents.tree_of_thoughts.data import load_paper_prompts

        assets = self.assets()
        with open(os.path.join(assets, "tot/prompts/game24.py"), "a") as stream:
            stream.write("raise SystemExit('this was run')\n")
        self.assertEqual(load_paper_prompts("game24", assets), {"cot": "{input}\n", "system": "x"})


if __name__ == "__main__":
    unittest.main()
