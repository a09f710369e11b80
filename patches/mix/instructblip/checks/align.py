"""Forward, loss, every gradient, five steps of SGD, generated ids and candidate losses against the PyTorch implementation.

The weights go through the port's own converter: they are made from the names of the reference, as a checkpoint would bring them.
A T5 of six layers a side, whose wide random weights amplify rounding a thousandfold, is compared in float64 alone.
"""

import json
import os

import numpy as np
import paddle
from common import INPUTS, Set, after_prompt, cut_prompt, image_features
from paddlemix.models.common.generation import Decoding, filter_scores
from paddlemix.models.instructblip.convert import config_from_hf, convert_state, load_state
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor, InstructBlipProcessor
from PIL import Image

from proving import case, seeding
from proving.record import Recorder, arguments
from proving.reference import ReferenceSet, is_there

MODELS = ("opt", "t5", "llama")

CASES = [  # as far as a set holds them; the order of make_reference.py
    {"eos": True},
    {"eos": True, "min_length": 5},
    {"repetition_penalty": 1.5},
    {"num_beams": 3, "eos": True},
    {"num_beams": 3, "eos": True, "length_penalty": -1.0},
    {"num_beams": 3, "eos": True, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 4, "eos": True, "early_stopping": "never", "num_return_sequences": 3},
    {"num_beams": 5, "eos": True, "min_length": 2, "repetition_penalty": 1.3, "num_return_sequences": 2},
    {"num_beams": 2, "eos": False, "length_penalty": 0.0, "num_return_sequences": 2},
]


class Case(case.Case):
    def __init__(self, recorder, directory, name, dtype):
        super().__init__(recorder, Set(directory, name), dtype)
        self.model = self.reference.build(dtype)
        self.inputs = self.reference.tensors((*INPUTS, "labels"), dtype)
        self.golden = self.reference.arrays

    def forward(self):
        features, vision, qformer = image_features(self.model, self.inputs)
        self.compare("forward", "vision_last_hidden_state", vision.last_hidden_state)
        self.compare("forward", "vision_pooler_output", vision.pooler_output)
        mask = after_prompt(self.golden["qformer_attention_mask"], self.model.config.num_query_tokens)
        self.compare("forward", "qformer_last_hidden_state", qformer.last_hidden_state, mask)
        self.compare("forward", "language_model_inputs", features)

    def train(self):
        out = self.model(**self.inputs)
        mask = self.golden["attention_mask"]
        self.compare("forward", "logits", out.logits, mask if self.model.config.use_decoder_only_language_model else None)
        if not self.model.config.use_decoder_only_language_model:
            self.compare("forward", "encoder_last_hidden_state", out.encoder_last_hidden_state, mask)
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
        inputs, arrays = self.reference.prompts(), self.golden
        eos, start = int(arrays["gen_eos_token_id"][0]), cut_prompt(self.reference)
        most = arrays["gen_sequences"].shape[1] - start

        def generate(**options):
            ids, scores = self.model.generate(**inputs, max_new_tokens=most, **{"eos_token_id": -1, **options})
            return ids.numpy(), scores

        self.ids("generation", "gen_sequences", generate()[0], start=start, pair="greedy")
        if self.holds("gen_beam3_sequences"):
            self.ids("generation", "gen_beam3_sequences", generate(num_beams=3)[0], start=start, pair="beam3")
        if self.holds("gen_step_logits"):
            self.compare("generation", "gen_step_logits", self.step_logits(inputs), pair="step_logits")
        for number, row in enumerate(CASES):
            key = "case%d." % number
            if not self.holds(key + "ids"):
                continue
            options = {key: value for key, value in row.items() if key != "eos"}
            ids, scores = generate(**options, **({"eos_token_id": eos} if row.get("eos") else {}))
            self.ids("generation", key + "ids", ids, end=eos if row.get("eos") else None)
            if row.get("num_beams", 1) > 1:
                self.compare("generation", key + "scores", scores)
        if self.holds("candidate_losses"):
            losses = self.model.predict_class(paddle.to_tensor(arrays["candidates"]), **inputs)
            self.compare("generation", "candidate_losses", losses)

    def step_logits(self, inputs):
        """Scores of every step of the reference's own answer, through the cache."""
        features, _, _ = image_features(self.model, inputs)
        with paddle.no_grad():
            joined = self.model.join(features, inputs["input_ids"], inputs["attention_mask"])
            decoding = Decoding(self.model.language_model, *joined)
            steps = [decoding.first()]
            steps += [decoding.next(tokens) for tokens in self.golden["gen_new_tokens"].T[:-1]]
        return np.stack([step.numpy() for step in steps], axis=1)

    def larger(self):
        image = paddle.to_tensor(seeding.seeded("instructblip.larger", (1, 3, 56, 70), "normal"))
        if self.holds("larger_image"):
            with paddle.no_grad():
                hidden = self.model.vision_model(image, interpolate_pos_encoding=True).last_hidden_state
            self.compare("forward", "larger_image", hidden)

    def run(self):
        self.forward()
        self.train()
        self.steps()
        if not self.double:
            self.generation()
            self.larger()
        self.close()


