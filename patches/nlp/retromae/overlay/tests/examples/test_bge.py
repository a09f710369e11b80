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
import multiprocessing
import os
import pickle
import sys
import unittest
from unittest import mock

import numpy as np
import paddle
import paddle.nn.functional as F
import sentencepiece
from safetensors.numpy import save_file
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bge_testing import TEXTS, VOCABULARY, FolderTest, make_config, make_m3_config, make_sentencepiece  # noqa: E402
from retriever import (  # noqa: E402
    DygraphEncoder,
    Embedder,
    EmbeddingModel,
    FlatIndex,
    InferenceEncoder,
    M3Embedder,
    M3Model,
    RetroMAECollator,
    RetroMAEForPretraining,
    XLMRobertaTokenizer,
    contrastive_loss,
    convert_m3,
    convert_to_hf,
    convert_to_paddle,
    m3_scores,
    mine_hard_negatives,
    retrieval_metrics,
)
from retriever.convert import ConversionError, read_safetensors, read_state, state_to_hf, state_to_paddle  # noqa: E402
from retriever.data import GroupCollator, GroupDataset, pad_ids  # noqa: E402
from retriever.draws import Draw, EpochBatchSampler  # noqa: E402
from retriever.embedder import export  # noqa: E402
from retriever.index import faiss  # noqa: E402
from retriever.jsonl import JsonLines, check_row, read_jsonl, write_jsonl  # noqa: E402
from retriever.m3 import HEADS, m3_table, sparse_vectors  # noqa: E402
from retriever.masking import decoder_visibility, whole_word_masks, word_numbers  # noqa: E402
from retriever.tokens import TextDataset, TextEncoder, TokenFile  # noqa: E402


class TestMasking(FolderTest):
    def test_words(self):
        ids = np.array(self.tokenizer.convert_tokens_to_ids(["[CLS]", "walk", "##ing", "dog", "##s", "[SEP]"]))
        collator = RetroMAECollator(self.tokenizer)
        ends = (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        self.assertEqual(word_numbers(ids, collator.continues, ends).tolist(), [-1, 0, 0, 1, 1, -1])
        self.assertEqual(word_numbers(ids[[0, 2, 1, 5]], collator.continues, ends).tolist(), [-1, 0, 1, -1])

    def test_whole_words_and_budget(self):
        words = np.array([-1, 0, 0, 0, 1, 2, 2, 3, 4, -1])
        masks = whole_word_masks(words, 0.3, np.random.default_rng(0), 2000)
        self.assertFalse(masks[:, words < 0].any())
        for mask in masks:
            for word in range(5):
                self.assertIn(mask[words == word].sum(), (0, (words == word).sum()))
        self.assertTrue(((masks.sum(1) == 3)).mean() > 0.95 and masks.sum(1).max() == 3)
        # the order of words by hand: 3 tokens in all, a word that does not fit is passed over
        share = masks.mean(0)
        self.assertAlmostEqual(share[1], 4 / 20, delta=0.03)  # the long word: it must be the first one
        self.assertEqual(whole_word_masks(np.array([-1, 0, -1]), 0.01, np.random.default_rng(0)).sum(), 1)
        long = np.array([-1, 0, 0, 0, 0, 0, -1])  # one word of five pieces; the budget is two
        self.assertEqual(whole_word_masks(long, 0.3, np.random.default_rng(0)).sum(), 5)

    def test_masks_as_taken_one_by_one(self):
        """The share of each token under masks that are made word by word in random order."""
        rng = np.random.default_rng(3)
        sizes = rng.integers(1, 6, 12)
        words = np.concatenate([[-1], np.repeat(np.arange(12), sizes), [-1]])
        wanted, want = round(len(words) * 0.4), np.zeros(len(words))
        for _ in range(4000):
            room = wanted
            for word in rng.permutation(12):
                if sizes[word] <= room:
                    room -= sizes[word]
                    want[words == word] += 1
        got = whole_word_masks(words, 0.4, rng, 4000).mean(0)
        np.testing.assert_allclose(got, want / 4000, atol=0.05)

    def test_decoder_rows(self):
        words = np.concatenate([[-1], np.arange(30), [-1]])
        visible = decoder_visibility(words, 0.5, np.random.default_rng(0))
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
        got = collator.corrupt(ids, np.ones(20000, bool), np.random.default_rng(2))
        self.assertAlmostEqual((got == self.tokenizer.mask_token_id).mean(), 0.8 + 0.1 / len(VOCABULARY), delta=0.02)
        self.assertAlmostEqual((got == 7).mean(), 0.1 + 0.1 / len(VOCABULARY), delta=0.02)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "encoder_ratio"):
            RetroMAECollator(self.tokenizer, encoder_ratio=1.0)
        with self.assertRaisesRegex(ValueError, "without a word"):
            RetroMAECollator(self.tokenizer)([{"input_ids": [2, 3], "draw": Draw(0)}])
        with self.assertRaisesRegex(ValueError, "no `draw`"):
            RetroMAECollator(self.tokenizer)([{"input_ids": [2, 7, 3]}])
        path = os.path.join(self.folder, "bare", "vocab.txt")
        os.makedirs(os.path.dirname(path))
        with open(path, "w") as stream:
            stream.write("\n".join(token for token in VOCABULARY if token != "[MASK]"))
        with self.assertRaisesRegex(ValueError, "lacks .*MASK"):
            RetroMAECollator(type(self.tokenizer)(path))
        model = RetroMAEForPretraining(make_config())
        batch = RetroMAECollator(self.tokenizer)(list(TextDataset(TEXTS, self.tokenizer)))
        batch["labels"][:] = -100
        with self.assertRaisesRegex(ValueError, "no position of the batch has a label"):
            model(**{name: paddle.to_tensor(array) for name, array in batch.items()})


