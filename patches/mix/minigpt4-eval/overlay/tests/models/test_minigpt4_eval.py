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

"""Zero-shot evaluation without the model: sets, parsers, figures, controls, stored answers, human evaluation."""

import contextlib
import csv
import importlib.util
import io
import json
import os
import shlex
import signal
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "paddlemix", "examples", "minigpt4")]
import human_eval  # noqa: E402
import minigpt4_eval_testing as tiny  # noqa: E402
import run_eval  # noqa: E402
from zeroshot import datasets, human, models, prompts, runner, scoring, statistics, store  # noqa: E402


def said(function, *args):
    """(what the function returned, standard error)."""
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
        return function(*args), errors.getvalue()


def write(path, value):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(value if isinstance(value, str) else json.dumps(value))
    return path


class FolderTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = self._folder.name
        self.sets = tiny.write_sets(self.folder, 6)

    def path(self, *names):
        return os.path.join(self.folder, *names)


class ParserTest(unittest.TestCase):
    def check(self, parser, cases, row=None):
        for text, want in cases.items():
            self.assertEqual(parser(text, row), want, text)

    def test_raw_and_first_sentence(self):
        self.check(prompts.raw, {" a cat ###Human: more": "a cat", "###": "", "a cat</s>": "a cat"})
        cases = {
            "A cat. It sleeps.": "A cat",
            "It is 3.5 m high. Yes": "It is 3.5 m high",
            "Mr. Hill is here. So": "Mr. Hill is here",
        }
        self.check(
            prompts.first_sentence, {**cases, "What? No": "What", "one\ntwo": "one", "": "", "no end": "no end"}
        )

    def test_short(self):
        cases = {"The answer is: red.": "red", 'It is "dark red".': "dark red", "There are two dogs. They": "two dogs"}
        self.check(prompts.short, {**cases, "Answer: It's a cat": "a cat", "blue": "blue", "###": ""})

    def test_yes_no(self):
        cases = {"Yes, there is": "yes", "No. Yes": "no", "There is not": "no", "It isn’t": "no", "a notable knot": ""}
        self.check(prompts.yes_no, {**cases, "I can't see one": "no", "YES": "yes"})
        # POPE's own rule takes everything that does not say no for yes
        self.check(
            prompts.pope, {"Yes, no doubt": "no", "There is. No": "yes", "NO": "yes", "No,": "no", "a cat": "yes"}
        )

    def test_number(self):
        cases = {
            "There are Two dogs": "2",
            "1,200 people": "1200",
            "3.5 m": "3.5",
            "v2": "",
            "none": "",
            "In 1999, two": "1999",
        }
        self.check(prompts.number, cases)

    def test_quoted(self):
        cases = {
            'It says "STOP."': "STOP",
            "a 'big cat' there": "big cat",
            "it's Tom's": "",
            "“hi” and “ho”": "hi",
            "「猫」": "猫",
        }
        self.check(prompts.quoted, cases)

    def test_by_question(self):
        self.check(prompts.by_question, {"Yes, it is red.": "yes", "Red": "Red"}, {"question": "Is it red?"})
        self.check(prompts.by_question, {"It is red or so.": "red or so"}, {"question": "Is it red or blue?"})
        self.check(prompts.by_question, {"I see three dogs": "3", "many": "many"}, {"question": "How many dogs?"})
        self.check(prompts.by_question, {"It is red.": "red"}, {"question": "What color?"})

    def test_box(self):
        self.check(prompts.box, {"<p>it</p> {<1><2><30><44>}": "1 2 30 44", "{<1><2><3>": "", "none": ""})

    def test_names(self):
        self.assertEqual(prompts.choose(prompts.PROMPTS, "vqa", "word,short@1", "prompt"), ["word@1", "short@1"])
        self.assertEqual(len(prompts.choose(prompts.PARSERS, "vqa", "all", "parser", False)), len(prompts.ANSWER) - 1)
        for task in prompts.PROMPTS:
            prompts.choose(prompts.PROMPTS, task, None, "prompt")
            prompt, parser = prompts.DEFAULTS[task]
            self.assertTrue(prompt in prompts.PROMPTS[task] and parser in prompts.PARSERS[task])
        with self.assertRaisesRegex(ValueError, "--prompt best: task vqa.*short@1"):
            prompts.choose(prompts.PROMPTS, "vqa", "best", "prompt")


