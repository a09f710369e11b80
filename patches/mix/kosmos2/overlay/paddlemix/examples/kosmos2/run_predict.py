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
"""
Kosmos-2 on one image: a text, what it points at, and a picture with the boxes.

    python paddlemix/examples/kosmos2/run_predict.py --model output/kosmos-2 --image snowman.jpg --task caption --out snowman_boxes.png
    python paddlemix/examples/kosmos2/run_predict.py --model output/kosmos-2 --image snowman.jpg --task grounding --text "a snowman"
    python paddlemix/examples/kosmos2/run_predict.py --model output/kosmos-2 --image snowman.jpg --task referring --box 0.4 0.05 1 0.8
    python paddlemix/examples/kosmos2/run_predict.py --model output/kosmos-2 --image snowman.jpg --task vqa --text "What is it?"
"""

import argparse
import json
import os
import sys

import paddle
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_processing import Kosmos2Processor
from paddlemix.processors.pictures import upright_rgb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from grounding import TASKS, answer, draw_entities, prompt  # noqa: E402


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Kosmos-2 on one image.")
    parser.add_argument("--model", required=True, help="directory of converted or trained weights, with the processor")
    parser.add_argument("--image", required=True, help="path or address of the image")
    parser.add_argument("--task", default="caption", choices=TASKS)
    parser.add_argument("--text", default="", help="phrase, question, or the whole prompt of the task 'text'")
    parser.add_argument(
        "--box", type=float, nargs=4, help="x1 y1 x2 y2 as shares of width and height, for 'referring'"
    )
    parser.add_argument("--num_beams", type=int, default=1)
    parser.add_argument("--max_new_tokens", type=int, default=64)
    parser.add_argument("--do_sample", action="store_true", help="nucleus sampling")
    parser.add_argument("--top_p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--font", help="file of a font, for letters that Pillow's own lacks")
    parser.add_argument("--out", help="picture to write")
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    paddle.seed(args.seed)
    processor = Kosmos2Processor.from_pretrained(args.model)
    words = prompt(args.task, args.text, args.box, processor.tokenizer.side)
    image = upright_rgb(args.image, background=None)
    model = Kosmos2ForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    model.eval()
    search = {"do_sample": True, "top_p": args.top_p} if args.do_sample else {"num_beams": args.num_beams}
    text, clean, entities = answer(model, processor, image, words, max_new_tokens=args.max_new_tokens, **search)
    made = {"text": clean, "markup": text}
    made["entities"] = [{"phrase": phrase, "span": span, "boxes": boxes} for phrase, span, boxes in entities]
    print(json.dumps(made, ensure_ascii=False, indent=1))
    if args.out:
        draw_entities(image, entities, args.font).save(args.out)
    return made


if __name__ == "__main__":
    main()
