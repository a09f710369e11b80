"""How long `run_eval.py` takes for 100,000 answers: VQAv2's format, ten answers a question, every step from the files to the report."""

import json
import os
import resource
import time

import numpy as np

from proving.record import arguments, write_metrics
from proving.tree import on_path

on_path("paddlemix", "examples", "minigpt4")
import run_eval  # noqa: E402

WORDS = "yes no red green blue 2 3 a cat the dog two dogs don't know left right, on table man's umbrella t-shirt 10:30 white/black".split()


def main():
    args = arguments(lambda parser: parser.add_argument("--rows", type=int, default=100000))
    draw, folder = np.random.default_rng(0), args.out
    common = [" ".join(draw.choice(WORDS, draw.integers(1, 4))) for _ in range(3000)]
    weights = 1 / np.arange(1, 3001)
    picked = draw.choice(3000, [args.rows, 4], p=weights / weights.sum())
    questions, notes, answers = [], [], []
    for index, four in enumerate(picked):
        said = [common[four[0]]] * 6 + [common[four[1]]] * 3 + [common[four[2]]]
        questions.append({"question_id": index, "image_id": index // 5, "question": "what is it?"})
        notes.append({"question_id": index, "answers": [{"answer": one} for one in said], "answer_type": "other"})
        answers.append({"question_id": index, "answer": f"The answer is {common[four[index % 2 * 3]]}."})
    files = {
        "questions": {"questions": questions, "data_subtype": "val2014"},
        "annotations": {"annotations": notes},
        "answers": answers,
    }
    path = {name: os.path.join(folder, name + ".json") for name in files}
    for name, value in files.items():
        with open(path[name], "w") as stream:
            json.dump(value, stream)
    words = ["--task", "vqa", "--annotations", f"{path['questions']},{path['annotations']}", "--images", folder]
    start, cpu = time.perf_counter(), time.process_time()
    code = run_eval.main([*words, "--answers", path["answers"], "--output_dir", os.path.join(folder, "out")])
    metrics = {"rows": args.rows, "exit_status": code, "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    metrics["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name in path.values():
        os.remove(name)
    write_metrics(args.out, metrics)
    print(metrics)


if __name__ == "__main__":
    main()
