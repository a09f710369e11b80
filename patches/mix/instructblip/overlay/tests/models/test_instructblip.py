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
from types import SimpleNamespace

import numpy as np
import paddle
from paddlemix.models.common.generation import cross_entropy
from paddlemix.models.instructblip import qformer
from paddlemix.models.instructblip.configuration import (
    InstructBlipConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
)
from paddlemix.models.instructblip.convert import ConversionError, convert_state
from paddlemix.models.instructblip.language import additive_mask, language_model
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.models.instructblip.vision import VisionEmbeddings, VisionEncoder
from paddlenlp.transformers import LlamaConfig

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import instructblip_testing as tiny  # noqa: E402


def full_scores(model, given, answer):
    """Scores of every step without a cache: the whole input is read again for each token."""
    made = []
    for length in range(len(answer)):
        new = paddle.to_tensor(np.array([answer[:length]], "int64").reshape([1, -1]))
        call = dict(given)
        if model.language_model.is_encoder_decoder:
            start = paddle.full([1, 1], model.language_model.start_token_id, "int64")
            call["decoder_input_ids"] = paddle.concat([start, new], axis=1)
        else:
            call["input_ids"] = paddle.concat([call["input_ids"], new], axis=1)
            call["attention_mask"] = paddle.concat([call["attention_mask"], paddle.ones_like(new)], axis=1)
        made.append(model(**call).logits[0, -1].numpy())
    return np.stack(made)


class ConfigurationTest(unittest.TestCase):
    def test_round_trip(self):
        for kind in tiny.KINDS:
            config = tiny.config(kind)
            with tempfile.TemporaryDirectory() as folder:
                config.save_pretrained(folder)
                again = InstructBlipConfig.from_pretrained(folder)
                vision = InstructBlipVisionConfig.from_pretrained(folder)
                qformer = InstructBlipQFormerConfig.from_pretrained(folder)
            self.assertEqual(again.text_config.model_type, kind)
            self.assertEqual(again.text_config.to_dict(), config.text_config.to_dict())
            self.assertEqual(vision.to_dict(), config.vision_config.to_dict())
            self.assertEqual(qformer.to_dict(), config.qformer_config.to_dict())
            self.assertEqual(again.num_query_tokens, tiny.QUERIES)
            self.assertEqual(again.use_decoder_only_language_model, kind != "t5")

    def test_published_sizes(self):
        config = InstructBlipConfig()
        self.assertEqual(config.vision_config.num_hidden_layers, 39)
        self.assertEqual(config.qformer_config.vocab_size, 30523)
        self.assertEqual(config.qformer_config.encoder_hidden_size, config.vision_config.hidden_size)

    def test_refusals(self):
        with self.assertRaisesRegex(ValueError, "gpt.*opt, t5, llama"):
            InstructBlipConfig(text_config={"model_type": "gpt"})
        with self.assertRaisesRegex(ValueError, "multiple"):
            InstructBlipVisionConfig(hidden_size=10, num_attention_heads=4)
        with self.assertRaisesRegex(ValueError, "absolute"):
            InstructBlipQFormerConfig(position_embedding_type="relative_key")
        for option in ({"alibi": True}, {"fuse_attention_qkv": True}):
            with self.assertRaisesRegex(ValueError, "alibi=False"):
                language_model(LlamaConfig(**{**tiny.text_config("llama", 100), **option}))