class SetsTest(FolderTest):
    def read(self, task, file=None, images=None):
        files, folder = self.sets[task]
        return datasets.read_set(task, [file] if file else files, images or folder)

    def test_every_format(self):
        for task, number in {
            "caption": 6,
            "vqa": 18,
            "okvqa": 18,
            "gqa": 6,
            "retrieval": 6,
            "pope": 12,
            "refcoco": 6,
        }.items():
            rows = self.read(task)
            self.assertEqual(len(rows), number, task)
            datasets.check_images(rows)
        self.assertEqual(self.read("vqa")[1]["answers"], ["yes"] * 7 + ["no"] * 3)
        self.assertEqual({row["answers"][0] for row in self.read("pope")}, {"yes", "no"})

    def test_order_of_vqa_files_and_byte_order_mark(self):
        files, images = self.sets["vqa"]
        with open(files[0], encoding="utf-8") as stream:
            write(files[0], "\ufeff" + stream.read())
        self.assertEqual(datasets.read_set("vqa", files[::-1], images), datasets.read_set("vqa", files, images))

    def test_lavis_captions(self):
        file = write(self.path("coco_karpathy_test.json"), [{"image": "a.jpg", "caption": ["a cat", "one cat"]}])
        self.assertEqual(self.read("caption", file)[0]["references"], ["a cat", "one cat"])
        write(file, [{"image": "val2014/COCO_val2014_000000391895.jpg", "caption": ["a cat"]}])
        self.assertEqual(self.read("caption", file)[0]["id"], "391895")
        write(file, [{"image": "a.jpg", "caption": "a cat"}])
        with self.assertRaisesRegex(datasets.DataError, "'caption' of row a.jpg is a str"):
            self.read("caption", file)

    def test_faults_name_file_id_and_what_to_do(self):
        os.remove(self.path("images", "COCO_val2014_000000000003.jpg"))
        with self.assertRaisesRegex(
            datasets.DataError, r"000000000003.jpg: picture of id 3 is missing, 1 of 6 are; next"
        ):
            datasets.check_images(self.read("caption"))
        lines = [{"question_id": 1, "image": "a.jpg", "text": "Is it?", "label": "yes"}] * 2
        file = write(self.path("pope.json"), "".join(json.dumps(line) + "\n" for line in lines))
        with self.assertRaisesRegex(datasets.DataError, "pope.json: id 1 stands there twice; next"):
            self.read("pope", file)
        write(file, json.dumps({**lines[0], "label": "maybe"}))
        with self.assertRaisesRegex(datasets.DataError, "label of question 1 is 'maybe'"):
            self.read("pope", file)
        write(file, '{"question_id": 1,\n')
        with self.assertRaisesRegex(datasets.DataError, "line 1 is no JSON"):
            self.read("pope", file)
        with self.assertRaisesRegex(datasets.DataError, "gives no row .split 'test'."):
            self.read("caption", write(self.path("none.json"), {"images": []}))
        with self.assertRaisesRegex(datasets.DataError, "no such file"):
            self.read("gqa", self.path("nothing.json"))
        with self.assertRaisesRegex(datasets.DataError, "two files"):
            self.read("vqa", self.sets["vqa"][0][0])
        (questions, notes), images = self.sets["vqa"]
        with open(questions, encoding="utf-8") as stream:
            data = json.load(stream)
        data["questions"][0]["image_id"] = "a.jpg"
        with self.assertRaisesRegex(datasets.DataError, "image_id 'a.jpg' of question 0 is no number; next"):
            datasets.read_set("vqa", [write(questions, data), notes], images)
        box = {"img_id": "a", "sents": ["it"], "bbox": [1, 2, "3", 4], "height": 9, "width": 9}
        with self.assertRaisesRegex(datasets.DataError, "box or size of a is not four numbers"):
            self.read("refcoco", write(self.path("boxes.json"), [box]))
        with self.assertRaisesRegex(datasets.DataError, "is no list of phrases"):
            self.read("refcoco", write(self.path("boxes.json"), {}))

    def test_another_split(self):
        (questions, notes), images = self.sets["vqa"]
        with open(notes, encoding="utf-8") as stream:
            data = json.load(stream)
        gone = data["annotations"].pop()
        other = write(self.path("other.json"), data)
        with self.assertRaisesRegex(datasets.DataError, f"no answers to question {gone['question_id']}"):
            datasets.read_set("vqa", [questions, other], images)
        data["annotations"] += [gone, {**gone, "question_id": 999}]
        with self.assertRaisesRegex(datasets.DataError, "1 questions are not in .* the first is 999"):
            datasets.read_set("vqa", [questions, write(other, data)], images)

    def test_answers_of_another_program(self):
        rows, path = self.read("gqa"), self.path("answers.json")
        known = {row["id"] for row in rows}
        good = [{"question_id": row["id"], "answer": "red"} for row in rows]
        self.assertEqual(datasets.read_answers(write(path, good), rows, known), {row["id"]: "red" for row in rows})
        write(path, "".join(json.dumps(one) + "\n" for one in good))
        self.assertEqual(len(datasets.read_answers(path, rows, known)), 6)
        for bad, message in (
            (good + good[:1], "answered twice"),
            (good[1:], f"1 of 6 ids have no answer, the first is {rows[0]['id']}"),
            ([{"question_id": "7", "answer": "x"}], "id 7 is not in this set.*one split"),
            ([{"question_id": rows[0]["id"], "answer": ["x"]}], "row 0 has no id or no answer"),
            ({"a": 1}, "no list"),
        ):
            with self.assertRaisesRegex(datasets.DataError, message):
                datasets.read_answers(write(path, bad), rows, known)


