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

"""PromptNodes and the language models of ``paddlenlp.experimental.agents``, each in the place of the other."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Union

from pipelines.nodes import PromptNode
from pipelines.nodes.prompt.prompt_template import PromptTemplate, get_predefined_prompt_templates

__all__ = ["LanguageModelNode", "PromptNodeModel"]


class PromptNodeModel:
    """A PromptNode as a language model of ``paddlenlp.experimental.agents``.

    A prompt is given to the node once for each answer that is wanted, since not every invocation layer can sample several.
    Layers that know them are told temperature, top_p, max_tokens and stop_words; the others use their own. Nodes do not
    tell tokens, so the account has none.

    :param prompt_node: The node; a default prompt template of it is not used.
    """

    def __init__(self, prompt_node: PromptNode):
        self.prompt_node = prompt_node
        name = prompt_node.model_name_or_path
        self.name = name if isinstance(name, str) else name.model_name_or_path

    def _ask(self, request) -> str:
        options = {"temperature": request.temperature, "top_p": request.top_p, "max_tokens": request.max_tokens}
        stop_words = list(request.stop) or None
        (text,) = self.prompt_node.prompt(None, request.prompt, stop_words=stop_words, top_k=1, **options)[:1] or [""]
        for stop in request.stop:
            text = text.split(stop, 1)[0]
        return text

    def complete(self, requests: Sequence[Any]) -> List[Any]:
        # Imported here, so that pipelines runs with an older PaddleNLP too.
        from paddlenlp.experimental.agents.language_models import Completion

        return [Completion([self._ask(request) for _ in range(request.n)], sent=request.n) for request in requests]

    def close(self) -> None:
        pass


class LanguageModelNode(PromptNode):
    """A language model of ``paddlenlp.experimental.agents`` as a PromptNode, for ReAct and every other Agent.

    With it LLaMA and other causal models of PaddleNLP run in process, and any endpoint of the OpenAI protocol can be used:
    `LanguageModelNode(PaddleNLPModel.from_pretrained("THUDM/chatglm2-6b"), max_tokens=512)`.

    :param model: The language model.
    :param stop_words: Stops text generation if any of the stop words is generated.
    :param options: Other fields of a request (temperature, top_p, max_tokens) for all prompts.
    """

    def __init__(self, model, stop_words: Optional[List[str]] = None, **options: Any):
        self.language_model = model
        self.options = options
        self.stop_words = stop_words
        self.top_k = 1
        self.model_name_or_path = model.name
        self.default_prompt_template = None
        self.output_variable = None
        self.prompt_templates: Dict[str, PromptTemplate] = {pt.name: pt for pt in get_predefined_prompt_templates()}

    def prompt(self, prompt_template: Optional[Union[str, PromptTemplate]], *args, **kwargs) -> List[str]:
        """
        :param prompt_template: A template that is filled with the arguments, or None if the arguments are the prompts.
        :return: The answers, one for each prompt.
        """
        template = self.get_prompt_template(prompt_template)
        prompts = list(template.fill(*args, **kwargs)) if template else list(args)
        stop_words = kwargs.get("stop_words", self.stop_words)
        given = {name: kwargs[name] for name in ("temperature", "top_p", "max_tokens") if name in kwargs}
        options = {**self.options, **given, "stop": tuple(stop_words) if stop_words else None}
        results = [text for prompt in prompts for text in self.language_model.ask(prompt, **options)]
        return template.post_process(results, **kwargs) if template else results
