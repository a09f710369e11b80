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
Weights and processor of a published InstructBLIP for PaddleMIX, without PyTorch.

    # a directory of transformers: config.json, *.safetensors or *.bin, and the files of the processor
    python paddlemix/examples/instructblip/convert_weights.py hf instructblip-flan-t5-xl output/instructblip-flan-t5-xl

    # LAVIS: the trained parts, EVA's image encoder, a directory of the language model, and the published config.json
    python paddlemix/examples/instructblip/convert_weights.py lavis instruct_blip_vicuna7b_trimmed.pth output/instructblip-vicuna7b \
        --vision eva_vit_g.pth --language vicuna-7b --config instructblip-vicuna-7b/config.json \
        --qformer_tokenizer bert-base-uncased/vocab.txt --no_image_token

Both key sets are used up; what does not fit is an error that names the tensors.
"""

import argparse
import os
import sys

from paddlemix.models.instructblip.convert import (
    ConversionError,
    config_from_hf,
    convert_state,
    fill_vocabulary,
    load_state,
    read_checkpoint,
    read_config,
    without_prefix,
)
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import QFORMER_FOLDER

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from convert_processor import make_processor  # noqa: E402

VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight", "model.decoder.embed_tokens.weight", "shared.weight")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Weights and processor of a published InstructBLIP for PaddleMIX.")
    parser.add_argument("source", choices=("hf", "lavis"))
    parser.add_argument("weights", help="hf: a directory; lavis: the checkpoint of the trained parts")
    parser.add_argument("out", help="directory to write")
    parser.add_argument("--config", help="config.json of transformers; default: the one beside the weights (hf)")
    parser.add_argument("--vision", help="lavis: eva_vit_g.pth, where the checkpoint lacks the image encoder")
    parser.add_argument(
        "--language", help="lavis: directory or file of the language model in the names of transformers"
    )
    parser.add_argument(
        "--tokenizer", help="directory of the language model's tokenizer; default: that of its weights"
    )
    parser.add_argument(
        "--qformer_tokenizer",
        help=f"vocab.txt of BERT, or its directory; default: {QFORMER_FOLDER} beside config.json",
    )
    parser.add_argument(
        "--no_image_token",
        action="store_true",
        help="put the image before the text; the processor adds no placeholders then",
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    return parser.parse_args(argv)


def gather(args, config):
    """All tensors under one set of names."""
    state = without_prefix(read_checkpoint(args.weights))
    if args.source == "hf":
        return state
    if args.vision:
        for name, value in without_prefix(read_checkpoint(args.vision)).items():
            state.setdefault("visual_encoder." + name, value)
    if args.language:
        language = read_checkpoint(args.language)
        if all(name.startswith("decoder.") for name in language):  # OPT without its head, as it is published
            language = {"model." + name: value for name, value in language.items()}
        added = fill_vocabulary(language, config.text_config.vocab_size, VOCABULARY)
        if added:
            print(
                f"{args.language}: {added} rows added to the vocabulary, the mean of the others (tokens that are only padding)"
            )
        for name, value in language.items():
            state.setdefault("llm_model." + name, value)
    return state


def processor_of(args, config):
    """The processor, from the directories that the arguments name."""
    beside = args.weights if args.source == "hf" else os.path.dirname(args.config)
    language = args.weights if args.source == "hf" else (args.language or "")
    language = language if os.path.isdir(language) else beside
    return make_processor(
        config,
        args.tokenizer or language or ".",
        args.qformer_tokenizer or os.path.join(beside, QFORMER_FOLDER),
        beside or ".",
    )


def main(argv=None):
    args = arguments(argv)
    if not args.config and args.source == "lavis":
        raise ConversionError(
            "LAVIS' checkpoints have no config.json; next: --config FILE with the one of transformers"
        )
    config = config_from_hf(read_config(args.config or args.weights))
    if args.no_image_token:
        config.image_token_index = None
    processor = processor_of(args, config)
    model = InstructBlipForConditionalGeneration(config)
    state = gather(args, config)
    number = len(state)
    load_state(model, convert_state(state, model, args.source))
    del state  # saving makes a copy of its own
    if args.dtype != "float32":
        model.to(dtype=args.dtype)  # and not made in it: Paddle has no kernels for float16 on a CPU
    model.save_pretrained(args.out)
    processor.save_pretrained(args.out)
    print(f"{number} tensors and the processor -> {args.out}")


if __name__ == "__main__":
    try:
        main()
    except ConversionError as error:
        sys.exit(f"error: {error}")
