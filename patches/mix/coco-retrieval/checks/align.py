"""ITC, ITM, losses, every gradient, and five steps of SGD against the PyTorch implementation, in float32 and float64; scores of 14 images
and 44 captions before and after ranking them again."""

import numpy as np
import paddle
from common import Set
from paddlemix.metrics import retrieval_metrics

from proving import case, seeding
from proving.record import Recorder, arguments


class Case(case.Case):
    def __init__(self, recorder, directory, dtype):
        super().__init__(recorder, Set(directory), dtype)
        self.model, self.inputs = self.reference.build(dtype), self.reference.inputs(dtype)
        self.golden = self.reference.arrays

    def forward(self):
        model, inputs, mask = self.model, self.inputs, self.golden["attention_mask"]
        with paddle.no_grad():
            images = model.image_embeds(inputs["pixel_values"])
            image = model.image_features(images)
            text = model.text_features(inputs["input_ids"], inputs["attention_mask"])
            states = model.Qformer.bert(inputs["input_ids"], attention_mask=inputs["attention_mask"], return_dict=False)[0]
            similarity = paddle.matmul(image, text, transpose_y=True).max(axis=1)
            pairs = [paddle.to_tensor(self.golden[name]) for name in ("pair_image_index", "pair_text_index")]
            logits = model.match(
                paddle.gather(images, pairs[0]),
                paddle.gather(inputs["input_ids"], pairs[1]),
                paddle.gather(inputs["attention_mask"], pairs[1]),
            )
        self.compare("forward", "vision_last_hidden_state", images)
        self.compare("forward", "itc_image_embeds", image)
        self.compare("forward", "itc_text_embeds", text)
        self.compare("forward", "itc_text_last_hidden_state", states, mask)
        self.compare("forward", "itc_logits_per_image", similarity)
        self.compare("forward", "itc_logits_per_text", similarity.t())
        self.compare("forward", "itm_pair_logits", logits)
        self.compare("forward", "itm_pair_prob", paddle.nn.functional.softmax(logits, axis=1)[:, 1])

    def train(self):
        out = self.model(**self.inputs)
        for name in ("loss_itc", "loss_itm", "loss"):
            self.compare("loss", name, out[name])
        out.loss.backward()
        found = self.reference.layout(self.model).back(case.gradients(self.model))
        for name in self.reference.order:
            self.compare("backward", "grad." + name, found[name])
        self.vector("backward", "grad_norms", found, case.norm)

    def variants(self):
        """Pairs of one image share the target of ITC; positions of another image size are interpolated while weights are loaded."""
        if self.holds("same_loss_itc"):
            ids = paddle.to_tensor(self.golden["same_image_ids"])
            with paddle.no_grad():
                self.compare("loss", "same_loss_itc", self.model(**self.inputs, image_ids=ids).loss_itc)
        if self.holds("larger_image"):
            model = self.reference.build(self.dtype, image_size=70)
            picture = paddle.to_tensor(seeding.seeded("coco_retrieval.larger", (1, 3, 70, 70), "normal")).astype(self.dtype)
            with paddle.no_grad():
                self.compare("forward", "larger_image", model.image_embeds(picture))

    def steps(self):
        for rate, key in ((0.01, "sgd_losses"), (0.001, "sgd_losses_lr1e-3")):
            if self.length(key):
                model = self.reference.build(self.dtype)
                losses = case.descend(model, lambda model=model: model(**self.inputs).loss, rate, self.length(key))
                self.series("optimizer", key, losses, each=key + ".%d")

    def retrieval(self):
        """The evaluation's own path: features, candidates, matching."""
        golden = self.golden
        if not self.holds("retrieval_sims"):
            return
        counts = golden["retrieval_captions_per_image"]
        owners, k = np.repeat(np.arange(len(counts)), counts), int(golden["retrieval_k_test"][0])
        texts = [paddle.to_tensor(golden["retrieval_" + name]) for name in ("input_ids", "attention_mask")]
        with paddle.no_grad():
            embeds = self.model.image_embeds(paddle.to_tensor(golden["retrieval_pixel_values"]))
            image, text = self.model.image_features(embeds).numpy(), self.model.text_features(*texts).numpy()
            itm = np.stack(
                [self.model.match(one.expand([len(owners), -1, -1]), *texts).numpy()[:, 1] for one in embeds.split(len(counts))]
            )
        blocks = list(retrieval_metrics.similarity_blocks(image, text, size=4))
        self.compare("retrieval", "retrieval_sims", np.concatenate([block for _, block in blocks]).T)
        self.compare("retrieval", "retrieval_itm_match_logit", itm)
        right = retrieval_metrics.right_similarities(image, text, owners)
        found = retrieval_metrics.candidates(blocks, right, owners, len(counts), k)
        scores = {"i2t": np.full([len(counts), len(owners)], -100, np.float32)}
        scores["t2i"] = np.full([len(owners), len(counts)], -100, np.float32)
        for row, chosen in enumerate(found.best_captions):
            scores["i2t"][row, chosen] = itm[row, chosen] + found.caption_scores[row]
        for row, chosen in enumerate(found.best_images):
            scores["t2i"][row, chosen] = itm[chosen, row] + found.image_scores[row]
        for name, made in scores.items():
            self.compare("retrieval", "retrieval_score_" + name, made)
        ranks = retrieval_metrics.reranked(found, lambda images, captions: itm[images, captions])
        for key, made in (("itc_only", (found.image_ranks, found.caption_ranks)), ("reranked", ranks)):
            for name, value in retrieval_metrics.recall(*made).items():
                self.named("retrieval", f"retrieval_metrics_{key}.{name}", value, f"{key}.{name}")

    def run(self):
        self.forward()
        self.train()
        self.variants()
        self.steps()
        if not self.double:
            self.retrieval()
        self.close()


def main():
    args = arguments()
    recorder = Recorder(args.out)
    for dtype in ("float32", "float64"):
        Case(recorder, args.reference, dtype).run()
    recorder.write()


if __name__ == "__main__":
    main()
