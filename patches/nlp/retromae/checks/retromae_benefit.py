"""Does RetroMAE help? The same contrastive training from one encoder that was pre-trained in three ways, several seeds.

Start: the real masked language model of 2 layers (assets.tiny_here), its vocabulary cut to the pieces that occur in the texts, so
that a step costs less. Arms, with the same texts, steps, batch and rate each:

    none         the model as it is
    mlm          its own masked language model training goes on, at RetroMAE's encoder ratio, without the decoder
    retromae     RetroMAE: the same loss, and the decoder's

Then contrastive training with [CLS] on the same pairs, steps and order in every arm, and nDCG@10 on held-out queries. A seed draws the
masks, the order, dropout and the labelled pairs. `mlm` tells RetroMAE's own part from that of more steps on text of the domain.

The same command with the same `--out` goes on where it was ended: what is judged, and an encoder that is pre-trained, is not made again.
"""

import json
import os

import corpus
import numpy as np
import paddle
import port
from real_run import PASSAGE, QUERY, Run

from proving.record import arguments

ARMS = ("none", "retromae", "mlm")
SETTINGS = ("pretrain_steps", "pretrain_batch", "pretrain_rate", "steps", "batch", "rate")


def cut_vocabulary(source, target, texts):
    """The checkpoint `source` with those word pieces only that `texts` need; greedy WordPiece splits these texts as before."""
    from paddlenlp.transformers import BertConfig, BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(source)
    used = set(tokenizer.all_special_ids)
    for text in texts:
        used.update(tokenizer(text)["input_ids"])
    used = np.array(sorted(used))
    state = paddle.load(os.path.join(source, "model_state.pdparams"), return_numpy=True)
    for name in [name for name in state if name.startswith(("bert.embeddings.word", "cls.predictions.decoder"))]:
        state[name] = state[name][used]
    config = BertConfig.from_pretrained(source)
    config.vocab_size = len(used)
    os.makedirs(target, exist_ok=True)
    config.save_pretrained(target)
    paddle.save({name: paddle.to_tensor(value) for name, value in state.items()}, os.path.join(target, "model_state.pdparams"))
    with open(os.path.join(target, "vocab.txt"), "w", encoding="utf-8") as stream:
        stream.writelines(piece + "\n" for piece in tokenizer.convert_ids_to_tokens(used.tolist()))
    return target


