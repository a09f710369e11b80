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

from proving.record import Recorder, arguments
from proving.seeding import seeded

RATES = (("sgd_losses", 0.01), ("sgd_losses_lr1e-3", 0.001))
RETROMAE_INPUTS = (
    "encoder_input_ids",
    "encoder_attention_mask",
    "encoder_labels",
    "decoder_input_ids",
    "decoder_attention_mask",
    "decoder_labels",
)


def norms(model, manifest, retromae):
    """L2 norms of the gradients, in the order of the reference."""
    from retriever.convert import name_table

    table = {theirs: ours for theirs, ours, _ in name_table(model.config.num_hidden_layers, retromae)}
    state = model.state_dict()
    values = []
    for name in manifest["grad_order"]:
        gradient = state[table[name]].grad
        values.append(0.0 if gradient is None else float(np.linalg.norm(gradient.numpy().astype("float64"))))
    return np.array(values)


def steps(build, objective, rate):
    """The loss before each of six plain SGD steps on one batch."""
    model = build()
    optimizer = paddle.optimizer.SGD(rate, parameters=[p for p in model.parameters() if not p.stop_gradient])
    losses = []
    for _ in range(6):
        loss = objective(model)
        losses.append(float(loss))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    return np.array(losses)


def train_stages(recorder, reference, name, objective):
    """Gradient norms and SGD losses of one model, in both precisions."""
    manifest, tensors = port.load(reference, name)
    for dtype, there, here in (("float32", "", ""), ("float64", "_fp64", ".f64")):
        model = port.build(reference, name, dtype)
        objective(model).backward()
        got = norms(model, manifest, name == "retromae")
        recorder.add("backward", "%s.grad_norms%s" % (name, here), got, tensors["grad_norms" + there])
        for key, rate in RATES:
            losses = steps(lambda dtype=dtype: port.build(reference, name, dtype), objective, rate)
            recorder.add("optimizer", "%s.%s%s" % (name, key, here), losses, tensors[key + there])
    paddle.set_default_dtype("float32")


def bge(recorder, reference):
    from retriever import contrastive_loss

    _, tensors = port.load(reference, "bge_bert")
    inputs = {key: paddle.to_tensor(tensors[key]) for key in tensors.files if key.endswith(("ids", "mask"))}

    def embeddings(model):
        return tuple(model(inputs[side + "_input_ids"], inputs[side + "_attention_mask"]) for side in ("q", "p"))

    model = port.build(reference, "bge_bert")
    with paddle.no_grad():
        queries, passages = embeddings(model)
        hidden = model.bert(inputs["q_input_ids"], attention_mask=inputs["q_attention_mask"])[0]
        text = tensors["q_attention_mask"].astype(bool)
        recorder.add("forward", "bge.hidden", hidden.numpy()[text], tensors["q_last_hidden_state"][text])
        recorder.add("forward", "bge.queries", queries, tensors["q_embeddings"])
        recorder.add("forward", "bge.passages", passages, tensors["p_embeddings"])
        model.pooling = "mean"
        mean = embeddings(model)[0]
        recorder.add("forward", "bge.queries_mean_pooling", mean, tensors["q_embeddings_mean_pool"])
        similarity = paddle.matmul(queries, passages, transpose_y=True)
        recorder.add("forward", "bge.similarity", similarity, tensors["similarity"])
        for key, flag, score in (("loss", True, "scores"), ("loss_no_inbatch", False, "local_scores")):
            loss, scores = contrastive_loss(queries, passages, 0.02, in_batch_negatives=flag)
            recorder.add("forward", "bge." + score, scores, tensors[score])
            recorder.add("loss", "bge." + key, loss, tensors[key].reshape(()))
    train_stages(recorder, reference, "bge_bert", lambda model: contrastive_loss(*embeddings(model), 0.02)[0])


def retromae(recorder, reference):
    _, tensors = port.load(reference, "retromae")
    batch = [paddle.to_tensor(tensors[key]) for key in RETROMAE_INPUTS]
    model = port.build(reference, "retromae")
    text = tensors["encoder_attention_mask"].astype(bool)
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
            recorder.add("forward", "retromae." + key, value.numpy()[text], tensors[key][text])
        for key, value in zip(("loss", "encoder_loss", "decoder_loss"), model(*batch)):
            recorder.add("loss", "retromae." + key, value, tensors[key].reshape(()))
    train_stages(recorder, reference, "retromae", lambda model: model(*batch)[0])


