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
import unittest

import numpy as np
import paddle
import paddle.nn.functional as F
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bge_testing import TEXTS, VOCABULARY, FolderTest, make_config  # noqa: E402
from retriever import (  # noqa: E402
    DygraphEncoder,
    Embedder,
    EmbeddingModel,
    FlatIndex,
    InferenceEncoder,
    RetroMAECollator,
    RetroMAEForPretraining,
    contrastive_loss,
    convert_to_hf,
    convert_to_paddle,
    mine_hard_negatives,
    retrieval_metrics,
    whole_word_mask,
)
from retriever.convert import ConversionError, state_to_hf, state_to_paddle  # noqa: E402
from retriever.data import GroupDataset, TextDataset, read_jsonl  # noqa: E402
from retriever.embedder import export  # noqa: E402
from retriever.index import faiss  # noqa: E402
from retriever.masking import decoder_visibility, words_of  # noqa: E402


class TestMasking(FolderTest):
    def test_words(self):
        self.assertEqual(words_of(["[CLS]", "walk", "##ing", "dog", "##s", "[SEP]"]), [[1, 2], [3, 4]])

    def test_whole_words_and_budget(self):
        words = [[1, 2, 3], [4], [5, 6], [7], [8]]
        for seed in range(50):
            mask = whole_word_mask(words, 10, 0.3, np.random.default_rng(seed))
            self.assertLessEqual(mask.sum(), 3)
            self.assertGreaterEqual(mask.sum(), 1)
            for word in words:
                self.assertIn(mask[word].sum(), (0, len(word)))
        self.assertEqual(whole_word_mask([[1]], 3, 0.01, np.random.default_rng(0)).sum(), 1)

    def test_decoder_rows(self):
        words = [[i] for i in range(1, 31)]
        visible = decoder_visibility(words, 32, 0.5, np.random.default_rng(0))
        self.assertEqual(np.diag(visible).sum(), 0)
        self.assertTrue((visible[1:, 0] == 1).all() and (visible[:-1, -1] == 1).all())
        hidden = 30 - visible[:, 1:31].sum(1)
        self.assertTrue(((hidden == 16) | (hidden == 17)).all())  # half of 32, and the own position
        self.assertGreater(len(np.unique(visible, axis=0)), 10)

    def test_batch(self):
        collator = RetroMAECollator(self.tokenizer, max_length=8, seed=1)
        batch = collator(list(TextDataset(TEXTS, self.tokenizer)))
        self.assertEqual(batch["input_ids"].shape[1], 8)
        ids, labels = batch["decoder_input_ids"], batch["decoder_labels"]
        ends = np.isin(ids, [self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.pad_token_id])
        np.testing.assert_array_equal(labels, np.where(ends, -100, ids))
        masked = batch["labels"] != -100
        np.testing.assert_array_equal(batch["labels"][masked], ids[masked])
        np.testing.assert_array_equal(batch["input_ids"][~masked], ids[~masked])
        pads = batch["attention_mask"] == 0
        self.assertEqual(batch["decoder_attention_mask"][pads].sum(), 0)

    def test_corruption_rates(self):
        collator = RetroMAECollator(self.tokenizer, seed=2)
        ids = np.full(20000, 7)
        got = collator.corrupt(ids, np.ones(20000, bool))
        self.assertAlmostEqual((got == self.tokenizer.mask_token_id).mean(), 0.8 + 0.1 / len(VOCABULARY), delta=0.02)
        self.assertAlmostEqual((got == 7).mean(), 0.1 + 0.1 / len(VOCABULARY), delta=0.02)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "encoder_ratio"):
            RetroMAECollator(self.tokenizer, encoder_ratio=1.0)
        with self.assertRaisesRegex(ValueError, "without a word"):
            RetroMAECollator(self.tokenizer)([{"input_ids": [2, 3]}])


