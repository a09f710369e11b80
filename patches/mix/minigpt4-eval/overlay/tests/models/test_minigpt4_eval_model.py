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

"""Zero-shot evaluation by a tiny seeded MiniGPT-4 of the suite: batches, likelihoods, a killed run, several processes, faults."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
EXAMPLES = os.path.join(ROOT, "paddlemix", "examples", "minigpt4")
sys.path[:0] = [HERE, ROOT, EXAMPLES]
import minigpt4_eval_testing as tiny  # noqa: E402
import paddle  # noqa: E402
import run_eval  # noqa: E402
from paddlemix.models.minigpt4 import MiniGPT4ForConditionalGeneration  # noqa: E402
from PIL import Image  # noqa: E402
from zeroshot import datasets, models, prompts, runner  # noqa: E402

TEXT = {"max_new_tokens": 8, "batch_size": 3, "dtype": "float32", "device": "cpu", "outside": "report"}
# the command, killed in the batch after that many; not a fork of this process, whose threads a child would not have
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import run_eval
from zeroshot import models
generate, last, count = models.MiniGPT4.generate, int(sys.argv[2]), [0]
def dying(*args):
    count[0] += 1
    if 0 <= last < count[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return generate(*args)
models.MiniGPT4.generate = dying
sys.exit(run_eval.main(sys.argv[3:]))
"""


class ModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(made.cleanup)
        cls.folder, cls.path = made.name, os.path.join(made.name, "model")
        cls.sets = tiny.write_sets(cls.folder, 5)
        tiny.minigpt4(cls.path)
        cls.model = models.MiniGPT4(cls.path, max_new_tokens=8, batch_size=3)

    def rows(self, task):
        return datasets.read_set(task, *self.sets[task])

    def place(self, *names):
        return os.path.join(self.folder, *names)

    def words(self, out, *tasks, **options):
        sets = {name: self.sets[name] for name in tasks}
        return tiny.words(sets, self.place(out), model=self.path, skip_meteor=True, **{**TEXT, **options})

    def run_eval(self, words, **variables):
        os.environ.update(variables)
        self.addCleanup(lambda: [os.environ.pop(name, None) for name in variables])
        with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
            code = run_eval.main(words)
        return code, errors.getvalue()

    def run_apart(self, words, kill_after=None, **variables):
        """Exit status of the command in a process of its own; with `kill_after` it is killed in that batch."""
        batches = -1 if kill_after is None else kill_after
        command = [sys.executable, "-c", KILLED, EXAMPLES, str(batches), *words]
        environment = dict(os.environ, PYTHONPATH=ROOT + os.pathsep + os.environ.get("PYTHONPATH", ""), **variables)
        return subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode

    def raw(self, out):
        """{file's job: {id: record}} of what is stored."""
        made = {}
        for name in sorted(os.listdir(self.place(out, "raw"))):
            if name.endswith(".jsonl"):
                with open(self.place(out, "raw", name), encoding="utf-8") as stream:
                    for line in stream:
                        record = json.loads(line)
                        job = made.setdefault(name.rsplit(".", 2)[0], {})
                        self.assertNotIn(record["id"], job)  # nothing is asked twice
                        job[record["id"]] = record
        return made

    def test_a_row_does_not_depend_on_its_batch(self):
        rows = self.rows("vqa")
        texts = {row["id"]: prompts.PROMPTS["vqa"]["short@1"].replace("{question}", row["question"]) for row in rows}
        for blind in (False, True):
            alone, together = {}, {}
            for size, made in ((1, alone), (5, together)):
                self.model.batch_size = size
                for batch in self.model.batches(rows, texts, blind):
                    self.assertEqual(len({(len(one), len(two)) for _, one, two in batch}), 1)
                    said = self.model.generate(batch, blind)
                    made.update({row["id"]: text for (row, _, _), text in zip(batch, said)})
            self.model.batch_size = 3
            self.assertEqual(alone, together)
            self.assertEqual(len(alone), 15)
            if not blind:
                self.assertGreater(len(set(alone.values())), 3)

    def test_greedy_text_is_the_likeliest(self):
        """What is generated token by token, and what the likelihood says, come from the same model."""
        row = self.rows("caption")[0]
        text = prompts.PROMPTS["caption"]["sentence@1"]
        first, second = self.model.prompt(text, False)
        ids = paddle.to_tensor([first]), paddle.to_tensor([second])
        with paddle.no_grad():
            got, _ = self.model.model.generate_with_image_features(
                self.model.features([row]), *ids, max_new_tokens=4, decode_strategy="greedy_search"
            )
            best = got.numpy()[0].tolist()
            features = self.model.features([row])
            parts = [self.model._embed([first]), features, self.model._embed([second]), self.model._embed([best])]
            logits = self.model.model.language_model(inputs_embeds=paddle.concat(parts, axis=1))
        logits = (logits[0] if isinstance(logits, tuple) else logits).numpy()[0]
        self.assertEqual(logits[-len(best) - 1 : -1].argmax(axis=1).tolist(), best)

    def test_likelihood(self):
        """Sums over candidates that are padded, against the logits of the model's own forward for each alone."""
        row, text = self.rows("pope")[0], "Is it red? Answer yes or no."
        candidates = ["yes", "there is a yellow cross on gray", "no"]
        sums, lengths = self.model.likelihood(row, text, candidates, False)
        with Image.open(row["image"]) as image:
            inputs = self.model.processor(
                images=[image.convert("RGB")], text=text, prompt=prompts.FRAME.format("<TextHere>")
            )
        for candidate, total, length in zip(candidates, sums, lengths):
            labels = self.model.processor.process_target_texts([candidate])
            with paddle.no_grad():
                logits = self.model.model(**inputs, **labels, return_dict=True).logits.numpy()[0, -length - 1 : -1]
            chances = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(axis=1, keepdims=True)
            want = np.log(chances[np.arange(length), labels["labels"].numpy()[0]]).sum()
            self.assertAlmostEqual(total, want, delta=1e-4 * abs(want))
        blind, _ = self.model.likelihood(row, text, candidates, True)
        other, _ = self.model.likelihood(self.rows("pope")[5], text, candidates, True)
        np.testing.assert_allclose(blind, other, rtol=1e-6)  # without picture, no picture counts
        self.assertGreater(np.abs(sums - blind).max(), 0.1)

    def test_every_task_twice(self):
        tasks = ("caption", "vqa", "okvqa", "gqa", "retrieval", "pope", "refcoco")
        with open(self.place("colors.txt"), "w") as stream:
            stream.write("\n".join(tiny.COLORS))
        options = {
            "parser": ["pope=all", "gqa=all", "retrieval=all"],
            "prompt": ["pope=plain"],
            "candidates": "gqa=" + self.place("colors.txt"),
        }
        words = self.words("all", *tasks, **options, limit=2)
        code, errors = self.run_eval(words)
        self.assertEqual(code, 0, errors)
        before = self.raw("all")
        with open(self.place("all", "results.json")) as stream:
            results = json.load(stream)
        self.assertEqual(set(results["tasks"]), set(tasks))
        for task, entries in results["tasks"].items():
            for entry in [one for each in entries.values() for one in each.values()]:
                self.assertEqual(set(entry["systems"]), {"model", "blind", "oracle", "random", "constant"}, task)
                self.assertIn("p", entry["model against blind"])
        self.assertEqual(len(results["manifest"]["model"]["sha256"]), 64)
        self.assertEqual(self.run_eval(words)[0], 0)
        self.assertEqual(self.raw("all"), before)
        code, errors = self.run_eval([*words, "--seed", "5"])
        self.assertTrue(code == 1 and "seed was 0, now 5" in errors, errors)
        place = words.index("--model")
        code, errors = self.run_eval(words[:place] + words[place + 2 :] + ["--only_score", "--outside", "stop"])
        self.assertEqual(code, 3)  # seeded weights answer worse than random answers do

    def test_killed_and_two_processes(self):
        self.assertEqual(self.run_apart(self.words("one", "vqa")), 0)
        whole = self.raw("one")
        self.assertEqual(self.run_apart(self.words("cut", "vqa"), kill_after=3), -signal.SIGKILL)
        self.assertFalse(os.path.exists(self.place("cut", "results.json")))
        left = sum(map(len, self.raw("cut").values()))
        self.assertTrue(0 < left < 15, left)
        self.assertEqual(self.run_apart(self.words("cut", "vqa")), 0)
        self.assertEqual(self.raw("cut"), whole)
        for rank in ("1", "0"):  # the last one writes the results
            self.assertFalse(os.path.exists(self.place("two", "results.json")))
            variables = {"PADDLE_TRAINER_ID": rank, "PADDLE_TRAINERS_NUM": "2"}
            self.assertEqual(self.run_apart(self.words("two", "vqa"), **variables), 0)
        self.assertEqual(self.raw("two"), whole)
        for name in ("results.jsonl", "report.md"):
            made = [open(self.place(out, name), encoding="utf-8").read() for out in ("one", "two", "cut")]
            self.assertTrue(made[0] == made[1] == made[2], name)

    def test_launch(self):
        """The documented command with two processes on a CPU gives what one gives."""
        words = [
            sys.executable,
            "-m",
            "paddle.distributed.launch",
            "--nproc_per_node",
            "2",
            "--log_dir",
            self.place("log"),
        ]
        words += [os.path.join(EXAMPLES, "run_eval.py"), *self.words("launched", "gqa")]
        variables = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        variables["PYTHONPATH"] = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertTrue(os.path.exists(self.place("launched", "results.json")), done.stdout[-3000:])
        self.assertEqual(
            {name.split(".")[-2] for name in os.listdir(self.place("launched", "raw")) if name.endswith("jsonl")},
            {"0", "1"},
        )
        self.assertEqual(self.run_apart(self.words("single", "gqa")), 0)
        self.assertEqual(self.raw("launched"), self.raw("single"))

    def test_weights_that_are_missing_or_foreign(self):
        other, state = self.place("other"), paddle.load(os.path.join(self.path, "model_state.pdparams"))
        os.makedirs(other)
        for name in os.listdir(self.path):
            if not name.endswith(".pdparams"):
                with open(os.path.join(self.path, name), "rb") as one, open(os.path.join(other, name), "wb") as two:
                    two.write(one.read())
        state["foreign.weight"] = state.pop("language_projection.weight")
        paddle.save(state, os.path.join(other, "model_state.pdparams"))
        with self.assertRaisesRegex(
            ValueError, "1 tensors of the model are not .*language_projection.weight.*foreign.weight.*next"
        ):
            models.MiniGPT4(other)
        with self.assertRaisesRegex(ValueError, "holds no config.json"):
            models.MiniGPT4(self.folder)

    def test_faults(self):
        row = dict(self.rows("gqa")[0])
        with self.assertRaisesRegex(
            ValueError, f"id {row['id']}: prompt, picture and answer take .* the model has 512"
        ):
            list(self.model.batches([row], {row["id"]: "word " * 300}, False))
        row["image"] = self.place("broken.jpg")
        with open(row["image"], "wb") as stream:
            stream.write(b"no picture")
        with self.assertRaisesRegex(ValueError, f"broken.jpg: picture of id {row['id']} cannot be read.*next"):
            self.model.features([row])

    def test_pictures(self):
        gray = np.tile(np.linspace(0, 65535, 48), (48, 1))
        eight = models.upright(Image.fromarray((gray / 257).astype(np.uint8)))
        sixteen = models.upright(Image.fromarray(gray.astype(np.uint16)))
        self.assertLess(np.abs(np.asarray(eight, int) - np.asarray(sixteen, int)).max(), 2)
        clear = models.upright(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
        self.assertEqual(clear.getpixel((0, 0)), (255, 255, 255))
        row, turned = dict(self.rows("gqa")[0]), self.place("turned.png")
        with Image.open(row["image"]) as image:
            exif = image.getexif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
            image.save(self.place("straight.png"))
        made = [
            self.model.features([{**row, "image": self.place(name)}]).numpy()
            for name in ("turned.png", "straight.png")
        ]
        np.testing.assert_allclose(*made, atol=1e-6)

    def test_the_model_is_the_suites(self):
        self.assertIsInstance(self.model.model, MiniGPT4ForConditionalGeneration)
        task = runner.Task("retrieval", *self.sets["retrieval"], "test", 2, None, "all")
        self.assertEqual(
            [job[1] for job in task.jobs(False)], ["model", "blind"]
        )  # a scorer needs the likelihood without picture


if __name__ == "__main__":
    unittest.main()
