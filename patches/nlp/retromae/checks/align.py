"""The port against stored runs of FlagEmbedding and transformers: embeddings, both losses, gradients, five SGD steps, converters.

Float32 and float64. Masks are those that the reference's collator drew, so that nothing is random. `--shapes` names the BGE v1.5 models,
English and Chinese, that are built at their real size (seeded weights, reference/make_bge_shapes.py); `all` takes some minutes and 5 GB.
"""

import json
import os
import tempfile

import numpy as np
import paddle
import port

from proving import case
from proving.record import Recorder, arguments
from proving.reference import ReferenceSet, is_there
from proving.seeding import seeded
from proving.weights import Layout, assign

RATES = (("sgd_losses", 0.01), ("sgd_losses_lr1e-3", 0.001))
RETROMAE_INPUTS = (
    "encoder_input_ids",
    "encoder_attention_mask",
    "encoder_labels",
    "decoder_input_ids",
    "decoder_attention_mask",
    "decoder_labels",
)


class Case(case.Case):
    """One model in one precision."""

    def __init__(self, recorder, one, dtype, name):
        super().__init__(recorder, one, dtype, name)
        self.model = one.build(dtype)
        self.layout = Layout(one.entries, one.convert)

    def tensors(self, names):
        return [paddle.to_tensor(self.reference.arrays[name]) for name in names]

    def train(self, objective):
        """Norms of all gradients, and SGD losses."""
        objective(self.model).backward()
        self.vector("backward", "grad_norms", self.layout.back(case.gradients(self.model)), case.norm)
        for key, rate in RATES:
            if self.length(key):
                model = self.reference.build(self.dtype)
                self.series("optimizer", key, case.descend(model, lambda model=model: objective(model), rate, self.length(key)))
        paddle.set_default_dtype("float32")
        self.close()


def bge(recorder, reference, dtype):
    from retriever import contrastive_loss

    one = Case(recorder, port.Set(reference, "bge_bert"), dtype, "bge")
    sides = [one.tensors((side + "_input_ids", side + "_attention_mask")) for side in ("q", "p")]

    def embeddings(model):
        return [model(*side) for side in sides]

    temperature = one.reference.manifest.get("temperature", 0.02)
    if not one.double:
        with paddle.no_grad():
            queries, passages = embeddings(one.model)
            hidden = one.model.bert(sides[0][0], attention_mask=sides[0][1])[0]
            one.compare("forward", "q_last_hidden_state", hidden, sides[0][1], pair="hidden")
            one.compare("forward", "q_embeddings", queries, pair="queries")
            one.compare("forward", "p_embeddings", passages, pair="passages")
            pooling, one.model.pooling = one.model.pooling, "mean"
            one.compare("forward", "q_embeddings_mean_pool", embeddings(one.model)[0], pair="queries_mean_pooling")
            one.model.pooling = pooling
            one.compare("forward", "similarity", paddle.matmul(queries, passages, transpose_y=True))
            for key, flag, score in (("loss", True, "scores"), ("loss_no_inbatch", False, "local_scores")):
                loss, scores = contrastive_loss(queries, passages, temperature, in_batch_negatives=flag)
                one.compare("forward", score, scores)
                one.compare("loss", key, loss)
    one.name = "bge_bert"
    one.train(lambda model: contrastive_loss(*embeddings(model), temperature)[0])


def retromae(recorder, reference, dtype):
    one = Case(recorder, port.Set(reference, "retromae"), dtype, "retromae")
    batch = one.tensors(RETROMAE_INPUTS)
    model, text = one.model, batch[1]
    if not one.double:
        with paddle.no_grad():
            hidden = model.bert(batch[0], attention_mask=batch[1])[0]
            query, context = model.decoder_streams(hidden[:, :1], batch[3])
            decoded = model.decoder(query, context, batch[4])
            for key, value in (
                ("encoder_last_hidden_state", hidden),
                ("encoder_logits", model.cls(hidden)),
                ("decoder_query", query),
                ("decoder_key_value", context),
                ("decoder_hidden", decoded),
                ("decoder_logits", model.cls(decoded)),
            ):
                one.compare("forward", key, value, text)
            for key, value in zip(("loss", "encoder_loss", "decoder_loss"), model(*batch)):
                one.compare("loss", key, value)
    one.train(lambda model: model(*batch)[0])


def m3(recorder, reference, dtype):
    """The three kinds of vectors of BGE-M3, their scores, and the loss of the unified fine-tuning."""
    from retriever.m3 import m3_loss, m3_scores, sparse_vectors

    one = Case(recorder, port.Set(reference, "bge_m3"), dtype, "bge_m3")
    sides = [one.tensors((side + "_input_ids", side + "_attention_mask")) for side in ("q", "p")]
    temperature = one.reference.manifest["temperature"]
    if not one.double:
        with paddle.no_grad():
            hidden = one.model.roberta(sides[0][0], attention_mask=sides[0][1])[0]
            one.compare("forward", "q_last_hidden_state", hidden, sides[0][1], pair="hidden")
            for side, (ids, mask) in zip("qp", sides):
                dense, weights, multi = one.model(ids, mask)
                one.compare("forward", side + "_dense", dense)
                one.compare("forward", side + "_sparse", sparse_vectors(weights, ids, one.model.config.vocab_size))
                one.compare("forward", side + "_colbert", multi)
            scores = m3_scores(one.model, *sides)
            for ours, theirs in (("dense", "dense"), ("sparse", "sparse"), ("multi", "colbert")):
                one.compare("forward", theirs + "_scores", scores[ours] / temperature)
            one.compare("loss", "loss", m3_loss(scores, temperature))
    one.train(lambda model: m3_loss(m3_scores(model, *sides), temperature))


