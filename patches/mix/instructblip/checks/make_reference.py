"""Makes the reference set with PyTorch and `transformers`. Not run by the harness: neither is part of the suite's environment.

    PYTHONPATH=ci python make_reference.py --out reference --golden GOLDEN_MM

GOLDEN_MM holds `instructblip_opt` and `instructblip_t5` (config.json, manifest.json, golden.npz: inputs, outputs, norms of gradients,
losses of SGD, generated ids; transformers 4.57.6). This script repeats them, and adds for both and for a LLaMA model: every gradient
(float64), outputs in float64, more generation (end tokens, penalties, early stopping, several answers), candidate losses, the
nucleus filter, another image size, and the image processor. Weights follow from names: ci/proving/seeding.py. The hashes of
provenance.toml: `PYTHONPATH=ci python -m proving.making patches/mix/instructblip/reference`.
"""

import argparse
import json
import os
import shutil

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import BlipImageProcessor, InstructBlipConfig, InstructBlipForConditionalGeneration
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from proving import seeding
from proving.making import put, write_set
from proving.reference import ReferenceSet

INPUTS = ("pixel_values", "qformer_input_ids", "qformer_attention_mask", "input_ids", "attention_mask", "labels")
MOST = 128  # elements of a gradient that are stored
CASES = [
    {"num_beams": 1, "eos": True},
    {"num_beams": 1, "eos": True, "min_length": 5},
    {"num_beams": 1, "repetition_penalty": 1.5},
    {"num_beams": 3, "eos": True},
    {"num_beams": 3, "eos": True, "length_penalty": -1.0},
    {"num_beams": 3, "eos": True, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 4, "eos": True, "early_stopping": "never", "num_return_sequences": 3},
    {"num_beams": 5, "eos": True, "min_length": 2, "repetition_penalty": 1.3, "num_return_sequences": 2},
    {"num_beams": 2, "eos": False, "length_penalty": 0.0, "num_return_sequences": 2},
]
LLAMA = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def kind_of(name):
    """Kind of a parameter of the LLaMA part."""
    if "norm" in name:
        return "norm_weight"
    return "embedding" if "embed_tokens" in name else "linear"


def seeded_model(config, manifest, dtype):
    config = InstructBlipConfig.from_dict({k: v for k, v in config.items() if k != "transformers_version"})
    config._attn_implementation = "eager"
    for part in (config.vision_config, config.qformer_config, config.text_config):
        part._attn_implementation = "eager"
    model = InstructBlipForConditionalGeneration(config)
    own = dict(model.named_parameters())
    want = {entry["name"] for entry in manifest["parameters"]}
    assert set(own) == want, (sorted(set(own) ^ want))[:8]
    with torch.no_grad():
        for name, value in seeding.parameters(dict(manifest, tied={})):
            own[name].copy_(torch.from_numpy(value))
    model.generation_config.eos_token_id = None
    return model.to(dtype).eval()


def inputs_of(golden, dtype, names=INPUTS):
    made = {name: torch.from_numpy(golden[name]) for name in names}
    made["pixel_values"] = made["pixel_values"].to(dtype)
    return made


def outputs(model, golden, dtype):
    out = model(**inputs_of(golden, dtype))
    features = model.language_projection(out.qformer_outputs.last_hidden_state[:, : model.config.num_query_tokens])
    values = {
        "vision_last_hidden_state": out.vision_outputs.last_hidden_state,
        "vision_pooler_output": out.vision_outputs.pooler_output,
        "qformer_last_hidden_state": out.qformer_outputs.last_hidden_state,
        "language_model_inputs": features,
        "logits": out.logits,
        "loss": out.loss.reshape(1),
    }
    return out.loss, {key: value.detach().numpy() for key, value in values.items()}


def sgd(config, manifest, golden, dtype, rate):
    model = seeded_model(config, manifest, dtype)
    losses = []
    for step in range(6):
        loss, _ = outputs(model, golden, dtype)
        losses.append(float(loss))
        if step < 5:
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= rate * parameter.grad
    return np.array(losses)


def generated(model, golden, eos, options):
    options = dict(options)
    encoder_decoder = not model.config.use_decoder_only_language_model
    prompt = 1 if encoder_decoder else golden["gen_input_ids"].shape[1]
    names = ("pixel_values", "qformer_input_ids", "qformer_attention_mask")
    made = inputs_of(golden, torch.float32, names)
    if options.pop("eos", False):
        options["eos_token_id"] = eos
    if "min_length" in options:
        options["min_new_tokens"] = options.pop("min_length")
    ids = model.generate(
        **made,
        input_ids=torch.from_numpy(golden["gen_input_ids"]),
        attention_mask=torch.from_numpy(golden["gen_attention_mask"]),
        max_new_tokens=10,
        pad_token_id=model.config.text_config.pad_token_id,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=options["num_beams"] > 1,
        **options,
    )
    scores = ids.sequences_scores.numpy() if options["num_beams"] > 1 else np.zeros(0, np.float32)
    return ids.sequences.numpy()[:, prompt:], scores


