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
import runpy
import subprocess
import sys
import unittest
from unittest import mock

import numpy as np
import paddle
from paddlenlp.trainer import TrainingArguments

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bge_testing import (  # noqa: E402
    FOLDER,
    ROOT,
    TEXTS,
    FolderTest,
    make_config,
    make_m3_config,
    make_sentencepiece,
    make_tokenizer,
)
from retriever import (  # noqa: E402
    DygraphEncoder,
    EmbeddingModel,
    EmbeddingTrainer,
    InferenceEncoder,
    M3Embedder,
    M3Model,
    RetroMAECollator,
    RetroMAEForPretraining,
    RetroMAETrainer,
    XLMRobertaTokenizer,
    contrastive_loss,
    m3_loss,
    m3_scores,
)
from retriever.data import GroupCollator, GroupDataset  # noqa: E402
from retriever.jsonl import read_jsonl, write_jsonl  # noqa: E402
from retriever.tokens import TextDataset  # noqa: E402
from retriever.trainer import EmbeddingTrainingArguments, check_device, cut  # noqa: E402


class TrainingTest(FolderTest):
    def group_batch(self, group=3, count=6):
        rows = [{"query": text, "pos": [TEXTS[i - 1]], "neg": TEXTS[:2]} for i, text in enumerate(TEXTS[:count])]
        dataset = GroupDataset(rows, group_size=group)
        return GroupCollator(self.tokenizer, 8, 12, keys=True)([dataset[i] for i in range(count)])

    def trainer(self, model, **kwargs):
        arguments = EmbeddingTrainingArguments(output_dir=os.path.join(self.folder, "out"), device="cpu", **kwargs)
        return EmbeddingTrainer(model=model, args=arguments, tokenizer=self.tokenizer)