class ModelTest(unittest.TestCase):
    def test_shapes_and_saving(self):
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            labels = given["input_ids"][:, tiny.QUERIES :]
            out = model(**given, labels=labels)
            length = labels.shape[1] + (0 if kind == "t5" else tiny.QUERIES)
            self.assertEqual(out.logits.shape, [2, length, 100])
            self.assertEqual(out.language_model_inputs.shape, [2, tiny.QUERIES, 32])
            self.assertEqual(out.vision_outputs.last_hidden_state.shape, [2, 5, 24])
            self.assertEqual(out.qformer_outputs.last_hidden_state.shape, [2, tiny.QUERIES + 6, 16])
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                again = InstructBlipForConditionalGeneration.from_pretrained(folder)
            again.eval()
            np.testing.assert_array_equal(again(**given, labels=labels).logits.numpy(), out.logits.numpy())

    def test_tuple(self):
        model, given = tiny.model(), tiny.inputs()
        self.assertEqual(len(model(**given, return_dict=False)), 1)
        loss, logits = model(**given, labels=given["input_ids"], return_dict=False)
        self.assertEqual(loss.shape, [])
        self.assertEqual(logits.shape[0], 2)

    def test_every_parameter_learns(self):
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            model(**given, labels=given["input_ids"][:, tiny.QUERIES :]).loss.backward()
            idle = {
                name
                for name, value in model.named_parameters()
                if value.grad is None or not np.any(value.grad.numpy())
            }
            # the text rows of the Q-Former's last layer go nowhere
            last = {name for name, _ in model.named_parameters() if name.startswith(("qformer.encoder.layer.2.",))}
            last = {name for name in last if ".2.intermediate." in name or ".2.output." in name}
            idle = {name for name in idle if "embed_tokens" not in name and "position_embeddings" not in name}
            self.assertEqual(idle, last)

    def test_recompute(self):
        """`recompute_enable` runs every layer of every part once more in the backward pass; the gradients stay."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            model.train()
            stacks = [model.vision_model.encoder.layers, model.qformer.encoder.layer]
            if kind == "t5":
                stacks += [model.language_model.t5.encoder.block, model.language_model.t5.decoder.block]
            else:
                stacks.append(
                    getattr(model.language_model, kind).__getattr__("decoder" if kind == "opt" else "layers")
                )
                stacks[-1] = stacks[-1].layers if kind == "opt" else stacks[-1]
            counts, found = {}, []
            for place, stack in enumerate(stacks):
                for number, layer in enumerate(stack):
                    norm = next(one for one in layer.sublayers() if type(one).__name__.endswith(("Norm", "Linear")))
                    if place > 1 and kind in (
                        "t5",
                        "llama",
                    ):  # their norms are computed by the port: a matrix is called
                        norm = next(one for one in layer.sublayers() if isinstance(one, paddle.nn.Linear))

                    def count(*_, key=(place, number)):
                        counts[key] = counts.get(key, 0) + 1

                    norm.register_forward_post_hook(count)
            for recompute in (False, True):
                counts.clear()
                if recompute:
                    model.recompute_enable()
                loss = model(**given, labels=given["input_ids"][:, tiny.QUERIES :]).loss
                once = dict(counts)
                loss.backward()
                self.assertEqual(len(once), sum(len(stack) for stack in stacks))
                for key, value in counts.items():
                    self.assertEqual(value, once[key] * (2 if recompute else 1), (kind, key, recompute))
                norms = [value.grad.norm() for value in model.parameters() if value.grad is not None]
                found.append([float(loss), *[float(norm) for norm in norms]])
                model.clear_gradients()
            np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)

    def test_llama_is_that_of_paddlenlp(self):
        for heads in (4, 2):  # 2: two heads share keys and values
            made = language_model(LlamaConfig(**tiny.text_config("llama", 100), num_key_value_heads=heads))
            made.eval()
            ids = tiny.inputs("llama", length=9)["input_ids"]
            got, cache = made.decode(made.embed(ids), paddle.ones_like(ids), use_cache=True)
            self.assertEqual(cache[0][0].shape, [2, heads, 13, 8])
            np.testing.assert_allclose(got.numpy(), made(ids)[0].numpy(), rtol=1e-5, atol=1e-6)

    def test_freeze(self):
        model, given = tiny.model(), tiny.inputs()
        model.freeze()
        model(**given, labels=given["input_ids"]).loss.backward()
        for name, value in model.named_parameters():
            trained = not name.startswith(("vision_model.", "language_model."))
            self.assertEqual(value.grad is not None, trained, name)

    def test_instruction_changes_the_image(self):
        model, given = tiny.model(), tiny.inputs()
        one = model.image_features(given["pixel_values"], given["qformer_input_ids"])[0].numpy()
        two = model.image_features(given["pixel_values"], given["qformer_input_ids"] + 1)[0].numpy()
        none = model.image_features(given["pixel_values"])[0].numpy()
        self.assertGreater(np.abs(one - two).max(), 1e-3)
        self.assertGreater(np.abs(one - none).max(), 1e-3)

    def test_padding_of_the_instruction_is_not_seen(self):
        model, given = tiny.model(), tiny.inputs()
        ids = given["qformer_input_ids"]
        longer = paddle.concat([ids, paddle.full([2, 3], 7, "int64")], axis=1)
        mask = paddle.concat([paddle.ones_like(ids), paddle.zeros([2, 3], "int64")], axis=1)
        one = model.image_features(given["pixel_values"], ids, paddle.ones_like(ids))[0].numpy()
        two = model.image_features(given["pixel_values"], longer, mask)[0].numpy()
        np.testing.assert_allclose(one, two, atol=1e-5)

    def test_placeholders_or_none(self):
        """The image in the places of its token, and before the text: the same model."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            labels = given["input_ids"][:, tiny.QUERIES :]
            one = model(**given, labels=labels).logits.numpy()
            model.config.image_token_index = None
            given["input_ids"], given["attention_mask"] = labels, paddle.ones_like(labels)
            np.testing.assert_allclose(model(**given, labels=labels).logits.numpy(), one, atol=1e-5)

    def test_wrong_number_of_placeholders(self):
        model, given = tiny.model(), tiny.inputs()
        given["input_ids"] = given["input_ids"][:, 1:]
        given["attention_mask"] = given["attention_mask"][:, 1:]
        with self.assertRaisesRegex(ValueError, r"\[3, 3\] image tokens \(id 99\).*4 queries"):
            model(**given)

    def test_wrong_number_of_placeholders_in_training(self):
        """Nothing is learned from wrong inputs: the loss is NaN, and `check_places` says why."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            model.train()
            labels = given["input_ids"][:, tiny.QUERIES :]
            self.assertTrue(np.isfinite(float(model(**given, labels=labels).loss)))
            model.check_places(given["input_ids"])
            given["input_ids"] = given["input_ids"][:, 1:]
            given["attention_mask"] = given["attention_mask"][:, 1:]
            self.assertTrue(np.isnan(float(model(**given, labels=labels).loss)))
            with self.assertRaisesRegex(ValueError, r"\[3, 3\] image tokens"):
                model.check_places(given["input_ids"])

    def test_long_instruction(self):
        model, given = tiny.model(), tiny.inputs()
        ids = paddle.full([2, 513], 5, "int64")
        with self.assertRaisesRegex(ValueError, "513 tokens, the Q-Former has 512"):
            model.image_features(given["pixel_values"], ids)

    def test_float16_on_a_cpu(self):
        if paddle.get_device() != "cpu":
            self.skipTest("a GPU has float16")
        with tempfile.TemporaryDirectory() as folder:
            tiny.model().save_pretrained(folder)
            with self.assertRaisesRegex(ValueError, "float16 on a CPU.*dtype='float32'"):
                InstructBlipForConditionalGeneration.from_pretrained(folder, dtype="float16")

    def test_masks_are_finite(self):
        """Rows of padding stay finite in half precision, where the lowest number of float32 is -inf."""
        for dtype, largest in (("float32", 3.4e38), ("bfloat16", 3.38e38), ("float16", 65504.0)):
            mask = additive_mask(paddle.to_tensor([0, 1]), getattr(paddle, dtype)).astype("float32").numpy()
            self.assertTrue(np.isfinite(mask).all(), dtype)
            self.assertEqual(mask[1], 0.0)
            self.assertGreater(mask[0] - largest / 4, -largest, dtype)  # a score beside it does not overflow
            self.assertLess(mask[0], -largest / 4)

    def test_padding_in_bfloat16(self):
        """A model in bfloat16: rows that are padded, and a row of nothing but padding, are finite; the others are near float32."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind, spread=0.1), tiny.inputs(kind, length=8)
            mask = np.ones([2, given["input_ids"].shape[1]], "int64")
            mask[1, :6] = 0
            given["attention_mask"] = paddle.to_tensor(mask)
            labels = given["input_ids"][:, tiny.QUERIES :]
            want = model(**given, labels=labels).logits.numpy()
            try:
                model.to(dtype="bfloat16")
                given["pixel_values"] = given["pixel_values"].astype("bfloat16")
                got = model(**given, labels=labels).logits.astype("float32").numpy()
            except RuntimeError as error:
                if "is not registered" not in str(error):
                    raise
                self.skipTest(f"no kernel for bfloat16 here: {str(error).split(chr(10))[-1][:80]}")
            self.assertTrue(np.isfinite(got).all(), kind)
            seen = slice(None) if kind == "t5" else slice(6, None)
            np.testing.assert_allclose(got[:, seen], want[:, seen], atol=0.1 * np.abs(want).max())

    def test_wrong_image_size(self):
        model, given = tiny.model(), tiny.inputs()
        given["pixel_values"] = paddle.zeros([2, 3, 42, 42])
        with self.assertRaisesRegex(ValueError, "42x42.*28x28"):
            model(**given)
        out = model(**given, interpolate_pos_encoding=True)
        self.assertEqual(out.vision_outputs.last_hidden_state.shape[1], 10)

    def test_frames(self):
        """A video's features are those of its frames, one after the other."""
        model, given = tiny.model(), tiny.inputs(batch=3)
        video = given["pixel_values"].unsqueeze(0)
        ids = given["qformer_input_ids"][:1]
        features = model.image_features(video, ids)[0].numpy()
        apart = model.image_features(given["pixel_values"], ids.expand([3, -1]))[0].numpy()
        np.testing.assert_allclose(features.reshape(apart.shape), apart, atol=1e-6)


