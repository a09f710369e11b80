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

import contextlib
import io
import json
import os
import runpy
import sys
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from paddlenlp.experimental.agents.language_models import Completion, Request, ScriptedModel
from paddlenlp.experimental.agents.tree_of_thoughts import Game24
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts
from pipelines.agents import Agent, TreeOfThoughtsAgent
from pipelines.nodes.prompt import PromptNode
from pipelines.schema import Answer
from tests.conftest import MockPromptNode

LISTED = {
    "4 5 6 10": "10 - 4 = 6 (left: 5 6 6)\n4 + 5 = 9 (left: 6 9 10)",
    "5 6 6": "5 * 6 = 30 (left: 6 30)",
    "6 9 10": "6 + 9 = 15 (left: 10 15)",
    "6 30": "30 - 6 = 24 (left: 24)",
    "10 15": "10 + 15 = 25 (left: 25)",
}


def plays(request):
    """Answers of a model that knows one puzzle of the Game of 24."""
    prompt = request.prompt.strip()
    last = prompt.split("\n")[-1]
    if last in ("Possible next steps:", "可能的下一步："):
        return ["Here you are:\n\n" + LISTED.get(prompt.split("\n")[-2].replace("Input: ", ""), "none")] * request.n
    if "Judge:" in last:
        return ["**sure**"] * request.n
    if "left: 24)" in prompt.split("Input: ")[-1]:
        return ["The answer is **5 × (10 - 4) - 6 = 24**."] * request.n
    return ["sure（能）" if last in ("5 6 6", "6 30", "24") else "不可能"] * request.n


class ScriptedNode(MockPromptNode):
    """A PromptNode that answers from a function, and remembers what it was told."""

    def __init__(self, script=plays):
        super().__init__()
        self.model_name_or_path = "scripted-node"
        self.prompt_templates = {}
        self.script, self.told = script, []

    get_prompt_template = PromptNode.get_prompt_template

    def prompt(self, prompt_template, *args, **kwargs):
        self.told.append((args, kwargs))
        return self.script(Request(args[0]))


def plans(request):
    """Answers to any question, in Chinese."""
    if "评分：N" in request.prompt:
        return ["评分：{}".format(8 if "方案乙" in request.prompt else 4)] * request.n
    if "现在请给出" in request.prompt:
        return ["答案：按{}办".format("方案乙" if "方案乙" in request.prompt else "方案甲")] * request.n
    return ["1. 方案甲\n2. 方案乙"] * request.n


