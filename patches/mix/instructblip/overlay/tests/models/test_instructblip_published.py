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
"""From files in the layouts that are published to the first answer, by the documented commands alone."""

import json
import os
import shutil
import sys
import tempfile
import unittest

import numpy as np
import paddle
from paddlemix.models.common.checkpoints import ConversionError, read_checkpoint, weight_files
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "..", "paddlemix", "examples", "instructblip"))
import convert_weights  # noqa: E402
import instructblip_testing as tiny  # noqa: E402
import run_predict  # noqa: E402
from checkpoint_testing import bfloat16, write_safetensors, write_torch  # noqa: E402
from test_instructblip import hf_state, lavis_state  # noqa: E402


def write_config(folder, model, kind):
    """config.json as transformers writes it."""
    config = model.config.to_dict()
    text = dict(config["text_config"])
    if kind == "opt":
        text.update(ffn_dim=text["intermediate_size"], dropout=0.0, attention_dropout=0.0, activation_function="relu")
    config.update(text_config=text, architectures=["InstructBlipForConditionalGeneration"], torch_dtype="float32")
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(config, stream, default=str)


def write_tokenizer(files, folder, kind):
    """The language model's vocabulary under the names of transformers."""
    names = {"opt": {"gpt_vocab.json": "vocab.json", "gpt_merges.txt": "merges.txt"}}
    names["t5"], names["llama"] = {"t5_pieces.model": "spiece.model"}, {"llama_pieces.model": "tokenizer.model"}
    for ours, theirs in names[kind].items():
        shutil.copy(os.path.join(files, ours), os.path.join(folder, theirs))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as stream:
        json.dump(
            {"extra_ids": 0, "tokenizer_class": {"opt": "GPT2", "t5": "T5", "llama": "Llama"}[kind] + "Tokenizer"},
            stream,
        )


def write_hf(folder, kind, model, processor, files, convert=lambda value: value, shards=3, suffix="safetensors"):
    """A directory as `save_pretrained` of transformers leaves it: shards with an index, processor, files of the training beside."""
    os.makedirs(os.path.join(folder, "qformer_tokenizer"))
    write_config(folder, model, kind)
    write_tokenizer(files, folder, kind)
    shutil.copy(os.path.join(files, "vocab.txt"), os.path.join(folder, "qformer_tokenizer"))
    with open(os.path.join(folder, "added_tokens.json"), "w", encoding="utf-8") as stream:
        json.dump({"<image>": processor.image_token_id}, stream)
    with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as stream:
        images = processor.image_processor
        values = {"image_mean": images.image_mean, "image_std": images.image_std, "size": images.size}
        json.dump({**values, "image_processor_type": "BlipImageProcessor", "resample": 3, "do_rescale": True}, stream)
    state = {name: convert(value) for name, value in hf_state(model, kind).items()}
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    write = write_safetensors if suffix == "safetensors" else write_torch
    places, names = {}, sorted(state)
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.{suffix}"
        part = names[shard::shards]
        write(os.path.join(folder, file), {name: state[name] for name in part})
        places.update(dict.fromkeys(part, file))
    with open(os.path.join(folder, f"{stem}.{suffix}.index.json"), "w", encoding="utf-8") as stream:
        json.dump({"metadata": {}, "weight_map": places}, stream)
    with open(os.path.join(folder, "training_args.bin"), "wb") as stream:
        stream.write(b"no weights")
    return state


def first_answer(path, folder):
    """What the documented command prints."""
    image = os.path.join(folder, "photo.png")
    tiny.picture().save(image)
    words = ["--model", path, "--image", image, "--prompt", "what color is the cat ?", "--max_new_tokens", "6"]
    return run_predict.main(words)


