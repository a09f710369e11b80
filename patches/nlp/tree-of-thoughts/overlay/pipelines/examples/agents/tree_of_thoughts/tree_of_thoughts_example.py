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

QUESTIONS = {"zh": "周末带两个孩子去北京玩两天，预算 2000 元，怎么安排？", "en": "A weekend in Beijing with two children: what to do?"}
# yapf: disable
parser = argparse.ArgumentParser()
parser.add_argument("--query", nargs="*", default=None, help="Questions, or puzzles of four numbers each.")
parser.add_argument("--task", choices=["question", "game24"], default="question")
parser.add_argument("--backend", choices=["prompt_node", "paddlenlp", "endpoint"], default="paddlenlp", help="Who answers: a PromptNode of pipelines, a model of PaddleNLP in this process, or an endpoint of the OpenAI protocol.")
parser.add_argument("--llm_name", default="THUDM/chatglm2-6b", help="Name or folder of the model.")
parser.add_argument("--prompt_format", default="plain", help="paddlenlp: plain, chatml, llama2, chatglm2 or a template with {prompt}.")
parser.add_argument("--api_key", default=None, type=str, help="The API Key of a prompt_node or an endpoint.")
parser.add_argument("--secret_key", default=None, type=str, help="The secret key of a prompt_node.")
parser.add_argument("--base_url", default=None, type=str, help="The address of an endpoint, up to /chat/completions.")
parser.add_argument("--language", choices=["zh", "en"], default="zh", help="The language of the prompts.")
parser.add_argument("--cache", default=None, type=str, help="A file that keeps the answers.")
parser.add_argument("--propose", default=None, help="question: what is to be proposed.")
parser.add_argument("--judge", default=None, help="question: by what it is judged.")
parser.add_argument("--stop", default=None, help="question: when to answer.")
parser.add_argument("--breadth", default=2, type=int, help="How many thoughts are kept at each step (b of the paper).")
args = parser.parse_args()
# yapf: enable


def create_model():
    if args.backend == "endpoint":
        from paddlenlp.experimental.agents.language_models import EndpointModel

        return EndpointModel(args.llm_name, args.base_url, args.api_key)
    from paddlenlp.experimental.agents.language_models import PaddleNLPModel

    stop = ("\nInput:",)  # a model that continues the examples of a prompt ends here
    return PaddleNLPModel.from_pretrained(args.llm_name, prompt_format=args.prompt_format, stop=stop)


def create_agent():
    options = {"language": args.language, "search": {"n_select": args.breadth}}
    if args.task == "question":
        options["search"]["n_evaluate"] = 1
        options.update({name: getattr(args, name) for name in ("propose", "judge", "stop") if getattr(args, name)})
    else:
        options["task"] = args.task
    if args.backend == "prompt_node":
        node = PromptNode(args.llm_name, max_length=512, api_key=args.api_key, secret_key=args.secret_key)
        return TreeOfThoughtsAgent(prompt_node=node, **options)
    model = create_model()
    if args.cache:
        from paddlenlp.experimental.agents.language_models import CachedModel

        model = CachedModel(model, args.cache)
    return TreeOfThoughtsAgent(model=model, **options)


def tree_of_thoughts_example():
    agent = create_agent()
    queries = args.query or (["4 5 6 10", "1 2 4 7"] if args.task == "game24" else [QUESTIONS[args.language]])
    for result in agent.run_batch(queries):
        print("\n{}\n{}".format(result["query"], result["transcript"]))
        for answer in result["answers"]:
            print(answer.answer)
        print(result["usage"])
        if result["trouble"]:
            print(result["trouble"])


if __name__ == "__main__":
    tree_of_thoughts_example()