class TestRetroMAE(FolderTest):
    def batch(self):
        arrays = RetroMAECollator(self.tokenizer, seed=5)(list(TextDataset(TEXTS, self.tokenizer)))
        return {name: paddle.to_tensor(array) for name, array in arrays.items()}

    def test_logits_at_labels_are_enough(self):
        model = RetroMAEForPretraining(make_config())
        model.eval()
        batch = self.batch()
        loss, encoder, decoder = model(**batch)
        hidden = model.bert(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        labels = batch["labels"].reshape([-1]).numpy()
        scores = F.log_softmax(model.cls(hidden).reshape([-1, len(VOCABULARY)]), axis=-1).numpy()
        # F.cross_entropy of Paddle 3.3 divides by all rows, those of label -100 included
        whole = -np.mean([scores[row, label] for row, label in enumerate(labels) if label != -100])
        self.assertAlmostEqual(float(encoder), float(whole), places=5)
        self.assertAlmostEqual(float(loss), float(encoder) + float(decoder), places=5)

    def test_decoder_reads_text_only_through_cls_and_visible_tokens(self):
        model = RetroMAEForPretraining(make_config())
        model.eval()
        batch = self.batch()
        hidden = model.bert(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        ids = batch["decoder_input_ids"].numpy()
        visible = batch["decoder_attention_mask"].numpy()
        row, position = 0, 3
        changed = ids.copy()
        changed[row, position] = 20 if ids[row, position] != 20 else 21
        outputs = []
        for value in (ids, changed):
            query, context = model.decoder_streams(hidden[:, :1], paddle.to_tensor(value))
            outputs.append(model.decoder(query, context, batch["decoder_attention_mask"]).numpy())
        moved = np.abs(outputs[0] - outputs[1]).max(-1)[row] > 1e-7
        text = batch["attention_mask"].numpy()[row].astype(bool)
        np.testing.assert_array_equal(moved[text], visible[row, :, position].astype(bool)[text])

    def test_tied_and_kept_by_a_checkpoint(self):
        model = RetroMAEForPretraining(make_config())
        self.assertIs(model.cls.predictions.decoder.weight, model.bert.embeddings.word_embeddings.weight)
        batch = self.batch()
        model.eval()
        before = float(model(**batch)[0])
        model.save_pretrained(os.path.join(self.folder, "m"))
        again = RetroMAEForPretraining.from_pretrained(os.path.join(self.folder, "m"))
        again.eval()
        self.assertIs(again.cls.predictions.decoder.weight, again.bert.embeddings.word_embeddings.weight)
        self.assertAlmostEqual(float(again(**batch)[0]), before, places=5)
        encoder = EmbeddingModel.from_pretrained(os.path.join(self.folder, "m"))
        for name, value in encoder.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), model.state_dict()[name].numpy())


class TestLoss(unittest.TestCase):
    def vectors(self, count=3, group=2, size=4):
        rng = np.random.default_rng(0)
        make = lambda n: F.normalize(paddle.to_tensor(rng.standard_normal((n, size)).astype("float32")))  # noqa: E731
        return make(count), make(count * group)

    def test_target_is_the_first_of_the_group(self):
        queries, passages = self.vectors()
        loss, scores = contrastive_loss(queries, passages, 0.1)
        table = queries.numpy() @ passages.numpy().T / 0.1
        want = np.log(np.exp(table).sum(1)) - table[np.arange(3), np.arange(3) * 2]
        self.assertAlmostEqual(float(loss), want.mean(), places=5)
        own = np.stack([table[i, 2 * i : 2 * i + 2] for i in range(3)])
        loss, scores = contrastive_loss(queries, passages, 0.1, in_batch_negatives=False)
        np.testing.assert_allclose(scores.numpy(), own, rtol=1e-5, atol=1e-5)
        self.assertAlmostEqual(float(loss), (np.log(np.exp(own).sum(1)) - own[:, 0]).mean(), places=5)

    def test_hard_rows_are_not_cut(self):
        queries = paddle.to_tensor([[1.0, 0.0]])
        passages = paddle.to_tensor([[-1.0, 0.0], [1.0, 0.0]])
        self.assertAlmostEqual(float(contrastive_loss(queries, passages, 0.01)[0]), 200.0, places=3)

    def test_errors(self):
        queries, passages = self.vectors()
        with self.assertRaisesRegex(ValueError, "same number"):
            contrastive_loss(queries, passages[:5])
        with self.assertRaisesRegex(ValueError, "teacher_scores"):
            contrastive_loss(queries, passages, distillation="kl_div")
        with self.assertRaisesRegex(ValueError, "not one of"):
            contrastive_loss(queries, passages, distillation="mse")