def wide(recorder, directory):
    """The larger T5: logits, loss and the norm of every gradient in float64."""
    one = Set(directory, "t5wide")
    one.arrays["pixel_values"] = one.seeded("instructblip.wide", (2, 3, 56, 56), "normal")
    model, record = one.build("float64"), case.Case(recorder, one, "float64")
    out = model(**one.tensors((*INPUTS, "labels"), "float64"))
    record.compare("forward", "logits", out.logits)
    record.compare("loss", "loss", out.loss)
    out.loss.backward()
    record.vector("backward", "grad_norms", one.layout(model).back(case.gradients(model)), case.norm)


def lavis(recorder, directory):
    """LAVIS' own image encoder and Q-Former, its weights through the port's converter beside OPT's."""
    opt, theirs = Set(directory, "opt"), ReferenceSet(directory, "lavis")
    state = theirs.weights()
    for name, value in opt.weights().items():
        if name.startswith("language_model."):
            state["opt_model." + name[len("language_model.") :]] = value
    model = InstructBlipForConditionalGeneration(config_from_hf(opt.config))
    load_state(model, convert_state(state, model, "lavis"))
    model.eval()
    features, vision, qformer = image_features(model, opt.tensors(INPUTS))
    record = case.Case(recorder, theirs)
    record.compare("converter", "image", vision.last_hidden_state)
    record.compare("converter", "queries", qformer.last_hidden_state[:, : features.shape[1]])
    record.compare("converter", "features", features)


def others(recorder, directory):
    one = case.Case(recorder, ReferenceSet(directory, "others"), name="")
    want = one.reference.arrays
    for key, options in (
        ("top_p_0.8", {"top_p": 0.8}),
        ("top_k_7", {"top_k": 7}),
        ("top_k_12_top_p_0.5", {"top_k": 12, "top_p": 0.5}),
    ):
        got = filter_scores(paddle.to_tensor(want["logits"]), **options).numpy()
        one.made("generation", f"filter.{key}", np.isfinite(got), np.isfinite(want[key]))
    for number, (height, width) in enumerate(((120, 90), (33, 71), (42, 42))):
        picture = Image.fromarray(seeding.smooth_image(f"instructblip.picture{number}", height, width))
        size = one.reference.shape(f"picture{number}")[-1]
        one.compare("forward", f"picture{number}", InstructBlipImageProcessor(size=size)(picture)["pixel_values"][0])


def tokens(recorder, directory):
    """The processor's ids of texts with each tokenizer, from stored vocabularies."""
    from paddlenlp.transformers import BertTokenizer, GPTTokenizer, LlamaTokenizer, T5Tokenizer

    with open(os.path.join(directory, "tokens.json"), encoding="utf-8") as stream:
        want = json.load(stream)
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>"}
    files = {name: os.path.join(directory, name) for name in ("gpt.vocab.json", "gpt.merges.txt", "bert.vocab.txt")}
    made = {
        "opt": GPTTokenizer(files["gpt.vocab.json"], files["gpt.merges.txt"], add_bos_token=True, **special),
        "t5": T5Tokenizer(os.path.join(directory, "t5.pieces.model"), extra_ids=0),
        "llama": LlamaTokenizer(os.path.join(directory, "llama.pieces.model")),
    }
    made["llama"].pad_token = "<unk>"
    for name, tokenizer in made.items():
        bert = BertTokenizer(files["bert.vocab.txt"])
        processor = InstructBlipProcessor(
            InstructBlipImageProcessor(), tokenizer, bert, num_query_tokens=3, decoder_only=name != "t5"
        )
        for number, text in enumerate(want["texts"]):
            out = processor(text=text, return_tensors="np")
            image = [processor.image_token_id] * 3
            recorder.add("tokens", f"{name}.text{number}", out["input_ids"][0], np.array(image + want["ids"][name][number]))
            if name == "opt":
                recorder.add("tokens", f"bert.text{number}", out["qformer_input_ids"][0], np.array(want["ids"]["bert"][number]))


def main():
    def add(parser):
        parser.add_argument("--models", default="", help="comma separated; default: opt, t5 and llama, as far as they are there")
        parser.add_argument("--dtypes", default="float32,float64")

    args = arguments(add)
    recorder = Recorder(args.out)
    names = (
        args.models.split(",")
        if args.models
        else [name for name in MODELS if is_there(args.reference, name, "instructblip_" + name)]
    )
    for dtype in args.dtypes.split(","):
        for name in names:
            Case(recorder, args.reference, name, dtype).run()
    for name, part in (("others", others), ("lavis", lavis), ("t5wide", wide)):
        if is_there(args.reference, name):
            part(recorder, args.reference)
    if os.path.isfile(os.path.join(args.reference, "tokens.json")):
        tokens(recorder, args.reference)
    recorder.write()


if __name__ == "__main__":
    main()
