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
from pipelines.agents import Agent, Tool
from pipelines.agents.base import ToolsManager
from pipelines.agents.language_models import LanguageModelNode, PromptNodeModel
from pipelines.nodes.prompt.prompt_template import PromptTemplate
from tests.conftest import MockNode, MockPromptNode


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
        template = PromptTemplate("react", "{tool_names_with_descriptions}\nQuestion: {query}\nThought:{transcript}")
        agent = Agent(LanguageModelNode(model, stop_words=["Observation:"]), template, ToolsManager([tool]))
        result = agent.run("What is the capital of France?")
        assert result["answers"][0].answer == "Paris"
        assert "Search: useful for questions" in model.calls[0].prompt
        assert "Observation: Paris" in model.calls[1].prompt
        assert model.calls[0].stop == ("Observation:",)

    def test_templates_are_found_by_name(self):
        assert Agent(LanguageModelNode(ScriptedModel([]))).prompt_template.name == "zero-shot-react"