@torch.no_grad()
def ranked(model, golden, candidates):
    """Summed cross entropy of each candidate after each prompt, [N, K]; the candidates one by one, no padding among them."""
    made = inputs_of(golden, torch.float32, ("pixel_values", "qformer_input_ids", "qformer_attention_mask"))
    losses = np.zeros([len(golden["gen_input_ids"]), len(candidates)])
    for column, candidate in enumerate(candidates):
        candidate = torch.tensor([c for c in candidate if c != -100])
        for row in range(len(losses)):
            one = {name: value[row : row + 1] for name, value in made.items()}
            ids = torch.from_numpy(golden["gen_input_ids"])[row : row + 1]
            mask = torch.from_numpy(golden["gen_attention_mask"])[row : row + 1]
            if model.config.use_decoder_only_language_model:
                whole = torch.cat([ids, candidate[None]], 1)
                labels = torch.cat([torch.full_like(ids, -100), candidate[None]], 1)
                mask = torch.cat([mask, torch.ones_like(candidate[None])], 1)
            else:
                whole, labels = ids, candidate[None]
            out = model(**one, input_ids=whole, attention_mask=mask, labels=labels)
            losses[row, column] = float(out.loss) * len(candidate)
    return losses


def both_precisions(config, manifest, golden, extra, precision):
    """Outputs and every gradient in float32 and float64; what `golden` holds already is repeated and its distance noted."""
    first = {}
    for dtype, suffix in ((torch.float32, ""), (torch.float64, "__f64")):
        model = seeded_model(config, manifest, dtype)
        loss, values = outputs(model, golden, dtype)
        for key, value in values.items():
            if suffix:
                put(extra, key, value, MOST, double=True)
                precision[key] = float(np.abs(value - golden[key]).max())
            if key in golden:
                precision["repeat." + key + suffix] = float(np.abs(value - golden[key]).max())
            else:
                golden[key] = value
        model.zero_grad()
        loss.backward()
        gradients = {key: value.grad.numpy() for key, value in model.named_parameters()}
        for key, value in gradients.items():
            put(extra, "grad." + key, value, MOST, double=bool(suffix))
        if suffix:
            scale = max(np.abs(value).max() for value in gradients.values())
            precision["grad"] = max(
                float(np.abs(first[key] - value).max() / max(np.abs(value).max(), 1e-3 * scale)) for key, value in gradients.items()
            )
        first = gradients


def descents(config, manifest, golden, extra, precision):
    """Losses of SGD at both rates in both precisions."""
    for rate, key in ((0.01, "sgd_losses"), (0.001, "sgd_losses_lr1e-3")):
        single, double = (sgd(config, manifest, golden, dtype, rate) for dtype in (torch.float32, torch.float64))
        extra[key + "__f64"] = double
        precision[key] = float(np.abs(single - double).max())
        if key in golden:
            precision["repeat." + key] = float(np.abs(single - golden[key]).max())
        else:
            extra[key] = single


def case(name, config, manifest, golden, out):
    extra, precision = {}, {}
    both_precisions(config, manifest, golden, extra, precision)
    descents(config, manifest, golden, extra, precision)
    model = seeded_model(config, manifest, torch.float32)
    if "gen_sequences" not in golden:
        free, _ = generated(model, golden, None, {"num_beams": 1})
        golden["gen_sequences"], golden["gen_eos_token_id"] = free, np.array([free[0, 3]])
        golden["gen_beam3_sequences"], _ = generated(model, golden, None, {"num_beams": 3})
    eos = int(golden["gen_eos_token_id"][0])
    for number, options in enumerate(CASES):
        ids, scores = generated(model, golden, eos, options)
        extra[f"case{number}.ids"], extra[f"case{number}.scores"] = ids, scores
    candidates = np.array([[7, 8, -100], [9, -100, -100], [11, 12, 13], [14, 15, -100]])
    extra["candidates"], extra["candidate_losses"] = candidates, ranked(model, golden, candidates)
    image = seeding.seeded("instructblip.larger", (1, 3, 56, 70), "normal")
    with torch.no_grad():
        larger = model.vision_model(torch.from_numpy(image), interpolate_pos_encoding=True).last_hidden_state.numpy()
    extra["larger_image"] = larger
    write_set(out, name, golden, manifest, config, precision, extra=extra)


