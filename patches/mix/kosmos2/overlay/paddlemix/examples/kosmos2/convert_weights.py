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
Weights and processor of a published Kosmos-2 for PaddleMIX, without PyTorch.

    # a directory of transformers: config.json, *.safetensors or *.bin, and the files of the processor
    python paddlemix/examples/kosmos2/convert_weights.py kosmos-2-patch14-224 output/kosmos-2

    # kosmos-2.pt of microsoft/unilm; configuration and processor are those of the directory of transformers
    python paddlemix/examples/kosmos2/convert_weights.py kosmos-2.pt output/kosmos-2 --files kosmos-2-patch14-224

Both key sets are used up; what does not fit is an error that names the tensors.
"""

import argparse
import json
import os
import sys

from paddlemix.models.common.checkpoints import ConversionError, read_checkpoint, read_config, without_prefix
from paddlemix.models.kosmos2.convert import config_from_hf, convert_state, load_state
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_processing import Kosmos2Processor


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Weights and processor of a published Kosmos-2 for PaddleMIX.")
    parser.add_argument("weights", help="directory of transformers, or a file of weights")
    parser.add_argument("out", help="directory to write")
    parser.add_argument(
        "--files", help="directory of config.json and the processor's files; default: that of the weights"
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    files = args.files or (
        args.weights if os.path.isdir(args.weights) else os.path.dirname(os.path.abspath(args.weights))
    )
    config = config_from_hf(read_config(files))
    generation = os.path.join(files, "generation_config.json")
    if os.path.isfile(generation):
        with open(generation, encoding="utf-8-sig") as stream:
            config.text_config.no_repeat_ngram_size = json.load(stream).get("no_repeat_ngram_size") or 0
    places, positions = config.latent_query_num, config.text_config.max_position_embeddings
    processor = Kosmos2Processor.from_pretrained(files, num_image_tokens=places, max_length=positions)
    if len(processor.tokenizer) > config.text_config.vocab_size:
        raise ConversionError(
            f"{files}: the tokenizer has {len(processor.tokenizer)} tokens and config.json {config.text_config.vocab_size}; next: is "
            "added_tokens.json there?"
        )
    state = without_prefix(read_checkpoint(args.weights))
    number = len(state)
    model = Kosmos2ForConditionalGeneration(config)
    load_state(model, convert_state(state, model))
    del state  # saving makes a copy of its own
    if args.dtype != "float32":
        model.to(dtype=args.dtype)  # and not made in it: Paddle has no kernels for float16 on a CPU
    model.save_pretrained(args.out)
    processor.save_pretrained(args.out)
    print(f"{number} tensors and the processor -> {args.out}")


if __name__ == "__main__":
    try:
        main()
    except (ConversionError, FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
