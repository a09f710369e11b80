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

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Union

from pipelines.agents.agent_step import AgentStep
from pipelines.agents.base import Agent
from pipelines.agents.language_models import LanguageModelNode, PromptNodeModel
from pipelines.nodes import PromptNode
from pipelines.nodes.prompt.prompt_template import PromptTemplate
from pipelines.schema import Answer

logger = logging.getLogger(__name__)

DESCRIPTION = ("propose", "judge", "stop", "steps", "width")
TEMPLATE = PromptTemplate("tree-of-thoughts", prompt_text="{query}")


def _tree_of_thoughts():
    """The search of PaddleNLP; imported when an agent is made, so that pipelines runs with an older PaddleNLP too."""
    try:
        from paddlenlp.experimental.agents import tree_of_thoughts
    except ImportError as error:
        raise ImportError(
            "TreeOfThoughtsAgent needs a PaddleNLP that has paddlenlp.experimental.agents. Install PaddleNLP from the "
            "repository that this version of pipelines belongs to."
        ) from error
    return tree_of_thoughts


class TreeOfThoughtsAgent(Agent):
    """An Agent that searches: it lets the language model propose several thoughts at each step, lets it judge them, and
    goes on with the best (https://arxiv.org/abs/2305.10601). It needs no tools.

    Example:
    ```python
    from pipelines.agents import TreeOfThoughtsAgent
    from pipelines.nodes import PromptNode

    agent = TreeOfThoughtsAgent(prompt_node=PromptNode("gpt-4", api_key="...", max_length=512), language="zh")
    result = agent.run("周末带两个孩子去北京玩两天，预算 2000 元，怎么安排？")
    print(result["answers"][0].answer)
    ```
    """

    def __init__(
        self,
        prompt_node: Optional[PromptNode] = None,
        model=None,
        task: Optional[Union[str, Any]] = None,
        language: str = "en",
        parse: str = "lenient",
        search: Optional[Dict[str, Any]] = None,
        **kwargs: Any,
    ):
        """
        Creates a TreeOfThoughtsAgent.

        :param prompt_node: The PromptNode that proposes and judges thoughts.
        :param model: A language model of `paddlenlp.experimental.agents.language_models` instead of a PromptNode: it
        answers all prompts of a level as one batch.
        :param task: None for any question, "game24" (queries are four numbers, "4 5 6 10"), or a Task of your own.
        :param language: "en" or "zh": of the prompts.
        :param parse: "lenient", or "paper" to read answers exactly as the paper's code does (game24).
        :param search: Changes to the settings of the search, for example {"n_select": 1}. For any question two states are
        kept, and each is judged once; the other tasks have the paper's settings.
        :param kwargs: `propose`, `judge`, `stop`, `steps` and `width` describe what is searched for any question, see
        `DescribedTask`; the others are as of Agent (memory).
        """
        if (prompt_node is None) == (model is None):
            raise ValueError("TreeOfThoughtsAgent takes either a prompt_node or a model")
        package = _tree_of_thoughts()
        self.description = {name: kwargs.pop(name) for name in DESCRIPTION if name in kwargs}
        if self.description and task is not None:
            raise ValueError("{} describe a question; leave out task".format(", ".join(sorted(self.description))))
        self.model = model if model is not None else PromptNodeModel(prompt_node)
        super().__init__(
            prompt_node=prompt_node if prompt_node is not None else LanguageModelNode(model),
            prompt_template=TEMPLATE,
            **kwargs,
        )
        self._package, self.language = package, language
        defaults = {}
        if task is None:
            task = package.DescribedTask(language=language, **self.description)
            defaults = {"n_select": 2, "n_evaluate": 1}
        elif isinstance(task, str):
            task = package.create_task(task, language, parse)
        self.task = task
        self.config = package.SearchConfig(**{**defaults, **(search or {})})

    def run(
        self, query: str, max_steps: Optional[int] = None, params: Optional[dict] = None
    ) -> Dict[str, Union[str, List[Answer]]]:
        """
        Searches for an answer.

        :param query: The question, or the puzzle in the form of the task.
        :param max_steps: Levels of the search for this call, for any question.
        :param params: Of a question, for this call: `propose`, `judge`, `stop` and `width`, see `DescribedTask`.
        :return: A dictionary with `query`, `answers` (the states that were kept last, best first; the whole path is in
        `meta`), `transcript`, `usage` (requests, answers and tokens) and `trouble` (why there is no answer: the model
        refuses the query, or nothing could be read of what it said; else "").
        """
        return self.run_batch([query], max_steps, params)[0]

    def run_batch(
        self, queries: List[str], max_steps: Optional[int] = None, params: Optional[dict] = None
    ) -> List[Dict[str, Union[str, List[Answer]]]]:
        """
        Searches for answers to several queries at once: what all of them ask goes to the language model as one batch.
        Arguments and results as of `run`.
        """
        if isinstance(queries, str):
            raise ValueError("run_batch takes a list of queries; run takes one")
        task = self._task(max_steps, params)
        for query in queries:
            self.callback_manager.on_agent_start(name=self.prompt_template.name, query=query, params=params)
        search = self._package.search
        dialogues = ((number, search(task, query, self.config, query)) for number, query in enumerate(queries))
        found = dict(self._package.drive_all(dialogues, self.model, in_flight=max(1, len(queries))))
        return [self._finish(task, query, found[number]) for number, query in enumerate(queries)]

    def _task(self, max_steps: Optional[int], params: Optional[dict]):
        """The task of a call."""
        changes = dict(params or {}, **({} if max_steps is None else {"steps": max_steps}))
        if not changes:
            return self.task
        unknown = sorted(set(changes) - set(DESCRIPTION))
        if unknown or not isinstance(self.task, self._package.DescribedTask):
            told = "there is no {}".format(", ".join(unknown)) if unknown else "the task is {}".format(self.task.name)
            raise ValueError("params describe a question by {}; {}".format(", ".join(DESCRIPTION), told))
        return self._package.DescribedTask(language=self.language, **{**self.description, **changes})

    def _finish(self, task, query: str, result) -> Dict[str, Union[str, List[Answer]]]:
        step = self.create_agent_step()
        if isinstance(result, Exception):  # the model refuses this query
            self.callback_manager.on_agent_finish(step)
            logger.warning("%s", result)
            answers, usage = [Answer(answer="", type="generative")], result.usage.as_dict()
            return {"query": query, "answers": answers, "transcript": "", "usage": usage, "trouble": str(result)}
        if result.unread:
            logger.warning("%s", result.unread)
        for text in self._levels(result):
            step = step.create_next_step([text])
            self.callback_manager.on_agent_step(step)
            step.completed(None)
        self.callback_manager.on_agent_finish(step)
        answers = [
            Answer(answer=task.reply(output), type="generative", meta={"path": output}) for output in result.outputs
        ]
        output = answers[0].answer if answers else ""
        self.memory.save(data=self.prepare_data_for_memory(input=query, output=output))
        return {
            "query": query,
            "answers": answers or [Answer(answer="", type="generative")],
            "transcript": step.transcript,
            "usage": result.usage.as_dict(),
            "trouble": result.unread,
        }

    @staticmethod
    def _levels(result) -> List[str]:
        """What was thought, level by level (breadth first) or state by state (depth first)."""
        texts = []
        for number, level in enumerate(result.steps, 1):
            kept = [
                "  {:g}  {}".format(level.values[i], level.candidates[i].strip().split("\n")[-1])
                for i in level.selected
            ]
            texts.append(
                "Level {}, {} thoughts, kept:\n".format(number, len(level.candidates)) + "\n".join(kept) + "\n"
            )
        for node in result.nodes:
            verdict = "left" if node.impossible else "kept"
            texts.append("{}{}  {}\n".format("  " * node.depth, node.state.strip().split("\n")[-1], verdict))
        return texts

    def create_agent_step(self, max_steps: Optional[int] = None) -> AgentStep:
        return AgentStep(max_steps=max_steps or self.max_steps)
