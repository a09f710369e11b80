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
Export the image encoder, the Q-Former and the projection as one static program.

    python paddlemix/examples/instructblip/export.py --model output/instructblip --out output/instructblip_static

Inputs: pixel_values [N, 3, H, W], qformer_input_ids [N, T], qformer_attention_mask [N, T]; N and T are dynamic. Output: what the
language model gets of the image, [N, num_query_tokens, C].
"""

import argparse
import os

import paddle
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration


class ImageFeatures(paddle.nn.Layer):
    """The part of the model that is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values, qformer_input_ids, qformer_attention_mask):
        return self.model.image_features(pixel_values, qformer_input_ids, qformer_attention_mask)[0]


def input_spec(config):
    size = config.vision_config.image_size
    return [
        paddle.static.InputSpec([None, 3, size, size], "float32", "pixel_values"),
        paddle.static.InputSpec([None, None], "int64", "qformer_input_ids"),
        paddle.static.InputSpec([None, None], "int64", "qformer_attention_mask"),
    ]


def main(argv=None):
    parser = argparse.ArgumentParser(description="Export what sees the image.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args(argv)
    model = InstructBlipForConditionalGeneration.from_pretrained(args.model)
    part = ImageFeatures(model)
    part.eval()
    static = paddle.jit.to_static(part, input_spec=input_spec(model.config))
    path = os.path.join(args.out, "image_features")
    paddle.jit.save(static, path)
    print(path)


if __name__ == "__main__":
    main()
