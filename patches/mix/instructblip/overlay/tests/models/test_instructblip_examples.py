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
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor, InstructBlipProcessor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "paddlemix", "examples", "instructblip"))
import convert_weights  # noqa: E402
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
        with self.assertRaisesRegex(TypeError, "uint8"):
            InstructBlipImageProcessor()(np.zeros([4, 4, 3]))


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

    def test_convert(self):
        from safetensors.numpy import save_file
        from test_instructblip import hf_state

        with tempfile.TemporaryDirectory() as folder:
            path, model, _ = tiny.saved(folder)
            source, out = os.path.join(folder, "hf"), os.path.join(folder, "converted")
            os.makedirs(source)
            state = {key: np.ascontiguousarray(value) for key, value in hf_state(model, "opt").items()}
            save_file(state, os.path.join(source, "model.safetensors"))
            config = model.config.to_dict()
            text = dict(config["text_config"], ffn_dim=48, dropout=0.0)
            vision = config["vision_config"]
            with open(os.path.join(source, "config.json"), "w") as stream:
                json.dump({**config, "text_config": text, "vision_config": vision}, stream, default=str)
            convert_weights.main(["hf", source, out])
            again = InstructBlipForConditionalGeneration.from_pretrained(out).state_dict()
            for name, value in model.state_dict().items():
                np.testing.assert_array_equal(value.numpy(), again[name].numpy())

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
