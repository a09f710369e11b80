# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""A tiny InstructBLIP with tokenizers made on the spot, and tiny sets in the formats of table 1. Nothing is downloaded."""

import csv
import json
import os

import numpy as np
import paddle
from paddlemix.models.instructblip.configuration import InstructBlipConfig
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipImageProcessor, InstructBlipProcessor
from paddlenlp.transformers import BertTokenizer, GPTTokenizer, LlamaTokenizer, T5Tokenizer
from PIL import Image

KINDS = ("opt", "t5", "llama")
SIZE, QUERIES = 28, 4
WORDS = "yes no red green blue a cat dog is the what color short answer question man car on true false one two".split()


def text_config(kind, vocab_size):
    shared = {"model_type": kind, "vocab_size": vocab_size}
    if kind == "t5":
        shared.update(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, relative_attention_num_buckets=8)
        shared.update(feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0, bos_token_id=0)
        return {**shared, "decoder_start_token_id": 0, "relative_attention_max_distance": 16}
    shared.update(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    if kind == "opt":
        shared.update(word_embed_proj_dim=32, hidden_dropout_prob=0.0)
    return {**shared, "max_position_embeddings": 512}


def config(kind="opt", vocab_size=100, image_token=99):
    return InstructBlipConfig(
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIZE,
            "patch_size": 14,
            "initializer_range": 0.02,
        },
        qformer_config={
            "vocab_size": 80,
            "hidden_size": 16,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 24,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        text_config=text_config(kind, vocab_size),
        num_query_tokens=QUERIES,
        image_token_index=image_token,
    )


def model(kind="opt", seed=0, spread=0.3, **options):
    """A model in eval mode whose weights are wide enough for its outputs to depend on everything."""
    paddle.seed(seed)
    made = InstructBlipForConditionalGeneration(config(kind, **options))
    generator = np.random.default_rng(seed)
    for name, value in made.named_parameters():
        noise = spread * generator.standard_normal(value.shape)
        value.set_value(paddle.to_tensor((noise + value.numpy() * ("norm" in name.lower())).astype("float32")))
    made.eval()
    return made


def inputs(kind="opt", batch=2, seed=0, length=5, image_token=99):
    draw = np.random.default_rng(seed)
    ids = draw.integers(4, 90, [batch, length])
    if image_token is not None:
        ids = np.concatenate([np.full([batch, QUERIES], image_token), ids], axis=1)
    return {
        "pixel_values": paddle.to_tensor(draw.standard_normal([batch, 3, SIZE, SIZE]).astype("float32")),
        "qformer_input_ids": paddle.to_tensor(draw.integers(4, 70, [batch, 6])),
        "qformer_attention_mask": paddle.ones([batch, 6], "int64"),
        "input_ids": paddle.to_tensor(ids),
        "attention_mask": paddle.ones(ids.shape, "int64"),
    }


def _bert(folder):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz0123456789?:.,\"'()"]
    path = os.path.join(folder, "vocab.txt")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("\n".join(tokens))
    return BertTokenizer(path)


def _gpt(folder):
    """Bytes and no merges: every letter is a token; ids 0 to 3 are the special tokens of OPT."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    letters.update({byte: chr(256 + index) for index, byte in enumerate(b for b in range(256) if b not in plain)})
    vocab = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters.values()])}
    files = [os.path.join(folder, name) for name in ("gpt_vocab.json", "gpt_merges.txt")]
    with open(files[0], "w", encoding="utf-8") as stream:
        json.dump(vocab, stream)
    with open(files[1], "w", encoding="utf-8") as stream:
        stream.write("#version: 0.2\n")
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>"}
    return GPTTokenizer(*files, add_bos_token=True, **special)


def _pieces(folder, kind):
    import sentencepiece

    text, prefix = os.path.join(folder, f"{kind}.txt"), os.path.join(folder, f"{kind}_pieces")
    with open(text, "w", encoding="utf-8") as stream:
        stream.write("\n".join(" ".join(np.random.default_rng(row).permutation(WORDS)) for row in range(50)))
    first = {"t5": (0, 1, 2, -1), "llama": (-1, 2, 0, 1)}[kind]
    options = dict(zip(("pad_id", "eos_id", "unk_id", "bos_id"), first))
    sentencepiece.SentencePieceTrainer.train(
        input=text,
        model_prefix=prefix,
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
        character_coverage=1.0,
        user_defined_symbols=list('0123456789?:.,"()'),
        **options,
    )
    if kind == "t5":
        return T5Tokenizer(prefix + ".model", extra_ids=0)
    tokenizer = LlamaTokenizer(prefix + ".model")
    tokenizer.pad_token = "<unk>"
    return tokenizer


def processor(folder, kind="opt", **options):
    """A processor whose tokenizers' files are written into `folder`."""
    os.makedirs(folder, exist_ok=True)
    tokenizer = _gpt(folder) if kind == "opt" else _pieces(folder, kind)
    options = {"num_query_tokens": QUERIES, "decoder_only": kind != "t5", **options}
    return InstructBlipProcessor(InstructBlipImageProcessor(size=SIZE), tokenizer, _bert(folder), **options)


