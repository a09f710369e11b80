"""Makes bge_shapes.npz and bge_shapes.json: BGE v1.5, English and Chinese, at its real sizes, in transformers.

    PYTHONPATH=ci python patches/nlp/retromae/reference/make_bge_shapes.py

Needs torch, transformers and numpy. The weights are seeded from their names (ci/proving/seeding.py), the vocabulary is made of the
texts below, so that nothing has to be downloaded. Stored: token ids of the texts, and [CLS] embeddings of unit length of the texts and,
but for large, of one row of 512 random tokens, which uses every position and the whole vocabulary.
"""

import json
import os
import tempfile

import numpy as np
import torch
import transformers

from proving.seeding import seeded

FOLDER = os.path.dirname(os.path.abspath(__file__))
ENGLISH = [
    "Represent this sentence for searching relevant passages: what is a panda?",
    "The giant panda is a bear species endemic to China; it's mostly eating bamboo (99%).",
    "Café déjà-vu, naïve UPPER case -- e-mail: a.b@c.org, 3.14159 and 1,024",
    "unbelievable tokenization of pandas' words",
]
CHINESE = [
    "为这个句子生成表示以用于检索相关文章：大熊猫吃什么？",
    "大熊猫是中国特有的哺乳动物，主要以竹子为食，每天要吃12—38公斤。",
    "模型BGE-small-zh v1.5的向量维度是512（需要归一化）。",
    "“引号”、《书名》……𠮷野家 ok 🐼 全角ＡＢＣ１２３",
]
# Characters and pieces; what is missing (a rare character, the picture of a panda) becomes [UNK].
PIECES = "what is a panda the giant bear species china it s mostly eating cafe deja vu naive case mail org and of words un pandas bge small zh ok"
SUFFIXES = "##believ ##able token ##ization ##s ##as 12 38 99 ##14 ##159 ##24 512 v1 represent this sentence for searching relevant passages"
MISSING = "𠮷🐼哺"
SIZES = {  # hidden size, layers, heads; the inner size is four times the hidden one
    "bge-small-en": (384, 12, 12, 30522),
    "bge-small-zh": (512, 4, 8, 21128),
    "bge-base-en": (768, 12, 12, 30522),
    "bge-base-zh": (768, 12, 12, 21128),
    "bge-large-en": (1024, 24, 16, 30522),
    "bge-large-zh": (1024, 24, 16, 21128),
}


def vocabulary():
    characters = sorted({c for text in ENGLISH + CHINESE for c in text.lower() if not c.isspace() and c not in MISSING})
    pieces = PIECES.split() + SUFFIXES.split() + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(dict.fromkeys(pieces + characters))


def tokenized(words, texts):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.txt")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("\n".join(words) + "\n")
        tokenizer = transformers.BertTokenizer(path)
        return [tokenizer(text)["input_ids"] for text in texts]


def kind(name):
    if "LayerNorm" in name:
        return "norm_weight" if name.endswith("weight") else "norm_bias"
    return "bias" if name.endswith("bias") else "embedding" if "embeddings" in name else "linear"


def embeddings(model, ids, mask):
    with torch.no_grad():
        hidden = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
    return torch.nn.functional.normalize(hidden[:, 0], dim=-1).numpy()


def main():
    words = vocabulary()
    rows = tokenized(words, ENGLISH + CHINESE)
    ids = np.zeros([len(rows), max(map(len, rows))], dtype="int64")
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    mask = (np.arange(ids.shape[1]) < np.array([[len(row)] for row in rows])).astype("int64")
    stored, report = {"ids": ids, "mask": mask}, {}
    for name, (size, layers, heads, count) in SIZES.items():
        settings = dict(
            vocab_size=count, hidden_size=size, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * size
        )
        model = transformers.BertModel(transformers.BertConfig(**settings, attn_implementation="eager")).eval()
        state = {key: seeded(key, value.shape, kind(key)) for key, value in model.state_dict().items() if "_ids" not in key}
        model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
        whole = np.concatenate([[2], seeded("ids", (510,), "int:5:%d" % count), [3]])[None]
        report[name] = dict(config=settings, parameters=sum(value.size for value in state.values()))
        stored[name + ".texts"] = embeddings(model, ids, mask)
        if "large" not in name:
            stored[name + ".whole"] = embeddings(model, whole, np.ones_like(whole))
        if "small" in name:  # what float32 itself loses
            exact = embeddings(model.double(), ids, mask)
            report[name]["fp32_fp64"] = float(np.abs(exact - stored[name + ".texts"]).max())
        print(name, report[name], flush=True)
    np.savez_compressed(os.path.join(FOLDER, "bge_shapes.npz"), **stored)
    with open(os.path.join(FOLDER, "bge_shapes.json"), "w", encoding="utf-8") as stream:
        made = dict(torch=torch.__version__, transformers=transformers.__version__)
        json.dump(
            dict(made_with=made, vocabulary=words, english=ENGLISH, chinese=CHINESE, models=report),
            stream,
            ensure_ascii=False,
            indent=1,
        )
        stream.write("\n")


if __name__ == "__main__":
    main()
