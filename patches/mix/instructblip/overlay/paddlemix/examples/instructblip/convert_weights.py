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
Weights of `transformers` or LAVIS for PaddleMIX, without PyTorch.

    # a directory of transformers (config.json, *.safetensors or *.bin)
    python paddlemix/examples/instructblip/convert_weights.py hf instructblip-flan-t5-xl output/instructblip-flan-t5-xl

    # LAVIS: the trained parts, EVA's image encoder, and a directory of the language model
    python paddlemix/examples/instructblip/convert_weights.py lavis instruct_blip_vicuna7b_trimmed.pth output/instructblip-vicuna7b \
        --vision eva_vit_g.pth --language vicuna-7b --config instructblip-vicuna-7b/config.json

Both key sets are used up; what does not fit is an error that names the tensors.
"""

import argparse

import paddle
from paddlemix.models.instructblip.convert import (
    ConversionError,
    config_from_hf,
    convert_state,
    load_state,
    read_checkpoint,
    read_config,
)
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Weights of transformers or LAVIS for PaddleMIX.")
    parser.add_argument("source", choices=("hf", "lavis"))
    parser.add_argument("weights", help="hf: a directory; lavis: the checkpoint of the trained parts")
    parser.add_argument("out", help="directory to write")
    parser.add_argument("--config", help="config.json of transformers; default: the one beside the weights (hf)")
    parser.add_argument("--vision", help="lavis: eva_vit_g.pth, where the checkpoint lacks the image encoder")
    parser.add_argument(
        "--language", help="lavis: directory or file of the language model in the names of transformers"
    )
    parser.add_argument(
        "--no_image_token",
        action="store_true",
        help="put the image before the text; the processor adds no placeholders then",
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    return parser.parse_args(argv)


def gather(args):
    """All tensors under one set of names."""
    state = dict(read_checkpoint(args.weights))
    if args.source == "hf":
        return state
    if args.vision:
        for name, value in read_checkpoint(args.vision).items():
            state.setdefault("visual_encoder." + name, value)
    if args.language:
        for name, value in read_checkpoint(args.language).items():
            state.setdefault("llm_model." + name, value)
    return state


def main(argv=None):
    args = arguments(argv)
    if not args.config and args.source == "lavis":
        raise ConversionError(
            "LAVIS' checkpoints have no config.json; next: --config FILE with the one of transformers"
        )
    config = config_from_hf(read_config(args.config or args.weights))
    if args.no_image_token:
        config.image_token_index = None
    paddle.set_default_dtype(args.dtype)
    model = InstructBlipForConditionalGeneration(config)
    state = gather(args)
    number = len(state)
    load_state(model, convert_state(state, model, args.source))
    del state  # saving makes a copy of its own
    model.save_pretrained(args.out)
    print(f"{number} tensors -> {args.out}")


if __name__ == "__main__":
    main()
