"""Retrieval that is learnt here: a small model is fine-tuned by the change's own programs on made scenes and photographs, and evaluated on
pictures that it has not seen.

A scene is a shape of one color at one of four places (48 in all) with two captions. The test set has one picture of each, with grounds
of its own, so that one guess finds 1 of 48. From random weights, through run_finetune_retrieval.py and run_eval_retrieval.py.

Photographs are the 18 that scikit-image, scikit-learn and matplotlib install; captions are ours. That is far too few to hold any out: training
sees windows of each, and the split "photographs" has one other window of each. One guess finds 1 of 18.
"""

import importlib.util
import json
import os
import sys

import numpy as np

from proving.record import arguments, write_metrics
from proving.tree import on_path

on_path("tests", "models")
on_path("paddlemix", "examples", "blip2")

PHOTOGRAPHS = {  # package and file: two captions
    "skimage/data/astronaut.png": ("a woman in an orange space suit", "an astronaut smiles before a flag"),
    "skimage/data/brick.png": ("a wall of bricks", "rows of bricks with gaps"),
    "skimage/data/camera.png": ("a man looks through a camera", "a photographer with a tripod on a lawn"),
    "skimage/data/chelsea.png": ("a cat looks into the camera", "the face of a ginger cat"),
    "skimage/data/clock_motion.png": ("a blurred clock", "a round clock that was moved"),
    "skimage/data/coffee.png": ("a cup of coffee on a table", "espresso with a spoon on a saucer"),
    "skimage/data/coins.png": ("many old coins", "coins in rows on a dark ground"),
    "skimage/data/grass.png": ("a lawn of grass", "blades of grass from above"),
    "skimage/data/gravel.png": ("gravel on the ground", "small stones from above"),
    "skimage/data/hubble_deep_field.jpg": ("many galaxies in the sky", "stars and galaxies in space"),
    "skimage/data/ihc.png": ("cells of a tissue in brown and blue", "tissue under a microscope"),
    "skimage/data/moon.png": ("craters of the moon", "the ground of the moon"),
    "skimage/data/motorcycle_left.png": ("a motorcycle in a garage", "a motorcycle that stands by shelves"),
    "skimage/data/retina.jpg": ("the retina of an eye", "an eye from the inside with vessels"),
    "skimage/data/rocket.jpg": ("a rocket on its launch pad", "a rocket that starts at night"),
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg": ("a woman in a dark uniform", "an officer with a hat and glasses"),
    "sklearn/datasets/images/china.jpg": ("a temple with a curved roof", "a temple behind trees"),
    "sklearn/datasets/images/flower.jpg": ("a flower with a dark middle", "petals of a flower"),
}


def photographs():
    """[(name, PIL image, captions)] of the installed packages."""
    from PIL import Image

    found = []
    for path, captions in PHOTOGRAPHS.items():
        package, _, rest = path.partition("/")
        folder = os.path.dirname(importlib.util.find_spec(package).origin)
        found.append((os.path.basename(path), Image.open(os.path.join(folder, rest)).convert("RGB"), captions))
    return found


def window(image, draw, size=72):
    """A square of 60 to 90 % of the shorter side, anywhere."""
    side = int(min(image.size) * draw.uniform(0.6, 0.9))
    left, top = (int(draw.integers(length - side + 1)) for length in image.size)
    return image.crop((left, top, left + side, top + side)).resize((size, size))


def vocabulary(folder):
    """vocab.txt with the words of scenes and photographs; the model has 200 places."""
    from test_blip2_retrieval_examples import SPECIAL, WORDS

    more = {word for captions in PHOTOGRAPHS.values() for text in captions for word in text.split()}
    with open(os.path.join(folder, "vocab.txt"), "w") as stream:
        stream.write("\n".join((*SPECIAL, *WORDS, *sorted(more - set(WORDS)))) + "\n")


def distinct(scene, first):
    """Seeds of one picture of each scene, from `first` on."""
    seen, made = set(), []
    while len(made) < 48:
        caption = scene(first)[1][0]
        if caption not in seen:
            seen.add(caption)
            made.append(first)
        first += 1
    return made


