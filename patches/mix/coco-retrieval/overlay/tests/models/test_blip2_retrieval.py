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

"""BLIP-2 for retrieval: weights by name, negatives, saving, and two processes that equal one with the joined batch. Nothing is downloaded."""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.blip2.convert_retrieval import ConversionError, convert_state, load_state
from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval, draw_negatives, retrieval_config

WIDTHS = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 30,
}
HERE = os.path.abspath(__file__)


def tiny(img_size=28, seed=0, **options):
    """A seeded model without dropout."""
    vision = {"img_size": img_size, "patch_size": 14, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0}
    qformer = {
        **WIDTHS,
        "max_position_embeddings": 12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    model = Blip2ForImageTextRetrieval(retrieval_config(vision, qformer, num_query_tokens=3, embed_dim=8, **options))
    draw = np.random.default_rng(seed)
    for name, value in model.named_parameters():
        if name != "temp":
            noise = 0.2 * draw.standard_normal(value.shape) + ("norm" in name.lower() and name.endswith("weight"))
            value.set_value(noise.astype(str(value.dtype).rpartition(".")[2]))
    model.eval()
    return model


def batch(rows=4, seed=1):
    draw = np.random.default_rng(seed)
    mask = (np.arange(7) < draw.integers(3, 8, [rows, 1])).astype("int64")
    made = {
        "pixel_values": draw.standard_normal([rows, 3, 28, 28]).astype("float32"),
        "input_ids": draw.integers(3, 30, [rows, 7]) * mask,
        "attention_mask": mask,
        "image_ids": np.array([5, 6, 5, 7])[np.arange(rows) % 4],
        "draws": draw.random([rows, 2]).astype("float32"),
    }
    return {name: paddle.to_tensor(value) for name, value in made.items()}


def hf_state(model):
    """The model's weights in the names and layout of Hugging Face, written by hand for this test."""
    linear = {name + ".weight" for name, one in model.named_sublayers() if isinstance(one, paddle.nn.Linear)}
    names = [
        ("visual_encoder.cls_token", "vision_model.embeddings.class_embedding"),
        ("visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"),
        ("visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
        ("visual_encoder.blocks.", "vision_model.encoder.layers."),
        ("Qformer.ln_vision.", "vision_model.post_layernorm."),
        ("Qformer.bert.embeddings.LayerNorm.", "qformer.layernorm."),
        ("Qformer.bert.embeddings.", "embeddings."),
        ("Qformer.bert.encoder.", "qformer.encoder."),
        ("Qformer.vision_proj.", "vision_projection."),
        ("Qformer.text_proj.", "text_projection."),
        ("Qformer.", ""),
    ]
    inner = [(".attn.proj.", ".self_attn.projection."), (".attn.", ".self_attn."), (".norm1.", ".layer_norm1.")]
    inner += [(".norm2.", ".layer_norm2."), (".self.", ".attention.")]
    made = {}
    for name, value in model.state_dict().items():
        if name == "temp" or name.endswith("position_ids"):
            continue
        array = value.numpy().T if name in linear else value.numpy()
        for ours, theirs in names:
            if name.startswith(ours):
                name = theirs + name[len(ours) :]
                break
        for ours, theirs in inner:
            name = name.replace(ours, theirs)
        made[name] = array
    return made


def lavis_state(model):
    """The model's weights as LAVIS has them: biases of queries and values apart, EVA's last block, and the head of ITG."""
    linear = {name + ".weight" for name, one in model.named_sublayers() if isinstance(one, paddle.nn.Linear)}
    made = {
        "Qformer.cls.predictions.bias": np.zeros(30, "float32"),
        "visual_encoder.blocks.2.norm1.bias": np.zeros(24),
    }
    for name, value in model.state_dict().items():
        array = value.numpy().T if name in linear else value.numpy()
        if name.endswith("attn.qkv.bias"):
            made[name.replace("qkv.bias", "q_bias")], made[name.replace("qkv.bias", "v_bias")] = array[:24], array[48:]
            continue
        inside = name.startswith("Qformer.") and not name.startswith("Qformer.bert.")
        made[name[len("Qformer.") :] if inside else name] = array
    made["temp"] = made["temp"].reshape([])
    return made


class WeightsTest(unittest.TestCase):
    def equal(self, one, two):
        inputs = batch()
        np.testing.assert_array_equal(one(**inputs).loss.numpy(), two(**inputs).loss.numpy())

    def load(self, state, **options):
        model = tiny(seed=9, **options)
        load_state(model, convert_state(state, model))
        return model

    def test_every_layout(self):
        model = tiny()
        self.equal(model, self.load(hf_state(model)))
        self.equal(model, self.load({"module." + name: value for name, value in hf_state(model).items()}))
        for block in model.visual_encoder.blocks:  # LAVIS has no bias of keys
            bias = block.attn.qkv.bias.numpy()
            bias[24:48] = 0
            block.attn.qkv.bias.set_value(bias)
        self.equal(model, self.load(lavis_state(model)))
        own = {name: value.numpy() for name, value in model.state_dict().items()}
        self.equal(
            model, self.load({**own, "Qformer.bert.embeddings.token_type_embeddings.weight": np.zeros([2, 16])})
        )

    def test_what_is_refused_is_named(self):
        model = tiny()
        state = hf_state(model)
        for change, named in (
            ({"qformer.encoder.layer.0.extra": np.zeros(2)}, "qformer.encoder.layer.0.extra"),
            ({"text_projection.weight": state["text_projection.weight"].T}, "text_projection.weight"),
            ({"vision_model.embeddings.position_embedding": np.zeros([1, 7, 24])}, "position_embedding"),
            ({"itm_head.bias": None}, "Qformer.itm_head.bias"),
        ):
            broken = {name: value for name, value in {**state, **change}.items() if value is not None}
            with self.assertRaisesRegex(ConversionError, named):
                convert_state(broken, model)
        broken = lavis_state(model)
        broken.pop("visual_encoder.blocks.1.attn.v_bias")
        with self.assertRaisesRegex(ConversionError, "blocks.1.attn.q_bias"):
            convert_state(broken, model)
        with self.assertRaisesRegex(ConversionError, "of no BLIP-2 known here"):
            convert_state({"bert.weight": np.zeros(2)}, model)

    def test_positions_of_another_size(self):
        state = hf_state(tiny())
        larger = tiny(img_size=42)
        made = convert_state(state, larger)["visual_encoder.pos_embed"]
        self.assertEqual(list(made.shape), [1, 10, 24])
        np.testing.assert_array_equal(made[:, 0], state["vision_model.embeddings.position_embedding"][:, 0])

    def test_saved_and_loaded(self):
        model = tiny(ln_vision_epsilon=1e-6)
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):  # a configuration that grows with every saving would not fit any more
                model.save_pretrained(folder)
                again = Blip2ForImageTextRetrieval.from_pretrained(folder)
                self.equal(model, again)
                self.assertEqual(again.Qformer.ln_vision._epsilon, 1e-6)
                model = again


class LossTest(unittest.TestCase):
    def test_negatives_are_of_other_images(self):
        draw = np.random.default_rng(0)
        scores = paddle.to_tensor(draw.normal(0, 2, [5, 7]).astype("float32"))
        same = np.zeros([5, 7], bool)
        same[np.arange(5), np.arange(5)] = same[0, 6] = same[4, 0] = True
        counts = np.zeros([5, 7])
        for _ in range(400):
            draws = paddle.to_tensor(draw.random(5).astype("float32"))
            counts[np.arange(5), draw_negatives(scores, paddle.to_tensor(same), draws).numpy()] += 1
        self.assertEqual(counts[same].sum(), 0)
        weights = np.exp(scores.numpy()) * ~same
        np.testing.assert_allclose(counts / 400, weights / weights.sum(axis=1, keepdims=True), atol=0.09)
        ends = draw_negatives(
            scores, paddle.to_tensor(same), paddle.to_tensor([0.0, 0.0, 0.9999999, 0.9999999, 0.9999999])
        )
        self.assertFalse(same[np.arange(5), ends.numpy()].any())

    def test_a_row_does_not_depend_on_its_batch(self):
        model, inputs = tiny(), batch()
        with paddle.no_grad():
            embeds = model.image_embeds(inputs["pixel_values"])
            together = model.match(embeds, inputs["input_ids"], inputs["attention_mask"]).numpy()
            for row in range(4):
                length = int(inputs["attention_mask"][row].sum())  # without padding, too
                one = model.match(
                    embeds[row : row + 1],
                    inputs["input_ids"][row : row + 1, :length],
                    inputs["attention_mask"][row : row + 1, :length],
                )
                np.testing.assert_allclose(one.numpy()[0], together[row], atol=1e-5)

    def test_one_pair(self):
        inputs = {name: value[:1] for name, value in batch().items()}
        self.assertTrue(np.isfinite(float(tiny()(**inputs).loss)))

    def test_where_negatives_come_from_must_be_said(self):
        inputs = batch()
        inputs.pop("draws")
        with self.assertRaisesRegex(ValueError, "either `draws` or `negatives`"):
            tiny()(**inputs)

    def test_two_processes_equal_one(self):
        """Losses and every gradient of two ranks, through DataParallel, are those of one rank with the joined batch."""
        with tempfile.TemporaryDirectory() as folder:
            hidden = ("CUDA_VISIBLE_DEVICES", "PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM")
            variables = {key: value for key, value in os.environ.items() if key not in hidden}
            variables["PYTHONPATH"] = os.pathsep.join(sys.path)
            words = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", folder]
            done = subprocess.run(
                [*words, HERE, folder], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            log = done.stdout.decode("utf-8", "replace")
            self.assertEqual(done.returncode, 0, log[-3000:])
            ranks = [dict(np.load(os.path.join(folder, f"rank{rank}.npz"))) for rank in range(2)]
        model, inputs = in_float64()
        out = model(**inputs)
        out.loss.backward()
        self.assertAlmostEqual(float(out.loss), np.mean([rank["loss"] for rank in ranks]), delta=1e-9)
        scale = max(float(value.grad.abs().max()) for _, value in model.named_parameters())
        for name, value in model.named_parameters():
            for rank in ranks:
                np.testing.assert_allclose(rank[name], value.grad.numpy(), rtol=0, atol=1e-9 * scale, err_msg=name)


def in_float64():
    """The tiny model and its batch, so that rounding does not decide."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype("float64")
    try:
        model, inputs = tiny(), batch()
    finally:
        paddle.set_default_dtype(before)
    return model, dict(inputs, pixel_values=inputs["pixel_values"].astype("float64"))


def worker(folder):
    """One of two ranks: its half of the batch."""
    paddle.distributed.init_parallel_env()
    rank = paddle.distributed.get_rank()
    model, inputs = in_float64()
    half = {name: value[2 * rank : 2 * rank + 2] for name, value in inputs.items()}
    parallel = paddle.DataParallel(model)  # a name of its own: its reducer must live until the gradients are there
    out = parallel(**half)
    out["loss"].backward()
    made = {name: value.grad.numpy() for name, value in model.named_parameters()}
    np.savez(os.path.join(folder, f"rank{rank}.npz"), loss=float(out["loss"]), **made)


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]):
        worker(sys.argv[1])
    else:
        unittest.main()
