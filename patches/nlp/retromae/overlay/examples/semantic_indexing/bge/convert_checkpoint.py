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
"""Checkpoints of Hugging Face and FlagEmbedding to PaddleNLP, and back.

    python convert_checkpoint.py --source bge-small-en-v1.5 --target bge-small-en-v1.5-paddle
    python convert_checkpoint.py --source bge-m3 --target bge-m3-paddle --m3
    python convert_checkpoint.py --source output/finetune --target bge-mine-hf --to_hf
"""

import argparse

from retriever.convert import convert_to_hf, convert_to_paddle
from retriever.m3 import convert_m3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True, help="Folder to read.")
    parser.add_argument("--target", required=True, help="Folder to write.")
    parser.add_argument("--to_hf", action="store_true", help="From PaddleNLP to Hugging Face.")
    parser.add_argument("--retromae", action="store_true", help="A whole RetroMAE model (with head and decoder).")
    parser.add_argument("--m3", action="store_true", help="bge-m3, to PaddleNLP.")
    parser.add_argument("--pooling", choices=("cls", "mean"), help="Default: what the checkpoint says, else cls.")
    parser.add_argument("--drop", nargs="*", default=[], help="Beginnings of names to leave out, e.g. cls.")
    parser.add_argument("--missing_ok", nargs="*", default=[], help="Beginnings of names that may be missing.")
    args = parser.parse_args()
    if args.m3:
        convert_m3(args.source, args.target)
    elif args.to_hf:
        convert_to_hf(args.source, args.target, args.retromae)
    else:
        convert_to_paddle(
            args.source, args.target, args.pooling, args.retromae, tuple(args.drop), tuple(args.missing_ok)
        )
    print("written:", args.target)


if __name__ == "__main__":
    main()
