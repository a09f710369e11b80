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
import os
import pathlib
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor, InstructBlipProcessor
from paddlemix.utils.log import logger
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "paddlemix", "examples", "instructblip"))
import eval_sets  # noqa: E402
import export  # noqa: E402
import instructblip_testing as tiny  # noqa: E402
import run_eval  # noqa: E402
import run_finetune  # noqa: E402
import run_predict  # noqa: E402


class ProcessorTest(unittest.TestCase):
    def test_prompts(self):
        for kind in tiny.KINDS:
            with tempfile.TemporaryDirectory() as folder:
                made = tiny.processor(folder, kind)
                out = made(images=[tiny.picture(0), tiny.picture(1)], text=["what color is the cat ?", "yes"])
            self.assertEqual(out["pixel_values"].shape, [2, 3, tiny.SIZE, tiny.SIZE])
            ids, mask = out["input_ids"].numpy(), out["attention_mask"].numpy()
            self.assertEqual((ids == made.image_token_id).sum(axis=1).tolist(), [tiny.QUERIES] * 2)
            # padding is at the left of a decoder-only model's prompt, at the right of an encoder-decoder's
            side = mask[1, 0] if kind != "t5" else mask[1, -1]
            self.assertEqual((side, mask[0].min()), (0, 1))
            if kind == "t5":
                self.assertEqual(ids[0, -1], made.tokenizer.eos_token_id)
            if kind == "opt":
                self.assertEqual(ids[0, tiny.QUERIES], made.tokenizer.bos_token_id)
            words = made.batch_decode(ids[:1])[0]
            self.assertIn("what color is the cat", words)
            self.assertEqual(out["qformer_attention_mask"].numpy()[1].sum(), 3)

    def test_training(self):
        with tempfile.TemporaryDirectory() as folder:
            made = tiny.processor(folder, "opt")
            out = made(images=[tiny.picture(0)] * 2, text=["a", "a cat"], answers=["yes", "no"], return_tensors="np")
        for row, answer in enumerate(("yes", "no")):
            learned = out["labels"][row] != -100
            self.assertEqual(made.batch_decode(out["labels"][row : row + 1, learned])[0], answer)
            np.testing.assert_array_equal(out["labels"][row][learned], out["input_ids"][row][learned])
            self.assertEqual(out["labels"][row][learned][-1], made.tokenizer.eos_token_id)
            self.assertTrue((out["attention_mask"][row][learned] == 1).all())

    def test_saving(self):
        for kind in tiny.KINDS:
            with tempfile.TemporaryDirectory() as folder:
                made = tiny.processor(os.path.join(folder, "files"), kind, max_txt_len=20)
                made.save_pretrained(os.path.join(folder, "saved"))
                again = InstructBlipProcessor.from_pretrained(os.path.join(folder, "saved"))
                one, two = (
                    each(images=tiny.picture(), text="what is red ?", return_tensors="np") for each in (made, again)
                )
            self.assertEqual(sorted(one), sorted(two))
            for key in one:
                np.testing.assert_array_equal(one[key], two[key])
            self.assertEqual((again.max_txt_len, again.decoder_only), (20, kind != "t5"))

    def test_refusals(self):
        with tempfile.TemporaryDirectory() as folder:
            made = tiny.processor(folder, "opt")
        with self.assertRaisesRegex(ValueError, "neither"):
            made()
        with self.assertRaisesRegex(ValueError, "2 images and 3 instructions"):
            made(images=[tiny.picture()] * 2, text=["a", "b", "c"])
        with self.assertRaisesRegex(ValueError, "frames"):
            made(images=[[tiny.picture()], [tiny.picture()] * 2], text="a")
        for words, text in (("0 instructions", []), ("leave it out", "<image> what is red ?")):
            with self.assertRaisesRegex(ValueError, words):
                made(images=tiny.picture(), text=text)
        with self.assertRaisesRegex(ValueError, "no image"):
            made(images=[], text="a")

    def test_long_instructions(self):
        """The question at the end stays, in both vocabularies, between the special tokens; a warning names what was left out."""
        for kind in tiny.KINDS:
            with tempfile.TemporaryDirectory() as folder:
                made = tiny.processor(folder, kind, max_txt_len=20, max_prompt_len=30)
            text = "the man on the car " * 20 + "what color is the cat ?"
            with self.assertLogs(logger.logger, "WARNING") as log:
                long = made(text=text, return_tensors="np")
            short = made(text="what color is the cat ?", return_tensors="np")
            self.assertEqual(long["qformer_input_ids"].shape[1], 20)
            self.assertEqual(long["input_ids"].shape[1], 30 + tiny.QUERIES)
            self.assertEqual(long["qformer_input_ids"][0, -6:].tolist(), short["qformer_input_ids"][0, -6:].tolist())
            self.assertEqual(long["qformer_input_ids"][0, 0], made.qformer_tokenizer.cls_token_id)
            self.assertEqual(long["input_ids"][0, -6:].tolist(), short["input_ids"][0, -6:].tolist())
            first = tiny.QUERIES + (kind != "t5")
            self.assertEqual(long["input_ids"][0, :first].tolist(), short["input_ids"][0, :first].tolist())
            self.assertIn("the Q-Former gets; its first", log.output[0])
            self.assertIn("the language model gets; its first", log.output[1])
            self.assertIn("the man on", log.output[0])

    def test_limits(self):
        """Without an answer the language model's prompt is not cut; the Q-Former's positions bound any `max_txt_len`."""
        with tempfile.TemporaryDirectory() as folder:
            path, model, _ = tiny.saved(folder, "llama")
            made = InstructBlipProcessor.from_pretrained(path, max_txt_len=1000)
        text = "what color is the cat " * 130
        inputs = made(images=tiny.picture(), text="what color " * 60 + text[:200])
        self.assertGreater(inputs["input_ids"].shape[1], 128)
        self.assertEqual(made(text=text)["qformer_input_ids"].shape[1], 512)
        self.assertEqual(model.generate(**inputs, max_new_tokens=2, eos_token_id=-1)[0].shape, [1, 2])
        inputs = made(images=tiny.picture(), text=text)
        with self.assertRaisesRegex(ValueError, "language model has 512"):
            model.generate(**inputs, max_new_tokens=3)
        ids, _ = tiny.model("llama", image_token=99).generate(
            **tiny.inputs("llama", batch=1, length=506), max_new_tokens=9, eos_token_id=-1
        )
        self.assertEqual(ids.shape, [1, 3])  # 510 places are taken, the third token is not read any more

    def test_long_answers(self):
        with tempfile.TemporaryDirectory() as folder:
            made = tiny.processor(folder, "opt", max_output_txt_len=10)
        out = made(text="a", answers="a cat is on the car", return_tensors="np")
        learned = out["labels"][0][out["labels"][0] != -100].tolist()
        self.assertEqual(len(learned), 10)
        self.assertEqual(learned[-1], made.tokenizer.eos_token_id)
        self.assertTrue("a cat is on the car".startswith(made.batch_decode([learned])[0]))