class FiguresTest(unittest.TestCase):
    def test_recall(self):
        draw, owners = np.random.default_rng(0), np.repeat(np.arange(7), [2, 3, 1, 4, 2, 2, 1])
        scores = draw.random([7, 15])
        figures, _, _ = scoring.recall_at(scores, owners)
        for number in (1, 5, 10):
            order = np.argsort(-scores, axis=1)[:, :number]
            want = np.mean([(owners[row] == index).any() for index, row in enumerate(order)])
            self.assertAlmostEqual(figures[f"R@{number} image to text"], 100 * want)
            order = np.argsort(-scores, axis=0)[:number]
            want = np.mean([owners[column] in order[:, column] for column in range(15)])
            self.assertAlmostEqual(figures[f"R@{number} text to image"], 100 * want)
        self.assertEqual(scoring.recall_at(np.zeros([7, 15]), owners)[0]["R@1"], 0.0)  # equal scores find nothing
        with self.assertRaisesRegex(ValueError, "NaN"):
            scoring.recall_at(np.full([7, 15], np.nan), owners)

    def test_pope(self):
        rows = [
            {"id": str(i), "group": str(i // 2), "question": "", "answers": [a]}
            for i, a in enumerate(["yes", "no"] * 5)
        ]
        texts = dict(zip(map(str, range(10)), ["yes"] * 4 + ["no"] * 3 + [""] * 3))
        scored = scoring.score_texts("pope", rows, texts, prompts.yes_no)
        # yes at 0, 2 of five; yes at 1, 3 is wrong; an answer that is missing at 7, 8, 9 is a wrong one
        want = {"precision": 100 * 2 / 6, "recall": 100 * 2 / 5, "accuracy": 30.0}
        for name, value in {**want, "F1": 100 * 4 / 11, "yes": 60.0}.items():
            self.assertAlmostEqual(scored.figures[name], value, msg=name)
        self.assertAlmostEqual(scored.unparsed, 30.0)
        self.assertAlmostEqual(scored.interval[0], scored.figures["F1"])

    def test_interval_and_test(self):
        draw = np.random.default_rng(1)
        values, clusters = draw.normal(5, 2, 400), np.arange(400)
        mean, low, high = statistics.bootstrap(values, clusters)
        error = values.std() / 20
        self.assertAlmostEqual(mean, values.mean())
        self.assertAlmostEqual((high - low) / 2, 1.96 * error, delta=0.15 * error)
        # rows that repeat within a picture make the interval no narrower
        _, low_, high_ = statistics.bootstrap(np.repeat(values, 5), np.repeat(clusters, 5))
        self.assertAlmostEqual(high_ - low_, high - low, delta=0.1 * (high - low))
        same = statistics.paired_test(values, values, clusters)
        self.assertEqual((same["difference"], same["p"]), (0.0, 1.0))
        shifted = statistics.paired_test(values + draw.normal(0.5, 1, 400), values, clusters)
        self.assertTrue(shifted["low"] > 0 and shifted["p"] < 0.001)
        with self.assertRaisesRegex(ValueError, "finite"):
            statistics.bootstrap([1.0, np.nan], [0, 1])

    def test_sign_flips_are_exact(self):
        differences = np.array([3.0, 1.0, 2.0, 2.0, -1.0, 4.0])
        signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
        exact = (np.abs(signs.T @ differences) >= differences.sum() - 1e-9).mean()
        p = statistics.paired_test(differences, np.zeros(6), np.arange(6), rounds=20000)["p"]
        self.assertAlmostEqual(p, exact, delta=0.01)

    def test_controls(self):
        rows = [
            {"id": str(i), "group": str(i), "question": "", "answers": ["red"] * 6 + ["blue"] * 4} for i in range(4)
        ]
        rows += [{"id": "9", "group": "9", "question": "", "answers": ["two"] * 10}]
        self.assertEqual(models.control_texts("oracle", "vqa", rows, 0)["9"], "two")
        self.assertEqual(set(models.control_texts("constant", "vqa", rows, 0).values()), {"red"})
        drawn = models.control_texts("random", "vqa", rows, 3)
        self.assertEqual(drawn, {k: v for k, v in models.control_texts("random", "vqa", rows, 3).items()})
        box = {"id": "0", "group": "0", "question": "", "box": [10.0, 20.0, 30.0, 20.0], "size": [100, 50]}
        text = models.control_texts("oracle", "refcoco", [box], 0)["0"]
        self.assertEqual(text, "{<10><40><40><80>}")
        self.assertEqual(
            scoring.score_texts("refcoco", [box], {"0": text}, prompts.box, interval=False).figures["IoU"], 100
        )


class Echo:
    """What `ask` needs of a model: an answer that depends on the row alone, after a while."""

    def __init__(self, size=2, die_after=None):
        self.size, self.die_after, self.asked = size, die_after, []

    def batches(self, rows, texts, blind):
        for start in range(0, len(rows), self.size):
            yield [(row, texts[row["id"]], None) for row in rows[start : start + self.size]]

    def generate(self, batch, blind):
        if self.die_after is not None and len(self.asked) >= self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += [row["id"] for row, _, _ in batch]
        return [f"{text} é {'blind' if blind else row['id']}" for row, text, _ in batch]


class StoreTest(FolderTest):
    def task(self, **options):
        files, images = self.sets["vqa"]
        return runner.Task("vqa", files, images, "test", None, None, None, **options)

    def ask(self, root, model=None, rank=0, ranks=1, blind=False):
        model = model or Echo()
        held = store.Store(root, rank, ranks)
        held.lock()
        said(runner.ask, self.task(), held, model, blind, True)
        return model.asked

    def texts(self, root):
        task = self.task()
        job = task.jobs(False)[0]
        return store.Store(root).complete(job[0], job[4])

    def test_killed_and_resumed(self):
        whole, cut = self.path("whole"), self.path("cut")
        self.ask(whole)
        child = os.fork()
        if not child:
            self.ask(cut, Echo(die_after=6))
            os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], signal.SIGKILL)
        again = self.ask(cut)
        self.assertEqual(len(again), 18 - 6)  # of what was asked before, nothing
        self.assertEqual(self.texts(cut), self.texts(whole))

    def test_half_written_line(self):
        root = self.path("out")
        self.ask(root)
        file = os.path.join(root, "raw", "vqa.model.short@1.0.jsonl")
        want = self.texts(root)
        with open(file, "rb+") as stream:
            stream.truncate(os.path.getsize(file) - 3)
        with self.assertRaisesRegex(
            store.StoreError, r"short@1.0.jsonl is half written: 1 of 18 rows are missing, .* id 52; next"
        ):
            self.texts(root)
        held = store.Store(root, 1, 2)  # another rank repairs the file of one that does not run
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            held.repair("vqa.model.short@1")
        self.assertIn("0.jsonl: the last line was half written", errors.getvalue())
        self.assertEqual(len(self.ask(root)), 1)
        self.assertEqual(self.texts(root), want)

    def test_ranks(self):
        one, two = self.path("one"), self.path("two")
        self.ask(one, blind=True)
        asked = [self.ask(two, rank=rank, ranks=2, blind=True) for rank in range(2)]
        self.assertTrue(asked[0] and asked[1])
        self.assertEqual(self.texts(one), self.texts(two))
        self.assertEqual(self.ask(two, ranks=1, blind=True), [])  # fewer ranks find it all

    def test_faults(self):
        root = self.path("out")
        self.ask(root)
        file = os.path.join(root, "raw", "vqa.model.short@1.0.jsonl")
        with open(file, encoding="utf-8") as stream:
            good = stream.read()
        for line, message in (
            ('{"id": "777", "text": "x"}', "line 19 is of id 777, which is not in this set"),
            ('{"id": "0", "text": "other"}', "answers id 0 another time, and differently"),
            ("nonsense", "line 19 is no record"),
        ):
            write(file, good + line + "\n")
            with self.assertRaisesRegex(store.StoreError, message + ".*next"):
                self.texts(root)

    def test_two_runs_in_one_directory(self):
        held = store.Store(self.path("out"))
        held.lock()
        child = os.fork()
        if not child:
            try:
                store.Store(self.path("out")).lock()
            except store.StoreError:
                os._exit(7)
            os._exit(0)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 7)

    def test_manifest_of_another_run(self):
        held = store.Store(self.path("out"))
        held.manifest({"seed": 0, "versions": {"numpy": "1"}})
        held.manifest({"seed": 0, "versions": {"numpy": "1"}})
        with self.assertRaisesRegex(store.StoreError, "another run .seed was 0, now 1.*next"):
            held.manifest({"seed": 1, "versions": {"numpy": "1"}})

    def test_manifest_of_another_scoring(self):
        """Stored answers may be scored by another parser; the manifest says by which one they were."""
        held = store.Store(self.path("out"))
        for parser in ("raw@1", "short@1"):
            held.manifest({"seed": 0, "scoring": {"vqa": {"parsers": [parser]}}})
            self.assertEqual(store.read_manifest(held.root)["scoring"]["vqa"]["parsers"], [parser])
        with self.assertRaisesRegex(store.StoreError, "another run"):
            held.manifest({"seed": 1, "scoring": {"vqa": {"parsers": ["raw@1"]}}})
        self.assertEqual(store.read_manifest(held.root)["scoring"]["vqa"]["parsers"], ["short@1"])