class Benefit(Run):
    """A run of real_run.py with the three arms, [CLS] pooling and a seed."""

    def pretrain(self, arm, steps):
        """The folder of the pre-trained encoder."""
        from paddlenlp.trainer import TrainingArguments
        from retriever import RetroMAECollator, RetroMAEForPretraining, RetroMAETrainer
        from retriever.tokens import TextDataset

        if arm == "none":
            return self.folder
        name = "%s.%d" % (arm, self.args.seed)
        folder = os.path.join(self.args.out, "trainer", name)
        if name in self.curves:
            return folder

        class MaskedLanguageModel(RetroMAEForPretraining):
            def forward(self, input_ids, attention_mask, labels, decoder_input_ids, decoder_attention_mask, decoder_labels):
                loss = self.lm_loss(self.bert(input_ids, attention_mask=attention_mask)[0], labels)
                return loss, loss, 0.0 * loss

        paddle.seed(self.args.seed)
        kind = MaskedLanguageModel if arm == "mlm" else RetroMAEForPretraining
        model = kind.from_pretrained(self.folder)
        paddle.jit.to_static(model, input_spec=model.input_spec(), full_graph=True)  # twice as fast on a CPU
        trainer = RetroMAETrainer(
            model=model,
            args=self.arguments(name, TrainingArguments, steps, self.budget["retromae_batch"], self.args.pretrain_rate),
            data_collator=RetroMAECollator(self.tokenizer, max_length=PASSAGE, seed=self.args.seed),
            train_dataset=TextDataset([passage for _, passage in self.training], self.tokenizer, PASSAGE),
            tokenizer=self.tokenizer,
        )
        trainer.train()
        model.save_pretrained(folder)
        self.curve(name, trainer)
        self.write()
        return folder

    def contrast(self, name, model, pairs):
        from retriever import EmbeddingTrainer
        from retriever.data import GroupCollator, GroupDataset
        from retriever.trainer import EmbeddingTrainingArguments

        order = np.random.default_rng(self.args.seed).permutation(len(self.training))[:pairs]
        rows = [{"query": self.training[i][0], "pos": [self.training[i][1]]} for i in order]
        budget = self.budget
        paddle.seed(self.args.seed)
        trainer = EmbeddingTrainer(
            model=model,
            args=self.arguments(
                name, EmbeddingTrainingArguments, budget["steps"], budget["batch"], self.args.rate, temperature=0.05, to_static=True
            ),
            data_collator=GroupCollator(self.tokenizer, QUERY, PASSAGE),
            train_dataset=GroupDataset(rows, group_size=1),  # negatives: the other passages of the batch
            tokenizer=self.tokenizer,
        )
        trainer.train()
        model.forward.rollback()  # from the static graph, for the export
        self.curve(name, trainer)

    def encoder(self, folder):
        from paddlenlp.transformers import BertConfig
        from retriever import EmbeddingModel

        config = BertConfig.from_pretrained(self.folder)
        config.embedding_pooling = "cls"
        return EmbeddingModel.from_pretrained(folder, config=config)

    def one_arm(self, arm, seed):
        self.args.seed = seed
        folder = self.pretrain(arm, self.args.pretrain_steps)
        for pairs in [0] + [int(pairs) for pairs in self.args.pairs.split(",")]:
            name = "%s.%d" % (arm, seed) + (".ft%d" % pairs if pairs else "")
            if name + ".ndcg@10" in self.metrics:
                continue
            model = self.encoder(folder)
            if pairs:
                self.contrast(name, model, pairs)
            self.judge(name, model)
            self.encoders.clear()  # judged once each
            self.write()

    def join(self, folders):
        """Figures and curves of runs with other seeds."""
        for folder in folders:
            with open(os.path.join(folder, "metrics.json"), encoding="utf-8") as stream:
                stored = json.load(stream)
            self.metrics.update(stored["metrics"])
            self.curves.update(stored["curves"])

    def conclude(self, seeds):
        """Mean and spread over the seeds of each arm, and of the difference of two arms seed by seed."""
        arms = self.args.arms.split(",")
        for end in [""] + [".ft" + pairs for pairs in self.args.pairs.split(",")]:
            values = {a: np.array([self.metrics["%s.%d%s.ndcg@10" % (a, s, end)] for s in seeds]) for a in arms}
            rows = {arm + end: value for arm, value in values.items()}
            ours = values.pop("retromae", None)
            rows.update({"retromae-%s%s" % (arm, end): ours - value for arm, value in values.items() if ours is not None})
            for name, value in rows.items():
                self.metrics[name + ".mean"] = value.mean()
                self.metrics[name + ".std"] = value.std(ddof=1) if len(value) > 1 else 0.0
                print("%-24s %.4f +- %.4f" % (name, self.metrics[name + ".mean"], self.metrics[name + ".std"]))

    def draw(self):
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
        colours = dict(zip(ARMS, ("tab:gray", "tab:blue", "tab:orange")))
        for name, losses in self.curves.items():
            arm, tuned = name.split(".")[0], ".ft" in name
            width = max(1, len(losses) // 40)
            smooth = np.convolve(losses, np.ones(width) / width, "valid")
            axes[int(tuned)].plot(np.arange(len(smooth)) + width, smooth, colours[arm], lw=0.8, label=arm)
        for axis, title in zip(axes, ("pre-training", "contrastive training")):
            axis.set(title=title + " (a line a seed, moving mean)", xlabel="step", ylabel="nats")
            handles = dict(zip(*reversed(axis.get_legend_handles_labels())))
            axis.legend(handles.values(), handles.keys())
        figure.tight_layout()
        figure.savefig(os.path.join(self.args.out, "curves.png"), dpi=90)
        pyplot.close(figure)
        return "curves.png"


def main():
    def add(parser):
        parser.add_argument("--seeds", default="1,2,3", help="comma separated")
        parser.add_argument("--join", nargs="*", help="train nothing; the outputs of runs with these seeds, one or more each")
        parser.add_argument("--arms", default=",".join(ARMS))
        parser.add_argument("--pretrain_steps", type=int, default=1000)
        parser.add_argument("--pretrain_batch", type=int, default=16)
        parser.add_argument("--pretrain_rate", type=float, default=1e-3)
        parser.add_argument("--pairs", default="500", help="labelled pairs; comma separated")
        parser.add_argument("--steps", type=int, default=60)
        parser.add_argument("--batch", type=int, default=32)
        parser.add_argument("--rate", type=float, default=5e-4)

    args = arguments(add)
    args.encoder, args.seed = "tiny", 0
    port.use_overlay()
    budget = dict(test=400, extra=400, train=5000, steps=args.steps, batch=args.batch, retromae_batch=args.pretrain_batch)
    run = Benefit(args, budget)
    seeds = [int(seed) for seed in args.seeds.split(",")]
    if args.join:
        run.join(args.join)
    else:
        texts = [text for pair in corpus.pairs() for text in pair]
        start = os.path.join(args.out, "trainer", "start")
        if os.path.isfile(os.path.join(args.out, "metrics.json")):
            run.join([args.out])
            changed = [name for name in SETTINGS if run.metrics[name] != getattr(args, name)]
            if changed:
                raise SystemExit("error: %s was made with another %s\n  next  give an empty --out" % (args.out, ", ".join(changed)))
        else:
            cut_vocabulary(run.folder, start, texts)
        run.use(start)
        run.metrics.update({name: getattr(args, name) for name in SETTINGS}, vocabulary=run.tokenizer.vocab_size)
        run.write()
        for seed in seeds:
            for arm in args.arms.split(","):
                run.one_arm(arm, seed)
    run.conclude(seeds)
    run.write()


if __name__ == "__main__":
    main()
