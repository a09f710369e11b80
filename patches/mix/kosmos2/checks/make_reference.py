"""Makes the reference set with PyTorch and `transformers`. Not run by the harness: neither is part of the suite's environment.

    PYTHONPATH=ci python make_reference.py --out reference [--golden GOLDEN_MM/kosmos2] [--unilm unilm/kosmos-2/evaluation]

GOLDEN_MM/kosmos2 holds config, manifest, inputs, outputs, norms of gradients, losses of SGD, generated ids, `grounding.json` and
`refcoco_metric.json` (transformers 4.57.6, microsoft/unilm @ 768a3c8); they are copied. This script repeats the run, and adds: outputs
in float64, every gradient in both precisions, more generation, another image size (kosmos2.extra.npz); a vocabulary of sentencepiece,
ids and texts of the original's tokenizer, its inputs for texts with images and boxes (tokens.json), its images (images.npz); and the
recall of the official Flickr30k program on made annotations (flickr_metric.json). Weights follow from names: ci/proving/seeding.py.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile

import numpy as np
import sentencepiece
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
    XLMRobertaTokenizerFast,
)

from proving import seeding
from proving.making import distance, put
from proving.record import write_json
from proving.reference import ReferenceSet
from proving.tree import on_path

INPUTS = ("pixel_values", "input_ids", "attention_mask", "image_embeds_position_mask")
CASES = [
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
WORDS = """a an the of in on and is it there image man dog cat snowman fire himself warming by red green blue yellow circle square
triangle star left right above below large small describe this detail question answer what where how many two three near woman
blue shirt car zebra pizza slice holding umbrella standing sitting playing with frisbee grass snow table chair two's don't""".split()
TEXTS = [
    "An image of a snowman warming himself by a fire.",
    "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863></object> warming himself.",
    "<grounding><phrase>It</phrase><object> <patch_index_0000> <patch_index_1023> </object> is  there ",
    "<grounding> Describe this image in detail:",
    "  Question: what's in the image? Answer:",
    "two<phrase> dogs</phrase><object><patch_index_0001><patch_index_0002></delimiter_of_multi_objects/><patch_index_0003>"
    "<patch_index_0004></object>.",
    "caf\u00e9 \u96ea\u4eba \U0001f600 na\u00efve <b>bold</b> 100%",
    "<s>begin</s> end<pad>",
    "",
]


def seeded_model(config, manifest, dtype):
    config = Kosmos2Config.from_dict({k: v for k, v in config.items() if k != "transformers_version"})
    for part in (config, config.vision_config, config.text_config):
        part._attn_implementation = "eager"
    model = Kosmos2ForConditionalGeneration(config)
    own = dict(model.named_parameters())
    assert set(own) == {entry["name"] for entry in manifest["parameters"]}
    with torch.no_grad():
        for name, value in seeding.parameters(dict(manifest, tied={})):
            own[name].copy_(torch.from_numpy(value))
    return model.to(dtype).eval()


def outputs(model, golden, dtype):
    made = {name: torch.from_numpy(golden[name]) for name in (*INPUTS, "labels")}
    made["pixel_values"] = made["pixel_values"].to(dtype)
    out = model(**made, output_hidden_states=True)
    vision = model.vision_model(made["pixel_values"]).last_hidden_state
    values = {
        "vision_last_hidden_state": vision,
        "image_embeds": out.image_embeds,
        "projection_attentions": out.projection_attentions,
        "text_last_hidden_state": out.hidden_states[-1],
        "logits": out.logits,
        "loss": out.loss.reshape(1),
    }
    return out.loss, {key: value.detach().numpy() for key, value in values.items()}


def generated(model, golden):
    """Ids of every case, and the scores of its beams."""
    made = {}
    given = {name: torch.from_numpy(golden["gen_" + name]) for name in INPUTS[1:]}
    given["pixel_values"] = torch.from_numpy(golden["pixel_values"])
    start, eos = given["input_ids"].shape[1], int(golden["gen_eos_token_id"][0])
    for number, options in enumerate(CASES):
        options = dict(options)
        if "min_length" in options:
            options["min_new_tokens"] = options.pop("min_length")
        options["eos_token_id"] = eos if options.pop("eos", False) else None
        with torch.no_grad():
            found = model.generate(
                **given,
                max_new_tokens=10,
                do_sample=False,
                pad_token_id=1,
                return_dict_in_generate=True,
                output_scores=True,
                **options,
            )
        made["case%d.ids" % number] = found.sequences[:, start:].numpy()
        if options.get("num_beams", 1) > 1:
            made["case%d.scores" % number] = found.sequences_scores.numpy()
        print(number, options, made["case%d.ids" % number].tolist())
    return made


def extra(one):
    """Outputs in float64, gradients, generation, another size of image."""
    golden, made, kept = one.arrays, {}, {}
    for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64")):
        torch.set_default_dtype(dtype)  # the original's mask is of this type
        model = seeded_model(one.config, one.manifest, dtype)
        loss, values = outputs(model, golden, dtype)
        loss.backward()
        torch.set_default_dtype(torch.float32)
        grads = {"grad." + key: value.grad.numpy() for key, value in model.named_parameters()}
        kept[name] = {**values, **grads}
        for key, value in values.items():
            if name == "float64":
                put(made, key, value, most=10**6, double=True)
            elif key in golden:
                assert np.abs(value - golden[key]).max() < 1e-5, key
        for key, value in grads.items():
            put(made, key, value, most=128, double=name == "float64")
        if name == "float64":
            continue
        image = torch.from_numpy(seeding.seeded("kosmos2.larger", (1, 3, 56, 70), "normal"))
        with torch.no_grad():
            made["larger_image"] = model.vision_model(image, interpolate_pos_encoding=True).last_hidden_state.numpy()
        made.update(generated(model, golden))
    return made, distance(kept["float32"], kept["float64"])


def pictures():
    draw = np.random.default_rng(77)
    colours = draw.integers(0, 256, [120, 90, 4]).astype("uint8")
    rgba = Image.fromarray(colours, "RGBA")
    made = {"rgb": rgba.convert("RGB"), "grey": rgba.convert("L"), "alpha": rgba, "cmyk": rgba.convert("RGB").convert("CMYK")}
    made["palette"] = rgba.convert("RGB").convert("P")
    made["pixel"], made["line"] = made["rgb"].crop((3, 4, 4, 5)), made["rgb"].crop((0, 0, 1, 100))
    made["wide"], made["one_bit"] = Image.fromarray(np.tile(colours[:20, :, :3], (1, 4, 1))), made["grey"].convert("1")
    return made


def vocabulary(out):
    """A small model of sentencepiece with the published one's ids: <unk>, <s>, </s> first."""
    draw = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text")
        with open(text, "w") as stream:
            for _ in range(400):
                stream.write(" ".join(draw.permutation(WORDS)[:12]) + draw.choice([".", ",", "?", ":", "!"]) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            input=text,
            model_prefix=os.path.join(folder, "pieces"),
            vocab_size=200,
            hard_vocab_limit=False,
            minloglevel=2,
            normalization_rule_name="nmt_nfkc",
        )
        shutil.copy(os.path.join(folder, "pieces.model"), os.path.join(out, "pieces.model"))