class TestEmbedder(FolderTest):
    def test_order_padding_and_instruction(self):
        model = EmbeddingModel(make_config())
        embedder = Embedder(
            DygraphEncoder(model), self.tokenizer, batch_size=2, max_length=10, query_instruction="a red "
        )
        vectors = embedder.passages(TEXTS)
        np.testing.assert_allclose((vectors**2).sum(1), 1, rtol=1e-5)
        for text, vector in zip(TEXTS, vectors):
            np.testing.assert_allclose(embedder.encode([text])[0], vector, atol=1e-6)
        np.testing.assert_allclose(embedder.queries(TEXTS[:1]), embedder.encode(["a red " + TEXTS[0]]), atol=1e-6)
        self.assertTrue(model.training)

    def test_few_lengths(self):
        model = EmbeddingModel(make_config())
        shapes, encoder = [], DygraphEncoder(model)

        def spy(ids, mask):
            shapes.append(ids.shape[1])
            return encoder(ids, mask)

        texts = [" ".join(["red"] * count) for count in range(1, 19)]
        vectors = Embedder(spy, self.tokenizer, batch_size=1, max_length=18).encode(texts)
        self.assertEqual(sorted(set(shapes)), [8, 16, 18])
        for text, vector in zip(texts, vectors):
            ids = np.array([self.tokenizer(text, max_length=18, truncation=True)["input_ids"]])
            np.testing.assert_allclose(encoder(ids, np.ones_like(ids))[0], vector, atol=1e-6)

    def test_pooling(self):
        ids, mask = paddle.to_tensor([[2, 5, 6, 3, 0]]), paddle.to_tensor([[1, 1, 1, 1, 0]])
        for pooling in ("cls", "mean"):
            model = EmbeddingModel(make_config(embedding_pooling=pooling, embedding_normalize=False))
            model.eval()
            hidden = model.bert(ids, attention_mask=mask)[0].numpy()
            want = hidden[:, 0] if pooling == "cls" else hidden[:, :4].mean(1)
            np.testing.assert_allclose(model(ids, mask).numpy(), want, atol=1e-6)
            model.save_pretrained(os.path.join(self.folder, pooling))
            again = EmbeddingModel.from_pretrained(os.path.join(self.folder, pooling))
            self.assertEqual((again.pooling, again.normalize), (pooling, False))
        with self.assertRaisesRegex(ValueError, "last"):
            EmbeddingModel(make_config(embedding_pooling="last"))

    def test_export(self):
        model = EmbeddingModel(make_config())
        folder = os.path.join(self.folder, "program")
        os.makedirs(folder)
        export(model, folder)
        ids = np.array([[2, 9, 10, 3], [2, 8, 3, 0]])
        mask = (ids > 0).astype("int64")
        np.testing.assert_allclose(InferenceEncoder(folder)(ids, mask), DygraphEncoder(model)(ids, mask), atol=1e-5)
        with self.assertRaisesRegex(FileNotFoundError, "export_model.py"):
            InferenceEncoder(self.folder)


