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
"""The programs of paddlemix/examples/kosmos2, run as a user runs them, on tiny files in the published formats."""

import contextlib
import io
import json
import os
import pickle
import shutil
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.common.checkpoints import ConversionError
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "paddlemix", "examples", "kosmos2"))
import convert_weights  # noqa: E402
import eval_sets  # noqa: E402
import grounding  # noqa: E402
import kosmos2_testing as tiny  # noqa: E402
import run_eval  # noqa: E402
import run_finetune  # noqa: E402
import run_predict  # noqa: E402
from checkpoint_testing import write_safetensors, write_torch  # noqa: E402


def quiet(function, *args):
    """(what a program returns, what it prints)."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        return function(*args), said.getvalue()


class Folder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = cls.place.name
        cls.path, cls.model, cls.processor = tiny.saved(os.path.join(cls.folder, "tiny"))
        cls.image = os.path.join(cls.folder, "photo.png")
        tiny.picture(height=60, width=90).save(cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()


class ConversionTest(Folder):
    def answer(self, path):
        words = [
            "--model",
            path,
            "--image",
            self.image,
            "--task",
            "vqa",
            "--text",
            "what is left",
            "--max_new_tokens",
            "6",
        ]
        return quiet(run_predict.main, words)[0]["markup"]

    def test_published_files(self):
        """From the files of transformers (shards with an index) and of microsoft/unilm to the same first answer."""
        files = os.path.join(self.folder, "published")
        tiny.write_published(files, self.processor, self.model.config)
        state, places = tiny.hf_state(self.model), {}
        for shard in range(2):
            name = f"model-{shard + 1:05d}-of-00002.safetensors"
            part = {key: state[key] for key in sorted(state)[shard::2]}
            write_safetensors(os.path.join(files, name), part)
            places.update(dict.fromkeys(part, name))
        with open(os.path.join(files, "model.safetensors.index.json"), "w", encoding="utf-8") as stream:
            json.dump({"weight_map": places}, stream)
        with open(os.path.join(files, "generation_config.json"), "w", encoding="utf-8") as stream:
            json.dump({"no_repeat_ngram_size": 3}, stream)
        unilm = os.path.join(self.folder, "kosmos-2.pt")
        write_torch(unilm, {"epoch": 1, "model": tiny.fairseq_state(self.model)})
        outs = [os.path.join(self.folder, name) for name in ("from_hf", "from_unilm")]
        quiet(convert_weights.main, [files, outs[0]])
        quiet(convert_weights.main, [unilm, outs[1], "--files", files])
        self.model.config.text_config.no_repeat_ngram_size = 3
        want, again = os.path.join(self.folder, "want"), []
        self.model.save_pretrained(want, save_function=paddle.save)
        self.processor.save_pretrained(want)
        for out in outs:
            loaded = Kosmos2ForConditionalGeneration.from_pretrained(out)
            self.assertEqual(loaded.config.text_config.no_repeat_ngram_size, 3)
            for name, value in self.model.state_dict().items():
                np.testing.assert_array_equal(loaded.state_dict()[name].numpy(), value.numpy(), err_msg=name)
            again.append(self.answer(out))
        self.assertEqual(again, [self.answer(want)] * 2)

        os.remove(os.path.join(files, "model-00002-of-00002.safetensors"))
        with self.assertRaisesRegex(ConversionError, "lacks model-00002"):
            convert_weights.main([files, outs[0]])
        os.remove(os.path.join(files, "config.json"))
        with self.assertRaisesRegex(ConversionError, "config.json is not there"):
            convert_weights.main([unilm, outs[0], "--files", files])


class PredictionTest(Folder):
    def test_tasks(self):
        for task, more in (
            ("caption", []),
            ("detail", []),
            ("grounding", ["--text", "a red circle"]),
            ("referring", ["--box", "0.1", "0.2", "0.5", "0.9"]),
            ("vqa", ["--text", "what is left"]),
        ):
            out = os.path.join(self.folder, task + ".png")
            words = [
                "--model",
                self.path,
                "--image",
                self.image,
                "--task",
                task,
                "--max_new_tokens",
                "4",
                "--out",
                out,
            ]
            found, said = quiet(run_predict.main, words + more)
            self.assertEqual(json.loads(said)["text"], found["text"])
            with Image.open(out) as made:
                self.assertEqual(made.size, (90, 60))

    def test_prompts(self):
        self.assertEqual(grounding.prompt("grounding", " a dog "), "<grounding><phrase> a dog</phrase>")
        text = grounding.prompt("referring", box=(0.0, 0.0, 1.0, 1.0))
        self.assertEqual(
            text, "<grounding><phrase> It</phrase><object> <patch_index_0000> <patch_index_1023> </object> is"
        )
        for arguments, words in (
            (("grounding", " "), "needs a text"),
            (("referring",), "needs a box"),
            (("referring", "", (0.5, 0.5, 0.1, 0.9)), "empty or reversed"),
            (("other",), "there is no task 'other'"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                grounding.prompt(*arguments)

    def test_drawing(self):
        """Labels lie in the picture and none upon another, also where all boxes are the same; every box is drawn."""
        draw = np.random.default_rng(0)
        for boxes in ([(10, 10, 60, 50)] * 8, [tuple(draw.integers(0, 150, 4)) for _ in range(10)]):
            sizes = [(int(draw.integers(20, 60)), 14) for _ in boxes]
            labels = grounding.place_labels(sizes, boxes, 200, 200)
            for number, (x1, y1, x2, y2) in enumerate(labels):
                self.assertTrue(0 <= x1 and 0 <= y1 and x2 <= 200 and y2 <= 200)
                for a1, b1, a2, b2 in labels[:number]:
                    self.assertFalse(x1 < a2 and a1 < x2 and y1 < b2 and b1 < y2)
        white = Image.new("RGB", (120, 100), "white")
        entities = [("a", (0, 1), [(0.1, 0.5, 0.4, 0.9)]), ("b", (2, 3), [(0.9, 0.95, 0.6, 0.55)])]
        colours = {colour for _, colour in grounding.draw_entities(white, entities).getcolors(10000)}
        for colour in grounding.COLOURS[:2]:
            self.assertIn(tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5)), colours)
        chosen = np.asarray(grounding.draw_entities(white, entities, chosen=1))
        self.assertTrue((chosen != np.asarray(grounding.draw_entities(white, entities))).any())


class TuningTest(Folder):
    def test_steps(self):
        """Two steps of the Trainer; the image encoder stays as it was; the result answers."""
        file, out = os.path.join(self.folder, "train.jsonl"), os.path.join(self.folder, "tuned")
        row = {"image": "photo.png", "prompt": "<grounding> an image of", "answer": " <phrase>a circle</phrase> and"}
        with open(file, "w", encoding="utf-8") as stream:
            stream.write("\n".join(json.dumps({**row, "boxes": [[0.1, 0.1 * n, 0.6, 0.9]]}) for n in range(4)))
        words = ["--model_name_or_path", self.path, "--train_file", file, "--output_dir", out, "--max_steps", "2"]
        words += [
            "--per_device_train_batch_size",
            "2",
            "--learning_rate",
            "1e-2",
            "--device",
            "cpu",
            "--report_to",
            "none",
        ]
        _, trainer = quiet(run_finetune.main, words)[0]
        before, after = self.model.state_dict(), Kosmos2ForConditionalGeneration.from_pretrained(out).state_dict()
        moved = {name.split(".")[0] for name, value in after.items() if (value.numpy() != before[name].numpy()).any()}
        self.assertEqual(moved, {"text_model", "image_to_text_projection"})
        batch = run_finetune.Collate(self.processor)([dict(row, folder=self.folder, boxes=[[0.1, 0.2, 0.6, 0.9]])])
        learned = batch["labels"].numpy()[0]
        text = self.processor.decode(learned[learned != -100])
        self.assertEqual(text.count("<patch_index_"), 2)
        words = ["--model", out, "--image", self.image, "--max_new_tokens", "3"]
        self.assertIsInstance(quiet(run_predict.main, words)[0]["text"], str)

    def test_refusals(self):
        file = os.path.join(self.folder, "bad.jsonl")
        for content, words in (
            ("", "holds no example"),
            ('{"image": "a", "prompt": "b"}', "example 1: answer is no text"),
        ):
            with open(file, "w", encoding="utf-8") as stream:
                stream.write(content)
            with self.assertRaisesRegex(ValueError, words):
                run_finetune.Grounded(file)


class EvaluationTest(Folder):
    def sets(self):
        """The same three expressions in MDETR's file with its prompts, and as REFER's folder."""
        images = [{"id": n, "file_name": "COCO_train2014_%d.png" % n, "height": 60, "width": 90} for n in range(3)]
        for image in images:
            tiny.picture(image["id"], 60, 90).save(os.path.join(self.folder, image["file_name"]))
        boxes, captions = [[5, 5, 40, 30], [0, 0, 90, 60], [50, 20, 30, 30]], ["a red", "the circle", "left"]
        mdetr = [dict(image, caption=caption, dataset_name="refcoco") for image, caption in zip(images, captions)]
        annotations = [{"image_id": n, "bbox": box} for n, box in enumerate(boxes)]
        file = os.path.join(self.folder, "finetune_refcoco_val.json")
        with open(file, "w", encoding="utf-8") as stream:
            json.dump({"images": mdetr, "annotations": annotations}, stream)
        with open(file + ".locout", "w", encoding="utf-8") as stream:
            lines = [f"[image]/x/{one['file_name']}<tab><grounding><phrase>{one['caption']}</phrase>" for one in mdetr]
            stream.write("\n".join(lines) + "\n")
        folder = os.path.join(self.folder, "refcoco")
        os.makedirs(folder, exist_ok=True)
        references = [
            {"ref_id": n, "ann_id": 10 + n, "image_id": n, "split": "val", "sentences": [{"sent": caption}]}
            for n, caption in enumerate(captions)
        ]
        with open(os.path.join(folder, "refs(unc).p"), "wb") as stream:
            pickle.dump(references, stream, protocol=2)
        with open(os.path.join(folder, "instances.json"), "w", encoding="utf-8") as stream:
            json.dump(
                {"images": images, "annotations": [{"id": 10 + n, "bbox": box} for n, box in enumerate(boxes)]}, stream
            )
        return file, folder

    def words(self, kind, annotations, out, *more):
        words = ["--model", self.path, "--format", kind, "--annotations", annotations, "--images", self.folder]
        return [*words, "--out", os.path.join(self.folder, out), "--max_new_tokens", "5", "--batch_size", "2", *more]

    def test_formats(self):
        file, folder = self.sets()
        rows = eval_sets.read_mdetr(file, self.folder)
        self.assertEqual(eval_sets.read_refer(folder, self.folder), rows)
        self.assertEqual(eval_sets.read_mdetr(file, self.folder, file + ".locout"), rows)
        with self.assertRaisesRegex(ValueError, "no expression of the split 'testA'; there are val"):
            eval_sets.read_refer(folder, self.folder, "testA")
        with open(file + ".locout", "a", encoding="utf-8") as stream:
            stream.write("one more\n")
        with self.assertRaisesRegex(ValueError, "4 lines for 3 expressions"):
            eval_sets.read_mdetr(file, self.folder, file + ".locout")
        with open(os.path.join(folder, "refs(unc).p"), "wb") as stream:
            pickle.dump([unittest.TestCase], stream)
        with self.assertRaisesRegex(ValueError, "class unittest.case.TestCase"):
            eval_sets.read_refer(folder, self.folder)

    def test_ranks_and_resuming(self):
        """Two ranks give what one process gives; a torn line is answered again; another evaluation is refused."""
        file, _ = self.sets()
        one, said = quiet(run_eval.main, self.words("mdetr", file, "one"))
        self.assertIn("other weights, another run", said)
        self.assertEqual(one["refcoco"]["number"], 3)
        first, said = quiet(run_eval.main, self.words("mdetr", file, "two", "--rank", "1", "--world", "2"))
        self.assertIsNone(first)
        self.assertIn("1 of 3 rows", said)
        path = os.path.join(self.folder, "two", "answers.1.jsonl")
        with open(path, encoding="utf-8") as stream:
            content = stream.read()
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content[:-9])
        self.assertIsNone(quiet(run_eval.main, self.words("mdetr", file, "two", "--rank", "0", "--world", "2"))[0])
        two = quiet(run_eval.main, self.words("mdetr", file, "two", "--rank", "1", "--world", "2"))[0]
        self.assertEqual(two, one)
        texts = []
        for name in ("one", "two"):
            answers = run_eval.Answers(os.path.join(self.folder, name), 0, None)
            answers.settings = json.loads(open(os.path.join(self.folder, name, "answers.0.jsonl")).readline())[
                "settings"
            ]
            texts.append(answers.read())
            answers.stream.close()
            for made in ("report.json", "report.md", "failures.png"):
                self.assertTrue(os.path.isfile(os.path.join(self.folder, name, made)))
        self.assertEqual(texts[0], texts[1])
        with self.assertRaisesRegex(ValueError, "another evaluation.*another --out"):
            run_eval.main(self.words("mdetr", file, "two", "--limit", "2"))
        holder = run_eval.Answers(os.path.join(self.folder, "two"), 0, texts)
        with self.assertRaisesRegex(ValueError, "another process writes"):
            run_eval.main(self.words("mdetr", file, "two"))
        holder.stream.close()

    def test_right_answers(self):
        """The figures of a model that answers right, and of one that does not; the rules are the metric's own."""
        file, _ = self.sets()
        args = run_eval.arguments(self.words("mdetr", file, "three"))
        rows, side = eval_sets.read_mdetr(file, self.folder), self.processor.tokenizer.side
        texts = []
        for row in rows:
            x, y, width, height = row["target"]
            box = (x / 90, y / 60, (x + width) / 90, (y + height) / 60)
            text = grounding.insert_boxes(row["prompt"], [box], side)
            texts.append(text.replace(" <", "<").replace("> ", ">"))
        figures, missed = run_eval.score(args, rows, texts, side)
        self.assertEqual(figures["refcoco"]["1"] * 3, 3 - len(missed))
        self.assertNotIn(1, missed)
        figures, missed = run_eval.score(args, rows, [row["prompt"] for row in rows], side)
        self.assertEqual((figures["refcoco"]["1"], missed), (0.0, [0, 1, 2]))

    def test_flickr30k(self):
        """Two phrases of a sentence in the published files, one with two boxes: right answers, and those of the model, in both protocols."""
        caption, spans = "A red circle and a large square .", ([0, 12], [17, 31])
        entry = {
            "file_name": "7.png",
            "original_img_id": 7,
            "sentence_id": 1,
            "width": 90,
            "height": 60,
            "caption": caption,
        }
        file, entities = (
            os.path.join(self.folder, name) for name in ("final_flickr_separateGT_test.json", "entities")
        )
        with open(file, "w", encoding="utf-8") as stream:
            json.dump({"images": [{**entry, "tokens_positive_eval": [[span] for span in spans]}]}, stream)
        tiny.picture(7, 60, 90).save(os.path.join(self.folder, "7.png"))
        boxes = {"1": [(10, 10, 40, 50)], "2": [(0, 0, 20, 20), (60, 30, 90, 60)]}
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for name, many in boxes.items()
            for a, b, c, d in many
        )
        marked = "[/EN#1/other A red circle] and [/EN#2/other a large square] ."
        for name, text in (
            ("Annotations/7.xml", f"<annotation>{objects}</annotation>"),
            ("Sentences/7.txt", f"[/EN#9/people Someone] .\n{marked}\n"),
        ):
            os.makedirs(os.path.join(entities, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(entities, name), "w", encoding="utf-8") as stream:
                stream.write(text)
        words = self.words("flickr30k", file, "flickr", "--entities", entities)
        figures, said = quiet(run_eval.main, words)
        self.assertEqual(figures["flickr30k"]["number"], 2)
        self.assertIn("R@1 val 77.8", said)
        rows, side = eval_sets.read_flickr(file, self.folder), self.processor.tokenizer.side
        self.assertEqual(
            [row["prompt"] for row in rows][1], f"<grounding>{caption[:17]} <phrase>a large square</phrase>"
        )
        args, texts = run_eval.arguments(words), []
        for row, box in zip(rows, (boxes["1"][0], boxes["2"][1])):
            shares = (box[0] / 90, box[1] / 60, box[2] / 90, box[3] / 60)
            text = grounding.insert_boxes(row["prompt"], [shares], side)
            texts.append(
                text.replace(" <object", "<object")
                .replace("<object> ", "<object>")
                .replace(" </object", "</object")
                .replace("> <patch", "><patch")
            )
        figures, missed = run_eval.score(args, rows, texts, side)
        self.assertEqual(missed, [])
        self.assertEqual(figures["flickr30k"]["any box"]["R@1"], {"all": 1.0, "other": 1.0})
        self.assertEqual(figures["flickr30k"]["merged boxes"]["R@1"]["all"], 0.5)
        figures, missed = run_eval.score(args, rows, texts[::-1], side)
        self.assertEqual((figures["flickr30k"]["any box"]["R@1"]["all"], missed), (0.0, [0, 1]))
        os.remove(os.path.join(entities, "Annotations", "7.xml"))
        with self.assertRaisesRegex(FileNotFoundError, "7.xml"):
            run_eval.main(words)
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            run_eval.main(self.words("flickr30k", file, "flickr"))

    def test_captions(self):
        images = [
            {"split": split, "filename": f"c{n}.png", "sentences": []}
            for n, split in enumerate(("train", "test", "test"))
        ]
        for image in images:
            tiny.picture(3, 60, 90).save(os.path.join(self.folder, image["filename"]))
            image["sentences"] = [
                {"raw": "a red circle left of a square"},
                {"raw": "two large circle " + image["filename"]},
            ]
        file = os.path.join(self.folder, "dataset_flickr30k.json")
        with open(file, "w", encoding="utf-8") as stream:
            json.dump({"images": images}, stream)
        words = self.words("caption", file, "captions", "--no_ptb")
        figures = quiet(run_eval.main, words)[0]["caption, without the PTB tokenizer"]
        self.assertEqual(figures["number"], 2)
        args, rows = run_eval.arguments(words), eval_sets.read_captions(file, self.folder)
        good = ["An image of " + row["answers"][1] for row in rows]
        best = run_eval.score(args, rows, good, self.processor.tokenizer.side)[0]["caption, without the PTB tokenizer"]
        self.assertAlmostEqual(best["BLEU-4"], 1.0, 6)
        self.assertLess(figures["BLEU-4"], 0.5)
        with self.assertRaisesRegex(ValueError, "gives no row"):
            run_eval.main([*words, "--split", "other"])
        if shutil.which("java") is None:
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
                run_eval.main(words[:-1])
            self.assertIn("needs Java", said.getvalue())

    def test_questions(self):
        """VQAv2's two files: the answer behind the prompt is counted by the official rules."""
        asked, given = (os.path.join(self.folder, name) for name in ("questions.json", "annotations.json"))
        pairs = [(5, "what is left?", "Two"), (6, "is the circle red?", "yes")]
        with open(asked, "w", encoding="utf-8") as stream:
            json.dump(
                {"questions": [{"question_id": n, "image_id": n, "question": words} for n, words, _ in pairs]}, stream
            )
        rows = [{"question_id": n, "image_id": n, "answers": [{"answer": answer}] * 10} for n, _, answer in pairs]
        with open(given, "w", encoding="utf-8") as stream:
            json.dump({"annotations": rows}, stream)
        for number in (5, 6):
            tiny.picture(number, 60, 90).save(os.path.join(self.folder, "COCO_val2014_%012d.jpg" % number))
        words = self.words("vqa", given, "vqa", "--questions", asked)
        self.assertEqual(quiet(run_eval.main, words)[0]["vqa"]["number"], 2)
        rows = eval_sets.read_vqa(given, self.folder, asked)
        self.assertEqual(rows[0]["prompt"], "Question: what is left? Answer:")
        figures, missed = run_eval.score(
            run_eval.arguments(words),
            rows,
            [rows[0]["prompt"] + " Two", rows[1]["prompt"] + " no"],
            self.processor.tokenizer.side,
        )
        self.assertEqual((figures["vqa"], missed), ({"accuracy": 0.5, "number": 2}, [1]))
        with open(asked, "w", encoding="utf-8") as stream:
            json.dump({"questions": []}, stream)
        with self.assertRaisesRegex(ValueError, "lacks the question 5"):
            run_eval.main(words)

    def test_other_weights(self):
        """Answers of a model that was replaced at the same path are not mixed with those of the new one."""
        file, out = self.sets()[0], "replaced"
        quiet(run_eval.main, self.words("mdetr", file, out))
        weights = os.path.join(self.path, "model_state.pdparams")
        before = os.stat(weights)
        os.utime(weights, (before.st_atime, before.st_mtime + 60))
        try:
            with self.assertRaisesRegex(ValueError, "another evaluation"):
                run_eval.main(self.words("mdetr", file, out))
        finally:
            os.utime(weights, (before.st_atime, before.st_mtime))

    def test_empty(self):
        with self.assertRaisesRegex(ValueError, "gives no row"):
            run_eval.main(self.words("mdetr", self.sets()[0], "four", "--limit", "0"))


if __name__ == "__main__":
    unittest.main()
