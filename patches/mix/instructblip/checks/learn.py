"""Instruction tuning that learns, and zero-shot style evaluation that measures it, from end to end on made pictures.

A picture holds one shape of one color. Two questions are asked of it, for the color and for the shape, so that the answer needs the
instruction as well as the image. The tiny model is trained from random weights by the example's own Trainer (all parts), then
`run_eval.py` answers about pictures that were not in training, by generation (exact match, GQA's format) and by ranking (VSR's).
`demo.png` shows what `run_predict.py` says about four of these pictures, laid out like the article's figure 5.
"""

import json
import os

import numpy as np
import paddle
from PIL import Image, ImageDraw

from proving.record import arguments, write_metrics
from proving.tree import on_path

HERE = os.getcwd()
on_path("tests", "models")
on_path("paddlemix", "examples", "instructblip")
COLORS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}
SHAPES = ("disc", "box", "cross")
QUESTIONS = {"color": "what color?", "shape": "what shape?"}


def draw(seed):
    """(picture, color, shape)."""
    random = np.random.default_rng(seed)
    color, shape = list(COLORS)[random.integers(4)], SHAPES[random.integers(3)]
    gray = int(random.integers(90, 160))
    image = Image.new("RGB", (56, 56), (gray, gray, gray))
    pen = ImageDraw.Draw(image)
    x, y, r = (int(random.integers(*limits)) for limits in ((18, 38), (18, 38), (11, 17)))
    fill = tuple(int(np.clip(c + random.integers(-25, 26), 0, 255)) for c in COLORS[color])
    if shape == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif shape == "box":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=fill)
    else:
        pen.rectangle((x - r, y - 3, x + r, y + 3), fill=fill)
        pen.rectangle((x - 3, y - r, x + 3, y + r), fill=fill)
    return image, color, shape


def files(folder, train, test):
    os.makedirs(os.path.join(folder, "images"))
    rows, gqa, vsr, answers = [], {}, [], []
    for index in range(train + test):
        image, color, shape = draw(index)
        name = f"{index:05d}"
        image.save(os.path.join(folder, "images", name + ".jpg"), quality=95)
        for key, answer in (("color", color), ("shape", shape)):
            if index < train:
                text = f"Question: {QUESTIONS[key]} Short answer:"
                rows.append({"image": f"images/{name}.jpg", "instruction": text, "answer": answer})
            else:
                gqa[f"{index}{key}"] = {"imageId": name, "question": QUESTIONS[key], "answer": answer}
                answers.append(answer)
        statement = f"it is {color if index % 2 else list(COLORS)[(list(COLORS).index(color) + 1) % 4]}"
        if index < train:
            text = f'Based on the image, is this statement true or false? "{statement}" Answer:'
            rows.append({"image": f"images/{name}.jpg", "instruction": text, "answer": "true" if index % 2 else "false"})
        else:
            vsr.append({"image": name + ".jpg", "caption": statement, "label": index % 2})
    with open(os.path.join(folder, "train.jsonl"), "w") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows))
    with open(os.path.join(folder, "gqa.json"), "w") as stream:
        json.dump(gqa, stream)
    with open(os.path.join(folder, "vsr.jsonl"), "w") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in vsr))
    half = {key: [a for a in answers if (a in COLORS) == (key == "color")] for key in QUESTIONS}
    return float(np.mean([max(map(each.count, set(each))) / len(each) for each in half.values()]))