class TransformersTest(unittest.TestCase):
    def walk(self, kind, **options):
        with tempfile.TemporaryDirectory() as folder:
            path, model, processor = tiny.saved(os.path.join(folder, "tiny"), kind)
            source, out = os.path.join(folder, "published"), os.path.join(folder, "converted")
            write_hf(source, kind, model, processor, os.path.join(folder, "tiny", "files"), **options)
            convert_weights.main(["hf", source, out])
            again = InstructBlipForConditionalGeneration.from_pretrained(out).state_dict()
            answers = first_answer(path, folder), first_answer(out, folder)
            return {name: value.numpy() for name, value in model.state_dict().items()}, again, answers

    def test_shards(self):
        for kind, suffix in (("opt", "safetensors"), ("t5", "bin"), ("llama", "safetensors")):
            before, after, (want, got) = self.walk(kind, suffix=suffix)
            for name, value in before.items():
                np.testing.assert_array_equal(after[name].numpy(), value)
            self.assertEqual(got, want)

    def test_bfloat16(self):
        for suffix in ("safetensors", "bin"):
            before, after, _ = self.walk("t5", convert=bfloat16, suffix=suffix)
            for name, value in before.items():
                rounded = (bfloat16(value).astype("uint32") << 16).view("float32")
                np.testing.assert_array_equal(after[name].numpy(), rounded, err_msg=name)

    def test_prefix(self):
        for prefix in ("model.", "base_model.model.", "module."):
            with tempfile.TemporaryDirectory() as folder:
                _, model, processor = tiny.saved(os.path.join(folder, "tiny"))
                source, out = os.path.join(folder, "published"), os.path.join(folder, "converted")
                state = write_hf(source, "opt", model, processor, os.path.join(folder, "tiny", "files"), shards=1)
                for file in os.listdir(source):
                    if file.startswith("model"):
                        os.remove(os.path.join(source, file))
                state = {prefix + name: value for name, value in state.items()}
                write_safetensors(os.path.join(source, "model.safetensors"), state)
                convert_weights.main(["hf", source, out])
                self.assertIn("processor_config.json", os.listdir(out))

    def test_refusals(self):
        with tempfile.TemporaryDirectory() as folder:
            _, model, processor = tiny.saved(os.path.join(folder, "tiny"))
            source = os.path.join(folder, "published")
            write_hf(source, "opt", model, processor, os.path.join(folder, "tiny", "files"))

            def refused(words, *more):
                with self.assertRaisesRegex(ConversionError, words):
                    convert_weights.main(["hf", source, os.path.join(folder, "out"), *more])

            os.rename(os.path.join(source, "model-00002-of-00003.safetensors"), os.path.join(folder, "shard"))
            refused("lacks model-00002-of-00003.safetensors")
            os.remove(os.path.join(source, "model.safetensors.index.json"))
            refused("lacks model-00002-of-00003.safetensors")
            os.rename(os.path.join(folder, "shard"), os.path.join(source, "model-00002-of-00003.safetensors"))
            with open(os.path.join(source, "added_tokens.json"), "w", encoding="utf-8") as stream:
                json.dump({"<other>": processor.image_token_id}, stream)
            refused("<image> has the id .*--no_image_token")
            shutil.rmtree(os.path.join(source, "qformer_tokenizer"))
            refused("vocabulary of the Q-Former.*--qformer_tokenizer")
            os.remove(os.path.join(source, "merges.txt"))
            refused("merges.txt: not there.*--tokenizer")
            os.remove(os.path.join(source, "config.json"))
            refused("config.json is not there")
            for file in os.listdir(source):
                if file.startswith("model"):
                    os.remove(os.path.join(source, file))
            with self.assertRaisesRegex(ConversionError, "holds no weights"):
                weight_files(source)
            with self.assertRaisesRegex(ConversionError, "no file of torch.save"):
                read_checkpoint(os.path.join(source, "training_args.bin"))
            self.assertFalse(os.path.exists(os.path.join(folder, "out")))