class TestTreeOfThoughtsAgent(unittest.TestCase):
    def test_it_is_an_agent(self):
        agent = TreeOfThoughtsAgent(prompt_node=ScriptedNode())
        assert isinstance(agent, Agent)
        assert agent.prompt_template.name == "tree-of-thoughts"

    def test_a_question(self):
        agent = TreeOfThoughtsAgent(prompt_node=ScriptedNode(plans), language="zh", propose="提出方案。", steps=2)
        steps = []
        agent.callback_manager.on_agent_step += lambda step: steps.append(step.prompt_node_response)
        result = agent.run("周末怎么安排？")
        assert result["answers"][0].answer == "按方案乙办"
        assert result["answers"][0].meta["path"] == "方案乙\n答案：按方案乙办\n"
        assert len(steps) == 2 and steps[0].startswith("Level 1, 2 thoughts")
        assert result["transcript"] == "".join(steps) and result["trouble"] == ""
        assert agent.prompt_node.told[0][0][0].startswith("提出方案。\n\n问题：周末怎么安排？")

    def test_a_question_described_in_the_call(self):
        model = ScriptedModel(plans)
        agent = TreeOfThoughtsAgent(model=model, language="zh")
        result = agent.run("怎么办？", max_steps=1, params={"propose": "提出办法。", "judge": "看是否省钱。"})
        assert [answer.answer for answer in result["answers"]] == ["按方案甲办"]
        assert any(call.prompt.startswith("看是否省钱。") for call in model.calls)
        for params in ({"tools": 1}, {"width": 0}):
            with self.assertRaises(ValueError):
                agent.run("怎么办？", params=params)

    def test_run_with_a_prompt_node(self):
        node = ScriptedNode()
        agent = TreeOfThoughtsAgent(prompt_node=node, task="game24", search={"n_select": 2, "n_evaluate": 1})
        result = agent.run("4 5 6 10")
        assert result["query"] == "4 5 6 10"
        assert all(isinstance(answer, Answer) for answer in result["answers"])
        assert agent.task.correct("4 5 6 10", result["answers"][0].answer)
        assert len(result["answers"][0].meta["path"].strip().split("\n")) == 4
        assert result["usage"]["sent"] == len(node.told)
        assert {kwargs["temperature"] for _, kwargs in node.told} == {0.7}
        with self.assertRaises(ValueError):
            agent.run("4 5 6 10", params={"propose": "x"})

    def test_run_with_a_language_model(self):
        agent = TreeOfThoughtsAgent(model=ScriptedModel(plays), task="game24", language="zh")
        results = agent.run_batch(["4 5 6 10", "4 5 6 10"])
        for result in results:
            assert agent.task.correct(result["query"], result["answers"][0].answer)
        assert sum(result["usage"]["completion_tokens"] for result in results) > 0
        with self.assertRaises(ValueError):
            agent.run_batch("4 5 6 10")

    def test_a_task_of_ones_own(self):
        class Echo(Game24):
            name = "echo"

        task = Echo([], load_prompts("game24", "en"), "lenient")
        agent = TreeOfThoughtsAgent(model=ScriptedModel(plays), task=task, search={"n_select": 1})
        assert agent.config.n_select == 1
        assert task.correct("4 5 6 10", agent.run("4 5 6 10")["answers"][0].answer)

    def test_nothing_found_and_refused(self):
        agent = TreeOfThoughtsAgent(model=ScriptedModel(lambda request: ["no idea"] * request.n), task="game24")
        result = agent.run("4 5 6 10")
        assert result["answers"] == [Answer(answer="", type="generative")]
        assert "nothing could be read" in result["trouble"]

        class Refusing(ScriptedModel):
            def complete(self, requests):
                return [Completion([], refused="content filter") for _ in requests]

        result = TreeOfThoughtsAgent(model=Refusing([])).run("a question")
        assert (result["answers"][0].answer, result["trouble"]) == ("", "content filter")

    def test_arguments(self):
        for options in (
            {},
            {"prompt_node": ScriptedNode(), "model": ScriptedModel([])},
            {"prompt_node": ScriptedNode(), "task": "chess"},
            {"prompt_node": ScriptedNode(), "task": "game24", "propose": "x"},
            {"prompt_node": ScriptedNode(), "language": "fr"},
        ):
            with self.assertRaises(ValueError):
                TreeOfThoughtsAgent(**options)


class Endpoint(BaseHTTPRequestHandler):
    """A server of the OpenAI protocol that answers with `plans`."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = plans(Request(body["messages"][-1]["content"], body["n"]))
        data = json.dumps({"choices": [{"message": {"content": text}} for text in texts]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class TestExample(unittest.TestCase):
    def test_a_question_to_an_endpoint(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        script = os.path.join(root, "examples", "agents", "tree_of_thoughts", "tree_of_thoughts_example.py")
        address = "http://127.0.0.1:{}/v1".format(server.server_address[1])
        arguments = ["--backend", "endpoint", "--llm_name", "m", "--api_key", "k", "--base_url", address]
        printed = io.StringIO()
        with mock.patch.object(sys, "argv", [script] + arguments), contextlib.redirect_stdout(printed):
            runpy.run_path(script, run_name="__main__")
        assert "周末带两个孩子" in printed.getvalue() and "按方案乙办" in printed.getvalue()
