"""Retrieval that is learnt here: a small model is fine-tuned by the change's own programs on made scenes, and evaluated on scenes that it has not seen.

A scene is a shape of one color at one of four places (48 in all) with two captions. The test set has one picture of each, with grounds
of its own, so that one guess finds 1 of 48. From random weights, through run_finetune_retrieval.py and run_eval_retrieval.py.
"""

import json
import os
import sys

from proving.record import arguments, write_metrics
from proving.tree import on_path

on_path("tests", "models")
on_path("paddlemix", "examples", "blip2")


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
    with open(os.path.join(folder, "dataset_coco.json"), "w") as stream:
        json.dump({"images": rows}, stream)


def tune(args, work, start):
    """The trained model's folder with a checkpoint every `args.every` steps, and the losses; `start` gets the model trained from."""
    import paddle
    import run_finetune_retrieval
    from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval, retrieval_config
    from test_blip2_retrieval_examples import write_vocabulary

    paddle.seed(0)
    vision = {"img_size": 56, "patch_size": 14, "embed_dim": 64, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
    qformer = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 40}
    qformer.update(max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    Blip2ForImageTextRetrieval(retrieval_config(vision, qformer, num_query_tokens=4, embed_dim=32)).save_pretrained(start)
    write_vocabulary(start)
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


def evaluate(step, model, work, out):
    """Recall of one checkpoint, in percent."""
    import run_eval_retrieval
    from test_blip2_retrieval_examples import write_vocabulary

    write_vocabulary(model)
    folder = os.path.join(out, f"eval-{step}")
    words = ["--model", model, *data(work)]
    words += ["--output_dir", folder, "--device", "cpu", "--k_test", "16", "--max_length", "14", "--batch_size", "16"]
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
        recall = evaluate(step, model, work, args.out)
        curve.append({"step": step, **recall})
        for name, key in (("ITC", "itc"), ("ITC and ITM", "itm")):
            for side in ("txt", "img"):
                metrics[f"{key}.{side}_r1.{step}"] = recall[name][side + "_r1"]
    for key in ("itc", "itm"):
        for side in ("txt", "img"):
            metrics[f"{key}.{side}_r1_over_chance"] = metrics[f"{key}.{side}_r1.{args.steps}"] / (100 / 48)
    print(json.dumps(metrics, indent=1))
    with open(os.path.join(args.out, "curve.json"), "w") as stream:
        json.dump({"loss_every_10_steps": losses, "evaluations": curve}, stream, indent=1)
    write_metrics(args.out, metrics, curves={"loss": losses})


if __name__ == "__main__":
    main()