def llama(opt, opt_manifest, opt_golden):
    """Configuration, manifest and inputs of a model like the OPT one with LLaMA as its language model."""
    config = dict(opt, text_config=LLAMA)
    model = InstructBlipForConditionalGeneration(InstructBlipConfig.from_dict(config))
    known = {entry["name"]: entry for entry in opt_manifest["parameters"]}
    entries = [
        known.get(name, {"name": name, "shape": list(value.shape), "kind": kind_of(name)})
        for name, value in model.named_parameters()
    ]
    manifest = {"salt": "", "parameters": entries, "tied": {}, "grad_order": [entry["name"] for entry in entries]}
    keep = (*INPUTS, "gen_input_ids", "gen_attention_mask")
    golden = {key: opt_golden[key].copy() for key in keep}
    for key in ("input_ids", "gen_input_ids"):  # OPT pads with 1, LLaMA with 0
        mask = golden["attention_mask" if key == "input_ids" else "gen_attention_mask"]
        golden[key][mask == 0] = 0
    return config, manifest, golden


WIDE = {
    "vision_config": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 56, "patch_size": 14},
    "qformer_config": {"vocab_size": 60, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96, "encoder_hidden_size": 64},
    "text_config": {
        "model_type": "t5", "vocab_size": 2000, "d_model": 384, "d_kv": 48, "d_ff": 1024, "num_layers": 6, "num_heads": 8, "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
    },
    "num_query_tokens": 8,
    "image_token_index": 1999,
}  # fmt: skip


def wide_kind(name, value):
    """Scores of the last layer are wide, so that probabilities leave the range of float32."""
    if name in ("language_model.lm_head.weight", "query_tokens"):
        return "normal"
    if value.ndim == 1:
        return "bias" if name.endswith("bias") else "norm_weight"
    return "embedding" if "embed" in name or "relative" in name or "shared" in name else "linear"


def wide_inputs():
    draw = np.random.default_rng(75)
    golden = {
        "qformer_input_ids": draw.integers(4, 60, [2, 10]),
        "qformer_attention_mask": np.ones([2, 10], "int64"),
        "input_ids": np.concatenate([np.full([2, 8], 1999), draw.integers(4, 1900, [2, 150])], 1),
        "labels": draw.integers(4, 1900, [2, 40]),
    }
    golden["attention_mask"] = np.ones_like(golden["input_ids"])
    golden["attention_mask"][1, -20:] = 0
    golden["labels"][1, -7:] = -100
    return golden


def wide(out):
    """A T5 of six layers a side, in float64 throughout: `transformers` takes its norms and softmax in float32, which this undoes."""
    from transformers.models.t5 import modeling_t5

    model = InstructBlipForConditionalGeneration(InstructBlipConfig.from_dict(WIDE))
    entries = [{"name": n, "shape": list(v.shape), "kind": wide_kind(n, v)} for n, v in model.named_parameters()]
    for entry in entries:
        entry["kind"] = "linear" if entry["name"].endswith("patch_embedding.weight") else entry["kind"]
    manifest = {"salt": "", "parameters": entries, "tied": {}, "grad_order": [entry["name"] for entry in entries]}
    golden = wide_inputs()
    given = dict(golden, pixel_values=seeding.seeded("instructblip.wide", (2, 3, 56, 56), "normal"))
    _, single = outputs(seeded_model(WIDE, manifest, torch.float32), given, torch.float32)
    norm, cast = modeling_t5.T5LayerNorm.forward, torch.Tensor.float
    modeling_t5.T5LayerNorm.forward = lambda self, x: (
        self.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.variance_epsilon)
    )
    torch.Tensor.float = lambda self: self if self.dtype == torch.float64 else cast(self)
    model = seeded_model(WIDE, manifest, torch.float64)
    loss, double = outputs(model, given, torch.float64)
    loss.backward()
    modeling_t5.T5LayerNorm.forward, torch.Tensor.float = norm, cast
    put(golden, "logits", double["logits"], 4000, double=True)
    golden["loss__f64"] = double["loss"]
    golden["grad_norms__f64"] = np.array([float(value.grad.norm()) for _, value in model.named_parameters()])
    scale = np.abs(double["logits"]).max()
    precision = {
        "largest_logit": float(scale),
        "logits_float32": float(np.abs(single["logits"] - double["logits"]).max() / scale),
        "loss_float32": float(abs(single["loss"] - double["loss"])[0] / double["loss"][0]),
        "loss": float(double["loss"][0]),
    }
    write_set(out, "t5wide", golden, manifest, WIDE, precision)