class PictureTest(unittest.TestCase):
    """What users give: every kind shows the same picture."""

    def setUp(self):
        self.read = InstructBlipImageProcessor(size=tiny.SIZE)
        self.array = np.random.default_rng(0).integers(0, 255, [40, 30, 3]).astype("uint8")
        self.want = self.read(Image.fromarray(self.array))["pixel_values"]

    def same(self, images, number=1, want=None):
        got = self.read(images)["pixel_values"]
        self.assertEqual((got.shape, got.dtype), ((number, 3, tiny.SIZE, tiny.SIZE), np.float32))
        want = self.want if want is None else want
        np.testing.assert_array_equal(got, np.repeat(want, number, axis=0))

    def test_arrays(self):
        self.same(self.array)
        self.same(self.array.transpose(2, 0, 1))
        self.same(np.stack([self.array] * 2), 2)
        self.same(np.stack([self.array.transpose(2, 0, 1)] * 2), 2)
        self.same(paddle.to_tensor(self.array))
        self.same(self.array.astype("uint16") * 257)
        grey = self.array[..., :1]
        want = self.read(Image.fromarray(grey[..., 0]))["pixel_values"]
        for array in (grey, grey[..., 0], grey.transpose(2, 0, 1)):
            self.same(array, want=want)
        for height in (1, 3):  # no channels
            low = self.array[:height]
            self.same(low, want=self.read(Image.fromarray(low))["pixel_values"])

    def test_paths(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.png")
            Image.fromarray(self.array).save(path)
            self.same(path)
            self.same([path, pathlib.Path(path)], 2)

    def test_modes(self):
        grey = np.linspace(0, 255, 1200).reshape(40, 30).astype("uint8")
        want = self.read(Image.fromarray(grey))["pixel_values"]
        self.same(Image.fromarray(grey.astype("uint16") * 257), want=want)
        self.same(Image.fromarray(grey.astype("int32") * 257), want=want)
        black = self.read(Image.new("L", (30, 40)))["pixel_values"]
        self.same(Image.fromarray(np.full((40, 30), 200, "uint16")), want=black)  # of 65535
        white = self.read(Image.new("RGB", (30, 40), "white"))["pixel_values"]
        hidden = np.concatenate([self.array, np.zeros([40, 30, 1], "uint8")], axis=2)
        self.same(Image.fromarray(hidden), want=white)
        self.same(hidden, want=white)
        opaque = np.concatenate([self.array, np.full([40, 30, 1], 255, "uint8")], axis=2)
        self.same(Image.fromarray(opaque))

    def test_rotation(self):
        turned = Image.fromarray(np.ascontiguousarray(np.rot90(self.array)))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.png")
            turned.save(path, exif=exif)
            self.same(path)
            self.same(Image.open(path))

    def test_refusals(self):
        for error, words, image in (
            (TypeError, "float32", self.array.astype("float32") / 255),
            (TypeError, "mode F", Image.new("F", (4, 4))),
            (TypeError, "not int", 5),
            (ValueError, r"\(40, 30, 2\)", self.array[..., :2]),
            (ValueError, "not a valid path", "nowhere.png"),
        ):
            with self.assertRaisesRegex(error, words):
                self.read(image)
        with self.assertRaisesRegex(ValueError, "squares"):
            InstructBlipImageProcessor(size={"height": 28, "width": 30})


class ExamplesTest(unittest.TestCase):
    def test_predict(self):
        for kind in tiny.KINDS:
            with tempfile.TemporaryDirectory() as folder:
                path, model, processor = tiny.saved(folder, kind)
                image = os.path.join(folder, "image.png")
                tiny.picture().save(image)
                words = ["--model", path, "--image", image, "--prompt", "what is the cat ?", "--max_new_tokens", "6"]
                answer = run_predict.main(words)
                inputs = processor(images=tiny.picture(), text="what is the cat ?")
                options = {"num_beams": 5, "max_new_tokens": 6, "min_length": 1, "repetition_penalty": 1.5}
                self.assertEqual(answer, processor.batch_decode(model.generate(**inputs, **options)[0])[0])
                self.assertEqual(run_predict.main(words + ["--do_sample"]), run_predict.main(words + ["--do_sample"]))

    def test_all_sets(self):
        """Every set of table 1 from its own annotation format to a figure."""
        with tempfile.TemporaryDirectory() as folder:
            path, _, _ = tiny.saved(folder)
            sets = tiny.write_sets(os.path.join(folder, "sets"))
            self.assertEqual(sorted(sets), sorted(eval_sets.SETS))
            for name, (file, images) in sets.items():
                out = os.path.join(folder, name + "_out.json")
                words = ["--model", path, "--dataset", name, "--annotations", file, "--images", images, "--out", out]
                figures = run_eval.main(words)
                with open(out) as stream:
                    written = json.load(stream)
                self.assertEqual(written["figures"], figures)
                rows = eval_sets.SETS[name].read(file, images)
                self.assertEqual(len(written["predictions"]), len(rows), name)
                self.assertTrue(all(0 <= value <= 1000 for value in figures.values()), (name, figures))

    def test_figures(self):
        """Figures of answers that are known."""
        rows = [{"answers": ["cat"]}, {"answers": ["dog"]}]
        self.assertEqual(run_eval.score("exact", rows, ["a cat", "cow"]), {"accuracy": 50.0})
        rows = [{"gold": 1}, {"gold": 0}, {"gold": 1}]
        losses = [[2.0, 1.0], [1.0, 3.0], [1.0, 2.0]]
        self.assertAlmostEqual(run_eval.score("ranking", rows, losses)["accuracy"], 200 / 3)
        self.assertAlmostEqual(run_eval.score("mrr", rows, losses)["MRR"], 250 / 3)
        self.assertEqual(run_eval.score("auc", rows, losses), {"AUC": 100.0})
        ten = {"answers": ["yes"] * 8 + ["no"] * 2}
        self.assertEqual(run_eval.score("vqa", [ten], ["yes"]), {"accuracy": 100.0})

    def test_finetune(self):
        """Five steps of the Trainer change what is trained and nothing else, and the result loads."""
        with tempfile.TemporaryDirectory() as folder:
            path, before, _ = tiny.saved(folder)
            file = os.path.join(folder, "train.jsonl")
            with open(file, "w") as stream:
                for index in range(8):
                    tiny.picture(index).save(os.path.join(folder, f"{index}.png"))
                    row = {
                        "image": f"{index}.png",
                        "instruction": "what color",
                        "answer": "red" if index % 2 else "blue",
                    }
                    stream.write(json.dumps(row) + "\n")
            out = os.path.join(folder, "out")
            words = ["--model_name_or_path", path, "--train_file", file, "--output_dir", out, "--max_steps", "5"]
            words += ["--per_device_train_batch_size", "4", "--learning_rate", "1e-3", "--logging_steps", "1"]
            words += ["--save_steps", "100", "--disable_tqdm", "1", "--device", "cpu"]
            result, trainer = run_finetune.main(words)
            losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
            self.assertEqual(len(losses), 5)
            self.assertTrue(np.isfinite(losses).all())
            idle = (
                "vision_model.",
                "language_model.",
                "qformer.encoder.layer.2.intermediate.",
                "qformer.encoder.layer.2.output.",
            )
            after = InstructBlipForConditionalGeneration.from_pretrained(out).state_dict()
            for name, value in before.state_dict().items():
                changed = bool(np.any(value.numpy() != after[name].numpy()))
                self.assertEqual(
                    changed, not name.startswith(idle), name
                )  # the text rows of the last layer go nowhere
            InstructBlipProcessor.from_pretrained(out)

    def test_mixture(self):
        """Files are drawn in proportion to the square roots of their sizes."""
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, size in enumerate((400, 100)):
                paths.append(os.path.join(folder, f"{number}.jsonl"))
                with open(paths[-1], "w") as stream:
                    stream.write((json.dumps({"from": number}) + "\n") * size)
            data = run_finetune.Instructions(paths)
            share = np.mean([data[index]["from"] == 0 for index in range(len(data))])
        self.assertAlmostEqual(share, 2 / 3, delta=0.07)

    def test_export(self):
        with tempfile.TemporaryDirectory() as folder:
            path, model, processor = tiny.saved(folder)
            export.main(["--model", path, "--out", os.path.join(folder, "static")])
            static = paddle.jit.load(os.path.join(folder, "static", "image_features"))
            inputs = processor(images=[tiny.picture(0)] * 3, text=["a cat", "what is red ?", "no"])
            given = [inputs[key] for key in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
            with paddle.no_grad():
                want = model.image_features(*given)[0].numpy()
            np.testing.assert_allclose(static(*given).numpy(), want, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
