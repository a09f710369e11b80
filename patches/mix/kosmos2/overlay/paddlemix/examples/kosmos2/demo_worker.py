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
The model's process of gradio_demo.py: requests and answers are lines of JSON on its input and output.

    {"image": path, "task": ..., "text": ..., "box": [...], "folder": directory} -> {"text", "markup", "entities", "picture"}
    {"image": path, "entities": [...], "chosen": number, "folder": directory} -> {"picture"}

What is wrong with a request is answered as {"error": sentence}.
"""

import argparse
import json
import os
import sys
import tempfile

from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_processing import Kosmos2Processor
from paddlemix.processors.pictures import upright_rgb
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from grounding import answer, draw_entities, prompt  # noqa: E402

MOST_PIXELS = 36_000_000


def picture_of(path):
    with Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(
                f"the image has {image.width * image.height / 1e6:.1f} megapixels, at most {MOST_PIXELS / 1e6:.0f} are taken"
            )
    return upright_rgb(path, background=None)


def drawn(image, entities, chosen, font, folder):
    path = os.path.join(tempfile.mkdtemp(dir=folder), "boxes.png")
    draw_entities(image, entities, font, chosen).save(path)
    return path


def serve(model, processor, request, font=None):
    """The answer to one request."""
    image = picture_of(request["image"])
    if "entities" in request:
        return {"picture": drawn(image, request["entities"], request["chosen"], font, request["folder"])}
    words = prompt(request["task"], request.get("text", ""), request.get("box"), processor.tokenizer.side)
    markup, text, entities = answer(model, processor, image, words)
    found = [[phrase, list(span), [list(box) for box in boxes]] for phrase, span, boxes in entities]
    return {
        "text": text,
        "markup": markup,
        "entities": found,
        "picture": drawn(image, found, None, font, request["folder"]),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description="The model's process of gradio_demo.py.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--font")
    args = parser.parse_args(argv)
    # what libraries print must not stand among the answers
    out, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    processor = Kosmos2Processor.from_pretrained(args.model)
    model = Kosmos2ForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    model.eval()
    for line in sys.stdin:
        try:
            made = serve(model, processor, json.loads(line), args.font)
        except (ValueError, TypeError, OSError, Image.DecompressionBombError) as error:
            made = {"error": str(error)}
        out.write(json.dumps(made) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