def losses(recorder, reference):
    """All combinations of temperature, negatives and distillation, on embeddings."""
    from retriever import contrastive_loss

    one = case.Case(recorder, ReferenceSet(reference, "bge_contrastive"), name="contrastive")
    arrays = one.reference.arrays
    teacher = paddle.to_tensor(arrays["teacher_scores"])
    for number, row in enumerate(one.reference.manifest["cases"]):
        sides = [paddle.to_tensor(arrays[key], stop_gradient=False) for key in ("q_raw", "p_raw")]
        normal = [paddle.nn.functional.normalize(side, axis=-1) for side in sides]
        loss, scores = contrastive_loss(*normal, row["temperature"], row["mode"] == "in_batch", teacher, row["kd"])
        loss.backward()
        key = row["key"]
        one.compare("forward", key + ":scores", scores, pair=key + ".scores")
        one.named("loss", "cases.%d.loss" % number, loss, pair=key + ".loss")
        for name, side in zip(("grad_q", "grad_p"), sides):
            one.compare("backward", "%s:%s" % (key, name), side.grad, pair="%s.%s" % (key, name))
    one.close()


def check_tokens(recorder, stored, one):
    """Token ids of English and Chinese texts."""
    from paddlenlp.transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.txt")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(stored["vocabulary"]) + "\n")
        tokenizer = BertTokenizer(path, do_lower_case=True)
        for number, text in enumerate(stored["english"] + stored["chinese"]):
            keep = one.arrays["mask"] == 1
            keep[np.arange(len(keep)) != number] = False
            got = np.array(tokenizer(text)["input_ids"])
            recorder.add("forward", "tokenizer.%d" % number, got, one.arrays["ids"][keep], one.sources["ids"], keep)


def shapes(recorder, reference, names):
    """BGE at its real sizes: token ids, and embeddings with weights that pass the converter."""
    from paddlenlp.transformers import BertConfig
    from retriever import EmbeddingModel
    from retriever.convert import name_table, state_to_paddle

    with open(os.path.join(reference, "bge_shapes.json"), encoding="utf-8") as stream:
        stored = json.load(stream)
    one = case.Case(recorder, ReferenceSet(reference, "bge_shapes"), name="")
    arrays = one.reference.arrays
    check_tokens(recorder, stored, one.reference)
    for name in stored["models"] if names == "all" else names.split(","):
        config = BertConfig(**stored["models"][name]["config"])
        model = EmbeddingModel(config)
        own, theirs = model.state_dict(), {}
        for there, here, transposed in name_table(config.num_hidden_layers):
            shape = own[here].shape[::-1] if transposed else own[here].shape
            norm, bias = "LayerNorm" in there, there.endswith("bias")
            kind = ("norm_bias" if bias else "norm_weight") if norm else "bias" if bias else "linear"
            theirs[there] = seeded(there, shape, "embedding" if there.endswith("embeddings.weight") else kind)
        assign(model, state_to_paddle(theirs))
        model.eval()
        whole = np.concatenate([[2], seeded("ids", (510,), "int:5:%d" % config.vocab_size), [3]])[None]
        for key, ids, mask in (("texts", arrays["ids"], arrays["mask"]), ("whole", whole, np.ones_like(whole))):
            with paddle.no_grad():
                one.compare("forward", "%s.%s" % (name, key), model(paddle.to_tensor(ids), paddle.to_tensor(mask)))
    one.close()


def converters(recorder, reference, held):
    """There and back through files: every tensor of the reference, bit by bit, and the copies that it ties."""
    from retriever.convert import convert_to_hf, convert_to_paddle
    from safetensors.numpy import load_file, save_file

    for name in sorted({"bge_bert", "retromae"} & set(held)):
        one = port.Set(reference, name)
        manifest, state = one.manifest, one.weights()
        whole = name == "retromae"
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours, back = (os.path.join(folder, end) for end in ("theirs", "ours", "back"))
            os.makedirs(theirs)
            save_file(state, os.path.join(theirs, "model.safetensors"))
            with open(os.path.join(theirs, "config.json"), "w", encoding="utf-8") as stream:
                json.dump(one.config, stream)
            convert_to_paddle(theirs, ours, retromae=whole)
            convert_to_hf(ours, back, retromae=whole)
            returned = load_file(os.path.join(back, "model.safetensors"))
        names = sorted(returned)
        wanted = dict(state, **{copy: state[original] for copy, original in manifest["tied"].items()})
        recorder.add("converter", name + ".names", np.array([names == sorted(wanted)]), np.array([True]))
        same = [np.array_equal(returned.get(key), value) for key, value in sorted(wanted.items())]
        recorder.add("converter", name + ".tensors", np.array(same), np.ones(len(wanted), bool))


def main():
    args = arguments(lambda parser: parser.add_argument("--shapes", default="bge-small-en,bge-small-zh,bge-base-zh"))
    port.use_overlay()
    recorder = Recorder(args.out)
    held = [name for name in ("bge_bert", "retromae", "bge_m3", "bge_contrastive", "bge_shapes") if is_there(args.reference, name)]
    for dtype in ("float32", "float64"):
        for name, part in (("bge_bert", bge), ("retromae", retromae), ("bge_m3", m3)):
            part(recorder, args.reference, dtype) if name in held else None
    if "bge_contrastive" in held:
        losses(recorder, args.reference)
    converters(recorder, args.reference, held)
    if "bge_shapes" in held:
        shapes(recorder, args.reference, args.shapes)
    recorder.write()


if __name__ == "__main__":
    main()
