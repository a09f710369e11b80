"""Forward, loss, every gradient, five steps of SGD and generated ids against the PyTorch implementation, in float32 and float64.

The weights go through the port's own converter: they are made from the names of the reference, as a checkpoint would bring them.
"""

import numpy as np
import paddle
from common import INPUTS, Set
from paddlemix.models.common.generation import Decoding

from proving import case, seeding
from proving.record import Recorder, arguments

CASES = [  # as far as the set holds them; the order of make_reference.py
    {"eos": True},
    {"eos": True, "min_length": 5},
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"num_beams": 3, "eos": True},
    {"num_beams": 3, "eos": True, "length_penalty": -1.0},
    {"num_beams": 3, "eos": True, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 4, "eos": True, "early_stopping": "never", "num_return_sequences": 3},
    {"num_beams": 3, "eos": True, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "num_return_sequences": 2},
]


class Case(case.Case):
    def __init__(self, recorder, directory, dtype):
        super().__init__(recorder, Set(directory), dtype)
        self.model = self.reference.build(dtype)
        self.inputs = self.reference.tensors((*INPUTS, "labels"), dtype)

    def train(self):
        with paddle.no_grad():
            self.compare("forward", "vision_last_hidden_state", self.model.vision_model(self.inputs["pixel_values"]))
        out, mask = self.model(**self.inputs), self.reference.arrays["attention_mask"]
        self.compare("forward", "image_embeds", out.image_embeds)
        self.compare("forward", "projection_attentions", out.projection_attentions)
        self.compare("forward", "text_last_hidden_state", out.last_hidden_state, mask)
        self.compare("forward", "logits", out.logits, mask)
        self.compare("loss", "loss", out.loss)
        out.loss.backward()
        found = self.reference.layout(self.model).back(case.gradients(self.model))
        for name in self.reference.order:
            self.compare("backward", "grad." + name, found[name])
        self.vector("backward", "grad_norms", found, case.norm)
        self.model.clear_gradients()

    def steps(self):
        for rate, key in ((0.01, "sgd_losses"), (0.001, "sgd_losses_lr1e-3")):
            if self.length(key):
                model = self.reference.build(self.dtype)
                losses = case.descend(model, lambda model=model: model(**self.inputs).loss, rate, self.length(key))
                self.series("optimizer", key, losses, each=key + ".%d")

    def generation(self):
        """Ids of every search that the set holds, as many new ones as it has."""
        inputs, arrays = self.reference.tensors(prefix="gen_"), self.reference.arrays
        start, most = inputs["input_ids"].shape[1], self.reference.shape("gen_new_tokens")[1]
        eos = int(arrays["gen_eos_token_id"][0])

        def generate(**options):
            ids, scores = self.model.generate(**inputs, max_new_tokens=most, **{"eos_token_id": -1, **options})
            return ids.numpy(), scores

        self.ids("generation", "gen_sequences", generate()[0], start=start, pair="greedy")
        self.ids("generation", "gen_beam3_sequences", generate(num_beams=3)[0], start=start, pair="beam3")
        self.compare("generation", "gen_step_logits", self.step_logits(inputs), pair="step_logits")
        for number, row in enumerate(CASES):
            key = "case%d." % number
            if not self.holds(key + "ids"):
                continue
            options = {name: value for name, value in row.items() if name != "eos"}
            ids, scores = generate(**options, **({"eos_token_id": eos} if row.get("eos") else {}))
            self.ids("generation", key + "ids", ids, end=eos if row.get("eos") else None)
            if row.get("num_beams", 1) > 1:
                self.compare("generation", key + "scores", scores)

    def step_logits(self, inputs):
        """Scores of every step of the reference's own answer, through the cache."""
        with paddle.no_grad():
            features, _ = self.model.image_features(inputs["pixel_values"])
            embeds = self.model.join(inputs["input_ids"], features, inputs["image_embeds_position_mask"])
            decoding = Decoding(self.model.text_model, embeds, inputs["attention_mask"])
            steps = [decoding.first()]
            steps += [decoding.next(tokens) for tokens in self.reference.arrays["gen_new_tokens"].T[:-1]]
        return np.stack([step.numpy() for step in steps], axis=1)

    def larger(self):
        image = paddle.to_tensor(seeding.seeded("kosmos2.larger", (1, 3, 56, 70), "normal"))
        if self.holds("larger_image"):
            with paddle.no_grad():
                self.compare("forward", "larger_image", self.model.vision_model(image, interpolate_pos_encoding=True))

    def run(self):
        self.train()
        self.steps()
        if not self.double:
            self.generation()
            self.larger()
        self.close()


def main():
    args = arguments()
    recorder = Recorder(args.out)
    for dtype in ("float32", "float64"):
        Case(recorder, args.reference, dtype).run()
    recorder.write()


if __name__ == "__main__":
    main()
