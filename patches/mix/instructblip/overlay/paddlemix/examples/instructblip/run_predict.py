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
InstructBLIP answers about one image.

    python paddlemix/examples/instructblip/run_predict.py --model output/instructblip --image photo.jpg \
        --prompt "What is unusual about this image?"
"""

import argparse

import paddle
from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipProcessor


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="InstructBLIP answers about one image.")
    parser.add_argument("--model", required=True, help="directory of converted or trained weights, with the processor")
    parser.add_argument("--image", required=True, help="path of the image")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--num_beams", type=int, default=5)
    parser.add_argument("--max_new_tokens", type=int, default=256)
    parser.add_argument("--min_length", type=int, default=1)
    parser.add_argument("--do_sample", action="store_true", help="nucleus sampling instead of beams")
    parser.add_argument("--top_p", type=float, default=0.9)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--repetition_penalty", type=float, default=1.5)
    parser.add_argument("--length_penalty", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    paddle.seed(args.seed)
    processor = InstructBlipProcessor.from_pretrained(args.model)
    model = InstructBlipForConditionalGeneration.from_pretrained(args.model, dtype=args.dtype)
    model.eval()
    inputs = processor(images=args.image, text=args.prompt)
    ids, _ = model.generate(
        **inputs,
        num_beams=1 if args.do_sample else args.num_beams,
        do_sample=args.do_sample,
        top_p=args.top_p if args.do_sample else 1.0,
        temperature=args.temperature,
        max_new_tokens=args.max_new_tokens,
        min_length=args.min_length,
        repetition_penalty=args.repetition_penalty,
        length_penalty=args.length_penalty,
    )
    answer = processor.batch_decode(ids)[0]
    print(answer)
    return answer


if __name__ == "__main__":
    main()
