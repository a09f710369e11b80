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
Weights of a published BLIP-2 for `Blip2ForImageTextRetrieval`, without PyTorch.

    # Hugging Face: config.json, *.safetensors or *.bin, vocab.txt
    python paddlemix/examples/blip2/convert_retrieval.py blip2-itm-vit-g-coco output/blip2-itm-vit-g-coco

    # LAVIS: blip2_finetune_coco.pth, or blip2_pretrained.pth to fine-tune it; the suite's own stage 1 likewise
    python paddlemix/examples/blip2/convert_retrieval.py blip2_finetune_coco.pth output/blip2-coco --vocab bert-base-uncased/vocab.txt

Which layout a file is in is said by its names. Both key sets are used up; what does not fit is an error that names the tensors.
"""

import argparse
import os
import shutil
import sys

import paddle
from paddlemix.models.blip2.convert_retrieval import (
    ConversionError,
    config_from_hf,
    convert_state,
    layout_of,
    load_state,
    read_checkpoint,
    without_prefix,
)
from paddlemix.models.blip2.retrieval import Blip2ForImageTextRetrieval, retrieval_config
from paddlemix.models.common.checkpoints import read_config


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Weights of a published BLIP-2 for retrieval in PaddleMIX.")
    parser.add_argument(
        "weights", help="a directory of transformers, a file of LAVIS, or model_state.pdparams of a stage 1"
    )
    parser.add_argument("out", help="directory to write")
    parser.add_argument(
        "--config", help="config.json of transformers; default: beside the weights (hf), ViT-g (others)"
    )
    parser.add_argument("--vocab", help="vocab.txt of bert-base-uncased; default: beside the weights")
    parser.add_argument("--image_size", type=int, help="pixels; default: the configuration's (hf), 364 (others)")
    return parser.parse_args(argv)


def convert(args):
    """Writes the directory; returns the model."""
    folder = args.weights if os.path.isdir(args.weights) else os.path.dirname(args.weights)
    vocab = args.vocab or os.path.join(folder, "vocab.txt")
    if not os.path.isfile(vocab):
        raise ConversionError(f"{vocab} is not there; next: --vocab FILE with the vocab.txt of bert-base-uncased")
    if args.weights.endswith(".pdparams"):
        state = paddle.load(args.weights, return_numpy=True)
    else:
        state = without_prefix(read_checkpoint(args.weights))
    layout = layout_of(state)
    if layout == "hf":
        config = read_config(args.config or folder)
        if args.image_size:
            config["vision_config"] = dict(config["vision_config"], image_size=args.image_size)
        config = config_from_hf(config)
    elif args.config:
        config = config_from_hf(read_config(args.config))
    else:
        config = retrieval_config({"img_size": args.image_size or 364})
    model = Blip2ForImageTextRetrieval(config)
    load_state(model, convert_state(state, model, layout))
    model.save_pretrained(args.out)
    shutil.copy(vocab, os.path.join(args.out, "vocab.txt"))
    return model


def main(argv=None):
    args = arguments(argv)
    try:
        convert(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: config.json, model_state.pdparams, vocab.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