class TestIndex(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(1)
        self.vectors = rng.standard_normal((300, 8)).astype("float32")
        self.queries = rng.standard_normal((5, 8)).astype("float32")

    def test_numpy_is_exact(self):
        scores, rows = FlatIndex(self.vectors, "numpy").search(self.queries, 7)
        table = self.queries @ self.vectors.T
        np.testing.assert_array_equal(rows, np.argsort(-table, axis=1, kind="stable")[:, :7])
        np.testing.assert_allclose(scores, -np.sort(-table, axis=1)[:, :7], rtol=1e-5)
        self.assertEqual(FlatIndex(self.vectors[:3], "numpy").search(self.queries, 7)[1].shape, (5, 3))

    @unittest.skipIf(faiss is None, "faiss is not installed")
    def test_faiss_and_numpy_agree(self):
        got, want = (FlatIndex(self.vectors, backend).search(self.queries, 20) for backend in ("faiss", "numpy"))
        np.testing.assert_array_equal(got[1], want[1])
        np.testing.assert_allclose(got[0], want[0], rtol=1e-5, atol=1e-5)
        same = np.repeat(self.vectors[:1], 6, axis=0)
        np.testing.assert_array_equal(FlatIndex(same, "faiss").search(self.queries, 6)[1][0], np.arange(6))

    def test_mining(self):
        passages = ["p%d" % i for i in range(300)]
        index = FlatIndex(self.vectors, "numpy")
        order = index.search(self.queries, 300)[1]
        rows = [{"query": "q%d" % i, "pos": [passages[order[i, 12]]]} for i in range(5)]
        mined = mine_hard_negatives(rows, self.queries, passages, index, first=10, last=20, count=4)
        for row, ranks in zip(mined, order):
            allowed = {passages[number] for number in ranks[10:20]} - set(row["pos"])
            self.assertEqual(len(set(row["neg"])), 4)
            self.assertTrue(set(row["neg"]) <= allowed)
        self.assertNotIn("neg", rows[0])
        strict = mine_hard_negatives(
            rows, self.queries, passages, index, first=0, last=50, count=50, max_relative_score=0.95
        )
        for row, vector in zip(strict, self.queries):
            limit = 0.95 * float(self.vectors[passages.index(row["pos"][0])] @ vector)
            self.assertTrue(all(self.vectors[passages.index(text)] @ vector <= limit for text in row["neg"]))
            self.assertTrue(row["neg"])
        with self.assertRaisesRegex(ValueError, "hold nothing"):
            mine_hard_negatives(rows, self.queries, passages, index, first=5, last=5)


class TestMetrics(unittest.TestCase):
    def test_by_hand(self):
        ranking = {"a": ["x", "y", "z"], "b": ["x", "y", "z"]}
        got = retrieval_metrics(ranking, {"a": {"y": 1}, "b": {"x": 1, "q": 1}}, cutoffs=(1, 3))
        self.assertAlmostEqual(got["mrr@1"], 0.5)
        self.assertAlmostEqual(got["mrr@3"], (0.5 + 1) / 2)
        self.assertAlmostEqual(got["recall@3"], (1 + 0.5) / 2)
        second = 1 / np.log2(3)
        self.assertAlmostEqual(got["ndcg@3"], (second + 1 / (1 + second)) / 2)

    def test_grades(self):
        got = retrieval_metrics({"a": ["x", "y"]}, {"a": {"x": 1, "y": 3}}, cutoffs=(10,))
        self.assertAlmostEqual(got["ndcg@10"], (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))

    def test_as_scikit_learn(self):
        rng = np.random.default_rng(5)
        for _ in range(20):
            grades, scores = rng.integers(0, 4, 12), rng.permutation(12)
            grades[0] = 3
            ranking = {"q": np.argsort(-scores).tolist()}
            got = retrieval_metrics(ranking, {"q": dict(enumerate(grades.tolist()))}, cutoffs=(3, 12))
            for k in (3, 12):
                self.assertAlmostEqual(got["ndcg@%d" % k], ndcg_score([grades], [scores], k=k))
            one = np.arange(12) == 7
            got = retrieval_metrics(ranking, {"q": {7: 1}}, cutoffs=(12,))
            self.assertAlmostEqual(got["mrr@12"], label_ranking_average_precision_score([one], [scores]))

    def test_errors(self):
        for ranking, relevant, message in (
            ({}, {"a": {"x": 1}}, "no ranking"),
            ({"a": ["x"]}, {"a": {"x": 0}}, "no relevant"),
            ({"a": ["x", "x"]}, {"a": {"x": 1}}, "twice"),
            ({}, {}, "no query"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                retrieval_metrics(ranking, relevant)


class TestConvert(FolderTest):
    def hf(self, retromae=False):
        model = (RetroMAEForPretraining if retromae else EmbeddingModel)(make_config())
        state = {name: value.numpy() for name, value in model.state_dict().items()}
        return model, state_to_hf(state, retromae)

    def test_leftovers_are_named(self):
        _, state = self.hf()
        with self.assertRaisesRegex(ConversionError, "unknown: extra.weight; missing: none"):
            state_to_paddle(dict(state, **{"extra.weight": np.zeros(1)}))
        del state["pooler.dense.bias"]
        with self.assertRaisesRegex(ConversionError, "missing: pooler.dense.bias"):
            state_to_paddle(state)
        self.assertIn("bert.pooler.dense.weight", state_to_paddle(state, missing_ok=("pooler.",)))
        with self.assertRaisesRegex(ConversionError, "unknown: extra"):
            state_to_hf({"extra": np.zeros(1)})

    def test_old_names_prefix_and_buffers(self):
        model, state = self.hf()
        old = {"bert." + n.replace("LayerNorm.weight", "LayerNorm.gamma"): v for n, v in state.items()}
        old["bert.embeddings.position_ids"] = np.arange(3)
        old["cls.predictions.bias"] = np.zeros(3)
        got = state_to_paddle(old, drop=("cls.",))
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(got[name], value.numpy())

    def test_retromae_from_a_masked_language_model(self):
        model, state = self.hf(True)
        plain = {name[len("lm.") :]: value for name, value in state.items() if name.startswith("lm.")}
        with self.assertRaisesRegex(ConversionError, "missing: c_head"):
            state_to_paddle(plain, retromae=True)
        got = state_to_paddle(plain, retromae=True, missing_ok=("c_head.",))
        self.assertFalse([name for name in got if name.startswith("decoder.")])
        for name, value in got.items():
            np.testing.assert_array_equal(value, model.state_dict()[name].numpy())

    def test_untied_copy_is_refused(self):
        _, state = self.hf(True)
        state["decoder_embeddings.word_embeddings.weight"] = state["decoder_embeddings.word_embeddings.weight"] + 1
        with self.assertRaisesRegex(ConversionError, "decoder_embeddings.word_embeddings.weight differs"):
            state_to_paddle(state, retromae=True)

    def test_files_there_and_back(self):
        for retromae in (False, True):
            model = (RetroMAEForPretraining if retromae else EmbeddingModel)(make_config())
            ours, theirs, again = (
                os.path.join(self.folder, "%s%d" % (n, retromae)) for n in ("ours", "theirs", "again")
            )
            model.save_pretrained(ours)
            convert_to_hf(ours, theirs, retromae)
            convert_to_paddle(theirs, again, retromae=retromae)
            back = type(model).from_pretrained(again)
            for name, value in model.state_dict().items():
                if not (retromae and "pooler" in name):
                    np.testing.assert_array_equal(back.state_dict()[name].numpy(), value.numpy(), err_msg=name)

    def test_pooling_file_and_other_models(self):
        model = EmbeddingModel(make_config())
        ours, theirs = os.path.join(self.folder, "ours"), os.path.join(self.folder, "theirs")
        model.save_pretrained(ours)
        convert_to_hf(ours, theirs)
        os.makedirs(os.path.join(theirs, "1_Pooling"))
        with open(os.path.join(theirs, "1_Pooling", "config.json"), "w") as stream:
            json.dump({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, stream)
        convert_to_paddle(theirs, ours + "2")
        self.assertEqual(EmbeddingModel.from_pretrained(ours + "2").pooling, "mean")
        with open(os.path.join(theirs, "config.json"), "w") as stream:
            json.dump({"model_type": "xlm-roberta"}, stream)
        with self.assertRaisesRegex(ConversionError, "xlm-roberta"):
            convert_to_paddle(theirs, ours + "3")


class TestData(FolderTest):
    def test_groups(self):
        rows = [{"query": "q", "pos": ["p"], "neg": ["n"]}, {"query": "r", "pos": ["s"]}]
        dataset = GroupDataset(rows, 4, query_instruction="find: ")
        self.assertEqual(dataset[0], {"query": "find: q", "passages": ["p", "n", "n", "n"]})
        self.assertEqual(dataset[1]["passages"], ["s", "p", "p", "p"])
        scored = dict(rows[0], pos_scores=[2.0], neg_scores=[1.0])
        self.assertEqual(GroupDataset([scored], 2)[0]["teacher_scores"], [2.0, 1.0])
        with self.assertRaisesRegex(ValueError, "no positive"):
            GroupDataset([{"query": "q", "pos": []}])
        with self.assertRaisesRegex(ValueError, "no other row"):
            GroupDataset([{"query": "q", "pos": ["p"]}], 2)[0]

    def test_jsonl_errors_name_the_line(self):
        path = os.path.join(self.folder, "x.jsonl")
        for text, message in (('{"text": 1}\n[\n', "line 2"), ('{"text": 1}\n{}\n', "line 2.*text")):
            with open(path, "w") as stream:
                stream.write(text)
            with self.assertRaisesRegex(ValueError, message):
                read_jsonl(path, ("text",))


if __name__ == "__main__":
    unittest.main()