class TestTrainer(TrainingTest):
    def gradients(self, model, chunk, seed=7, **kwargs):
        trainer = self.trainer(model, gradient_cache_chunk=chunk, **kwargs)
        model.clear_gradients()
        paddle.seed(seed)
        loss = trainer.training_step(model, {k: paddle.to_tensor(v) for k, v in self.group_batch().items()})
        return float(loss), {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}

    def test_cache_gives_the_gradients_of_the_whole_batch(self):
        model = EmbeddingModel(make_config())
        loss, want = self.gradients(model, 0)
        for chunk in (1, 4, 100):
            cached, got = self.gradients(model, chunk)
            self.assertAlmostEqual(cached, loss, places=4)
            self.assertEqual(sorted(got), sorted(want))
            largest = max(np.abs(value).max() for value in want.values())
            for name in want:
                np.testing.assert_allclose(got[name], want[name], atol=1e-5 * largest, err_msg=name)

    def test_cache_repeats_dropout(self):
        model = EmbeddingModel(make_config(dropout=0.3))
        whole, want = self.gradients(model, 100)  # two forward passes of queries, then passages
        plain, direct = self.gradients(model, 0)
        self.assertAlmostEqual(whole, plain, places=4)
        largest = max(np.abs(value).max() for value in want.values())
        for name in want:
            np.testing.assert_allclose(want[name], direct[name], atol=1e-5 * largest, err_msg=name)

    def test_static_graph_gives_the_same_gradients(self):
        model = EmbeddingModel(make_config())
        loss, want = self.gradients(model, 0)
        static, got = self.gradients(model, 0, to_static=True)
        self.assertIsInstance(model.forward, paddle.jit.dy2static.program_translator.StaticFunction)
        self.assertAlmostEqual(static, loss, places=4)
        largest = max(np.abs(value).max() for value in want.values())
        for name in want:
            np.testing.assert_allclose(got[name], want[name], atol=1e-5 * largest, err_msg=name)
        with self.assertRaisesRegex(ValueError, "does not go with"):
            self.trainer(model, to_static=True, gradient_cache_chunk=2)

    def test_accumulation_scales(self):
        model = EmbeddingModel(make_config())
        loss, want = self.gradients(model, 0)
        half, got = self.gradients(model, 4, gradient_accumulation_steps=2)
        self.assertAlmostEqual(half * 2, loss, places=4)
        for name in want:
            np.testing.assert_allclose(got[name] * 2, want[name], rtol=1e-3, atol=1e-4)

    def test_matryoshka(self):
        model = EmbeddingModel(make_config())
        loss, _ = self.gradients(model, 0, matryoshka_dims=[16, 4])
        batch = {name: paddle.to_tensor(value) for name, value in self.group_batch().items()}
        queries = model(batch["query_input_ids"], batch["query_attention_mask"])
        passages = model(batch["passage_input_ids"], batch["passage_attention_mask"])
        parts = [float(contrastive_loss(cut(queries, dim), cut(passages, dim))[0]) for dim in (16, 4)]
        self.assertAlmostEqual(loss, sum(parts) / 2, places=4)
        np.testing.assert_allclose((cut(queries, 4) ** 2).sum(-1), 1, rtol=1e-5)
        for chunk in (0, 2):  # the gradient cache gives the same
            cached, _ = self.gradients(model, chunk, matryoshka_dims=[16, 4])
            self.assertAlmostEqual(cached, loss, places=4)
        with self.assertRaisesRegex(ValueError, "a vector has 16 numbers"):
            self.trainer(model, matryoshka_dims=[17])

    def test_false_negatives_and_the_switch_of_a_data_set(self):
        model = EmbeddingModel(make_config())
        rows = [{"query": text, "pos": TEXTS[:2], "neg": TEXTS[2:4]} for text in TEXTS[:4]]
        plain, _ = self.loss_of(model, rows)
        filtered, _ = self.loss_of(model, rows, filter_false_negatives=True)
        own, scores = self.loss_of(model, rows, in_batch=False)
        self.assertLess(filtered, plain)
        self.assertEqual(scores, [4, 2])
        self.assertLess(own, filtered)

    def loss_of(self, model, rows, in_batch=True, **options):
        dataset = GroupDataset(rows, 2)
        dataset.in_batch = [in_batch]
        trainer = self.trainer(model, **options)
        batch = GroupCollator(self.tokenizer, 8, 12, keys=True)([dataset[i] for i in range(len(rows))])
        model.eval()
        with mock.patch("retriever.trainer.contrastive_loss", wraps=contrastive_loss) as spy:
            loss = trainer.compute_loss(model, {name: paddle.to_tensor(value) for name, value in batch.items()})
        flag = spy.call_args.kwargs["in_batch_negatives"]
        return float(loss), [len(rows), 2] if not flag else [len(rows), 2 * len(rows)]

    def test_half_precision_on_a_cpu_is_told_at_once(self):
        with mock.patch.object(paddle, "get_device", return_value="cpu"):
            with self.assertRaisesRegex(ValueError, "--fp16 needs a GPU"):
                check_device(mock.Mock(fp16=True))
            check_device(mock.Mock(fp16=False))

    def test_pooler_is_left_alone(self):
        model = EmbeddingModel(make_config())
        _, got = self.gradients(model, 0)
        self.assertFalse([name for name in got if "pooler" in name])

    def test_both_scripts_train_mine_evaluate_export(self):
        RetroMAEForPretraining(make_config()).save_pretrained(os.path.join(self.folder, "base"))
        make_tokenizer(os.path.join(self.folder, "base"))
        path = lambda name: os.path.join(self.folder, name)  # noqa: E731
        write_jsonl(path("texts.jsonl"), [{"text": text} for text in TEXTS])
        write_jsonl(path("train.jsonl"), [{"query": t, "pos": [t + " red"]} for t in TEXTS])
        write_jsonl(path("corpus.jsonl"), [{"id": str(i), "text": t + " red"} for i, t in enumerate(TEXTS)])
        write_jsonl(
            path("queries.jsonl"), [{"id": str(i), "text": t, "relevant": [str(i)]} for i, t in enumerate(TEXTS)]
        )
        common = ["--device", "cpu", "--per_device_train_batch_size", "3", "--max_steps", "3", "--logging_steps", "1"]
        self.run_script("run_retromae.py", "--model_name_or_path", path("base"), "--train_file", path("texts.jsonl"),
                        "--output_dir", path("pretrained"), "--max_length", "16", "--to_static", *common)  # fmt: skip
        self.run_script("run_mine.py", "--model_name_or_path", path("pretrained"), "--train_file", path("train.jsonl"),
                        "--corpus_file", path("corpus.jsonl"), "--output_file", path("mined.jsonl"),
                        "--first", "1", "--last", "5", "--count", "2")  # fmt: skip
        mined = read_jsonl(path("mined.jsonl"), ("neg",))
        self.assertTrue(all(len(row["neg"]) == 2 and row["pos"][0] not in row["neg"] for row in mined))
        self.run_script("run_finetune.py", "--model_name_or_path", path("pretrained"), "--train_file",
                        path("mined.jsonl"), "--output_dir", path("tuned"), "--group_size", "3", "--gradient_cache_chunk",
                        "2", "--query_instruction", "the ", *common)  # fmt: skip
        before = paddle.load(path("pretrained/model_state.pdparams"))
        after = paddle.load(path("tuned/model_state.pdparams"))
        name = "bert.encoder.layers.0.linear1.weight"
        self.assertGreater(float((before[name] - after[name]).abs().max()), 0)
        out = self.run_script("run_evaluate.py", "--model_name_or_path", path("tuned"), "--corpus_file",
                              path("corpus.jsonl"), "--query_file", path("queries.jsonl"))  # fmt: skip
        measures = json.loads(out[out.index("{\n") :])
        self.assertGreater(measures["ndcg@10"], 0.3)
        self.run_script("export_model.py", "--model_name_or_path", path("tuned"), "--output_dir", path("inference"))
        ids = np.array([[2, 5, 7, 3]])
        encoder = DygraphEncoder(EmbeddingModel.from_pretrained(path("tuned")))
        got = InferenceEncoder(path("inference"))(ids, np.ones_like(ids))
        np.testing.assert_allclose(got, encoder(ids, np.ones_like(ids)), atol=1e-5)

    def test_m3(self):
        path = lambda name: os.path.join(self.folder, name)  # noqa: E731
        tokenizer = XLMRobertaTokenizer(make_sentencepiece(self.folder))
        model = M3Model(make_m3_config(tokenizer.vocab_size))
        model.save_pretrained(path("m3"))
        tokenizer.save_pretrained(path("m3"))
        rows = [{"query": t, "pos": [t + " red"], "neg": [TEXTS[i - 1]]} for i, t in enumerate(TEXTS)]
        write_jsonl(path("train.jsonl"), rows)
        common = ["--m3", "--train_file", path("train.jsonl"), "--output_dir", path("tuned"), "--device", "cpu",
                  "--group_size", "2", "--per_device_train_batch_size", "6", "--max_steps", "20", "--save_steps", "20",
                  "--logging_steps", "1", "--learning_rate", "3e-3", "--temperature", "0.1"]  # fmt: skip
        self.run_script("run_finetune.py", "--model_name_or_path", path("m3"), *common)
        with open(path("tuned/checkpoint-20/trainer_state.json")) as stream:
            losses = [entry["loss"] for entry in json.load(stream)["log_history"] if "loss" in entry]
        batch = GroupCollator(tokenizer, 32, 32)([GroupDataset(rows, group_size=2)[i] for i in range(6)])
        batch = {name: paddle.to_tensor(value) for name, value in batch.items()}
        texts = [(batch[name + "_input_ids"], batch[name + "_attention_mask"]) for name in ("query", "passage")]
        self.assertAlmostEqual(losses[0], float(m3_loss(m3_scores(model, *texts), 0.1)), places=4)
        self.assertLess(losses[-1], losses[0])
        tuned = M3Model.from_pretrained(path("tuned"))
        for head in ("colbert_linear.weight", "sparse_linear.weight"):
            self.assertGreater(float((tuned.state_dict()[head] - model.state_dict()[head]).abs().max()), 1e-4)
        found = M3Embedder(tuned, XLMRobertaTokenizer.from_pretrained(path("tuned")), max_length=32).encode(TEXTS)
        self.assertEqual(found["dense"].shape, (6, 16))
        with self.assertRaisesRegex(ValueError, "without matryoshka_dims"):
            self.run_script("run_finetune.py", "--model_name_or_path", path("m3"), "--matryoshka_dims", "8", *common)
        EmbeddingModel(make_config()).save_pretrained(path("bert"))
        with self.assertRaisesRegex(ValueError, "--m3 is for a bge-m3 alone"):
            self.run_script("run_finetune.py", "--model_name_or_path", path("bert"), *common)

    def run_script(self, script, *arguments):
        """What `python script arguments` prints."""
        printed = io.StringIO()
        with mock.patch.object(sys, "argv", [script] + list(arguments)), contextlib.redirect_stdout(printed):
            runpy.run_path(os.path.join(FOLDER, script), run_name="__main__")
        return printed.getvalue()