def write(folder, scene, train):
    os.makedirs(os.path.join(folder, "coco"))
    rows = []
    for split, seeds in (("test", distinct(scene, 10**6)), ("train", range(train))):
        for seed in seeds:
            image, captions = scene(seed)
            image.save(os.path.join(folder, "coco", f"{seed}.png"))
            rows.append({"filename": f"{seed}.png", "split": split, "sentences": [{"raw": text} for text in captions]})
    for number, (name, image, captions) in enumerate(photographs()):
        for split, windows in (("photographs", 1), ("train", train // 80)):
            for one in range(windows):
                part = window(image, np.random.default_rng([number, split == "train", one]))
                part.save(os.path.join(folder, "coco", f"{name}-{split}-{one}.png"))
                rows.append(
                    {"filename": f"{name}-{split}-{one}.png", "split": split, "sentences": [{"raw": text} for text in captions]}
                )
    with open(os.path.join(folder, "dataset_coco.json"), "w") as stream:
        json.dump({"images": rows}, stream)


def tune(args, work, start):
    """The trained model's folder with a checkpoint every `args.every` steps, and the losses; `start` gets the model trained from."""
    import paddle
    import run_finetune_retrieval
    from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval, retrieval_config

    paddle.seed(0)
    vision = {"img_size": 56, "patch_size": 14, "embed_dim": 64, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
    qformer = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 200}
    qformer.update(max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    Blip2ForImageTextRetrieval(retrieval_config(vision, qformer, num_query_tokens=4, embed_dim=32)).save_pretrained(start)
    vocabulary(start)
    out = os.path.join(work, "tuned")
    words = ["--model_name_or_path", start, *data(work)]
    words += ["--output_dir", out, "--device", "cpu", "--max_length", "14", "--epochs", "2", "--max_steps", str(args.steps)]
    words += ["--per_device_train_batch_size", str(args.size), "--learning_rate", args.rate, "--warmup_steps", "50"]
    words += ["--weight_decay", "0.05", "--lr_scheduler_type", "cosine", "--logging_steps", "10", "--save_steps", str(args.every)]
    words += ["--layer_decay", "1.0", "--smallest_crop", "1.0", "--flip", "false", "--disable_tqdm", "1", "--report_to", "none"]
    _, trainer = run_finetune_retrieval.main(words)
    return out, [row["loss"] for row in trainer.state.log_history if "loss" in row]


def data(work):
    """The options that name the made set."""
    return ["--annotations", os.path.join(work, "dataset_coco.json"), "--images", os.path.join(work, "coco")]


def evaluate(step, model, work, out, split):
    """Recall of one checkpoint, in percent."""
    import run_eval_retrieval

    vocabulary(model)
    folder = os.path.join(out, f"eval-{split}-{step}")
    words = ["--model", model, *data(work)]
    words += [
        "--output_dir",
        folder,
        "--device",
        "cpu",
        "--k_test",
        "16",
        "--max_length",
        "14",
        "--batch_size",
        "16",
        "--split",
        split,
    ]
    if run_eval_retrieval.main(words):
        sys.exit(f"the evaluation of step {step} failed")
    with open(os.path.join(folder, "results.json")) as stream:
        return json.load(stream)["recall"]


def main():
    def add(parser):
        parser.add_argument("--steps", type=int, default=600)
        parser.add_argument("--size", type=int, default=32)
        parser.add_argument("--every", type=int, default=150, help="steps between two evaluations")
        parser.add_argument("--rate", default="2e-3")

    args = arguments(add)
    from test_blip2_retrieval_examples import scene

    work = os.path.join(args.out, "work")
    write(work, scene, args.steps * args.size // 4)
    start = os.path.join(work, "start")
    tuned, losses = tune(args, work, start)
    metrics, curve = {}, []
    for step in range(0, args.steps + 1, args.every):
        model = os.path.join(tuned, f"checkpoint-{step}") if step else start
        curve.append({"step": step})
        for split, pictures in (("test", 48), ("photographs", len(PHOTOGRAPHS))):
            recall = curve[-1][split] = evaluate(step, model, work, args.out, split)
            if step == args.steps:
                for name, key in (("ITC", "itc"), ("ITC and ITM", "itm")):
                    for side in ("txt", "img"):
                        metrics[f"{split}.{key}.{side}_r1_over_chance"] = recall[name][side + "_r1"] / (100 / pictures)
    print(json.dumps(metrics, indent=1))
    with open(os.path.join(args.out, "learn.json"), "w") as stream:
        made = {"steps": args.steps, "chance_r1": {"test": 100 / 48, "photographs": 100 / len(PHOTOGRAPHS)}}
        json.dump({**made, **metrics, "loss_every_10_steps": losses, "evaluations": curve}, stream, indent=1)
    draw_curve(os.path.join(args.out, "learn.png"), losses, curve)
    write_metrics(args.out, metrics, curves={"loss": losses}, pictures=["learn.png"])


def draw_curve(path, losses, curve):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 3, figsize=(12, 3.6))
    places[0].plot(np.arange(1, len(losses) + 1) * 10, losses)
    places[0].set(title="loss, ITC and ITM", xlabel="step")
    steps = [row["step"] for row in curve]
    for place, split, pictures in ((places[1], "test", 48), (places[2], "photographs", len(PHOTOGRAPHS))):
        for name, style in (("ITC", "-"), ("ITC and ITM", "--")):
            for side, color, words in (("txt", "tab:blue", "caption of a picture"), ("img", "tab:orange", "picture of a caption")):
                place.plot(steps, [row[split][name][side + "_r1"] for row in curve], style, color=color, label=f"{words}, {name}")
        place.axhline(500 / pictures, color="gray", linewidth=0.8, label="5 times chance")
        place.set(title=f"R@1 in %, {'scenes' if split == 'test' else split}", xlabel="step", ylim=(0, 100))
    places[1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