def processor(out):
    images = CLIPImageProcessor(size={"shortest_edge": 42}, crop_size=42, use_square_size=True)
    tokenizer = XLMRobertaTokenizerFast(os.path.join(out, "pieces.model"), clean_up_tokenization_spaces=True)
    return Kosmos2Processor(images, tokenizer)


def inputs_and_texts(out):
    """What the original's processor makes of texts, images and boxes."""
    theirs, draw = processor(out), np.random.default_rng(1)
    size = len(theirs.tokenizer)
    texts = [{"text": text, "ids": theirs.tokenizer(text, add_special_tokens=False)["input_ids"]} for text in TEXTS]
    rows = [row["ids"] for row in texts] + [draw.integers(0, size, 30).tolist() for _ in range(12)]
    decoded = [
        {"ids": row, "text": theirs.tokenizer.decode(row, skip_special_tokens=skip), "skip": skip}
        for row in rows
        for skip in (True, False)
    ]
    grounding = json.load(open(os.path.join(out, "grounding.json")))["preprocess"]
    cases = []
    for number, case in enumerate(grounding):
        boxes = case["bboxes"]
        boxes = boxes and [box if box is None or not isinstance(box[0], list) else [tuple(one) for one in box] for box in boxes]
        boxes = boxes and [tuple(box) if isinstance(box, list) and not isinstance(box[0], tuple) else box for box in boxes]
        image = Image.new("RGB", (9, 9)) if case["with_image"] else None
        for end in (False, True):
            made = theirs(images=image, text=case["text"], bboxes=boxes, num_image_tokens=5, add_eos_token=end)
            keys = [key for key in ("input_ids", "image_embeds_position_mask") if key in made]
            cases.append({"case": number, "end": end, **{key: np.asarray(made[key]).reshape(-1).tolist() for key in keys}})
    made = {"tokens": size, "texts": texts, "decoded": decoded, "inputs": cases}
    with open(os.path.join(out, "tokens.json"), "w", encoding="utf-8") as stream:
        json.dump(made, stream, separators=(",", ":"))
    values = {}
    for name, image in pictures().items():
        # of a picture of one pixel the original takes the channels for rows, and fails, unless it is told
        made = theirs.image_processor(image, return_tensors="np", input_data_format="channels_last")
        put(values, name, made["pixel_values"][0], most=1800)
    np.savez_compressed(os.path.join(out, "images.npz"), **values)


