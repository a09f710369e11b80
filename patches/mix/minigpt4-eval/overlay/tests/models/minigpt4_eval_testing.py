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

"""Sets of made scenes in the formats that the evaluation sets publish, and a tiny MiniGPT-4. Nothing is downloaded."""

import json
import os

import numpy as np
from PIL import Image, ImageDraw

COLORS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}
SHAPES = ("disc", "box", "cross")
SIZE = 48


def draw(seed):
    """(picture, color, shape, box xywh): one shape of one color on gray."""
    random = np.random.default_rng(seed)
    color, shape = list(COLORS)[random.integers(4)], SHAPES[random.integers(3)]
    gray = int(random.integers(90, 160))
    image = Image.new("RGB", (SIZE, SIZE), (gray, gray, gray))
    pen = ImageDraw.Draw(image)
    x, y, r = int(random.integers(16, 32)), int(random.integers(16, 32)), int(random.integers(9, 14))
    if shape == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=COLORS[color])
    elif shape == "box":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=COLORS[color])
    else:
        pen.rectangle((x - r, y - 3, x + r, y + 3), fill=COLORS[color])
        pen.rectangle((x - 3, y - r, x + 3, y + r), fill=COLORS[color])
    return image, color, shape, [x - r, y - r, 2 * r, 2 * r]


def captions(color, shape):
    return [f"a {color} {shape}", f"there is a {color} {shape} on gray", f"a {shape} that is {color}"]


def write_sets(folder, number=8, first=0):
    """
    `number` pictures, and the annotation files of every task about them.

    Returns:
        {task: ([annotation files], folder of the pictures)}.
    """
    images = os.path.join(folder, "images")
    os.makedirs(images, exist_ok=True)
    karpathy, questions, notes, gqa, pope, boxes = [], [], [], {}, [], []
    for index in range(number):
        image, color, shape, box = draw(first + index)
        name = f"COCO_val2014_{index:012d}"
        image.save(os.path.join(images, name + ".jpg"), quality=95)
        sentences = [{"raw": text} for text in captions(color, shape)]
        karpathy.append({"filename": name + ".jpg", "split": "test", "cocoid": index, "sentences": sentences})
        other = list(COLORS)[(list(COLORS).index(color) + 1) % 4]
        asked = (
            ("what color is it?", color, other),
            ("is it " + color + "?", "yes", "no"),
            ("what shape?", shape, shape),
        )
        for place, (question, answer, rare) in enumerate(asked):
            ten = [answer] * 7 + [rare] * 3
            key = 10 * index + place
            questions.append({"image_id": index, "question": question, "question_id": key})
            kind = "yes/no" if answer == "yes" else "other"
            note = {"question_id": key, "image_id": index, "answer_type": kind, "multiple_choice_answer": answer}
            note["answers"] = [{"answer": one, "answer_id": i + 1} for i, one in enumerate(ten)]
            notes.append(note)
        types = {"structural": "query"}
        gqa[f"{index:08d}"] = {"imageId": name, "question": "What color?", "answer": color, "types": types}
        for word, label in ((color, "yes"), (other, "no")):
            key = len(pope) + 1
            text = f"Is there a {word} {shape} in the image?"
            pope.append({"question_id": key, "image": name + ".jpg", "text": text, "label": label})
        boxes.append({"img_id": name, "sents": [f"the {shape}"], "bbox": box, "width": SIZE, "height": SIZE})
    files = {
        "dataset_coco.json": {"dataset": "coco", "images": karpathy},
        "questions.json": {"data_type": "mscoco", "data_subtype": "val2014", "questions": questions},
        "annotations.json": {"data_subtype": "val2014", "annotations": notes},
        "testdev_balanced_questions.json": gqa,
        "refcoco_testA.json": boxes,
    }
    for name, value in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            json.dump(value, stream)
    with open(os.path.join(folder, "coco_pope_random.json"), "w", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in pope))
    path = {name: os.path.join(folder, name) for name in [*files, "coco_pope_random.json"]}
    vqa = [path["questions.json"], path["annotations.json"]]
    return {
        "caption": ([path["dataset_coco.json"]], images),
        "vqa": (vqa, images),
        "okvqa": (vqa, images),
        "gqa": ([path["testdev_balanced_questions.json"]], images),
        "retrieval": ([path["dataset_coco.json"]], images),
        "pope": ([path["coco_pope_random.json"]], images),
        "refcoco": ([path["refcoco_testA.json"]], images),
    }


def words(sets, output, **options):
    """The command line for all tasks of `sets`."""
    made = ["--task", ",".join(sets), "--output_dir", output, "--annotations"]
    made += [f"{task}={','.join(files)}" for task, (files, _) in sets.items()]
    made += ["--images", *(f"{task}={images}" for task, (_, images) in sets.items())]
    for name, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        made += ["--" + name, *map(str, values)]
    return made


def tokenizer(folder):
    """A LlamaTokenizer of pieces that are learnt from the prompts and the scenes' words."""
    import sentencepiece
    from paddlenlp.transformers import LlamaTokenizer

    os.makedirs(folder, exist_ok=True)
    text, prefix = os.path.join(folder, "text.txt"), os.path.join(folder, "sentencepiece.bpe")
    lines = [caption for color in COLORS for shape in SHAPES for caption in captions(color, shape)]
    lines += [f"Is there a {color} {shape} in the image? Answer yes or no." for color in COLORS for shape in SHAPES]
    lines += [
        "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you."
    ]
    lines += [
        "Please answer my questions.###Human: <Img></Img> Describe this image in one short sentence.###Assistant: yes no"
    ]
    lines += [
        "Question: what color is it? Short answer: A short image caption. Based on the image, respond to this question"
    ]
    lines += [" ".join(chr(code) for code in range(33, 127))]
    with open(text, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines))
    sentencepiece.SentencePieceTrainer.train(
        input=text,
        model_prefix=prefix,
        vocab_size=400,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
    )
    return LlamaTokenizer(prefix + ".model")


def minigpt4(folder, seed=0, spread=0.15, hidden=32, layers=2):
    """
    A MiniGPT-4 of the suite with seeded weights, saved with its processor in `folder`; needs PaddleMIX's own models.

    Args:
        spread: standard deviation of the weights; wide enough for answers to depend on picture and question.
    """
    import paddle
    from paddlemix.models.minigpt4 import MiniGPT4Config, MiniGPT4ForConditionalGeneration
    from paddlemix.processors import MiniGPT4ImageProcessor, MiniGPT4Processor

    words = tokenizer(os.path.join(folder, "..", os.path.basename(folder) + "_pieces"))
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
    }
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = MiniGPT4Config(
        vision_config={"image_size": SIZE, "patch_size": 8, "initializer_range": 0.02, **sizes},
        qformer_config={"vocab_size": 32, "cross_attention_frequency": 1, **no_dropout, **sizes},
        text_config={"vocab_size": len(words), "max_position_embeddings": 512, **sizes},
        num_query_tokens=4,
    )
    paddle.seed(seed)
    model = MiniGPT4ForConditionalGeneration(config)
    random = np.random.default_rng(seed)
    for name, value in model.named_parameters():
        noise = spread * random.standard_normal(value.shape)
        value.set_value((noise + value.numpy() * ("norm" in name.lower())).astype("float32"))
    model.eval()
    model.save_pretrained(folder, save_function=paddle.save)  # ppdiffusers, once imported, makes the default None
    MiniGPT4Processor(MiniGPT4ImageProcessor(size={"height": SIZE, "width": SIZE}), words).save_pretrained(folder)
    return model
