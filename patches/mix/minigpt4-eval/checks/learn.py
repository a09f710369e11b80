"""Evaluation of a MiniGPT-4 that has learnt something, from end to end on made pictures.

A picture holds one shape of one color. A tiny MiniGPT-4 of the suite is trained from random weights (all parts) to caption
pictures, to name their color and shape, and to say whether something is in them; then `run_eval.py` evaluates it on other pictures in the published
formats, beside an untrained one. What is judged: the figures stand above the controls, the untrained model's do not.
"""

import json
import os

import numpy as np
import paddle

from proving.record import arguments, write_metrics
from proving.tree import on_path

on_path("tests", "models")
on_path("paddlemix", "examples", "minigpt4")


def batches(folder, steps, size, scenes=1500, first=100000):
    """(pictures, instruction, answers): one instruction a batch, so that no prompt is padded."""
    import minigpt4_eval_testing as tiny
    from zeroshot.prompts import PROMPTS

    drawn = [tiny.draw(first + index) for index in range(scenes)]
    draw = np.random.default_rng(0)
    color, shape = (np.array([one[place] for one in drawn]) for place in (1, 2))
    for step in range(steps):
        kind = ("sentence", "question", "sentence", "pope")[step % 4]
        chosen = draw.choice(scenes, size, replace=False)
        if kind == "sentence":
            text = PROMPTS["caption"]["sentence@1"]
            answers = [tiny.captions(*drawn[index][1:3])[0] for index in chosen]
        elif kind == "question":
            word = draw.choice(list(tiny.COLORS))
            if step % 12 == 1:  # as many that are of the color as that are not
                alike, other = np.flatnonzero(color == word), np.flatnonzero(color != word)
                chosen = np.concatenate([draw.choice(alike, size // 2), draw.choice(other, size - size // 2)])
            question, answers = (
                (f"is it {word}?", ["yes" if color[index] == word else "no" for index in chosen]),
                ("what color is it?", color[chosen]),
                ("what shape?", shape[chosen]),
            )[step % 12 // 4]
            text = PROMPTS["vqa"]["short@1"].replace("{question}", question)
        else:
            word, what = draw.choice(list(tiny.COLORS)), draw.choice(tiny.SHAPES)
            alike = np.flatnonzero((color == word) & (shape == what))
            other = np.flatnonzero((color != word) & (shape == what))
            chosen = np.concatenate([draw.choice(alike, size // 2), draw.choice(other, size - size // 2)])
            text = PROMPTS["pope"]["yesno@1"].replace("{question}", f"Is there a {word} {what} in the image?")
            answers = ["yes" if color[index] == word else "no" for index in chosen]
        yield [drawn[index][0] for index in chosen], text, [str(answer) for answer in answers]


def next_token_loss(logits, labels):
    """Mean over the labels [N, L] (-100: none) at the end of the logits [N, P + L, V], each from the position before it.

    The model's own loss takes each label from its own position: PaddleNLP's Llama leaves the shift to the data, and the model does not shift.
    """
    length = labels.shape[1]
    logits = logits[:, -length - 1 : -1]
    known = (labels != -100).astype("float32")
    picked = paddle.take_along_axis(logits, labels.clip(min=0).unsqueeze(2), 2).squeeze(2)
    return ((paddle.logsumexp(logits, axis=2) - picked) * known).sum() / known.sum()


def train(folder, steps, size, rate):
    """A trained model in `folder`; returns its losses."""
    import minigpt4_eval_testing as tiny
    from paddlemix.processors import MiniGPT4Processor
    from zeroshot.prompts import FRAME

    model = tiny.minigpt4(folder, spread=0.06, hidden=48)
    processor = MiniGPT4Processor.from_pretrained(folder)
    model.train()
    plan = paddle.optimizer.lr.LinearWarmup(paddle.optimizer.lr.CosineAnnealingDecay(rate, steps), 40, 0.0, rate)
    clip = paddle.nn.ClipGradByGlobalNorm(1.0)
    optimizer = paddle.optimizer.AdamW(plan, parameters=model.parameters(), weight_decay=0.01, grad_clip=clip)
    losses = []
    for images, text, answers in batches(folder, steps, size):
        inputs = processor(images=images, text=text, prompt=FRAME.format("<TextHere>"))
        inputs.update(processor.process_target_texts(answers))
        loss = next_token_loss(model(**inputs, return_dict=True).logits, inputs["masked_labels"])
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        plan.step()
        losses.append(float(loss))
        if len(losses) % 50 == 0:
            print(len(losses), np.mean(losses[-50:]), flush=True)
    model.eval()
    model.save_pretrained(folder, save_function=paddle.save)
    return losses


def evaluate(name, sets, out, work):
    """The figures of one model's run: the lower end of each system's interval, and the controls that were not inside theirs."""
    import minigpt4_eval_testing as tiny
    import run_eval
    from zeroshot.prompts import DEFAULTS

    prompts = ["caption=sentence,short", "pope=yesno"]
    parsers = ["caption=all", "pope=all", "retrieval=all", "vqa=short,by_question"]
    words = tiny.words(sets, out, model=os.path.join(work, name), max_new_tokens=16, batch_size=40, outside="report")
    if run_eval.main([*words, "--prompt", *prompts, "--parser", *parsers]):
        raise SystemExit(f"the run of the {name} model failed")
    with open(os.path.join(out, "results.json")) as stream:
        tasks = json.load(stream)["tasks"]
    metrics = {}
    for task, by_prompt in tasks.items():
        prompt, parser = DEFAULTS[task]
        for system, made in by_prompt[prompt][parser]["systems"].items():
            metrics[f"{name}.{task}.{system}"] = made["interval"][0]
    metrics[f"{name}.outside"] = sum(e["verdict"] != "inside" for p in tasks.values() for q in p.values() for e in q.values())
    return metrics


def main():
    def add(parser):
        parser.add_argument("--steps", type=int, default=480)
        parser.add_argument("--size", type=int, default=16)
        parser.add_argument("--rate", type=float, default=3e-3)
        parser.add_argument("--test", type=int, default=20, help="pictures of the evaluation")

    args = arguments(add)
    import minigpt4_eval_testing as tiny
    import run_eval

    work = os.path.join(args.out, "work")
    os.makedirs(work)
    sets = tiny.write_sets(work, args.test)
    sets = {task: sets[task] for task in ("caption", "vqa", "gqa", "pope", "retrieval")}
    losses = train(os.path.join(work, "trained"), args.steps, args.size, args.rate)
    tiny.minigpt4(os.path.join(work, "untrained"), seed=1, spread=0.06, hidden=48)
    metrics = {}
    for name in ("trained", "untrained"):
        metrics.update(evaluate(name, sets, os.path.join(args.out, name), work))
    if run_eval.main(["compare", os.path.join(args.out, "trained"), os.path.join(args.out, "untrained")]):
        raise SystemExit("the comparison failed")
    for task in sets:
        above = max(metrics[f"trained.{task}.{system}"] for system in ("random", "blind", "constant"))
        metrics[f"{task}_over_controls"] = metrics[f"trained.{task}.model"] - above
    write_metrics(args.out, metrics, curves={"loss": losses})
    print(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    main()