class PartsTest(unittest.TestCase):
    """Image encoder and Q-Former by themselves, as another model takes them: with a configuration of its own."""

    def test_image_encoder(self):
        sizes = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28)
        config = SimpleNamespace(
            **sizes, patch_size=14, hidden_act="gelu", layer_norm_eps=1e-6, qkv_bias=True, attention_dropout=0.0
        )
        encoder = paddle.nn.Sequential(VisionEmbeddings(config), VisionEncoder(config))
        self.assertEqual(encoder(paddle.randn([3, 3, 28, 28])).shape, [3, 5, 8])

    def test_qformer_with_and_without_text(self):
        sizes = dict(vocab_size=20, hidden_size=8, encoder_hidden_size=6, num_hidden_layers=3, num_attention_heads=2)
        config = SimpleNamespace(
            **sizes,
            intermediate_size=16,
            max_position_embeddings=16,
            cross_attention_frequency=2,
            hidden_act="gelu",
            layer_norm_eps=1e-12,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        embeddings, encoder = qformer.QFormerEmbeddings(config), qformer.QFormerEncoder(config)
        queries, image, ids = paddle.randn([2, 4, 8]), paddle.randn([2, 5, 6]), paddle.to_tensor([[1, 2], [3, 4]])
        alone = encoder(embeddings(queries), None, image, None, 4, False)
        self.assertEqual(alone.shape, [2, 4, 8])
        both = encoder(embeddings(queries, ids), None, image, None, 4, True)
        self.assertEqual(both.shape, [2, 6, 8])
        self.assertGreater(float((both[:, :4] - alone).abs().max()), 1e-4)
        # text that is masked changes nothing
        unseen = qformer.additive_mask(paddle.to_tensor([[1] * 4 + [0] * 2] * 2), "float32")
        masked = encoder(embeddings(queries, ids), unseen, image, None, 4, True)
        np.testing.assert_allclose(masked[:, :4].numpy(), alone.numpy(), atol=1e-5)


class GenerationTest(unittest.TestCase):
    def test_cache(self):
        """Greedy search takes the best token of scores that no cache was used for, and says their log-probability."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind, batch=1)
            ids, score = model.generate(**given, max_new_tokens=6, eos_token_id=-1)
            scores = full_scores(model, given, ids[0].tolist())
            self.assertEqual(scores.argmax(axis=1).tolist(), ids[0].tolist())
            chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            self.assertAlmostEqual(float(chances.max(axis=1).sum()), float(score), places=3)

    def test_left_padding(self):
        for kind in ("opt", "llama"):
            model, given = tiny.model(kind), tiny.inputs(kind, batch=1)
            ids, _ = model.generate(**given, max_new_tokens=6, eos_token_id=-1)
            pad = paddle.full([1, 3], 1, "int64")
            given["input_ids"] = paddle.concat([pad, given["input_ids"]], axis=1)
            given["attention_mask"] = paddle.concat([paddle.zeros_like(pad), given["attention_mask"]], axis=1)
            again, _ = model.generate(**given, max_new_tokens=6, eos_token_id=-1)
            self.assertEqual(ids.tolist(), again.tolist())

    def test_batch(self):
        """Rows do not see each other, with beams either."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind)
            for beams in (1, 3):
                both, _ = model.generate(**given, max_new_tokens=5, eos_token_id=-1, num_beams=beams)
                for row in range(2):
                    one = {key: value[row : row + 1] for key, value in given.items()}
                    ids, _ = model.generate(**one, max_new_tokens=5, eos_token_id=-1, num_beams=beams)
                    self.assertEqual(ids[0].tolist(), both[row].tolist())

    def test_batch_with_padding_and_penalty(self):
        """Padding on the left is no part of what is repeated: answers and scores are those of the row alone."""
        for kind in ("opt", "llama"):
            model, given = tiny.model(kind), tiny.inputs(kind, length=9)
            mask = np.ones([2, 13], "int64")
            mask[1, :5] = 0
            row = np.concatenate([np.zeros([5]), np.full([4], 99), given["input_ids"].numpy()[1, 9:]]).astype("int64")
            for padding in range(100):  # of all tokens the padding could be, one that is in the answer
                row[:5] = padding
                ids = np.stack([given["input_ids"].numpy()[0], row])
                given["input_ids"], given["attention_mask"] = paddle.to_tensor(ids), paddle.to_tensor(mask)
                options = dict(max_new_tokens=5, eos_token_id=-1, repetition_penalty=1.5, num_beams=3)
                if padding == 0:
                    alone = {key: value[1:] for key, value in given.items()}
                    alone["input_ids"], alone["attention_mask"] = (
                        alone["input_ids"][:, 5:],
                        alone["attention_mask"][:, 5:],
                    )
                    want, score = model.generate(**alone, **options)
                if padding not in want[0].tolist():
                    continue
                got, scores = model.generate(**given, **options)
                self.assertEqual(got[1].tolist(), want[0].tolist())
                self.assertAlmostEqual(float(scores[1]), float(score[0]), places=4)

    def test_many_beams_find_the_best(self):
        """With as many beams as there are answers of two tokens' length, the best of all is found."""
        model, given = tiny.model(vocab_size=12, image_token=None), tiny.inputs(batch=1, image_token=None)
        given["input_ids"] = given["input_ids"] % 12
        _, best = model.generate(**given, num_beams=12, max_new_tokens=2, eos_token_id=-1, length_penalty=0.0)
        scores = {}
        for first in range(12):
            step = full_scores(model, given, [first, 0])
            chances = step - np.log(np.exp(step).sum(axis=1, keepdims=True))
            scores.update({(first, second): chances[0, first] + chances[1, second] for second in range(12)})
        self.assertAlmostEqual(float(best), max(scores.values()), places=4)

    def test_end_token(self):
        model, given = tiny.model(), tiny.inputs()
        ids, _ = model.generate(**given, max_new_tokens=6, eos_token_id=-1)
        end = int(ids[0, 1])
        stopped, _ = model.generate(**given, max_new_tokens=6, eos_token_id=end, pad_token_id=1)
        row = stopped[0].tolist()
        self.assertEqual(row[:2], ids[0, :2].tolist())
        self.assertEqual(set(row[2:]) - {1}, set())
        longer, _ = model.generate(**given, max_new_tokens=6, eos_token_id=end, min_length=4)
        self.assertNotIn(end, longer[0, :4].tolist())

    def test_repetition_penalty_counts_the_prompt(self):
        model, found = tiny.model(), 0
        for seed in range(40):
            given = tiny.inputs(batch=1, seed=seed, length=40)
            prompt = set(given["input_ids"][0].tolist())
            plain, _ = model.generate(**given, max_new_tokens=1, eos_token_id=-1)
            if int(plain) in prompt:
                found += 1
                other, _ = model.generate(**given, max_new_tokens=1, eos_token_id=-1, repetition_penalty=1e6)
                self.assertNotIn(int(other), prompt)
        self.assertGreater(found, 3)

    def test_sampling(self):
        model, given = tiny.model(), tiny.inputs()
        greedy, _ = model.generate(**given, max_new_tokens=5, eos_token_id=-1)
        narrow, _ = model.generate(**given, max_new_tokens=5, eos_token_id=-1, do_sample=True, top_p=1e-6)
        self.assertEqual(greedy.tolist(), narrow.tolist())
        paddle.seed(1)
        one, _ = model.generate(**given, max_new_tokens=5, eos_token_id=-1, do_sample=True, num_return_sequences=3)
        self.assertEqual(one.shape, [6, 5])
        paddle.seed(1)
        two, _ = model.generate(**given, max_new_tokens=5, eos_token_id=-1, do_sample=True, num_return_sequences=3)
        self.assertEqual(one.tolist(), two.tolist())
        self.assertGreater(len({tuple(row) for row in one.tolist()}), 2)

    def test_refusals(self):
        model, given = tiny.model(), tiny.inputs()
        for options, words in (
            ({"beams": 3}, "knows no beams"),
            ({"num_beams": 3, "do_sample": True}, "sampling"),
            ({"num_beams": 2, "num_return_sequences": 3}, "above num_beams"),
            ({"top_p": 0.0}, "top_p"),
            ({"decode_strategy": "best"}, "greedy_search, sampling, beam_search"),
            ({"decode_strategy": "greedy_search", "num_beams": 3}, "contradicts"),
            ({"decode_strategy": "sampling", "do_sample": False}, "contradicts"),
            ({"max_length": 3, "max_new_tokens": 3}, "say the same"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                model.generate(**given, **options)

    def test_no_instruction(self):
        model, given = tiny.model(), tiny.inputs()
        for call in (model.generate, lambda **inputs: model.predict_class(paddle.to_tensor([[5]]), **inputs)):
            with self.assertRaisesRegex(ValueError, "input_ids is missing; next: .*text="):
                call(pixel_values=given["pixel_values"])

    def test_names_of_paddlenlp(self):
        model, given = tiny.model(), tiny.inputs()
        for theirs, ours in (
            ({"max_length": 4, "decode_strategy": "greedy_search"}, {"max_new_tokens": 4}),
            (
                {"max_length": 4, "decode_strategy": "beam_search", "num_beams": 3},
                {"max_new_tokens": 4, "num_beams": 3},
            ),
            (
                {"max_length": 4, "decode_strategy": "sampling", "top_p": 0.8},
                dict(max_new_tokens=4, do_sample=True, top_p=0.8),
            ),
        ):
            paddle.seed(3)
            want, _ = model.generate(**given, eos_token_id=-1, **ours)
            paddle.seed(3)
            got, _ = model.generate(**given, eos_token_id=-1, **theirs)
            self.assertEqual(got.tolist(), want.tolist())

    def test_candidates(self):
        """Losses of candidates are those of the model that reads prompt and candidate at once."""
        for kind in tiny.KINDS:
            model, given = tiny.model(kind), tiny.inputs(kind, batch=1)
            candidates = paddle.to_tensor([[5, 6, -100], [7, -100, -100], [8, 9, 10]])
            losses = model.predict_class(candidates, **given).numpy()[0]
            for row, loss in zip(candidates.tolist(), losses):
                row = [token for token in row if token != -100]
                scores = full_scores(model, given, row + [0])[: len(row)]
                chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
                self.assertAlmostEqual(-sum(chances[i, token] for i, token in enumerate(row)), float(loss), places=3)


HF_NAMES = {  # names here -> names of transformers, for what is not the same
    "opt": (
        ("language_model.opt.embeddings.word_embeddings.", "language_model.model.decoder.embed_tokens."),
        ("language_model.opt.embeddings.position_embeddings.", "language_model.model.decoder.embed_positions."),
        ("language_model.opt.", "language_model.model."),
        (".norm1.", ".self_attn_layer_norm."),
        (".norm2.", ".final_layer_norm."),
        (".linear1.", ".fc1."),
        (".linear2.", ".fc2."),
    ),
    "t5": (("language_model.t5.", "language_model."),),
    "llama": (("language_model.llama.", "language_model.model."),),
}


def hf_state(model, kind):
    """The model's weights as a file of transformers would hold them."""
    made = {}
    linear = {name for name, layer in model.named_sublayers() if isinstance(layer, paddle.nn.Linear)}
    linear.add("language_model.lm_head")
    for name, value in model.named_parameters():
        array = value.numpy()
        array = array.T if name.rpartition(".")[0] in linear and array.ndim == 2 else array
        if name.startswith("language_model."):
            for ours, theirs in HF_NAMES[kind]:
                name = name.replace(ours, theirs)
        made[name] = array
    return made


def lavis_state(model, kind):
    """The model's weights in the names of LAVIS, with queries' and values' biases apart."""
    part = {"opt": "opt", "t5": "t5", "llama": "llm"}[kind]
    swaps = (
        ("vision_model.post_layernorm.", "ln_vision."),
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
        ("vision_model.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj."),
        ("vision_model.encoder.layers.", "visual_encoder.blocks."),
        (".layer_norm1.", ".norm1."),
        (".layer_norm2.", ".norm2."),
        (".self_attn.projection.", ".attn.proj."),
        (".self_attn.qkv.", ".attn.qkv."),
        (".attention.attention.", ".attention.self."),
        (".crossattention.attention.", ".crossattention.self."),
        ("qformer.embeddings.layernorm.", "qformer.embeddings.LayerNorm."),
        ("qformer.", "Qformer.bert."),
        ("language_projection.", part + "_proj."),
        ("language_model.", part + "_model."),
    )
    state = {}
    for name, value in hf_state(model, kind).items():
        for theirs, lavis in swaps:
            name = name.replace(theirs, lavis) if name.startswith(theirs) or theirs[0] == "." else name
        if name.endswith("attn.qkv.bias"):
            stem = name[: -len("qkv.bias")]
            state[stem + "q_bias"], state[stem + "v_bias"] = value[:24], value[48:]
        else:
            state[name] = value
    return state


class LossTest(unittest.TestCase):
    def test_losses_above_64(self):
        logits = np.array([[0.0, 70.0, 5.0], [0.0, 1.0, -100.0], [1.0, 2.0, 3.0]], "float32")
        losses = cross_entropy(paddle.to_tensor(logits), paddle.to_tensor([0, 2, -100])).numpy()
        np.testing.assert_allclose(losses, [70.0, 101.31326, 0.0], rtol=1e-6)


class ConverterTest(unittest.TestCase):
    def test_hf(self):
        for kind in tiny.KINDS:
            model = tiny.model(kind)
            state = hf_state(model, kind)
            state["qformer.embeddings.position_ids"] = np.arange(5)
            made = convert_state(state, model)
            for name, value in model.named_parameters():
                np.testing.assert_array_equal(made[name], value.numpy())

    def test_errors_name_the_tensors(self):
        model = tiny.model()
        state = hf_state(model, "opt")
        with self.assertRaisesRegex(ConversionError, "no rule takes: language_model.new.weight"):
            convert_state({**state, "language_model.new.weight": np.zeros(3)}, model)
        short = {key: value for key, value in state.items() if key != "language_projection.bias"}
        with self.assertRaisesRegex(ConversionError, "nothing in the file fills: language_projection.bias"):
            convert_state(short, model)
        with self.assertRaisesRegex(ConversionError, r"query_tokens has the shape \[1, 3, 16\].*\[1, 4, 16\]"):
            convert_state({**state, "query_tokens": np.zeros([1, 3, 16])}, model)

    def test_tied(self):
        model = tiny.model()
        state = hf_state(model, "opt")
        table = state["language_model.model.decoder.embed_tokens.weight"]
        convert_state({**state, "language_model.lm_head.weight": table}, model)
        with self.assertRaisesRegex(ConversionError, "lm_head.weight is not equal to"):
            convert_state({**state, "language_model.lm_head.weight": table + 1}, model)

    def test_lavis(self):
        """Names of LAVIS with queries' and values' biases apart; the block after the last one is left out."""
        model = tiny.model()
        bias = model.vision_model.encoder.layers[0].self_attn.qkv.bias.numpy()
        for layer in model.vision_model.encoder.layers:
            value = layer.self_attn.qkv.bias.numpy()
            value[24:48] = 0  # LAVIS has no bias of the keys
            layer.self_attn.qkv.bias.set_value(paddle.to_tensor(value))
        state = lavis_state(model, "opt")
        state["visual_encoder.blocks.2.norm1.weight"] = np.zeros(24)
        state["visual_encoder.norm.weight"] = np.zeros(24)
        made = convert_state(state, model, "lavis")
        for name, value in model.named_parameters():
            np.testing.assert_array_equal(made[name], value.numpy())
        self.assertEqual(len(bias), 72)
        del state["visual_encoder.blocks.1.attn.v_bias"]
        with self.assertRaisesRegex(ConversionError, "blocks.1.attn.v_bias"):
            convert_state(state, model, "lavis")


if __name__ == "__main__":
    unittest.main()