class TestDraws(FolderTest):
    """Draws follow from seed, epoch and row: for any number of workers and ranks, in any batch, and after a resume."""

    def epochs(self, dataset, collator, workers, ranks=1, rows=4, first=0):
        """{(epoch, row): what was drawn} of three epochs, and the rows of each batch of all ranks together."""
        found, batches = {}, []
        for epoch in range(first, 3):
            parts = []
            for rank in range(ranks):
                sampler = EpochBatchSampler(dataset, rows // ranks, ranks, rank, seed=7)
                sampler.set_epoch(epoch)
                order = list(sampler)
                loader = paddle.io.DataLoader(dataset, batch_sampler=sampler, collate_fn=collator, num_workers=workers)
                parts.append(order)
                for draws, batch in zip(order, loader):
                    for draw, value in zip(draws, np.asarray(batch[0])):
                        found[draw.epoch, draw.row] = value.tolist()
            batches += [sum((part[i] for part in parts), []) for i in range(len(parts[0]))]
        return found, batches

    def check(self, dataset, collator):
        want, order = self.epochs(dataset, collator, 0)
        self.assertEqual(len(want), 3 * len(dataset))
        self.assertEqual(len({str(want[epoch, 1]) for epoch in range(3)}), 3)  # an epoch repeats nothing
        self.assertNotEqual(order[:4], order[4:8])
        for workers, ranks, rows, first in ((2, 1, 4, 0), (0, 2, 4, 0), (2, 2, 4, 0), (0, 1, 2, 0), (2, 1, 4, 1)):
            got, other = self.epochs(dataset, collator, workers, ranks, rows, first)
            self.assertEqual({key: str(value) for key, value in got.items()},
                             {key: str(value) for key, value in want.items() if key[0] >= first})  # fmt: skip
            if rows == 4:
                self.assertEqual(other, order[4 * first :])

    def test_masks(self):
        dataset = TextDataset([" ".join(VOCABULARY[5:25])] * 16, self.tokenizer)
        collator = RetroMAECollator(self.tokenizer, seed=1)

        def rows(examples):
            batch = collator(examples)
            keys = sorted(batch)
            return [
                np.stack(
                    [
                        np.concatenate([batch[k][i].reshape([-1]).astype("int64") for k in keys])
                        for i in range(len(examples))
                    ]
                )
            ]

        self.check(dataset, rows)

    def test_negatives(self):
        negatives = ["n%d" % i for i in range(50)]
        rows = [{"query": "q%d" % i, "pos": ["p%d" % i, "s%d" % i], "neg": negatives} for i in range(12)]
        rows += [{"query": "bare", "pos": ["b%d" % i]} for i in range(4)]
        self.check(GroupDataset([rows], 4, seed=1), lambda examples: [np.array([e["keys"] for e in examples])])

    def test_batches_of_one_data_set(self):
        rows = lambda name, count: [{"query": name, "pos": [name + str(i)]} for i in range(count)]  # noqa: E731
        dataset = GroupDataset([rows("a", 10), rows("b", 5)], 1)
        for ranks in (1, 2):
            seen, names = [], []
            samplers = [EpochBatchSampler(dataset, 4 // ranks, ranks, rank) for rank in range(ranks)]
            for parts in zip(*samplers):
                self.assertEqual(len({len(part) for part in parts}), 1)
                batch = [dataset[draw]["query"] for part in parts for draw in part]
                self.assertEqual(len(set(batch)), 1)
                names.append(batch[0])
                seen += [draw.row for part in parts for draw in part]
            self.assertEqual((sorted(set(seen)), len(names)), (list(range(15)), 5))
            self.assertEqual(len(samplers[0]), 5)
        whole = EpochBatchSampler(dataset, 4, drop_last=True)
        self.assertEqual((len(list(whole)), len(whole), whole.dropped), (3, 3, 3))
        with self.assertRaisesRegex(ValueError, "do not fill one batch"):
            EpochBatchSampler(dataset, 16, drop_last=True)


class TestTokens(FolderTest):
    ODD = [
        "",
        " ",
        "the [MASK]cat[SEP] x",
        "中文cat和 dog。",
        "a\x0bb c\x85d",
        "é\u0301 DOG!",
        "a\u2028b",
        "the " * 50,
        "walking\u3000dogs",
        "\ufffd猫\u0301",
    ]

    def test_ids_as_the_tokenizer_gives_them(self):
        rng = np.random.default_rng(0)
        letters = list("ab the cat ##s [MASK] walking, DOG é中猫。\x0b\x1c\x85\u2028\t\n")
        texts = TEXTS + self.ODD + ["".join(rng.choice(letters, 30)) for _ in range(300)]
        for length in (8, 32):
            encode = TextEncoder(self.tokenizer, length)
            for text in texts * 2:
                want = self.tokenizer(text, max_length=length, truncation=True)["input_ids"]
                self.assertEqual(encode(text), want, repr(text))

    def file(self, name="texts.jsonl", texts=TEXTS + ["cat", ""]):
        path = os.path.join(self.folder, name)
        write_jsonl(path, [{"text": text or "."} for text in texts])
        return path

    def test_file_as_memory(self):
        path = self.file()
        want = TextDataset([text or "." for text in TEXTS + ["cat", ""]], self.tokenizer, 8)
        for processes in (1, 2):
            got = TokenFile(path, self.tokenizer, 8, os.path.join(self.folder, str(processes)), processes)
            self.assertEqual([list(row["input_ids"]) for row in got], [row["input_ids"] for row in want])
            self.assertEqual((got.short, want.short), (2, 2))
        again = pickle.loads(pickle.dumps(got))
        self.assertEqual(list(again[3]["input_ids"]), want[3]["input_ids"])
        self.assertEqual(again[(3, 2)]["draw"], Draw(3, 2))

    def test_made_once_and_anew_for_another_file(self):
        path = self.file()
        first = TokenFile(path, self.tokenizer, 8)
        with mock.patch("retriever.tokens._encoded", side_effect=AssertionError("made twice")):
            self.assertEqual(TokenFile(path, self.tokenizer, 8).folder, first.folder)
        self.assertNotEqual(TokenFile(path, self.tokenizer, 9).folder, first.folder)
        self.file(texts=TEXTS[:3] * 2)
        self.assertEqual(len(TokenFile(path, self.tokenizer, 8)), 6)

    def test_a_killed_run_leaves_nothing(self):
        path = self.file(texts=TEXTS * 2000)
        with mock.patch("retriever.tokens.os.rename", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                TokenFile(path, self.tokenizer, 8)
        self.assertEqual(len(TokenFile(path, self.tokenizer, 8)), 12000)
        self.assertFalse([name for name in os.listdir(self.folder) if name.endswith(".part")])

    def test_several_processes_at_once(self):
        path = self.file(texts=TEXTS * 300)
        fork = multiprocessing.get_context("fork")

        def read():
            assert len(TokenFile(path, self.tokenizer, 8)) == 1800

        processes = [fork.Process(target=read) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        self.assertEqual([process.exitcode for process in processes], [0] * 3)

    def test_errors(self):
        with self.assertRaisesRegex(ValueError, "has two tokens"):
            TokenFile(self.file(texts=["cat", "dog"]), self.tokenizer)
        self.assertFalse([name for name in os.listdir(self.folder) if name.endswith(".tokens")])


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

    def test_false_negatives_are_left_out(self):
        eye = paddle.eye(3)
        queries, passages = paddle.to_tensor(eye.numpy()[[0, 0, 1]]), paddle.to_tensor(eye.numpy()[[0, 0, 1]])
        plain, _ = contrastive_loss(queries, passages, 0.02)
        self.assertAlmostEqual(float(plain), np.log(2) * 2 / 3, places=4)
        same = paddle.to_tensor(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool))
        loss, scores = contrastive_loss(queries, passages, 0.02, excluded=same)
        self.assertAlmostEqual(float(loss), 0, places=5)
        self.assertEqual((scores.numpy() == -1e9).sum(), 2)
        own = paddle.to_tensor(np.eye(3, dtype=bool))  # the own passages are never left out
        self.assertAlmostEqual(
            float(contrastive_loss(queries, passages, 0.02, excluded=own)[0]), float(plain), places=5
        )
        queries, passages = self.vectors()
        table = queries.numpy() @ passages.numpy().T
        for margin in (0.0, 0.3):
            _, scores = contrastive_loss(queries, passages, 0.1, margin=margin)
            positive = table[np.arange(3), np.arange(3) * 2][:, None]
            others = np.arange(6)[None] // 2 != np.arange(3)[:, None]
            np.testing.assert_array_equal(scores.numpy() == -1e9, others & (table > positive + margin))

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

    def test_prompts_and_sizes(self):
        encoder = DygraphEncoder(EmbeddingModel(make_config()))
        embedder = Embedder(encoder, self.tokenizer, max_length=16, query_instruction="a red ")
        got = embedder.queries(TEXTS[:2], ["the big ", None])
        np.testing.assert_allclose(got, embedder.encode(["the big " + TEXTS[0], "a red " + TEXTS[1]]), atol=1e-6)
        cut = Embedder(encoder, self.tokenizer, max_length=16, size=4).encode(TEXTS)
        want = embedder.encode(TEXTS)[:, :4]
        np.testing.assert_allclose(cut, want / np.linalg.norm(want, axis=1, keepdims=True), atol=1e-6)
        for wrong, told in (("cat", "one text"), ([], "no text"), (["a", None], "text 1 is None")):
            for method in (embedder.encode, embedder.queries, embedder.passages):
                with self.assertRaisesRegex(ValueError, told):
                    method(wrong)
        with self.assertRaisesRegex(ValueError, "2 prompts for 1"):
            embedder.queries(["a"], ["b", "c"])
        with self.assertRaisesRegex(ValueError, "the model has 32 positions"):
            Embedder(encoder, self.tokenizer, max_length=33)
        with self.assertRaisesRegex(ValueError, "a vector has 16 numbers"):
            Embedder(encoder, self.tokenizer, max_length=16, size=17).encode(TEXTS)

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
        scored = [dict(row, neg=["old"], neg_scores=[0.5]) for row in rows]
        for row in mine_hard_negatives(scored, self.queries, passages, index, first=10, last=20, count=4):
            self.assertTrue("neg_scores" not in row and "old" not in row["neg"])
        with self.assertRaisesRegex(ValueError, "the corpus has 300 passages"):
            mine_hard_negatives(rows, self.queries, passages, index, first=300, last=310)
        with self.assertRaisesRegex(ValueError, "1 vectors hold numbers that are not finite"):
            FlatIndex(np.array([[1.0], [np.nan]]))
        with self.assertRaisesRegex(ValueError, "1 vectors hold numbers that are not finite"):
            index.search(np.full([1, index.vectors.shape[1]], np.nan), 3)
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
        with open(os.path.join(theirs, "1_Pooling", "config.json"), "w") as stream:
            json.dump({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, stream)
        convert_to_paddle(theirs, ours + "2")
        self.assertEqual(EmbeddingModel.from_pretrained(ours + "2").pooling, "mean")
        with open(os.path.join(theirs, "modules.json"), "w") as stream:
            json.dump([{"type": "sentence_transformers.models.Dense"}], stream)
        with self.assertRaisesRegex(ConversionError, "Dense"):
            convert_to_paddle(theirs, ours + "3")
        with open(os.path.join(theirs, "config.json"), "w") as stream:
            json.dump({"model_type": "xlm-roberta"}, stream)
        with self.assertRaisesRegex(ConversionError, "xlm-roberta"):
            convert_to_paddle(theirs, ours + "3")

    def folder_of(self, name, **kwargs):
        """A folder of Hugging Face with a vocabulary."""
        ours, theirs = (os.path.join(self.folder, name + end) for end in ("-ours", "-hf"))
        EmbeddingModel(make_config(**kwargs)).save_pretrained(ours)
        self.tokenizer.save_pretrained(ours)
        return ours, convert_to_hf(ours, theirs)

    def test_pooling_and_normalisation_come_back(self):
        for pooling in ("cls", "mean"):
            for normalize in (True, False):
                name = pooling + str(normalize)
                ours, theirs = self.folder_of(name, embedding_pooling=pooling, embedding_normalize=normalize)
                with open(os.path.join(theirs, "modules.json")) as stream:
                    kinds = [module["type"].rpartition(".")[2] for module in json.load(stream)]
                self.assertEqual(kinds, ["Transformer", "Pooling", "Normalize"][: 2 + normalize])
                again = EmbeddingModel.from_pretrained(convert_to_paddle(theirs, os.path.join(self.folder, name)))
                self.assertEqual((again.pooling, again.normalize), (pooling, normalize))

    def test_shards_and_types(self):
        ours, theirs = self.folder_of("s")
        path = os.path.join(theirs, "model.safetensors")
        state = read_safetensors(path)
        want = paddle.load(os.path.join(ours, "model_state.pdparams"), return_numpy=True)
        os.remove(path)
        names = sorted(state)
        places = {name: "model-%d.safetensors" % (i % 2) for i, name in enumerate(names)}
        for shard in set(places.values()):
            save_file({n: state[n] for n in names if places[n] == shard}, os.path.join(theirs, shard))
        with open(path + ".index.json", "w") as stream:
            json.dump({"weight_map": places}, stream)
        convert_to_paddle(theirs, os.path.join(self.folder, "shards"))
        got = paddle.load(os.path.join(self.folder, "shards", "model_state.pdparams"), return_numpy=True)
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value)
        os.remove(os.path.join(theirs, "model-1.safetensors"))
        with self.assertRaisesRegex(FileNotFoundError, "model-1.safetensors"):
            convert_to_paddle(theirs, os.path.join(self.folder, "x"))
        half = {name: value.astype("float16") for name, value in state.items()}
        save_file(half, path)
        self.assertEqual(read_state(theirs)["pooler.dense.bias"].dtype, np.float32)
        self.write_bfloat16(path, state)
        for name, value in read_state(theirs).items():
            np.testing.assert_allclose(value, state[name], rtol=2**-7, atol=1e-30, err_msg=name)
        with open(path, "r+b") as stream:
            stream.truncate(os.path.getsize(path) - 3)
        with self.assertRaisesRegex(ConversionError, "is not whole"):
            read_state(theirs)

    @staticmethod
    def write_bfloat16(path, state):
        """A safetensors file with the upper halves of the numbers."""
        table, data = {}, b""
        for name, value in state.items():
            part = (value.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
            table[name] = {
                "dtype": "BF16",
                "shape": list(value.shape),
                "data_offsets": [len(data), len(data) + len(part)],
            }
            data += part
        head = json.dumps(table).encode()
        with open(path, "wb") as stream:
            stream.write(len(head).to_bytes(8, "little") + head + data)

    def test_what_does_not_fit_is_refused(self):
        _, theirs = self.folder_of("r")
        config, vocabulary = (os.path.join(theirs, name) for name in ("config.json", "vocab.txt"))
        with open(config) as stream:
            settings = json.load(stream)
        for change, told in (
            ({"num_hidden_layers": 3}, "num_hidden_layers 3, the file holds 2"),
            ({"vocab_size": 99}, "word_embeddings.weight has the shape .* config.json says"),
            ({"intermediate_size": 99}, "linear1.* has the shape"),
        ):
            with open(config, "w") as stream:
                json.dump(dict(settings, **change), stream)
            with self.subTest(change), self.assertRaisesRegex(ConversionError, told):
                convert_to_paddle(theirs, os.path.join(self.folder, "x"))
        with open(config, "w") as stream:
            json.dump(settings, stream)
        for tokens, told in ((VOCABULARY[1:], r"lacks \[PAD\]"), (VOCABULARY + ["x"], "config.json says vocab_size")):
            with open(vocabulary, "w") as stream:
                stream.write("\n".join(tokens))
            with self.assertRaisesRegex(ConversionError, told):
                convert_to_paddle(theirs, os.path.join(self.folder, "x"))
        os.remove(vocabulary)
        with open(os.path.join(theirs, "tokenizer.json"), "w") as stream:
            json.dump({"model": {"vocab": {token: i for i, token in enumerate(VOCABULARY)}}}, stream)
        with open(os.path.join(convert_to_paddle(theirs, os.path.join(self.folder, "y")), "vocab.txt")) as stream:
            self.assertEqual(stream.read().split(), VOCABULARY)


class TestData(FolderTest):
    def test_groups(self):
        rows = [{"query": "q", "pos": ["p"], "neg": ["n"]}, {"query": "r", "pos": ["s"], "prompt": "class: "}]
        dataset = GroupDataset(rows, 4, query_instruction="find: ")
        self.assertEqual((dataset[0]["query"], dataset[0]["passages"]), ("find: q", ["p", "n", "n", "n"]))
        self.assertEqual((dataset[1]["query"], dataset[1]["passages"]), ("class: r", ["s", "p", "p", "p"]))
        self.assertEqual(GroupDataset(rows, 1, "find", query_format="{}\n{}")[0]["query"], "find\nq")
        scored = dict(rows[0], pos_scores=[2.0], neg_scores=[1.0])
        self.assertEqual(GroupDataset([scored], 2)[0]["teacher_scores"], [2.0, 1.0])
        both = {"query": "q", "pos": ["p", "x"], "neg": ["x", "n"], "pos_scores": [2, 3], "neg_scores": [4, 1]}
        for epoch in range(5):
            self.assertEqual(GroupDataset([both], 2)[0, epoch]["passages"][1], "n")
        batch = GroupCollator(self.tokenizer, keys=True)([GroupDataset([both], 2)[0], dataset[0]])
        self.assertEqual(batch["positive_keys"].shape, (2, 2))
        self.assertEqual((batch["positive_keys"][1, 1], "teacher_scores" in batch), (-1, False))

    def test_files_are_data_sets(self):
        paths = [os.path.join(self.folder, name) for name in ("a.jsonl", "b_no_in_batch_neg.jsonl")]
        for number, path in enumerate(paths):
            write_jsonl(path, [{"query": "q%d%d" % (number, i), "pos": ["p"], "neg": ["n"]} for i in range(3)])
        dataset = GroupDataset(paths, 2)
        self.assertEqual((dataset.groups, dataset.in_batch), ([(0, 3), (3, 6)], [True, False]))
        self.assertEqual([dataset[i]["query"] for i in (0, 2, 3, 5)], ["q00", "q02", "q10", "q12"])
        self.assertEqual([dataset[i]["in_batch"] for i in (2, 3)], [True, False])

    def test_what_is_wrong_is_told_with_line_and_field(self):
        good = {"query": "a", "pos": ["b"], "neg": ["c"]}
        for change, told in (
            ({"pos": "b"}, "field pos: 'b' is not a list"),
            ({"neg": "the dog"}, "field neg: 'the dog' is not a list"),
            ({"pos": []}, "field pos: there is no positive"),
            ({"pos": [None]}, "field pos: None is not a text"),
            ({"pos": [3]}, "field pos: 3 is not a text"),
            ({"neg": [""]}, "field neg: '' is not a text"),
            ({"query": None}, "field query: None"),
            ({"query": " "}, "field query"),
            ({"neg_scores": []}, "field neg_scores: 0 scores for 1 texts"),
            ({"pos_scores": [1, 2]}, "field pos_scores: 2 scores for 1"),
            ({"pos_scores": ["1"]}, "field pos_scores: .* finite numbers"),
            ({"pos_scores": [float("nan")]}, "field pos_scores"),
            ({"prompt": 1}, "field prompt"),
        ):
            with self.subTest(change):
                path = os.path.join(self.folder, "x.jsonl")
                with open(path, "w") as stream:
                    stream.write(json.dumps(good) + "\n\n" + json.dumps(dict(good, **change)) + "\n")
                with self.assertRaisesRegex(ValueError, "x.jsonl, line 3, " + told):
                    GroupDataset([path], 2)
                with self.assertRaisesRegex(ValueError, "training row 1, " + told):
                    GroupDataset([good, dict(good, **change)], 2)
        for rows, told in (
            ([good, {"query": "q", "pos": ["b"]}], "no other row has one"),
            ([{"query": "q", "pos": ["b"], "neg": ["b"]}], "no other row has one"),
            ([], "no training row"),
        ):
            with self.assertRaisesRegex(ValueError, told):
                GroupDataset(rows, 2)
        with self.assertRaisesRegex(ValueError, "1 of 1 rows lack pos_scores"):
            GroupDataset([good], 2, need_scores=True)
        for options in ({"group_size": 0}, {"query_format": "{}"}):
            with self.assertRaises(ValueError):
                GroupDataset([good], **options)
        with self.assertRaisesRegex(ValueError, "field id"):
            check_row({"id": None, "text": "x"}, "here", ("id", "text"))

    def test_files_as_people_have_them(self):
        path = os.path.join(self.folder, "x.jsonl")
        row = json.dumps({"text": "猫"}, ensure_ascii=False)
        for data, told in (
            (row.encode("utf-16"), "UTF-16"),
            (row.replace("猫", "中文").encode("gbk"), "line 1: not UTF-8 .*iconv -f GBK"),
            (("[" + row + "]").encode(), "line 1: an object"),
            ((row + "\n" + row[:7]).encode(), "line 2: "),
            ((row + "\n{}").encode(), "line 2: the field text is missing"),
            (b" \n", "holds no row"),
        ):
            with open(path, "wb") as stream:
                stream.write(data)
            with self.subTest(told), self.assertRaisesRegex(ValueError, told):
                read_jsonl(path, ("text",))
        for data in (
            "\ufeff" + row + "\n" + row,
            row + "\r\n\r\n" + row,
            row.replace("猫", "a\u2028b\u0085") + "\n" + row,
        ):
            with open(path, "wb") as stream:
                stream.write(data.encode())
            self.assertEqual(len(read_jsonl(path, ("text",))), 2)
            self.assertEqual([JsonLines(path)[i] for i in (0, 1)], read_jsonl(path))


class TestM3(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = M3Model(make_m3_config())
        self.model.eval()

    def test_tokenizer(self):
        tokenizer = XLMRobertaTokenizer(make_sentencepiece(self.folder))
        pieces = sentencepiece.SentencePieceProcessor(model_file=tokenizer.vocab_file)
        for text in TEXTS:
            ids = tokenizer(text)["input_ids"]
            # fairseq's numbers: those of the file, and one more
            self.assertEqual(ids, [0] + [number + 1 for number in pieces.EncodeAsIds(text)] + [2])
            self.assertEqual(tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(ids[1:-1])), text)
        self.assertEqual(
            (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id), (1, 3, tokenizer.vocab_size - 1)
        )
        self.assertEqual(tokenizer("\u732b")["input_ids"][-2:], [3, 2])
        tokenizer.save_pretrained(os.path.join(self.folder, "saved"))
        again = XLMRobertaTokenizer.from_pretrained(os.path.join(self.folder, "saved"))
        self.assertEqual(
            again(TEXTS[0], max_length=4, truncation=True)["input_ids"], tokenizer(TEXTS[0])["input_ids"][:3] + [2]
        )

    def test_sparse_vectors(self):
        ids = paddle.to_tensor([[0, 7, 8, 7, 2, 1]])
        weights = paddle.to_tensor([[9.0, 0.5, 0.2, 0.7, 9.0, 0.0]], stop_gradient=False)
        vector = sparse_vectors(weights, ids, 10)
        np.testing.assert_allclose(vector.numpy(), [[0, 0, 0, 0, 0, 0, 0, 0.7, 0.2, 0]], rtol=1e-6)
        vector.sum().backward()
        self.assertEqual(weights.grad.numpy().tolist(), [[0, 0, 1, 1, 0, 0]])
        same = paddle.to_tensor([[9.0, 0.5, 0.2, 0.5, 9.0, 0.0]])
        np.testing.assert_allclose(sparse_vectors(same, ids, 10).numpy()[0, 7], 0.5)

    def test_embedder_and_scores(self):
        tokenizer = XLMRobertaTokenizer(make_sentencepiece(self.folder))
        self.model = M3Model(make_m3_config(tokenizer.vocab_size))
        embedder = M3Embedder(self.model, tokenizer, max_length=32, batch_size=4)
        found = embedder.encode(TEXTS)
        alone = embedder.encode(TEXTS[2:3])
        np.testing.assert_allclose(found["dense"][2], alone["dense"][0], atol=1e-6)
        np.testing.assert_allclose(found["multi"][2], alone["multi"][0], atol=1e-6)
        self.assertEqual(sorted(found["lexical"][2]), sorted(alone["lexical"][0]))
        ids, mask = pad_ids([tokenizer(text)["input_ids"] for text in TEXTS], 1)
        with paddle.no_grad():
            batch = (paddle.to_tensor(ids), paddle.to_tensor(mask))
            want = m3_scores(self.model, batch, batch)
        for weights, name in (((1, 0, 0), "dense"), ((0, 1, 0), "sparse")):
            np.testing.assert_allclose(embedder.scores(found, found, weights), want[name].numpy(), atol=1e-4)
        with self.assertRaisesRegex(ValueError, "the model has 32 positions"):
            M3Embedder(self.model, tokenizer, max_length=33)
        with self.assertRaisesRegex(ValueError, "one text"):
            embedder.encode("cat")

    def test_checkpoint(self):
        theirs = os.path.join(self.folder, "m3")
        os.makedirs(theirs)
        state = {name: value.numpy() for name, value in self.model.state_dict().items()}
        table = m3_table(2)
        hf = {t: np.ascontiguousarray(state[o].T if turned else state[o]) for t, o, turned in table}
        heads = {name: hf.pop(name) for name in list(hf) if name.startswith(HEADS)}
        save_file(hf, os.path.join(theirs, "model.safetensors"))
        settings = dict(self.model.config.to_dict(), model_type="xlm-roberta", layer_norm_eps=1e-5)
        with open(os.path.join(theirs, "config.json"), "w") as stream:
            json.dump(settings, stream)
        with self.assertRaisesRegex(FileNotFoundError, "colbert_linear.pt"):
            convert_m3(theirs, os.path.join(self.folder, "x"))
        for head in HEADS:
            open(os.path.join(theirs, head + ".pt"), "w").close()
        parts = lambda path: {
            n.split(".")[1]: v for n, v in heads.items() if n.startswith(os.path.basename(path)[:-3])
        }  # noqa: E731
        with mock.patch(
            "retriever.m3._read_torch", parts
        ):  # PyTorch's own format is read by PaddleNLP; none can be written here
            again = M3Model.from_pretrained(convert_m3(theirs, os.path.join(self.folder, "back")))
        for name, value in state.items():
            np.testing.assert_array_equal(again.state_dict()[name].numpy(), value)
        with open(os.path.join(theirs, "config.json"), "w") as stream:
            json.dump(dict(settings, model_type="bert"), stream)
        with self.assertRaisesRegex(ConversionError, "model_type is 'bert'"):
            convert_m3(theirs, os.path.join(self.folder, "x"))


if __name__ == "__main__":
    unittest.main()