class RunTest(FolderTest):
    def answers(self, task, control="oracle", seed=0, wrong=0):
        files, images = self.sets[task]
        rows = datasets.read_set(task, files, images)
        texts = models.control_texts(control, task, rows, seed)
        texts.update({row["id"]: "zebra" for row in rows[:wrong]})
        data = [{"question_id": key, "answer": text} for key, text in texts.items()]
        return write(self.path(f"{task}.{control}.{wrong}.json"), data)

    def run_eval(self, sets, out, **options):
        words = tiny.words({name: self.sets[name] for name in sets}, self.path(out), skip_meteor=True, **options)
        return said(run_eval.main, words)

    def results(self, out):
        with open(self.path(out, "results.json"), encoding="utf-8") as stream:
            return json.load(stream)

    def test_every_task(self):
        sets = ["caption", "vqa", "okvqa", "gqa", "pope", "refcoco"]
        code, errors = self.run_eval(sets, "out", answers=[f"{task}={self.answers(task)}" for task in sets])
        self.assertEqual(code, 0, errors)
        for task, prompts_ in self.results("out")["tasks"].items():
            entry = next(iter(prompts_["-"].values()))
            self.assertEqual(entry["systems"]["model"], entry["systems"]["oracle"], task)
            self.assertTrue(os.path.getsize(self.path("out", task + ".png")))
            if task != "caption":
                self.assertAlmostEqual(entry["systems"]["model"]["interval"][0], 100.0)
        with open(self.path("out", "results.jsonl"), encoding="utf-8") as stream:
            rows = [json.loads(line) for line in stream]
        self.assertEqual(len(rows), 6 + 18 + 18 + 6 + 12 + 6)
        with open(self.path("out", "report.md"), encoding="utf-8") as stream:
            report = stream.read()
        self.assertIn("SPICE is left out", report)
        self.assertIn("## pope: F1, 12 rows", report)

    def test_retrieval_by_given_scores(self):
        files, images = self.sets["retrieval"]
        rows, file = datasets.read_set("retrieval", files, images), self.path("scores.npy")
        np.save(file, models.control_matrix("oracle", rows, 0))
        self.assertEqual(self.run_eval(["retrieval"], "out", answers=file)[0], 0)
        self.assertEqual(
            self.results("out")["tasks"]["retrieval"]["-"]["given"]["systems"]["model"]["figures"]["R@1"], 100
        )
        np.save(file, np.zeros([5, 18]))
        code, errors = self.run_eval(["retrieval"], "out2", answers=file)
        self.assertTrue(code == 1 and "scores (5, 18), wanted (6, 18)" in errors, errors)

    def test_no_java(self):
        path = os.environ["PATH"]
        os.environ["PATH"] = self.folder
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        self.assertEqual(self.run_eval(["caption"], "out", answers=self.answers("caption"))[0], 0)
        made = self.results("out")
        self.assertTrue(any("Java is missing" in note for note in made["notes"]))
        figures = made["tasks"]["caption"]["-"]["first_sentence@1"]["systems"]["model"]["figures"]
        self.assertTrue("METEOR" not in figures and figures["BLEU-1"] > 99)

    def test_outside_of_the_controls(self):
        words = dict(answers=self.answers("vqa", wrong=18))
        code, errors = self.run_eval(["vqa"], "out", **words)
        self.assertEqual(code, 3)
        self.assertRegex(errors, "outside: vqa, .*worse than random answers by .*")
        self.assertRegex(errors, "stopped: 1 figures.*results.jsonl; next")
        self.assertTrue(self.results("out")["tasks"]["vqa"]["-"])  # nothing is lost
        self.assertEqual(self.run_eval(["vqa"], "out", outside="report", **words)[0], 0)
        code, errors = self.run_eval(["vqa"], "out", parser="yes_no", **words)
        self.assertTrue(code == 3 and "no answer in any row" in errors, errors)

    def test_parser_that_does_not_fit_the_set(self):
        """Nobody's answer here is in quotes: that says nothing of a model, and does not stop a run with another parser."""
        words = dict(answers=self.answers("vqa"))
        code, errors = self.run_eval(["vqa"], "out", parser="quoted,short", **words)
        self.assertEqual(code, 0, errors)
        made = self.results("out")["tasks"]["vqa"]["-"]
        self.assertIn("annotators' own answers", made["quoted@1"]["verdict"])
        self.assertEqual(made["short@1"]["verdict"], "inside")
        code, errors = self.run_eval(["vqa"], "out", parser="quoted", **words)
        self.assertTrue(code == 3 and "annotators' own answers" in errors, errors)

    def test_packages_are_looked_for_first(self):
        find = importlib.util.find_spec
        with mock.patch.object(
            importlib.util, "find_spec", lambda name, *rest: None if name == "pycocoevalcap" else find(name, *rest)
        ):
            code, errors = self.run_eval(["caption"], "out", answers=self.answers("caption"))
            self.assertTrue(code == 1 and "next: pip install pycocoevalcap" in errors, errors)
            self.assertEqual(self.run_eval(["gqa"], "out", answers=self.answers("gqa"))[0], 0)

    def test_better_than_the_oracle(self):
        files, images = self.sets["gqa"]
        rows = datasets.read_set("gqa", files, images)
        texts = {row["id"]: row["answers"][0] for row in rows}
        systems = {
            name: scoring.score_texts("gqa", rows, texts, prompts.raw)
            for name in ("model", "oracle", "random", "constant")
        }
        self.assertEqual(runner.verdict("gqa", systems, 0), "inside")
        worse = scoring.score_texts("gqa", rows, dict.fromkeys(texts, "zebra"), prompts.raw)
        systems.update(oracle=worse, random=worse, constant=worse)
        self.assertIn("better than the oracle", runner.verdict("gqa", systems, 0))
        systems.update(random=systems["model"])
        self.assertIn("the control random (100.00) is better than the oracle", runner.verdict("gqa", systems, 0))

    def test_compare(self):
        for out, wrong in (("a", 0), ("b", 9)):
            self.run_eval(["vqa"], out, answers=self.answers("vqa", wrong=wrong), outside="report")
        with contextlib.redirect_stdout(io.StringIO()) as text:
            code = run_eval.main(["compare", self.path("a"), self.path("b"), "--out", self.path("c.json")])
        self.assertEqual(code, 0)
        self.assertIn("answers", text.getvalue())
        with open(self.path("c.json"), encoding="utf-8") as stream:
            (test,) = json.load(stream)["tests"]
        self.assertRegex(text.getvalue(), r"\| vqa \| - \| by_question@1 \| 50.00 \| \[")
        self.assertAlmostEqual(test["difference"], 50.0)
        self.assertTrue(test["low"] > 0 and test["rows"] == 18 and test["clusters"] == 6)
        self.run_eval(["vqa"], "short", answers=self.answers("vqa"), limit=9, outside="report")
        for other, message in (("short", "other rows"), ("nothing", "no manifest.json")):
            code, errors = said(run_eval.main, ["compare", self.path("a"), self.path(other)])
            self.assertTrue(code == 1 and message in errors and "next" in errors, errors)

    def test_faults_of_the_command_line(self):
        answers = self.answers("vqa")
        for options, message in (
            (dict(answers=answers, parser="vqa=best"), "--parser best: task vqa has none"),
            (dict(answers=answers, model=self.folder), "takes the place of --model"),
            ({}, "neither --model nor --answers"),
            (dict(only_score=True), "holds no manifest.json"),
            (dict(model=self.path("nowhere")), "is no directory"),
            (dict(answers=answers, parser="gqa=short"), "gqa is not in --task vqa"),
            (dict(answers=answers, parser="choice"), "--parser choice@1: needs a model and --candidates"),
            (dict(answers=self.path("none.json")), "none.json: there is no such file"),
        ):
            code, errors = self.run_eval(["vqa"], "out", **options)
            self.assertTrue(code == 1 and message in errors, errors)
        words = tiny.words({"vqa": self.sets["vqa"]}, self.path("out"), answers=answers)
        words[1] = "vqa,vgq"
        self.assertIn("unknown, empty or twice ['vgq']", said(run_eval.main, words)[1])