def losses(recorder, reference):
    """All combinations of temperature, negatives and distillation, on embeddings."""
    from retriever import contrastive_loss

    manifest, tensors = port.load(reference, "bge_contrastive")
    teacher = paddle.to_tensor(tensors["teacher_scores"])
    for case in manifest["cases"]:
        sides = [paddle.to_tensor(tensors[key], stop_gradient=False) for key in ("q_raw", "p_raw")]
        normal = [paddle.nn.functional.normalize(side, axis=-1) for side in sides]
        in_batch = case["mode"] == "in_batch"
        loss, scores = contrastive_loss(*normal, case["temperature"], in_batch, teacher, case["kd"])
        loss.backward()
        key = case["key"]
        recorder.add("forward", "contrastive.%s.scores" % key, scores, tensors[key + ":scores"])
        recorder.add("loss", "contrastive.%s.loss" % key, loss, np.float32(case["loss"]))
        for name, side in zip(("grad_q", "grad_p"), sides):
            recorder.add("backward", "contrastive.%s.%s" % (key, name), side.grad, tensors["%s:%s" % (key, name)])


def shapes(recorder, reference, names):
    """BGE at its real sizes: token ids of English and Chinese texts, and embeddings with weights that pass the converter."""
    from paddlenlp.transformers import BertConfig, BertTokenizer
    from retriever import EmbeddingModel
    from retriever.convert import name_table, state_to_paddle

    with open(os.path.join(reference, "bge_shapes.json"), encoding="utf-8") as stream:
        stored = json.load(stream)
    tensors = np.load(os.path.join(reference, "bge_shapes.npz"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.txt")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(stored["vocabulary"]) + "\n")
        tokenizer = BertTokenizer(path, do_lower_case=True)
        for number, text in enumerate(stored["english"] + stored["chinese"]):
            want = tensors["ids"][number][tensors["mask"][number] == 1]
            recorder.add("forward", "tokenizer.%d" % number, np.array(tokenizer(text)["input_ids"]), want)
    for name in stored["models"] if names == "all" else names.split(","):
        settings = stored["models"][name]["config"]
        count = settings["vocab_size"]
        config = BertConfig(**settings)
        model = EmbeddingModel(config)
        own = model.state_dict()
        theirs = {}
        for there, here, transposed in name_table(config.num_hidden_layers):
            shape = own[here].shape[::-1] if transposed else own[here].shape
            norm, bias = "LayerNorm" in there, there.endswith("bias")
            kind = ("norm_bias" if bias else "norm_weight") if norm else "bias" if bias else "linear"
            theirs[there] = seeded(there, shape, "embedding" if there.endswith("embeddings.weight") else kind)
        for key, value in state_to_paddle(theirs).items():
            own[key].set_value(value)
        model.eval()
        whole = np.concatenate([[2], seeded("ids", (510,), "int:5:%d" % count), [3]])[None]
        for key, ids, mask in (("texts", tensors["ids"], tensors["mask"]), ("whole", whole, np.ones_like(whole))):
            key = "%s.%s" % (name, key)
            if key in tensors.files:
                with paddle.no_grad():
                    got = model(paddle.to_tensor(ids), paddle.to_tensor(mask))
                recorder.add("forward", key, got, tensors[key])
                print("%s: largest difference %.1e" % (key, np.abs(got.numpy() - tensors[key]).max()))


def converters(recorder, reference):
    """There and back through files: every tensor of the reference, bit by bit, and the copies that it ties."""
    from retriever.convert import convert_to_hf, convert_to_paddle
    from safetensors.numpy import load_file, save_file

    for name in ("bge_bert", "retromae"):
        manifest, _ = port.load(reference, name)
        state = port.seeded_state(manifest)
        whole = name == "retromae"
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours, back = (os.path.join(folder, end) for end in ("theirs", "ours", "back"))
            os.makedirs(theirs)
            save_file(state, os.path.join(theirs, "model.safetensors"))
            with open(os.path.join(reference, name + ".config.json"), encoding="utf-8") as stream:
                settings = json.load(stream)
            with open(os.path.join(theirs, "config.json"), "w", encoding="utf-8") as stream:
                json.dump(settings, stream)
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
    bge(recorder, args.reference)
    retromae(recorder, args.reference)
    losses(recorder, args.reference)
    converters(recorder, args.reference)
    shapes(recorder, args.reference, args.shapes)
    recorder.write()


if __name__ == "__main__":
    main()