class TestWholeRuns(TrainingTest):
    """Trainers from begin to end: the same losses for any number of data workers, and after a resume in the middle of an epoch."""

    def losses(self, *args, **options):
        # As in a process of its own: a checkpoint knows parameters and moments by names that count up.
        with paddle.utils.unique_name.guard():
            return self.run_one(*args, **options)

    def run_one(self, kind, name, **options):
        paddle.seed(5)
        model = (EmbeddingModel if kind == "embedding" else RetroMAEForPretraining)(make_config())
        folder = os.path.join(self.folder, kind + name)
        kinds = {
            "embedding": (EmbeddingTrainer, EmbeddingTrainingArguments),
            "retromae": (RetroMAETrainer, TrainingArguments),
        }
        trainer, arguments = kinds[kind]
        if kind == "embedding":
            rows = [
                {"query": t, "pos": [t + " red", t + " blue"], "neg": TEXTS[:i] + TEXTS[i + 1 :]}
                for i, t in enumerate(TEXTS)
            ]
            data, collator = GroupDataset(rows, 3), GroupCollator(self.tokenizer, 8, 12)
        else:
            data, collator = TextDataset(TEXTS, self.tokenizer, 16), RetroMAECollator(self.tokenizer)
        resume = options.pop("resume", None)
        common = dict(
            device="cpu", per_device_train_batch_size=2, max_steps=8, save_steps=4, logging_steps=1, disable_tqdm=True
        )
        run = trainer(
            model=model,
            args=arguments(
                output_dir=folder, learning_rate=1e-2, lr_scheduler_type="constant", **dict(common, **options)
            ),
            data_collator=collator,
            train_dataset=data,
            tokenizer=self.tokenizer,
        )
        run.train(resume_from_checkpoint=os.path.join(folder, resume) if resume else None)
        return [
            {k: v for k, v in entry.items() if "loss" in k and k != "train_loss"}
            for entry in run.state.log_history
            if "loss" in entry
        ]

    def check(self, kind):
        want = self.losses(kind, "a")
        self.assertEqual(len(want), 8)
        self.assertEqual(self.losses(kind, "b", dataloader_num_workers=2), want)
        self.losses(kind, "c", max_steps=4)
        resumed = self.losses(kind, "c", resume="checkpoint-4")  # an epoch has three steps
        self.assertEqual(len(resumed), 8)
        for got, other in zip(resumed, want):
            for name in other:
                self.assertAlmostEqual(got[name], other[name], places=5)
        return want

    def test_embedding(self):
        self.check("embedding")

    def test_retromae(self):
        for entry in self.check("retromae"):
            self.assertAlmostEqual(entry["loss"], entry["encoder_loss"] + entry["decoder_loss"], places=4)


