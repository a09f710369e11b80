"""Real encoders: carried over, known figures reproduced, trained on real text, judged on held-out queries.

`--encoder minilm` is all-MiniLM-L6-v2 (6 layers, 384 wide), `--encoder tiny` a masked language model (2 layers, 128 wide), whose own head
RetroMAE can start from.

Known figures of MiniLM: Spearman on WordSim353, Pearson on the Lee corpus, cosines of sentence pairs. Retrieval data: corpus.py. Variants
(`--variants`), each judged by nDCG@10 and MRR@10 on the same held-out queries:

    bm25           no encoder: Okapi BM25, k1 1.2, b 0.75
    untrained      the same architecture with random weights
    mean, cls      the encoder as shipped, with its own mean pooling, or with [CLS]
    random+ft      random weights, then contrastive training
    mean+ft        the encoder, then contrastive training with mined hard negatives
    cls+ft         the same with [CLS]
    cls+rm+ft      the encoder, then RetroMAE on the training texts, then contrastive training with [CLS]

The contrastive trainings have the same data, steps and rate. All of it goes through the change's trainers, miner, index and metrics.
"""

import collections
import functools
import json
import math
import os
import re
import tempfile
import time

import assets
import corpus
import numpy as np
import paddle
import port
from scipy import stats

from proving.record import arguments, write_metrics

ENCODERS = {"minilm": assets.minilm_here, "tiny": assets.tiny_here}
# test: held-out queries; extra: distractors; then steps and batch of the contrastive training and of RetroMAE; train: pairs.
BUDGETS = {
    ("minilm", "short"): dict(test=80, extra=120, steps=10, batch=16, retromae_steps=6, retromae_batch=6, train=300),
    ("minilm", "long"): dict(test=400, extra=400, steps=80, batch=24, retromae_steps=120, retromae_batch=16, train=4000),
    ("tiny", "short"): dict(test=200, extra=200, steps=40, batch=24, retromae_steps=20, retromae_batch=8, train=600),
    ("tiny", "long"): dict(test=400, extra=400, steps=150, batch=32, retromae_steps=200, retromae_batch=16, train=3000),
}
LONG = "bm25,untrained,mean,cls,mean+ft,cls+ft,cls+rm+ft,random+ft"
VARIANTS = {
    ("minilm", "short"): "untrained,mean,mean+ft",
    ("minilm", "long"): LONG,
    ("tiny", "short"): "untrained,cls,cls+ft,cls+rm+ft",
    ("tiny", "long"): LONG,
}
SIZES = ("test", "extra", "steps", "batch", "retromae_steps", "retromae_batch", "train")
RATES = {"minilm": (5e-5, 1e-4), "tiny": (5e-4, 5e-4)}  # contrastive, RetroMAE
QUERY, PASSAGE = 24, 56
PARAPHRASES = ("A man is playing a guitar on stage.", "Someone performs music with a guitar.")
UNRELATED = "The recipe needs two cups of flour."


def similarities(embedder):
    """The known figures of the encoder."""
    folder = assets.similarity_sets()
    with open(os.path.join(folder, "wordsim353.tsv"), encoding="utf-8") as stream:
        rows = [line.strip().split("\t") for line in stream if line.strip() and not line.startswith("#")]
    words = sorted({word for row in rows for word in row[:2]})
    vectors = dict(zip(words, embedder.encode(words)))
    people = [float(row[2]) for row in rows]
    spearman = stats.spearmanr([vectors[a] @ vectors[b] for a, b, *_ in rows], people)[0]

    with open(os.path.join(folder, "lee.cor"), encoding="utf-8", errors="replace") as stream:
        documents = embedder.encode([line.strip() for line in stream if line.strip()])
    judged = np.loadtxt(os.path.join(folder, "similarities0-1.txt"))
    upper = np.triu_indices(len(documents), 1)
    pearson = stats.pearsonr((documents @ documents.T)[upper], judged[upper])[0]
    same, other, stranger = embedder.encode(list(PARAPHRASES) + [UNRELATED])
    return {
        "wordsim353_pairs": len(rows),
        "wordsim353_spearman": spearman,
        "lee50_pearson": pearson,
        "paraphrase_cosine": same @ other,
        "unrelated_cosine": same @ stranger,
    }


def bm25(documents, queries):
    """Ranking by Okapi BM25: numbers of the best 100 documents of each query."""
    split = [re.findall(r"[a-z0-9]+", text.lower()) for text in documents]
    counts = [collections.Counter(words) for words in split]
    mean = np.mean([len(words) for words in split])
    having = collections.Counter(word for words in counts for word in words)
    rankings = []
    for text in queries:
        scores = np.zeros(len(documents))
        for word in set(re.findall(r"[a-z0-9]+", text.lower())):
            weight = math.log(1 + (len(documents) - having[word] + 0.5) / (having[word] + 0.5))
            for number, words in enumerate(counts):
                if words[word]:
                    length = 1.2 * (0.25 + 0.75 * len(split[number]) / mean)
                    scores[number] += weight * words[word] * 2.2 / (words[word] + length)
        rankings.append(np.argsort(-scores, kind="stable")[:100])
    return rankings


