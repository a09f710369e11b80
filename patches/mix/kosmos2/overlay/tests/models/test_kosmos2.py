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
import os
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.common.checkpoints import ConversionError, read_checkpoint
from paddlemix.models.kosmos2.configuration import Kosmos2Config, Kosmos2TextConfig, Kosmos2VisionConfig
from paddlemix.models.kosmos2.convert import config_from_hf, convert_state, load_state
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kosmos2_testing as tiny  # noqa: E402
from checkpoint_testing import bfloat16, write_safetensors, write_torch  # noqa: E402


class ConfigurationTest(unittest.TestCase):
    def test_round_trip(self):
        config = tiny.config(no_repeat_ngram_size=3)
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            again = Kosmos2Config.from_pretrained(folder)
            text, vision = Kosmos2TextConfig.from_pretrained(folder), Kosmos2VisionConfig.from_pretrained(folder)
        self.assertEqual(again.text_config.to_dict(), config.text_config.to_dict())
        self.assertEqual(text.to_dict(), config.text_config.to_dict())
        self.assertEqual(vision.to_dict(), config.vision_config.to_dict())
        self.assertEqual((again.latent_query_num, again.text_config.no_repeat_ngram_size), (tiny.QUERIES, 3))

    def test_published_sizes(self):
        config = Kosmos2Config()
        self.assertEqual((config.text_config.vocab_size, config.text_config.hidden_size), (65037, 2048))
        self.assertEqual((config.vision_config.num_hidden_layers, config.latent_query_num), (24, 64))

    def test_refusals(self):
        for options, words in (
            ({"embed_dim": 30}, "multiple of attention_heads"),
            ({"layerdrop": 0.1}, "layerdrop is 0.1"),
            ({"add_cross_attention": True}, "add_cross_attention"),
            ({"tie_word_embeddings": False}, "output matrix"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                Kosmos2TextConfig(**options)
        with self.assertRaisesRegex(ValueError, "multiple of patch_size"):
            Kosmos2VisionConfig(image_size=30)
        with self.assertRaisesRegex(ConversionError, "blip-2"):
            config_from_hf({"model_type": "blip-2"})


class ModelTest(unittest.TestCase):
    def test_shapes_and_saving(self):
        model, given = tiny.model(), tiny.inputs()
        out = model(**given, labels=given["input_ids"], use_cache=True)
        self.assertEqual(out.logits.shape, [2, 12, 220])
        self.assertEqual(out.image_embeds.shape, [2, tiny.QUERIES, 32])
        self.assertEqual(out.projection_attentions.shape, [2, 4, tiny.QUERIES, 5 + tiny.QUERIES])
        self.assertEqual(len(out.cache), 2)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, save_function=paddle.save)
            again = Kosmos2ForConditionalGeneration.from_pretrained(folder)
            again.eval()
            half = Kosmos2ForConditionalGeneration.from_pretrained(folder, dtype="bfloat16")
        np.testing.assert_array_equal(again(**given).logits.numpy(), out.logits.numpy())
        self.assertEqual({value.dtype for value in half.parameters()}, {paddle.bfloat16})
        value = half.text_model.model.embed_tokens.weight.astype("float32").numpy()
        np.testing.assert_allclose(value, model.text_model.model.embed_tokens.weight.numpy(), rtol=1e-2)
        loss, logits = model(**given, labels=given["input_ids"], return_dict=False)
        self.assertEqual((loss.shape, len(model(**given, return_dict=False))), ([], 1))

    def test_float16(self):
        if paddle.get_device() != "cpu":
            self.skipTest("a GPU has float16")
        with tempfile.TemporaryDirectory() as folder:
            tiny.model().save_pretrained(folder, save_function=paddle.save)
            with self.assertRaisesRegex(ValueError, "float16 on a CPU.*dtype='float32'"):
                Kosmos2ForConditionalGeneration.from_pretrained(folder, dtype="float16")

    def test_text_alone(self):
        """Without an image, and features that are known already."""
        model, given = tiny.model(), tiny.inputs()
        alone = model(input_ids=given["input_ids"]).logits
        self.assertGreater(float((alone - model(**given).logits).abs().max()), 1e-2)
        features, _ = model.image_features(given.pop("pixel_values"))
        self.assertEqual(model(**given, image_embeds=features).logits.shape, [2, 12, 220])
        with self.assertRaisesRegex(ValueError, "without an image"):
            model(**given)
        given.pop("image_embeds_position_mask")
        with self.assertRaisesRegex(ValueError, "without image_embeds_position_mask"):
            model(**given, image_embeds=features)

    def test_every_parameter_learns(self):
        model, given = tiny.model(), tiny.inputs()
        model(**given, labels=given["input_ids"]).loss.backward()
        idle = [
            name for name, value in model.named_parameters() if value.grad is None or not np.any(value.grad.numpy())
        ]
        self.assertEqual(idle, [])

    def test_recompute(self):
        model, given = tiny.model(), tiny.inputs()
        model.train()
        found = []
        for enable in (False, True):
            for part in (model.vision_model.model.encoder, model.text_model.model):
                part.enable_recompute = enable
            calls = []
            hook = model.text_model.model.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
            model(**given, labels=given["input_ids"]).loss.backward()
            hook.remove()
            self.assertEqual(len(calls), 1 + enable)
            found.append({name: value.grad.numpy() for name, value in model.named_parameters()})
            model.clear_gradients()
        for name, value in found[0].items():
            np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    def test_dropout(self):
        """In training two runs differ, in evaluation they do not."""
        model, given = tiny.model(dropout=0.3, attention_dropout=0.2, activation_dropout=0.1), tiny.inputs()
        self.assertTrue(bool((model(**given).logits == model(**given).logits).all()))
        model.train()
        self.assertFalse(bool((model(**given).logits == model(**given).logits).all()))

    def test_wrong_places(self):
        """No place for an image, too few, two images: an error in evaluation, NaN in training."""
        model, given = tiny.model(), tiny.inputs()
        for change, words in (
            (lambda mask: mask * 0, r"\[0, 0\] places"),
            (lambda mask: paddle.where(paddle.cumsum(mask, axis=1) == 1, 0 * mask, mask), r"\[3, 3\] places"),
        ):
            wrong = {**given, "image_embeds_position_mask": change(given["image_embeds_position_mask"])}
            with self.assertRaisesRegex(ValueError, words):
                model(**wrong)
        twice = {**given, "pixel_values": paddle.concat([given["pixel_values"]] * 2)}
        with self.assertRaisesRegex(ValueError, "features of 4 images"):
            model(**twice)
        model.train()
        self.assertTrue(bool(paddle.isnan(model(**wrong, labels=given["input_ids"]).loss)))

    def test_refused_inputs(self):
        model, given = tiny.model(), tiny.inputs()
        with self.assertRaisesRegex(ValueError, "input_ids is missing"):
            model(pixel_values=given["pixel_values"])
        with self.assertRaisesRegex(ValueError, "72 tokens.*64 positions"):
            model(**tiny.inputs(length=66))
        with self.assertRaisesRegex(ValueError, "images are 42x42"):
            model.vision_model(paddle.zeros([1, 3, 42, 42]))
        self.assertEqual(
            model.vision_model(paddle.zeros([1, 3, 42, 28]), interpolate_pos_encoding=True).shape, [1, 7, 24]
        )


class GenerationTest(unittest.TestCase):
    def test_cache(self):
        """Every step through the cache gives what reading the whole text again gives."""
        model, given = tiny.model(), tiny.inputs(batch=1)
        ids, _ = model.generate(**given, max_new_tokens=6, eos_token_id=-1)
        for step in range(6):
            call = dict(given, input_ids=paddle.concat([given["input_ids"], ids[:, :step]], axis=1))
            for name, value in (("attention_mask", 1), ("image_embeds_position_mask", 0)):
                call[name] = paddle.concat([given[name], paddle.full([1, step], value, "int64")], axis=1)
            self.assertEqual(int(model(**call).logits[0, -1].argmax()), int(ids[0, step]))

    def test_row_alone(self):
        """A row that is padded on the left gives what it gives alone, in every search."""
        model, given = tiny.model(), tiny.inputs(padding=3)
        short = {name: value[:1] for name, value in given.items()}
        for name in ("input_ids", "attention_mask", "image_embeds_position_mask"):
            short[name] = short[name][:, 3:]
        for options in ({}, {"num_beams": 3}, {"no_repeat_ngram_size": 2}, {"repetition_penalty": 1.4}):
            options.update(max_new_tokens=8, eos_token_id=-1)
            both, scores = model.generate(**given, **options)
            alone, score = model.generate(**short, **options)
            np.testing.assert_array_equal(both[:1].numpy(), alone.numpy(), err_msg=str(options))
            np.testing.assert_allclose(scores[:1].numpy(), score.numpy(), rtol=1e-4)

    def test_no_repetition(self):
        """The configuration's size of runs is the default; a run of the prompt counts, too."""
        model, given = tiny.model(no_repeat_ngram_size=1), tiny.inputs(batch=1)
        ids = model.generate(**given, max_new_tokens=12, eos_token_id=-1)[0].numpy()[0].tolist()
        self.assertEqual(len(set(ids) - set(given["input_ids"].numpy()[0].tolist())), 12)
        free = model.generate(**given, max_new_tokens=12, eos_token_id=-1, no_repeat_ngram_size=0)[0].numpy()[0]
        self.assertNotEqual(free.tolist(), ids)

    def test_sampling(self):
        model, given = tiny.model(), tiny.inputs()
        greedy = model.generate(**given, max_new_tokens=6, eos_token_id=-1)[0].numpy()
        one = model.generate(**given, max_new_tokens=6, eos_token_id=-1, do_sample=True, top_k=1)[0].numpy()
        np.testing.assert_array_equal(one, greedy)
        drawn = []
        for seed in (1, 1, 2):
            paddle.seed(seed)
            options = {"do_sample": True, "temperature": 5.0, "num_return_sequences": 2}
            drawn.append(model.generate(**given, max_new_tokens=6, eos_token_id=-1, **options)[0].numpy())
        np.testing.assert_array_equal(drawn[0], drawn[1])
        self.assertEqual(drawn[0].shape, (4, 6))
        self.assertTrue((drawn[0] != drawn[2]).any())

    def test_refusals(self):
        model, given = tiny.model(), tiny.inputs(padding=3)
        right = dict(given, attention_mask=given["attention_mask"].flip([1]))
        with self.assertRaisesRegex(ValueError, "padded on the right"):
            model.generate(**right)
        with self.assertRaisesRegex(ValueError, "knows no beams"):
            model.generate(**given, beams=2)
        with self.assertRaisesRegex(ValueError, "input_ids is missing"):
            model.generate(pixel_values=given["pixel_values"])
        long = model.generate(**tiny.inputs(length=57), max_new_tokens=9, eos_token_id=-1)[0]
        self.assertEqual(long.shape, [2, 2])  # what 63 of 64 positions leave: the last token is not read
        with self.assertRaisesRegex(ValueError, "take 64 places, the language model has 64"):
            model.generate(**tiny.inputs(length=58))


class ConversionTest(unittest.TestCase):
    def test_layouts(self):
        """Files of both layouts, bfloat16, and what stands beside the weights of fairseq."""
        model, given = tiny.model(), tiny.inputs()
        want = model(**given).logits.numpy()
        with tempfile.TemporaryDirectory() as folder:
            for number, (state, write, name) in enumerate(
                (
                    (tiny.hf_state(model), write_safetensors, "model.safetensors"),
                    (tiny.hf_state(model), write_torch, "pytorch_model.bin"),
                    ({"epoch": 3, "model": tiny.fairseq_state(model)}, write_torch, "kosmos-2.pt"),
                )
            ):
                place = os.path.join(folder, str(number))
                os.makedirs(place)
                file = os.path.join(place, name)
                write(file, state)
                again = tiny.model(seed=5)
                load_state(again, convert_state(read_checkpoint(file), again))
                np.testing.assert_array_equal(again(**given).logits.numpy(), want)
            half = {key: bfloat16(value) for key, value in tiny.hf_state(model).items()}
            write_safetensors(os.path.join(folder, "model.safetensors"), half)
            got = convert_state(read_checkpoint(folder), model)
            key = "text_model.model.embed_tokens.weight"
            np.testing.assert_array_equal(got[key], (half[key].astype("uint32") << 16).view("float32"))

    def test_foreign_classes(self):
        """A file of fairseq holds options of its training, whose classes are not there and are not imported."""
        import argparse
        import pickle
        import zipfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "kosmos-2.pt")
            write_torch(path, {"model": {"a": np.arange(6, dtype="float32").reshape(2, 3)}})
            with zipfile.ZipFile(path) as archive:
                content = {name: archive.read(name) for name in archive.namelist()}
            extra = {"args": argparse.Namespace(task="x"), "cfg": {"a": unittest.TestCase}, "epoch": 3}
            # the pickled dictionary of the file, and behind it what is put into it: values without header and end
            items = [pickle.dumps(value, protocol=2)[2:-1] for pair in extra.items() for value in pair]
            items = b"".join(key + value + b"s" for key, value in zip(items[::2], items[1::2]))
            content["archive/data.pkl"] = content["archive/data.pkl"][:-1] + items + b"."
            with zipfile.ZipFile(path, "w") as archive:
                for name, value in content.items():
                    archive.writestr(name, value)
            state = read_checkpoint(path)
            np.testing.assert_array_equal(state["a"], np.arange(6).reshape(2, 3))

    def test_tied(self):
        model = tiny.model()
        state, head, own = tiny.hf_state(model), "text_model.lm_head.weight", "text_model.model.embed_tokens.weight"
        without = {name: value for name, value in state.items() if name != head}
        np.testing.assert_array_equal(convert_state(without, model)[own], state[own])
        without[head] = without.pop(own)
        np.testing.assert_array_equal(convert_state(without, model)[own], state[own])
        with self.assertRaisesRegex(ConversionError, "lm_head.weight is not equal"):
            convert_state({**state, head: state[head] + 1}, model)

    def test_buffers(self):
        """Those of older files are compared, and not loaded."""
        model = tiny.model()
        state, name = tiny.hf_state(model), "text_model.model.embed_positions.weights"
        table = model.text_model.model.positions.numpy()
        ids = {"vision_model.model.embeddings.position_ids": np.arange(5)[None]}
        self.assertEqual(set(convert_state({**state, **ids, name: table}, model)), set(dict(model.named_parameters())))
        with self.assertRaisesRegex(ConversionError, "another table of positions"):
            convert_state({**state, name: table[::-1]}, model)

    def test_refusals(self):
        """Unknown, missing and transposed tensors, and another model's, are named, in both layouts."""
        model = tiny.model()
        for state, missing, turned in (
            (tiny.hf_state(model), "text_model.model.layer_norm.bias", "text_model.model.layers.1.ffn.fc1.weight"),
            (
                tiny.fairseq_state(model),
                "gpt_model.decoder.layer_norm.bias",
                "gpt_model.decoder.layers.1.ffn.fc1.weight",
            ),
        ):
            named = missing.replace("gpt_model.decoder", "text_model.model")
            with self.assertRaisesRegex(ConversionError, named):
                convert_state({name: value for name, value in state.items() if name != missing}, model)
            with self.assertRaisesRegex(ConversionError, "no rule takes: .*other.weight"):
                convert_state({**state, missing[:10] + ".other.weight": np.zeros(3)}, model)
            with self.assertRaisesRegex(ConversionError, turned.replace("gpt_model.decoder", "text_model.model")):
                convert_state({**state, turned: state[turned].T}, model)
        with tempfile.TemporaryDirectory() as folder:
            # the same names with matrices of Paddle, square ones among them: the file says of which layout it is
            path = os.path.join(folder, "model.safetensors")
            write_safetensors(path, tiny.hf_state(model))
            with open(path, "rb") as stream:
                content = stream.read()
            with open(path, "wb") as stream:
                stream.write(content.replace(b'"format": "pt"', b'"format": "pd"'))
            with self.assertRaisesRegex(ConversionError, "format 'pd'"):
                read_checkpoint(path)
        with self.assertRaisesRegex(ConversionError, "nothing in the file fills"):
            convert_state({"text_model.model.layer_norm.bias": np.zeros(32)}, model)


if __name__ == "__main__":
    unittest.main()