def saved(folder, kind="opt", seed=0):
    """Model and processor that fit each other, saved in `folder`."""
    made = processor(os.path.join(folder, "files"), kind)
    size = len(made.tokenizer)
    net = model(kind, seed, vocab_size=size, image_token=made.image_token_id)
    target = os.path.join(folder, "model")
    net.save_pretrained(target, save_function=paddle.save)  # ppdiffusers, once imported, makes the default None
    made.save_pretrained(target)
    return target, net, made


def picture(seed=0, height=40, width=30):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, [height, width, 3]).astype("uint8"))


def write_sets(folder):
    """{name: (annotation file, image folder)} with two rows for each set of table 1, in the format that each publishes."""
    made = {}

    def put(name, value, images, suffix=".json"):
        place = os.path.join(folder, name)
        os.makedirs(place, exist_ok=True)
        for path in images:
            os.makedirs(os.path.dirname(os.path.join(place, path)), exist_ok=True)
            picture(len(path)).save(os.path.join(place, path))
        file = os.path.join(folder, name + suffix)
        with open(file, "w", encoding="utf-8", newline="") as stream:
            if suffix == ".jsonl":
                stream.write("".join(json.dumps(row) + "\n" for row in value))
            elif suffix == ".csv":
                rows = csv.DictWriter(stream, list(value[0]))
                rows.writeheader()
                rows.writerows(value)
            else:
                json.dump(value, stream)
        made[name] = (file, place)

    two = ("a.jpg", "b.jpg")
    images = [{"id": index, "file_name": name} for index, name in enumerate(two)]
    texts = [{"image_id": index, "caption": text} for index in range(2) for text in ("a cat", "the dog is red")]
    put("nocaps", {"images": images, "annotations": texts}, two)
    raw = [{"raw": "a man"}, {"raw": "the man on a car"}]
    split = [{"filename": name, "split": which, "sentences": raw} for name, which in zip(two, ("test", "train"))]
    put("flickr30k", {"images": split}, two)
    put("gqa", {str(i): {"imageId": n[0], "question": "what is it?", "answer": "cat"} for i, n in enumerate(two)}, two)
    put("vsr", [{"image": n, "caption": "a cat", "label": i} for i, n in enumerate(two)], two, ".jsonl")
    choices = {"question": "what?", "choices": ["red", "a cat", "no"], "answer": 1}
    put("iconqa", {"7": choices, "8": choices}, ["7/image.png", "8/image.png"])
    ten = ["yes"] * 8 + ["no"] * 2
    ask = {"question": "is it?", "answers": ten, "ocr_tokens": ["stop", "go"]}
    put("textvqa", {"data": [{"image_id": "a", **ask}, {"image_id": "b", **ask}]}, two)
    turn = {"question": 0, "answer": 1, "answer_options": [0, 1, 2], "gt_index": 1}
    dialogs = [{"image_id": 5, "caption": "a dog", "dialog": [turn, turn]}]
    data = {"data": {"dialogs": dialogs, "questions": ["is it red"], "answers": ["no", "yes", "one"]}}
    put("visdial", data, ["VisualDialog_val2018_000000000005.jpg"])
    put("hateful_memes", [{"img": n, "text": "a cat", "label": i} for i, n in enumerate(two)], two, ".jsonl")
    put("vizwiz", [{"image": n, "question": "what?", "answers": [{"answer": a} for a in ten]} for n in two], two)
    problem = {
        "question": "what?",
        "choices": ["one", "two"],
        "answer": 0,
        "hint": "",
        "image": "image.png",
        "split": "test",
    }
    put("scienceqa", {"3": problem, "4": dict(problem, image=None)}, ["test/3/image.png"])
    video = [f"v{v}/{index}.jpg" for v in range(2) for index in range(5)]
    rows = [
        {"video": "v0", "question": "what?", "answer": "cat"},
        {"video_id": "v1", "question": "who?", "answer": "man"},
    ]
    put("msvd", rows, video)
    put("msrvtt", rows, video)
    answers = {f"answer{number}": "cat" for number in range(1, 6)}
    put("ivqa", [{"video_id": f"v{v}", "question": "what?", **answers} for v in range(2)], video, ".csv")
    return made