def start(folder, seed):
    import instructblip_testing as tiny
    from paddlemix.models.instructblip.configuration import InstructBlipConfig
    from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration

    processor = tiny.processor(os.path.join(folder, "files"), "opt")
    size = len(processor.tokenizer)
    paddle.seed(seed)
    text = {"model_type": "opt", "vocab_size": size, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text.update(intermediate_size=128, word_embed_proj_dim=64, hidden_dropout_prob=0.0, max_position_embeddings=256)
    qformer = {"vocab_size": 80, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    qformer.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, cross_attention_frequency=1)
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision.update(image_size=28, patch_size=7, initializer_range=0.02)
    config = InstructBlipConfig(vision, qformer, text, num_query_tokens=tiny.QUERIES, image_token_index=processor.image_token_id)
    model = InstructBlipForConditionalGeneration(config)
    model.query_tokens.set_value(paddle.normal(0.0, 0.02, model.query_tokens.shape))
    target = os.path.join(folder, "start")
    model.save_pretrained(target)
    processor.save_pretrained(target)
    return target


def demo(model, folder, first, file):
    """Answers of `run_predict.py` about four pictures: instruction and answer by beams, and by nucleus sampling."""
    import matplotlib.pyplot as plt
    import run_predict

    prompts = [f"Question: {question} Short answer:" for question in QUESTIONS.values()]
    prompts.append('Based on the image, is this statement true or false? "it is red" Answer:')
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.6))
    said = []
    for index, axis in zip(range(first, first + 4), axes):
        path, lines = os.path.join(folder, "images", f"{index:05d}.jpg"), []
        for prompt in prompts:
            words = ["--model", model, "--image", path, "--prompt", prompt, "--max_new_tokens", "10"]
            beams = run_predict.main([*words, "--repetition_penalty", "1.0"])
            nucleus = run_predict.main([*words, "--repetition_penalty", "1.0", "--do_sample", "--top_p", "0.9"])
            said.append({"picture": index, "shown": draw(index)[1:], "prompt": prompt, "beams": beams, "nucleus": nucleus})
            lines.append(f"{prompt}\n  beams: {beams}   nucleus: {nucleus}")
        axis.imshow(Image.open(path))
        axis.set_axis_off()
        text = "\n".join(lines).replace("true or false? ", "true or false?\n")
        axis.text(0, -0.05, text, transform=axis.transAxes, va="top", fontsize=8)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.98, bottom=0.36)
    figure.savefig(file, dpi=70)
    return said


def figures(model, folder):
    """Accuracy on both test sets, in [0, 1]."""
    import run_eval

    made = {}
    for name, file in (("gqa", "gqa.json"), ("vsr", "vsr.jsonl")):
        words = ["--model", model, "--dataset", name, "--annotations", os.path.join(folder, file)]
        words += ["--images", os.path.join(folder, "images"), "--batch_size", "40"]
        made[name] = run_eval.main(words)["accuracy"] / 100
    return made


def main():
    def add(parser):
        parser.add_argument("--steps", type=int, default=500)
        parser.add_argument("--test", type=int, default=60)

    args = arguments(add)
    folder = os.path.join(args.out, "work")
    majority = files(folder, 1500, args.test)
    path = start(folder, 0)
    import run_finetune

    before = figures(path, folder)
    out = os.path.join(folder, "tuned")
    words = ["--model_name_or_path", path, "--train_file", os.path.join(folder, "train.jsonl"), "--output_dir", out]
    words += ["--max_steps", str(args.steps), "--per_device_train_batch_size", "32", "--learning_rate", "2e-3"]
    words += ["--warmup_steps", "50", "--lr_scheduler_type", "cosine", "--logging_steps", "10", "--save_steps", "100000"]
    words += ["--disable_tqdm", "1", "--device", "cpu", "--train_vision", "1", "--train_language", "1", "--max_grad_norm", "1.0"]
    _, trainer = run_finetune.main(words)
    after = figures(out, folder)
    metrics = {
        "gqa_before": before["gqa"],
        "gqa_after": after["gqa"],
        "gqa_majority": majority,
        "gqa_over_majority": after["gqa"] / majority,
        "vsr_before": before["vsr"],
        "vsr_after": after["vsr"],
    }
    said = demo(out, folder, 1500, os.path.join(args.out, "demo.png"))
    with open(os.path.join(args.out, "demo.json"), "w") as stream:
        json.dump(said, stream, indent=1)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    write_metrics(args.out, metrics, curves={"loss": losses})
    print(metrics, losses[::5])


if __name__ == "__main__":
    main()