TYPES = ("people", "clothing", "animals", "scene", "vehicles", "other", "bodyparts", "instruments")
NAMES = ("a man", "red shirt", "a dog", "the street", "blue car", "an umbrella", "his hand", "a guitar", "two women", "snow")


def _sentence(draw, ids):
    """A sentence with three phrases: (as annotated, plain, spans of those with boxes, {phrase: its id})."""
    chosen = draw.permutation(len(NAMES))[:3]
    order = draw.permutation(4)[:3]
    words, caption, phrases = "", "", []
    for place, (name, which) in enumerate(zip(chosen, order)):
        kinds = "/".join(draw.permutation(TYPES)[: draw.integers(1, 3)])
        words += ("[/EN#%s/%s %s] and " if place < 2 else "[/EN#%s/%s %s] .") % (ids[which], kinds, NAMES[name])
        start = len(caption)
        caption += NAMES[name]
        if which < 3:
            phrases.append([[start, len(caption)]])
        caption += " and " if place < 2 else " ."
    return words, caption, phrases, {NAMES[name]: ids[which] for name, which in zip(chosen, order)}


def flickr_annotations(folder):
    """Made annotations of Flickr30k Entities, MDETR's file for them, and lines of predictions."""
    draw = np.random.default_rng(30)
    tree = {"test.txt": "", "images": []}
    lines, number = ["S-0\tnoise", "P-0\t-0.1"], 0
    for image in range(1000, 1012):
        width, height = (int(v) for v in draw.integers(200, 640, 2))
        tree["test.txt"] += "%d\n" % image
        ids = ["%d" % (image * 10 + n) for n in range(4)]
        boxes = {one: [_box(draw, width, height) for _ in range(draw.integers(1, 4))] for one in ids[:3]}
        objects = "".join(
            "<object><name>%s</name><bndbox><xmin>%d</xmin><ymin>%d</ymin><xmax>%d</xmax><ymax>%d</ymax></bndbox></object>"
            % (one, *box)
            for one, many in boxes.items()
            for box in many
        )
        objects += "<object><name>%s</name><nobndbox>1</nobndbox><scene>0</scene></object>" % ids[3]
        size = "<size><width>%d</width><height>%d</height><depth>3</depth></size>" % (width, height)
        tree["Annotations/%d.xml" % image] = "<annotation>%s%s</annotation>" % (size, objects)
        sentences = []
        for sentence in range(2):
            words, caption, phrases, shown = _sentence(draw, ids)
            sentences.append(words)
            if not phrases:
                continue
            entry = {"file_name": "%d.jpg" % image, "caption": caption, "height": height, "width": width}
            entry.update(tokens_positive_eval=phrases, original_img_id=image, sentence_id=sentence)
            tree["images"].append(entry)
            for (span,) in phrases:
                phrase = caption[span[0] : span[1]]
                lines.append(_line(draw, number, phrase, caption[: span[0]], boxes[shown[phrase]], width, height))
                number += 1
        tree["Sentences/%d.txt" % image] = "\n".join(sentences) + "\n"
    return tree, lines