def others(out):
    """The filters of sampling, and the image processor."""
    made = {"logits": 3 * seeding.seeded("instructblip.logits", (4, 50), "normal")}
    scores = torch.from_numpy(made["logits"])
    made["top_p_0.8"] = TopPLogitsWarper(0.8)(None, scores).numpy()
    made["top_k_7"] = TopKLogitsWarper(7)(None, scores).numpy()
    made["top_k_12_top_p_0.5"] = TopPLogitsWarper(0.5)(None, TopKLogitsWarper(12)(None, scores)).numpy()
    processor = BlipImageProcessor(
        size={"height": 42, "width": 42},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    for number, (height, width) in enumerate(((120, 90), (33, 71), (42, 42))):
        picture = Image.fromarray(seeding.smooth_image(f"instructblip.picture{number}", height, width))
        made[f"picture{number}"] = processor(picture, return_tensors="np")["pixel_values"][0]
    np.savez_compressed(os.path.join(out, "others.npz"), **made)


TEXTS = [
    "What is unusual about this image?",
    "Question: what color is the cat? Short answer:",
    "a  red   dog, isn't it?",
    'Based on the image, is this statement true or false? "it\'s 5:30" Answer:',
    "caf\u00e9 \u4eba 42",
]


def write_vocabularies(out):
    """BERT's word pieces, GPT's byte pairs, and sentence pieces for T5 and LLaMA, all of the texts above."""
    import sentencepiece

    letters = "abcdefghijklmnopqrstuvwxyz0123456789?:.,\"'()"
    words = sorted({word for text in TEXTS for word in text.lower().split() if word.isalpha()})
    with open(os.path.join(out, "bert.vocab.txt"), "w", encoding="utf-8") as stream:
        pieces = [*letters, *("##" + letter for letter in letters)]
        stream.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *pieces]))
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    names = {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + index) for index, byte in enumerate(rest)}}
    space = names[32]
    merges = [("t", "h"), ("th", "e"), (space, "the"), ("i", "s"), (space, "is"), ("a", "t"), (space, "a"), ("e", "r"), ("o", "r")]
    vocab = ["<s>", "<pad>", "</s>", "<unk>", *names.values(), *("".join(pair) for pair in merges)]
    with open(os.path.join(out, "gpt.vocab.json"), "w", encoding="utf-8") as stream:
        json.dump({token: index for index, token in enumerate(vocab)}, stream)
    with open(os.path.join(out, "gpt.merges.txt"), "w", encoding="utf-8") as stream:
        stream.write("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in merges))
    corpus = os.path.join(out, "corpus.txt")
    with open(corpus, "w", encoding="utf-8") as stream:
        stream.write("\n".join(TEXTS[:4] * 4))
    t5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "vocab_size": 110}
    for name, ids in (("t5", t5), ("llama", {"unk_id": 0, "bos_id": 1, "eos_id": 2, "byte_fallback": True, "vocab_size": 360})):
        prefix = os.path.join(out, name)
        sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=prefix, hard_vocab_limit=False, minloglevel=2, **ids)
        os.rename(prefix + ".model", prefix + ".pieces.model")
        os.remove(prefix + ".vocab")
    os.remove(corpus)


def tokens(out):
    """Ids of texts by the slow tokenizers of `transformers`, from vocabularies that are made here and stored beside them."""
    from transformers import BertTokenizer, GPT2Tokenizer, LlamaTokenizer, T5Tokenizer

    write_vocabularies(out)
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>"}
    files = [os.path.join(out, name) for name in ("gpt.vocab.json", "gpt.merges.txt")]
    made = {
        "bert": BertTokenizer(os.path.join(out, "bert.vocab.txt")),
        "opt": GPT2Tokenizer(*files, add_bos_token=True, **special),
        "t5": T5Tokenizer(os.path.join(out, "t5.pieces.model"), extra_ids=0, legacy=True),
        "llama": LlamaTokenizer(os.path.join(out, "llama.pieces.model"), legacy=True),
    }
    ids = {name: [tokenizer(text)["input_ids"] for text in TEXTS] for name, tokenizer in made.items()}
    with open(os.path.join(out, "tokens.json"), "w", encoding="utf-8") as stream:
        json.dump({"texts": TEXTS, "ids": ids}, stream)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--only_tokens", action="store_true")
    parser.add_argument("--only_wide", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print("torch", torch.__version__, "transformers", transformers.__version__, "numpy", np.__version__)
    if args.only_tokens:
        return tokens(args.out)
    if args.only_wide:
        return wide(args.out)
    sets = {}
    for name in ("opt", "t5"):
        one = ReferenceSet(args.golden, "instructblip_" + name)
        sets[name] = one.config, one.manifest, one.arrays
    sets["llama"] = llama(*sets["opt"])
    for name, (config, manifest, golden) in sets.items():
        case(name, config, manifest, golden, args.out)
    wide(args.out)
    others(args.out)
    tokens(args.out)
    for folder, file in (("minigpt4", "vqa_accuracy.json"), ("minigpt4", "caption_metrics.json")):
        shutil.copy(os.path.join(args.golden, folder, file), os.path.join(args.out, file))


if __name__ == "__main__":
    main()
