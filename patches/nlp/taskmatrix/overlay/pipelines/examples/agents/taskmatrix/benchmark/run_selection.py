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

"""The tool-selection benchmark: python run_selection.py --model keywords, or a language model in this process or behind an endpoint."""

import argparse
import json

from selection import Chance, Keywords, Oracle, run

# yapf: disable
parser = argparse.ArgumentParser()
parser.add_argument("--model", default="keywords", help="oracle, random, keywords; or a PaddleNLP model's name or folder; or (with --base_url) the endpoint's name of it.")
parser.add_argument("--base_url", default=None, help="An endpoint of the OpenAI protocol.")
parser.add_argument("--prompt_format", default="chatml", help="How the model's prompts are wrapped, see PROMPT_FORMATS.")
parser.add_argument("--format", choices=["text", "json"], default="text")
parser.add_argument("--guided", action="store_true", help="Constrain a model in this process to the grammar of a call.")
parser.add_argument("--languages", nargs="+", default=["en", "zh"])
parser.add_argument("--max_tokens", default=64, type=int)
parser.add_argument("--max_rows", default=16, type=int)
parser.add_argument("--dtype", default="float32")
parser.add_argument("--out", default=None, help="Where the rows go, as JSON.")
# yapf: enable


def create_model(args):
    scripted = {"oracle": Oracle, "random": Chance, "keywords": Keywords}
    if args.model in scripted:
        return scripted[args.model]()
    if args.base_url:
        from paddlenlp.experimental.agents.language_models import EndpointModel

        return EndpointModel(args.model, args.base_url)
    from paddlenlp.experimental.agents.visual_chat.guided import GuidedModel

    return GuidedModel.from_pretrained(
        args.model, args.dtype, prompt_format=args.prompt_format, max_rows=args.max_rows, name="lm"
    )


def main():
    args = parser.parse_args()
    if args.guided and args.base_url:
        parser.error("--guided is for models in this process")
    result = run(create_model(args), args.format, args.guided, args.languages, args.max_tokens)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump(result, stream, ensure_ascii=False, indent=1)
    print("{:<12}{:>7}{:>22}{:>22}{:>22}{:>22}".format("", "number", "valid", "tool", "right", "whole requests"))
    for group, shares in result["summary"].items():
        cells = ["{:5.1f} % [{:.1f}, {:.1f}]".format(*(100 * x for x in shares[w][:3])) for w in shares]
        print("{:<12}{:>7}".format(group, shares["valid"][3]) + "".join("{:>22}".format(cell) for cell in cells))


if __name__ == "__main__":
    main()