class Run:
    def __init__(self, args, budget):
        self.args, self.budget, self.encoders = args, budget, {}
        self.use(ENCODERS[args.encoder]())
        training, self.corpus, self.queries = corpus.splits(budget["test"], budget["extra"])
        self.training = training[: budget["train"]]
        self.metrics = {"training_pairs": len(self.training), "passages": len(self.corpus), "queries": len(self.queries)}
        self.curves = {}

    def use(self, folder):
        """Start from the checkpoint and the vocabulary in `folder`."""
        from paddlenlp.transformers import BertTokenizer

        self.folder, self.tokenizer = folder, BertTokenizer.from_pretrained(folder)

    def embedder(self, model, length=PASSAGE):
        """Through Paddle Inference, which is several times faster on a CPU than dygraph."""
        from retriever import Embedder, InferenceEncoder
        from retriever.embedder import export

        if model not in self.encoders:
            with tempfile.TemporaryDirectory() as folder:
                export(model, folder)
                self.encoders[model] = InferenceEncoder(folder)
        return Embedder(self.encoders[model], self.tokenizer, max_length=length, batch_size=32)

    @functools.cached_property
    def shipped(self):
        """The encoder as it is shipped, with mean pooling."""
        return self.model("mean")

    def model(self, pooling, random=False):
        from paddlenlp.transformers import BertConfig
        from retriever import EmbeddingModel

        config = BertConfig.from_pretrained(self.folder)
        config.embedding_pooling = pooling
        paddle.seed(74)
        return EmbeddingModel(config) if random else EmbeddingModel.from_pretrained(self.folder, config=config)

    def judge(self, name, model):
        from retriever import retrieval_metrics
        from run_evaluate import evaluate

        if name == "bm25":
            found = bm25([row["text"] for row in self.corpus], [row["text"] for row in self.queries])
            ranking = {row["id"]: [self.corpus[n]["id"] for n in numbers] for row, numbers in zip(self.queries, found)}
            got = retrieval_metrics(ranking, {row["id"]: row["relevant"] for row in self.queries})
        else:
            got = evaluate(self.embedder(model), self.corpus, self.queries)
        for measure in ("ndcg@10", "mrr@10", "recall@10"):
            self.metrics["%s.%s" % (name, measure)] = got[measure]
        print(name, {key: round(got[key], 4) for key in ("ndcg@10", "mrr@10", "recall@10")}, flush=True)

    def arguments(self, name, kind, steps, batch, rate, **kwargs):
        return kind(
            output_dir=os.path.join(self.args.out, "trainer", name),
            device="cpu",
            per_device_train_batch_size=batch,
            max_steps=steps,
            learning_rate=rate,
            warmup_steps=max(1, steps // 10),
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            seed=getattr(self.args, "seed", 74),
            **kwargs,
        )

    def curve(self, name, trainer):
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        self.curves[name] = losses
        third = max(1, len(losses) // 3)
        self.metrics[name + ".first_losses"] = np.mean(losses[:third])
        self.metrics[name + ".last_losses"] = np.mean(losses[-third:])

    def mined(self):
        """The training rows with hard negatives of the encoder as shipped."""
        from retriever import FlatIndex, mine_hard_negatives

        if not hasattr(self, "rows"):
            rows = [{"query": query, "pos": [passage]} for query, passage in self.training]
            texts = [row["pos"][0] for row in rows]
            embedder = self.embedder(self.shipped)
            index = FlatIndex(embedder.passages(texts), "faiss")
            vectors = embedder.queries([row["query"] for row in rows])
            self.rows = mine_hard_negatives(rows, vectors, texts, index, 2, 30, 5, max_relative_score=0.95)
            self.metrics["mined_per_query"] = np.mean([len(row["neg"]) for row in self.rows])
        return self.rows

    def finetune(self, name, model):
        from retriever import EmbeddingTrainer
        from retriever.data import GroupCollator, GroupDataset
        from retriever.trainer import EmbeddingTrainingArguments

        budget = self.budget
        rate = 5e-4 if name.startswith("random") else RATES[self.args.encoder][0]
        trainer = EmbeddingTrainer(
            model=model,
            args=self.arguments(
                name, EmbeddingTrainingArguments, budget["steps"], budget["batch"], rate, temperature=0.05, to_static=True
            ),
            data_collator=GroupCollator(self.tokenizer, QUERY, PASSAGE),
            train_dataset=GroupDataset(self.mined(), group_size=2),
            tokenizer=self.tokenizer,
        )
        trainer.train()
        model.forward.rollback()  # from the static graph, for the export
        self.encoders.pop(model, None)  # its weights have changed
        self.curve(name, trainer)

    def retromae(self, name):
        """RetroMAE on the training passages; gives its encoder with [CLS] pooling.

        What the checkpoint lacks starts from random weights: the decoder, and for MiniLM the head too.
        """
        from paddlenlp.trainer import TrainingArguments
        from retriever import EmbeddingModel, RetroMAECollator, RetroMAEForPretraining, RetroMAETrainer
        from retriever.tokens import TextDataset

        paddle.seed(74)
        model = RetroMAEForPretraining.from_pretrained(self.folder)
        paddle.jit.to_static(model, input_spec=model.input_spec(), full_graph=True)  # twice as fast on a CPU
        budget = self.budget
        trainer = RetroMAETrainer(
            model=model,
            args=self.arguments(
                name, TrainingArguments, budget["retromae_steps"], budget["retromae_batch"], RATES[self.args.encoder][1]
            ),
            data_collator=RetroMAECollator(self.tokenizer, max_length=PASSAGE, seed=74),
            train_dataset=TextDataset([passage for _, passage in self.training], self.tokenizer, PASSAGE),
            tokenizer=self.tokenizer,
        )
        trainer.train()
        self.curve(name, trainer)
        folder = os.path.join(self.args.out, "retromae")
        model.save_pretrained(folder)
        config = self.model("cls").config
        return EmbeddingModel.from_pretrained(folder, config=config)

    def variant(self, name):
        if name in ("bm25", "untrained", "mean", "cls"):
            model = None
            if name != "bm25":
                model = self.shipped if name == "mean" else self.model("cls" if name == "cls" else "mean", name == "untrained")
            self.judge(name, model)
            return
        model = self.retromae("retromae") if "+rm" in name else None
        if model is not None:
            self.judge(name.replace("+ft", ""), model)
        pooling = "mean" if name.startswith("mean") or name.startswith("random") else "cls"
        model = model or self.model(pooling, random=name.startswith("random"))
        self.finetune(name, model)
        self.judge(name, model)

    def conclude(self):
        """Differences between the variants, for the bounds in change.toml."""
        if "retromae" in self.curves:
            self.metrics["retromae_loss_drop"] = self.metrics["retromae.first_losses"] - self.metrics["retromae.last_losses"]
        for name, after, before in (
            ("gain_mean", "mean+ft", "mean"),
            ("gain_cls", "cls+ft", "cls"),
            ("gain_retromae_and_ft", "cls+rm+ft", "cls"),
            ("gain_over_untrained", "mean+ft", "untrained"),
            ("gain_over_untrained", "cls+rm+ft", "untrained"),
        ):
            pair = [self.metrics.get(key + ".ndcg@10") for key in (after, before)]
            if None not in pair:
                self.metrics[name] = pair[0] - pair[1]

    def write(self):
        pictures = [self.draw()] if self.curves else []
        write_metrics(self.args.out, self.metrics, self.curves, pictures)

    def draw(self):
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
        for name, losses in self.curves.items():
            axis = axes[0] if name == "retromae" else axes[1]
            axis.plot(range(1, len(losses) + 1), losses, label=name)
        for axis, title in zip(axes, ("RetroMAE: encoder + decoder loss", "contrastive loss (batch %d)" % self.budget["batch"])):
            axis.set_title(title)
            axis.set_xlabel("step")
            axis.set_ylabel("nats")
            if axis.lines:
                axis.legend()
        figure.tight_layout()
        figure.savefig(os.path.join(self.args.out, "curves.png"), dpi=90)
        pyplot.close(figure)
        return "curves.png"


def main():
    def add(parser):
        parser.add_argument("--encoder", choices=sorted(ENCODERS), default="minilm")
        parser.add_argument("--budget", choices=("short", "long"), default="short")
        parser.add_argument("--variants", help="comma separated")
        for name in SIZES:
            parser.add_argument("--" + name, type=int, help="in place of the budget's")

    args = arguments(add)
    port.use_overlay()
    budget = dict(BUDGETS[args.encoder, args.budget])
    for name in SIZES:
        if getattr(args, name) is not None:
            budget[name] = getattr(args, name)
    run = Run(args, budget)
    if args.encoder == "minilm":
        run.metrics.update(similarities(run.embedder(run.shipped, 256)))
    print(json.dumps({key: round(float(value), 4) for key, value in run.metrics.items()}), flush=True)
    for name in (args.variants or VARIANTS[args.encoder, args.budget]).split(","):
        start = time.time()
        run.variant(name)
        print("%s: %.0f s" % (name, time.time() - start), flush=True)
        run.write()  # what is there stays there if a later variant fails
    run.conclude()
    run.write()


if __name__ == "__main__":
    main()
