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

import argparse

from pipelines.agents import TreeOfThoughtsAgent
from pipelines.nodes import PromptNode

# yapf: disable
parser = argparse.ArgumentParser()
parser.add_argument("--query", nargs="*", default=["4 5 6 10", "1 2 4 7"], help="Puzzles: four numbers each.")
parser.add_argument("--backend", choices=["prompt_node", "paddlenlp", "endpoint", "oracle"], default="paddlenlp", help="Who answers: a PromptNode of pipelines, a model of PaddleNLP in this process, an endpoint of the OpenAI protocol, or an oracle that knows the game (to try the agent without any model).")
parser.add_argument("--llm_name", default="THUDM/chatglm2-6b", help="Name or folder of the model.")
parser.add_argument("--prompt_format", default="plain", help="paddlenlp: plain, chatml, llama2, chatglm2 or a template with {prompt}.")
parser.add_argument("--api_key", default=None, type=str, help="The API Key of a prompt_node or an endpoint.")
parser.add_argument("--secret_key", default=None, type=str, help="The secret key of a prompt_node.")
parser.add_argument("--base_url", default=None, type=str, help="The address of an endpoint, up to /chat/completions.")
parser.add_argument("--prompts", choices=["en", "zh", "paper"], default="en", help="The language of the prompts; paper fetches the authors' ones.")
parser.add_argument("--breadth", default=5, type=int, help="How many thoughts are kept at each step (b of the paper).")
args = parser.parse_args()
# yapf: enable


def create_agent():
    options = {"prompts": args.prompts, "search": {"n_select": args.breadth}}
    if args.backend == "prompt_node":
        node = PromptNode(args.llm_name, max_length=512, api_key=args.api_key, secret_key=args.secret_key)
        return TreeOfThoughtsAgent(prompt_node=node, **options)
    if args.backend == "oracle":
        from paddlenlp.experimental.agents.tree_of_thoughts import Game24Oracle
        from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts

        return TreeOfThoughtsAgent(model=Game24Oracle(load_prompts("game24", args.prompts)), **options)
    if args.backend == "endpoint":
        from paddlenlp.experimental.agents.language_models import EndpointModel

        return TreeOfThoughtsAgent(model=EndpointModel(args.llm_name, args.base_url, args.api_key), **options)
    from paddlenlp.experimental.agents.language_models import PaddleNLPModel

    stop = ("\nInput:",)  # a model that continues the examples of a prompt ends here
    model = PaddleNLPModel.from_pretrained(args.llm_name, prompt_format=args.prompt_format, stop=stop)
    return TreeOfThoughtsAgent(model=model, **options)


def tree_of_thoughts_example():
    agent = create_agent()
    for result in agent.run_batch(args.query):
        print("\n{}\n{}".format(result["query"], result["transcript"]))
        for answer in result["answers"]:
            print("{}  {}".format("+" if agent.task.correct(result["query"], answer.answer) else "-", answer.answer))
        print(result["usage"])


if __name__ == "__main__":
    tree_of_thoughts_example()