WORKER = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np, paddle, paddle.distributed as dist
from retriever import EmbeddingModel, EmbeddingTrainer
from retriever.trainer import EmbeddingTrainingArguments
batch = np.load({batch!r})
for chunk in map(int, sys.argv[1:]):
    args = EmbeddingTrainingArguments(output_dir={out!r}, device="cpu", cross_device_negatives=True,
                                      gradient_cache_chunk=chunk, filter_false_negatives=True,
                                      matryoshka_dims=[16, 8])
    world, rank = dist.get_world_size(), dist.get_rank()
    model = EmbeddingModel.from_pretrained({model!r})
    trainer = EmbeddingTrainer(model=model, args=args)
    wrapped = trainer._wrap_model(model) if world > 1 else model
    optimizer = paddle.optimizer.SGD(0.05, parameters=[p for p in model.parameters() if not p.stop_gradient])
    losses = []
    for _ in range(3):
        part = {{k: paddle.to_tensor(np.split(batch[k], world)[rank]) for k in batch.files if k != "in_batch"}}
        losses.append(float(trainer.training_step(wrapped, part)))
        optimizer.step()
        optimizer.clear_grad()
    state = {{n: v.numpy() for n, v in model.state_dict().items()}}
    np.savez({out!r} + "/%d_of_%d_by_%d.npz" % (rank, world, chunk), losses=np.array(losses), **state)
"""


class TestTwoProcesses(TrainingTest):
    """Two processes with gloo against one process with the joined batch."""

    def run_workers(self, count, chunks, folder):
        os.makedirs(folder, exist_ok=True)
        script = os.path.join(self.folder, "worker.py")
        with open(script, "w") as stream:
            stream.write(WORKER.format(folder=FOLDER, out=folder, model=self.model, batch=self.batch))
        launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(count), "--log_dir", folder + "/log"]
        command = [sys.executable] + (launch if count > 1 else []) + [script] + [str(chunk) for chunk in chunks]
        paths = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
        env = {
            key: value for key, value in os.environ.items() if not key.startswith(("PADDLE_TRAINER", "CUDA_VISIBLE"))
        }
        done = subprocess.run(
            command,
            env=dict(env, PYTHONPATH=paths),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        names = ["%d_of_%d_by_%d.npz" % (rank, count, chunk) for chunk in chunks for rank in range(count)]
        return [np.load(os.path.join(folder, name)) for name in names]

    def test_same_losses_and_weights(self):
        self.model = os.path.join(self.folder, "model")
        EmbeddingModel(make_config()).save_pretrained(self.model)
        self.batch = os.path.join(self.folder, "batch.npz")
        np.savez(self.batch, **self.group_batch())
        (one,) = self.run_workers(1, [0], os.path.join(self.folder, "one"))
        self.assertLess(one["losses"][-1], one["losses"][0])
        for got in self.run_workers(2, [0, 2], os.path.join(self.folder, "two")):
            for name in one.files:
                np.testing.assert_allclose(got[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)


if __name__ == "__main__":
    unittest.main()