class DocumentsTest(unittest.TestCase):
    def test_commands(self):
        """Every command of the documents is one that the programs take."""
        folder, number = os.path.join(os.path.dirname(runner.__file__)), 0
        for name in ("README.md", "README_en.md"):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                text = stream.read().replace("\\\n", " ")
            for line in text.split("\n"):
                if line.startswith("python run_eval.py --"):
                    args = run_eval.arguments(shlex.split(line)[2:])
                    tasks = args.task.split(",")
                    self.assertEqual(set(run_eval.by_task(args.annotations, tasks, "annotations")), set(tasks))
                    number += 1
                elif line.startswith("python human_eval.py"):
                    self.assertIsNotNone(human_eval.arguments(shlex.split(line)[2:]))
                    number += 1
        self.assertEqual(number, 10)


class HumanTest(FolderTest):
    @classmethod
    def setUpClass(cls):
        made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(made.cleanup)
        (files, images), cls.runs = tiny.write_sets(made.name, 8)["gqa"], []
        rows = datasets.read_set("gqa", files, images)
        for name, control in (("seven", "oracle"), ("thirteen", "random"), ("other", "constant")):
            texts, path = models.control_texts(control, "gqa", rows, 5), os.path.join(made.name, name)
            answers = write(path + ".json", [{"questionId": key, "prediction": text} for key, text in texts.items()])
            words = tiny.words({"gqa": (files, images)}, path, answers=answers, outside="report")
            if said(run_eval.main, words)[0]:
                raise AssertionError(f"the run of {name} failed")
            cls.runs.append(f"{name}={path}")

    def setUp(self):
        super().setUp()
        words = ["make", self.path("study"), "--task", "gqa", "--runs", *self.runs]
        self.assertEqual(said(human_eval.main, words)[0], 0)
        self.broken = self.path("broken")
        os.makedirs(self.broken)
        write(os.path.join(self.broken, "results.jsonl"), "{\n")
        self.study = human.Study(self.path("study"))

    def test_order_is_the_raters_own_and_survives(self):
        first, second = self.study.order("Ann"), self.study.order("Bob")
        self.assertEqual(first, human.Study(self.path("study")).order("Ann"))
        self.assertNotEqual([pair["key"] for pair, _ in first], [pair["key"] for pair, _ in second])
        self.assertEqual({swapped for _, swapped in first}, {True, False})

    def test_votes(self):
        pair, swapped, done = self.study.next("Ann")
        self.assertEqual(done, 0)
        self.assertTrue(self.study.vote("Ann", pair["key"], "left", "=1+1"))
        self.assertFalse(self.study.vote("Ann", pair["key"], "right"))  # a key pressed twice
        winner = pair["systems"][1 if swapped else 0]
        self.assertEqual(self.study.votes("Ann")[pair["key"]]["winner"], winner)
        after, _, done = human.Study(self.path("study")).next("Ann")  # the page was started again
        self.assertTrue(done == 1 and after["key"] != pair["key"])
        self.assertEqual(self.study.take_back("Ann"), pair["key"])
        self.assertEqual(self.study.next("Ann")[0]["key"], pair["key"])
        self.study.vote("Ann", pair["key"], "tie", "=1+1")
        rows = list(csv.DictReader(io.StringIO(self.study.table())))
        self.assertEqual((rows[0]["winner"], rows[0]["comment"]), ("tie", "'=1+1"))
        for bad in ("", "../../x", "a" * 41, "=x"):
            with self.assertRaises(ValueError):
                self.study.rater(bad)
        self.assertEqual(self.study.rater(" 王  小明 "), "王 小明")

    def test_half_written_vote(self):
        pair, _, _ = self.study.next("Ann")
        self.study.vote("Ann", pair["key"], "left")
        file = self.study._file("Ann")
        with open(file, "a", encoding="utf-8") as stream:
            stream.write('{"rater": "Ann", "key": "')
        self.assertEqual(len(self.study.votes("Ann")), 1)
        other = self.study.next("Ann")[0]
        self.assertTrue(self.study.vote("Ann", other["key"], "right"))
        self.assertEqual(list(self.study.votes("Ann")), [pair["key"], other["key"]])

    def test_foreign_votes(self):
        pair, _, _ = self.study.next("Ann")
        self.study.vote("Ann", pair["key"], "left")
        file = self.study._file("Ann")
        with open(file, encoding="utf-8") as stream:
            good = stream.read()
        for line, message in (
            ("nonsense", "line 2 is no vote; next"),
            ('{"rater": "Ann", "key": "9|a|b", "choice": "tie"}', "'9.a.b', which is no pair of this study; next"),
        ):
            write(file, good + line + "\n")
            with self.assertRaisesRegex(store.StoreError, message):
                self.study.all_votes()
            code, errors = said(human_eval.main, ["report", self.path("study")])
            self.assertTrue(code == 1 and "next" in errors, errors)

    def test_report(self):
        for rater in ("Ann", "Bob"):
            while True:
                pair, swapped, _ = self.study.next(rater)
                if pair is None:
                    break
                one, two = pair["systems"]
                best = "seven" if "seven" in (one, two) else one
                left = (two, one)[0] if swapped else one
                self.study.vote(rater, pair["key"], "left" if left == best else "right")
        alone, _, _ = self.study.next("Zed")
        self.study.vote("Zed", alone["key"], "tie")
        self.study.take_back("Zed")
        made = human.agreement(self.study)
        self.assertEqual(made["cohen"]["Ann | Bob"], (1.0, len(self.study.pairs)))
        self.assertAlmostEqual(made["krippendorff"], 1.0)
        ranking = sorted(made["bradley_terry"], key=lambda name: -made["bradley_terry"][name][0])
        self.assertEqual(ranking, ["seven", "thirteen", "other"])
        self.assertEqual(said(human_eval.main, ["report", self.path("study")])[0], 0)
        with open(self.path("study", "agreement.json"), encoding="utf-8") as stream:
            made = json.load(stream, parse_constant=self.fail)  # NaN is no JSON
        self.assertEqual(made["cohen"]["Ann | Zed"], [None, 0])
        with open(self.path("study", "votes.csv"), encoding="utf-8-sig", newline="") as stream:
            self.assertEqual(len(list(csv.DictReader(stream))), 2 * len(self.study.pairs))

    def test_faults(self):
        for words, message in (
            (["make", self.path("study"), "--task", "gqa", "--runs", *self.runs], "a study is there already"),
            (["make", self.path("new"), "--task", "gqa", "--runs", self.runs[0]], "two systems or more"),
            (
                ["make", self.path("new"), "--task", "gqa", "--runs", self.runs[0], "x=" + self.runs[0].split("=")[1]],
                "say the same",
            ),
            (
                ["make", self.path("new"), "--task", "gqa", "--runs", self.runs[0], "x=" + self.path("no")],
                "no results.jsonl",
            ),
            (
                ["make", self.path("new"), "--task", "gqa", "--runs", self.runs[0], "x=" + self.broken],
                "line 1 is no row",
            ),
            (["report", self.path("nothing")], "holds no study.json"),
            (["serve", self.path("study"), "--images", self.path("no")], "picture of id"),
        ):
            code, errors = said(human_eval.main, words)
            self.assertTrue(code == 1 and message in errors and "next" in errors, errors)


if __name__ == "__main__":
    unittest.main()
