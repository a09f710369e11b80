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
"""Exports an encoder for Paddle Inference, and to ONNX if asked.

    python export_model.py --model_name_or_path output/finetune --output_dir inference --onnx
"""

import argparse
import inspect
import os

from paddlenlp.transformers import BertTokenizer
from retriever.embedder import export
from retriever.modeling import EmbeddingModel


def to_onnx(path, opset=13):
    """Converts the program `path`.pdmodel (or .json) to `path`.onnx with paddle2onnx; returns the file."""
    import paddle2onnx

    program = path + (".json" if os.path.isfile(path + ".json") else ".pdmodel")
    options = {"opset_version": opset, "enable_onnx_checker": True}
    if "optimize_tool" in inspect.signature(paddle2onnx.export).parameters:
        options["optimize_tool"] = "None"  # its default installs packages while it runs
    paddle2onnx.export(program, path + ".pdiparams", path + ".onnx", **options)
    return path + ".onnx"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_name_or_path", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--onnx", action="store_true", help="Needs paddle2onnx.")
    args = parser.parse_args()
    os.makedirs(args.output_dir, exist_ok=True)
    path = export(EmbeddingModel.from_pretrained(args.model_name_or_path), args.output_dir)
    BertTokenizer.from_pretrained(args.model_name_or_path).save_pretrained(args.output_dir)
    print("written:", path)
    if args.onnx:
        print("written:", to_onnx(path))


if __name__ == "__main__":
    main()