def _box(draw, width, height):
    x, y = draw.uniform(0, 0.6, 2)
    w, h = draw.uniform(0.1, 0.4, 2)
    return [int(x * width), int(y * height), int((x + w) * width), int((y + h) * height)]


def _line(draw, number, phrase, prefix, boxes, width, height):
    """A prediction: right, near, wrong, of several boxes, of another phrase, or none."""
    kind = draw.integers(0, 7)
    pairs = []
    for box in boxes if kind == 2 else boxes[:1]:
        values = np.array(box) / [width, height, width, height]
        if kind == 1:
            values = values + draw.uniform(-0.1, 0.1, 4)
        x1, y1, x2, y2 = np.clip(values * 32, 0, 31).astype(int)
        pairs.append("<patch_index_%04d><patch_index_%04d>" % (y1 * 32 + x1, y2 * 32 + x2))
    if kind == 3:
        for _ in range(draw.integers(1, 12)):
            pairs.insert(0, "<patch_index_%04d><patch_index_%04d>" % tuple(draw.integers(0, 1024, 2)))
    where = "<object>%s</object>" % "</delimiter_of_multi_objects/>".join(pairs)
    phrase = "something else" if kind == 4 else phrase
    where = "" if kind == 5 else where
    return "H-%d\t-0.3\t<s> <image> </image><grounding>%s <phrase>%s</phrase>%s" % (number, prefix, phrase, where)


def flickr(out, unilm):
    """The official program's recall on them, in both protocols."""
    on_path(unilm, "flickr_entities")
    from flickr_entities_evaluate import Flickr30kEntitiesRecallEvaluatorFromTxt

    with tempfile.TemporaryDirectory() as folder:
        tree, lines = flickr_annotations(folder)
        for name, text in tree.items():
            if name != "images":
                os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
                with open(os.path.join(folder, name), "w") as stream:
                    stream.write(text)
        with open(os.path.join(folder, "a_test.json"), "w") as stream:
            json.dump({"images": tree["images"]}, stream)
        with open(os.path.join(folder, "lines"), "w") as stream:
            stream.write("\n".join(lines) + "\n")
        found = {}
        for name, merge in (("any_box", False), ("merged", True)):
            with contextlib.redirect_stdout(io.StringIO()):
                one = Flickr30kEntitiesRecallEvaluatorFromTxt(folder, "test", (1, 5, 10, -1), 0.5, merge, True)
                found[name] = one.evaluate(os.path.join(folder, "a_test.json"), os.path.join(folder, "lines"))
    print(json.dumps(found)[:600])
    with open(os.path.join(out, "flickr_metric.json"), "w") as stream:
        json.dump({"files": tree, "lines": lines, "recall": found}, stream, separators=(",", ":"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--golden")
    parser.add_argument("--unilm")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if args.golden:
        for theirs, ours in (("golden.npz", "kosmos2.npz"),):
            shutil.copy(os.path.join(args.golden, theirs), os.path.join(args.out, ours))
        for theirs, ours in (
            ("config", "kosmos2.config"),
            ("manifest", "kosmos2.manifest"),
            ("grounding",) * 2,
            ("refcoco_metric",) * 2,
        ):
            with open(os.path.join(args.golden, theirs + ".json")) as stream:
                content = json.load(stream)
            with open(os.path.join(args.out, ours + ".json"), "w") as stream:
                json.dump(content, stream, separators=(",", ":"))
    if os.path.isfile(os.path.join(args.out, "kosmos2.extra.npz")):
        os.remove(os.path.join(args.out, "kosmos2.extra.npz"))
    made, precision = extra(ReferenceSet(args.out, "kosmos2"))
    np.savez_compressed(os.path.join(args.out, "kosmos2.extra.npz"), **made)
    write_json(os.path.join(args.out, "kosmos2.precision.json"), precision)
    vocabulary(args.out)
    inputs_and_texts(args.out)
    if args.unilm:
        flickr(args.out, args.unilm)


if __name__ == "__main__":
    main()
