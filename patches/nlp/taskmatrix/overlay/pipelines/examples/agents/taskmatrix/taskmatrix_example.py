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

"""Talk about pictures in a terminal: `python taskmatrix_example.py --picture photo.jpg`, then type; an empty line ends."""

import argparse
import tempfile

from paddlenlp.experimental.agents.visual_chat import (
    JsonFormat,
    ModelPool,
    PictureError,
    Policy,
    Session,
    TextFormat,
    VisualChatAgent,
    memory_for,
)

# yapf: disable
parser = argparse.ArgumentParser()
parser.add_argument("--backend", choices=["endpoint", "paddlenlp"], default="endpoint", help="endpoint: any server of the OpenAI protocol. paddlenlp: a model in this process.")
parser.add_argument("--llm_name", default="gpt-4", help="Name at the endpoint, or of the PaddleNLP model (THUDM/chatglm2-6b, meta-llama/Llama-2-7b-chat).")
parser.add_argument("--base_url", default=None, help="The address of an endpoint, up to /chat/completions. Default: OpenAI.")
parser.add_argument("--api_key", default=None, help="Default: the environment's OPENAI_API_KEY.")
parser.add_argument("--prompt_format", default="plain", help="paddlenlp: how prompts are wrapped, see PROMPT_FORMATS.")
parser.add_argument("--dtype", default="float32", help="paddlenlp: float32, float16 or bfloat16.")
parser.add_argument("--format", choices=["text", "json"], default="text", help="How the model asks for tools.")
parser.add_argument("--guided", action="store_true", help="paddlenlp: constrain the model to calls that can be read.")
parser.add_argument("--language", choices=["en", "zh"], default="zh")
parser.add_argument("--picture", nargs="*", default=[], help="Pictures to begin with.")
# yapf: enable


def create_model(args):
    if args.backend == "endpoint":
        from paddlenlp.experimental.agents.language_models import EndpointModel

        return EndpointModel(args.llm_name, args.base_url, args.api_key)
    options = {"prompt_format": args.prompt_format}
    if args.guided:
        from paddlenlp.experimental.agents.visual_chat.guided import GuidedModel

        return GuidedModel.from_pretrained(args.llm_name, args.dtype, **options)
    from paddlenlp.experimental.agents.language_models import PaddleNLPModel

    return PaddleNLPModel.from_pretrained(args.llm_name, args.dtype, **options)


def taskmatrix_example():
    args = parser.parse_args()
    if args.guided and args.backend == "endpoint":
        parser.error("--guided is for models in this process (--backend paddlenlp)")
    model = create_model(args)
    format = JsonFormat() if args.format == "json" else TextFormat()
    # Give the pool loaders of your own models, and the tools that need them are offered: see README.
    agent = VisualChatAgent(model, ModelPool({}, budget_mb=0), format=format, policy=Policy(guided=args.guided))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(folder, args.language, memory_for(model))
        for path in args.picture:
            try:
                print(agent.show(session, path))
            except PictureError as error:
                raise SystemExit("{}: {}".format(path, error))
        while True:
            try:
                text = input("> ")
            except EOFError:
                break
            if not text.strip():
                break
            turn = agent.run(session, text, lambda step: print("  {} -> {}".format(step.tool, step.observation)))
            print(turn.answer or turn.trouble)


if __name__ == "__main__":
    taskmatrix_example()
