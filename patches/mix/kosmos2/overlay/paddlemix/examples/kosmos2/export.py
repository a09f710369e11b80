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
Export Kosmos-2 as three static programs: what sees the image, the prompt, and one more token with the cache.

    python paddlemix/examples/kosmos2/export.py --model output/kosmos-2 --out output/kosmos-2_static

    image   pixel_values [N, 3, H, W] -> features [N, Q, C]
    prompt  input_ids [N, L], attention_mask [N, L], image_embeds_position_mask [N, L], features -> logits [N, V], cache
    token   input_ids [N, 1], attention_mask [N, P + 1], cache [layers, 2, N, heads, P, C / heads] -> logits [N, V], cache with P + 1

N, L and P are dynamic. `Exported` runs them: greedy answers without Paddle's dygraph.
"""

import argparse
import os

import numpy as np
import paddle
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration

PARTS = ("image", "prompt", "token")


class Image(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.image_features(pixel_values)[0]


class Prompt(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, image_embeds_position_mask, image_embeds):
        embeds = self.model.join(input_ids, image_embeds, image_embeds_position_mask)
        return _step(self.model.text_model, embeds, attention_mask, None)


class Token(paddle.nn.Layer):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, cache):
        text = self.model.text_model
        past = [(cache[number, 0], cache[number, 1]) for number in range(text.config.layers)]
        return _step(text, text.embed(input_ids), attention_mask, past)


def _step(text, embeds, mask, past):
    logits, made = text.decode(embeds, mask, past, use_cache=True, last=True)
    return logits[:, 0], paddle.stack([paddle.stack(list(pair)) for pair in made])


def layers_and_specs(model):
    """{part: (layer, its inputs)}."""
    text, vision = model.config.text_config, model.config.vision_config
    spec, heads = paddle.static.InputSpec, text.attention_heads
    images = spec([None, vision.num_channels, vision.image_size, vision.image_size], "float32", "pixel_values")
    ids, mask, place = (
        spec([None, None], "int64", name) for name in ("input_ids", "attention_mask", "image_embeds_position_mask")
    )
    features = spec([None, model.config.latent_query_num, text.embed_dim], "float32", "image_embeds")
    one = spec([None, 1], "int64", "input_ids")
    cache = spec([text.layers, 2, None, heads, None, text.embed_dim // heads], "float32", "cache")
    made = {"image": (Image(model), [images]), "prompt": (Prompt(model), [ids, mask, place, features])}
    made["token"] = (Token(model), [one, mask, cache])
    for layer, _ in made.values():
        layer.eval()
    return made


class Exported:
    """The three programs as one model that answers. run: {part: function of arrays by name -> list of arrays}."""

    def __init__(self, run, pad_token_id=1, eos_token_id=2):
        self.run, self.pad, self.eos = run, pad_token_id, eos_token_id

    def generate(self, pixel_values, input_ids, image_embeds_position_mask, attention_mask, max_new_tokens=64):
        """Greedy answers [N, T], with padding behind the end token."""
        features = self.run["image"]({"pixel_values": pixel_values})[0]
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "image_embeds": features}
        logits, cache = self.run["prompt"]({**given, "image_embeds_position_mask": image_embeds_position_mask})
        made, alive = [], np.ones(len(input_ids), bool)
        while True:
            made.append(np.where(alive, logits.argmax(axis=1), self.pad))
            alive &= made[-1] != self.eos
            if not alive.any() or len(made) == max_new_tokens:
                return np.stack(made, axis=1)
            attention_mask = np.concatenate([attention_mask, np.ones([len(input_ids), 1], "int64")], axis=1)
            token = {"input_ids": made[-1][:, None], "attention_mask": attention_mask, "cache": cache}
            logits, cache = self.run["token"](token)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Export Kosmos-2 as static programs.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args(argv)
    model = Kosmos2ForConditionalGeneration.from_pretrained(args.model)
    for name, (layer, spec) in layers_and_specs(model).items():
        path = os.path.join(args.out, name)
        paddle.jit.save(paddle.jit.to_static(layer, input_spec=spec, full_graph=True), path)
        print(path)


if __name__ == "__main__":
    main()