class LavisTest(unittest.TestCase):
    def test_vicuna(self):
        """The trained parts, EVA without a prefix in float16, Vicuna with a row less than the configuration."""
        with tempfile.TemporaryDirectory() as folder:
            _, model, processor = tiny.saved(os.path.join(folder, "tiny"), "llama", seed=1)
            files = os.path.join(folder, "tiny", "files")
            state, parts = lavis_state(model, "llama"), {"trained": {}, "eva": {}, "vicuna": {}}
            for name, value in state.items():
                place, key = "trained", name
                if name.startswith("visual_encoder."):
                    place, key, value = "eva", name[len("visual_encoder.") :], value.astype("float16")
                elif name.startswith("llm_model."):
                    place, key = "vicuna", name[len("llm_model.") :]
                    value = value[:-1] if key in ("model.embed_tokens.weight", "lm_head.weight") else value
                parts[place][key] = value
            write_torch(os.path.join(folder, "trained.pth"), {"model": parts["trained"], "epoch": 3})
            write_torch(os.path.join(folder, "eva_vit_g.pth"), parts["eva"])
            vicuna, configs = os.path.join(folder, "vicuna"), os.path.join(folder, "config")
            os.makedirs(vicuna), os.makedirs(configs)
            write_torch(os.path.join(vicuna, "pytorch_model.bin"), parts["vicuna"])
            write_tokenizer(files, vicuna, "llama")
            write_config(configs, model, "llama")
            out = os.path.join(folder, "converted")
            words = [
                "lavis",
                os.path.join(folder, "trained.pth"),
                out,
                "--vision",
                os.path.join(folder, "eva_vit_g.pth"),
            ]
            words += ["--language", vicuna, "--config", os.path.join(configs, "config.json"), "--no_image_token"]
            convert_weights.main(words + ["--qformer_tokenizer", os.path.join(files, "vocab.txt")])
            after = InstructBlipForConditionalGeneration.from_pretrained(out).state_dict()
            for name, value in model.state_dict().items():
                want, got = value.numpy(), after[name].numpy()
                if name.startswith("vision_model.") and "post_layernorm" not in name:
                    want = want.astype("float16").astype("float32")
                    if name.endswith("qkv.bias"):
                        want[24:48] = 0.0  # LAVIS has no bias of the keys
                if name in ("language_model.llama.embed_tokens.weight", "language_model.lm_head.weight"):
                    want, got = (one if "embed" in name else one.T for one in (want, got))
                    np.testing.assert_allclose(got[-1], want[:-1].mean(axis=0), rtol=1e-5, atol=1e-6)
                    want, got = want[:-1], got[:-1]
                np.testing.assert_array_equal(got, want, err_msg=name)
            self.assertIsInstance(first_answer(out, folder), str)

            write_torch(os.path.join(vicuna, "pytorch_model.bin"), {"lm_head.weight": np.zeros([3, 32], "float32")})
            model.config.text_config.vocab_size = 100
            write_config(configs, model, "llama")
            with self.assertRaisesRegex(ConversionError, "another language model"):
                convert_weights.main(words + ["--qformer_tokenizer", os.path.join(files, "vocab.txt")])


class FilesTest(unittest.TestCase):
    def test_types(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.bin")
            state = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.arange(3, dtype="float16")}
            state["c"] = bfloat16(np.array([1.0, -2.5, 3e38]))
            write_torch(path, {"state_dict": state, "optimizer": 1})
            got = read_checkpoint(path)
            np.testing.assert_array_equal(got["a"], state["a"])
            np.testing.assert_array_equal(got["b"], state["b"])
            np.testing.assert_allclose(got["c"], [1.0, -2.5, 3e38], rtol=1e-2)
            self.assertEqual(got["c"].dtype, np.float32)
            write_torch(path, {"optimizer": {"lr": 1}})
            with self.assertRaisesRegex(ConversionError, "more than tensors"):
                read_checkpoint(path)


if __name__ == "__main__":
    paddle.set_device("cpu")
    unittest.main()
