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
Export the two towers of BLIP-2 retrieval as static programs.

    python paddlemix/examples/blip2/export_retrieval.py --model output/blip2-coco --out output/blip2-coco_static

OUT/image: pixel_values [N, 3, S, S] -> features [N, queries, D]; OUT/text: input_ids, attention_mask [N, L] -> features [N, D]. N is dynamic, S is
the model's image size, L is --max_length. The similarity is the largest dot product over the queries.
"""

import argparse
import os
import sys

import paddle
from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval


class ImageTower(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.image_features(self.model.image_embeds(pixel_values))

    def input_spec(self, max_length=None):
        size = self.model.config.vision_config.img_size
        return [paddle.static.InputSpec([None, 3, size, size], "float32", "pixel_values")]


class TextTower(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model.text_features(input_ids, attention_mask)

    def input_spec(self, max_length=35):
        return [paddle.static.InputSpec([None, max_length], "int64", name) for name in ("input_ids", "attention_mask")]


TOWERS = {"image": ImageTower, "text": TextTower}


def main(argv=None):
    parser = argparse.ArgumentParser(description="Export the towers of BLIP-2 retrieval.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--max_length", type=int, default=35)
    args = parser.parse_args(argv)
    try:
        model = Blip2ForImageTextRetrieval.from_pretrained(args.model)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, kind in TOWERS.items():
        part = kind(model)
        part.eval()
        static = paddle.jit.to_static(part, input_spec=part.input_spec(args.max_length))
        paddle.jit.save(static, os.path.join(args.out, name))
        print(os.path.join(args.out, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
