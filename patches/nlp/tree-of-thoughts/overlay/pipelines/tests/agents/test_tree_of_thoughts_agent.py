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

import unittest

from paddlenlp.experimental.agents.language_models import Request, ScriptedModel
from paddlenlp.experimental.agents.tree_of_thoughts import Game24, Game24Oracle
from paddlenlp.experimental.agents.tree_of_thoughts.prompts import load_prompts
from pipelines.agents import Agent, Tool, TreeOfThoughtsAgent
from pipelines.agents.base import ToolsManager
from pipelines.agents.tree_of_thoughts_agent import LanguageModelNode, PromptNodeModel
from pipelines.nodes.prompt import PromptNode
from pipelines.nodes.prompt.prompt_template import PromptTemplate
from pipelines.schema import Answer
from tests.conftest import MockNode, MockPromptNode


class OracleNode(MockPromptNode):
    """A PromptNode that answers the Game of 24, and remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.model_name_or_path = "oracle-node"
        self.prompt_templates = {}
        self.oracle = Game24Oracle(load_prompts("game24", "en"))
        self.told = []

    get_prompt_template = PromptNode.get_prompt_template

    def prompt(self, prompt_template, *args, **kwargs):
        self.told.append((args, kwargs))
        return self.oracle.ask(args[0])


class TestTreeOfThoughtsAgent(unittest.TestCase):
    def test_it_is_an_agent(self):
        agent = TreeOfThoughtsAgent(prompt_node=OracleNode())
        assert isinstance(agent, Agent)
        assert agent.prompt_template.name == "tree-of-thoughts"

    def test_run_with_a_prompt_node(self):
        node = OracleNode()
        agent = TreeOfThoughtsAgent(prompt_node=node, search={"n_select": 2, "n_evaluate": 1})
        steps = []
        agent.callback_manager.on_agent_step += lambda step: steps.append(step.prompt_node_response)
        result = agent.run("4 5 6 10")
        assert result["query"] == "4 5 6 10"
        assert all(isinstance(answer, Answer) for answer in result["answers"])
        assert agent.task.correct("4 5 6 10", result["answers"][0].answer)
        assert len(result["answers"][0].meta["path"].strip().split("\n")) == 4
        assert len(steps) == 4 and steps[0].startswith("Level 1, ")
        assert result["transcript"] == "".join(steps)
        assert result["usage"]["sent"] == len(node.told)
        assert {kwargs["temperature"] for _, kwargs in node.told} == {0.7}

    def test_run_with_a_language_model(self):
        agent = TreeOfThoughtsAgent(model=Game24Oracle(load_prompts("game24", "zh")), prompts="zh")
        results = agent.run_batch(["4 5 6 10", "3 3 8 8"])
        for result in results:
            assert agent.task.correct(result["query"], result["answers"][0].answer)
            assert result["usage"]["completion_tokens"] > 0

    def test_presets_and_texts(self):
        model = ScriptedModel(lambda request: ["Plan:\np\n\nPassage:\nt"] * request.n)
        agent = TreeOfThoughtsAgent(model=model, task="text", preset="cot", search={"n_generate": 2})
        result = agent.run("One. Two. Three. Four.")
        assert [answer.answer for answer in result["answers"]] == ["Plan:\np\n\nPassage:\nt"] * 2

    def test_a_task_of_ones_own(self):
        class Echo(Game24):
            name = "echo"

        task = Echo([], load_prompts("game24", "en"), "lenient")
        agent = TreeOfThoughtsAgent(model=Game24Oracle(task.prompts), task=task, search={"n_select": 1})
        result = agent.run("4 5 6 10")
        assert agent.config.n_select == 1
        assert task.correct("4 5 6 10", result["answers"][0].answer)

    def test_nothing_found(self):
        agent = TreeOfThoughtsAgent(model=ScriptedModel(lambda request: ["no idea"] * request.n))
        assert agent.run("4 5 6 10")["answers"] == [Answer(answer="", type="generative")]

    def test_arguments(self):
        with self.assertRaises(ValueError):
            TreeOfThoughtsAgent()
        with self.assertRaises(ValueError):
            TreeOfThoughtsAgent(prompt_node=OracleNode(), model=ScriptedModel([]))
        with self.assertRaises(ValueError):
            TreeOfThoughtsAgent(prompt_node=OracleNode(), task="chess")


class TestAdapters(unittest.TestCase):
    def test_prompt_node_as_language_model(self):
        class Node(MockPromptNode):
            def prompt(self, prompt_template, *args, **kwargs):
                self.last = kwargs
                return ["yes\nno"]

        node = Node()
        (completion,) = PromptNodeModel(node).complete([Request("p", 2, "\n", max_tokens=5)])
        assert completion.texts == ["yes", "yes"]
        assert (node.last["stop_words"], node.last["max_tokens"], node.last["top_k"]) == (["\n"], 5, 1)

    def test_language_model_as_prompt_node(self):
        model = ScriptedModel(["one", "two", "three"])
        node = LanguageModelNode(model, stop_words=["Observation:"], max_tokens=64)
        assert node("first") == ["one"]
        assert node("second", stop_words=["\n"], temperature=0) == ["two"]
        assert [call.prompt for call in model.calls] == ["first", "second"]
        assert [call.stop for call in model.calls] == [("Observation:",), ("\n",)]
        assert (model.calls[0].max_tokens, model.calls[1].temperature) == (64, 0)
        template = PromptTemplate("greet", prompt_text="Hello {query}!")
        assert node.prompt(template, query="you") == ["three"]
        assert model.calls[-1].prompt == "Hello you!"

    def test_react_with_a_language_model(self):
        class Search(MockNode):
            def run(self, query, **kwargs):
                return {"results": ["Paris"]}, "output_1"

        tool = Tool("Search", Search(), "useful for questions", output_variable="results")
        model = ScriptedModel(
            [" I should look it up.\nTool: Search\nTool Input: capital of France", " I know it.\nFinal Answer: Paris"]
        )
        agent = Agent(
            LanguageModelNode(model, stop_words=["Observation:"]),
            PromptTemplate("react", prompt_text="Question: {query}\nThought:{transcript}"),
            ToolsManager([tool]),
        )
        result = agent.run("What is the capital of France?")
        assert result["answers"][0].answer == "Paris"
        assert "Observation: Paris" in model.calls[1].prompt
