"""Forward, loss, every gradient, five steps of SGD, generated ids and candidate losses against the PyTorch implementation.

The weights go through the port's own converter: they are made from the names of the reference, as a checkpoint would bring them.
A T5 of six layers a side, whose wide random weights amplify rounding a thousandfold, is compared in float64 alone.
"""

import json
import os

import numpy as np
import paddle
from common import INPUTS, build, prompts, reference, tensors
from paddlemix.models.instructblip.convert import config_from_hf, convert_state, load_state
from paddlemix.models.instructblip.generation import Decoding, filter_scores
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor, InstructBlipProcessor
from PIL import Image

from proving import porting, seeding
from proving.record import Recorder, arguments

CASES = [  # the order of make_reference.py
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


class Case:
    def __init__(self, recorder, directory, name, dtype):
        self.recorder, self.name, self.dtype = recorder, name, dtype
        self.config, self.manifest, self.golden = reference(directory, name)
        self.double = dtype == "float64"
        self.model = build(self.config, self.manifest, dtype)
        self.inputs = tensors(self.golden, (*INPUTS, "labels"), dtype)
        self.linear = {entry["name"] for entry in self.manifest["parameters"] if entry["kind"] == "linear"}

    def add(self, stage, key, got, want):
        self.recorder.add(stage, f"{self.name}.{key}{'.f64' if self.double else ''}", got, want)

    def compare(self, stage, key, got, mask=None):
        """A tensor of the reference, in full or what is stored of it; rows of padding are left out."""
        self.add(stage, key, *porting.pair(self.golden, key + ("__f64" if self.double else ""), got, mask))

    def forward(self):
        with paddle.no_grad():
            features, vision, qformer = self.model.image_features(
                *[self.inputs[name] for name in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
            )
        self.compare("forward", "vision_last_hidden_state", vision.last_hidden_state)
        self.compare("forward", "vision_pooler_output", vision.pooler_output)
        text = self.golden["qformer_attention_mask"]
        mask = np.concatenate([np.ones([len(text), self.model.config.num_query_tokens], text.dtype), text], axis=1)
        self.compare("forward", "qformer_last_hidden_state", qformer.last_hidden_state, mask)
        self.compare("forward", "language_model_inputs", features)

    def train(self):
        out = self.model(**self.inputs)
        decoder_only = self.model.config.use_decoder_only_language_model
        self.compare("forward", "logits", out.logits, self.golden["attention_mask"] if decoder_only else None)
        if "encoder_last_hidden_state" in self.golden and not self.double:
            self.compare("forward", "encoder_last_hidden_state", out.encoder_last_hidden_state, self.golden["attention_mask"])
        loss = self.golden["loss__f64"] if self.double else self.golden["loss"]
        self.add("loss", "loss", float(out.loss), float(loss[0]))
        out.loss.backward()
        self.gradients()
        for parameter in self.model.parameters():
            parameter.clear_gradient(False)

    def gradients(self):
        ours = self.names()
        norms, suffix = [], "__f64" if self.double else ""
        for name in self.manifest["grad_order"]:
            gradient = ours[name].grad.numpy()
            gradient = gradient.T if name in self.linear else gradient
            self.add("backward", "grad." + name, *seeding.samples(self.golden, f"grad.{name}{suffix}", gradient))
            norms.append(float(np.sqrt(np.square(gradient.astype("float64")).sum())))
        if "grad_norms" in self.golden:
            self.add("backward", "grad_norms", np.array(norms), self.golden[f"grad_norms{suffix.replace('__f64', '_fp64')}"])

    def names(self):
        """{name in the reference: parameter}."""
        own = dict(self.model.named_parameters())
        names = porting.own_names(self.manifest, lambda state: convert_state(state, self.model))
        return {name: own[key] for name, key in names.items()}

    def steps(self):
        for rate, key in ((0.01, "sgd_losses"), (0.001, "sgd_losses_lr1e-3")):
            model = build(self.config, self.manifest, self.dtype)
            optimizer = paddle.optimizer.SGD(rate, parameters=model.parameters())
            want = self.golden[key + "__f64" if self.double else key]
            for step in range(6):
                loss = model(**self.inputs).loss
                self.add("optimizer", f"{key}.{step}", float(loss), float(want[step]))
                if step < 5:
                    loss.backward()
                    optimizer.step()
                    optimizer.clear_grad()

    def generation(self):
        inputs = prompts(self.golden)
        eos = int(self.golden["gen_eos_token_id"][0])
        start = 0 if "gen_new_tokens" not in self.golden else self.golden["gen_sequences"].shape[1] - 10
        ids, _ = self.model.generate(**inputs, max_new_tokens=10, eos_token_id=-1)
        self.add("generation", "greedy", ids.numpy(), self.golden["gen_sequences"][:, start:])
        ids, _ = self.model.generate(**inputs, max_new_tokens=10, eos_token_id=-1, num_beams=3)
        self.add("generation", "beam3", ids.numpy(), self.golden["gen_beam3_sequences"][:, start:])
        if "gen_step_logits" in self.golden:
            self.add("generation", "step_logits", self.step_logits(inputs), self.golden["gen_step_logits"])
        for number, case in enumerate(CASES):
            options = {key: value for key, value in case.items() if key != "eos"}
            ids, scores = self.model.generate(**inputs, max_new_tokens=10, eos_token_id=eos if case.get("eos") else -1, **options)
            if case.get("eos"):
                want = porting.after_end(self.golden[f"case{number}.ids"], eos)
                self.add("generation", f"case{number}.ids", porting.after_end(ids.numpy(), eos), want)
            else:
                self.add("generation", f"case{number}.ids", ids.numpy(), self.golden[f"case{number}.ids"])
            if case.get("num_beams", 1) > 1:
                self.add("generation", f"case{number}.scores", scores.numpy(), self.golden[f"case{number}.scores"])
        losses = self.model.predict_class(paddle.to_tensor(self.golden["candidates"]), **inputs)
        self.add("generation", "candidate_losses", losses.numpy(), self.golden["candidate_losses"].astype("float32"))

    def step_logits(self, inputs):
        """Scores of every step of the reference's own answer, through the cache."""
        with paddle.no_grad():
            features, _, _ = self.model.image_features(
                *[inputs[name] for name in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
            )
            decoding = Decoding(
                self.model.language_model, *self.model.join(features, inputs["input_ids"], inputs["attention_mask"])
            )
            steps = [decoding.first()]
            for tokens in self.golden["gen_new_tokens"].T[:-1]:
                steps.append(decoding.next(tokens))
        return np.stack([step.numpy() for step in steps], axis=1)

    def larger(self):
        image = paddle.to_tensor(seeding.seeded("instructblip.larger", (1, 3, 56, 70), "normal"))
        with paddle.no_grad():
            hidden = self.model.vision_model(image, interpolate_pos_encoding=True).last_hidden_state
        self.add("forward", "larger_image", hidden.numpy(), self.golden["larger_image"])

    def run(self):
        self.forward()
        self.train()
        self.steps()
        if not self.double:
            self.generation()
            self.larger()


def wide(recorder, directory):
    """The larger T5: logits, loss and the norm of every gradient in float64."""
    case = Case.__new__(Case)
    config, case.manifest, golden = reference(directory, "t5wide")
    case.model = build(config, case.manifest, "float64")
    golden["pixel_values"] = seeding.seeded("instructblip.wide", (2, 3, 56, 56), "normal")
    out = case.model(**tensors(golden, (*INPUTS, "labels"), "float64"))
    recorder.add("forward", "t5wide.logits.f64", *porting.pair(golden, "logits__f64", out.logits))
    recorder.add("loss", "t5wide.loss.f64", float(out.loss), float(golden["loss__f64"][0]))
    out.loss.backward()
    ours = case.names()
    norms = [float(ours[name].grad.norm()) for name in case.manifest["grad_order"]]
    recorder.add("backward", "t5wide.grad_norms.f64", np.array(norms), golden["grad_norms__f64"])


def lavis(recorder, directory):
    """LAVIS' own image encoder and Q-Former, its weights through the port's converter beside OPT's."""
    config, manifest, golden = reference(directory, "opt")
    theirs = seeding.read_manifest(os.path.join(directory, "lavis.manifest.json"))
    want = dict(np.load(os.path.join(directory, "lavis.npz")))
    state = dict(seeding.parameters(theirs))
    for name, value in seeding.parameters(manifest):
        if name.startswith("language_model."):
            state["opt_model." + name[len("language_model.") :]] = value
    model = InstructBlipForConditionalGeneration(config_from_hf(config))
    load_state(model, convert_state(state, model, "lavis"))
    model.eval()
    inputs = tensors(golden, INPUTS)
    with paddle.no_grad():
        features, vision, qformer = model.image_features(
            *[inputs[name] for name in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
        )
    recorder.add("converter", "lavis.image", vision.last_hidden_state.numpy(), want["image"])
    queries = qformer.last_hidden_state[:, : features.shape[1]].numpy()
    recorder.add("converter", "lavis.queries", queries, want["queries"])
    recorder.add("converter", "lavis.features", features.numpy(), want["features"])


def others(recorder, directory):
    want = dict(np.load(os.path.join(directory, "others.npz")))
    logits = paddle.to_tensor(want["logits"])
    for key, options in (
        ("top_p_0.8", {"top_p": 0.8}),
        ("top_k_7", {"top_k": 7}),
        ("top_k_12_top_p_0.5", {"top_k": 12, "top_p": 0.5}),
    ):
        got = filter_scores(logits, **options).numpy()
        recorder.add("generation", f"filter.{key}", np.isfinite(got), np.isfinite(want[key]))
    processor = InstructBlipImageProcessor(size=42)
    for number, (height, width) in enumerate(((120, 90), (33, 71), (42, 42))):
        picture = Image.fromarray(seeding.smooth_image(f"instructblip.picture{number}", height, width))
        recorder.add("forward", f"picture{number}", processor(picture), want[f"picture{number}"][None])


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
        parser.add_argument("--models", default="opt,t5,llama")
        parser.add_argument("--dtypes", default="float32,float64")

    args = arguments(add)
    recorder = Recorder(args.out)
    for dtype in args.dtypes.split(","):
        for name in args.models.split(","):
            Case(recorder, args.reference, name, dtype).run()
    others(recorder, args.reference)
    lavis(recorder, args.reference)
    wide(recorder, args.reference)
    tokens(recorder, args.reference)
    recorder.write()


if __name__ == "__main__":
    main()
