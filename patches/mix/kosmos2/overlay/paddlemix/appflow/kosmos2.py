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

import os

from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_processing import Kosmos2Processor

from .apptask import AppTask


class Kosmos2Task(AppTask):
    """
    Kosmos-2 says what an image shows and where.

    The prompt is that of [`Kosmos2Processor`]: `<grounding> An image of`, `<grounding><phrase> a dog</phrase>`, ... The weights are
    looked for in `$PPMIX_HOME/models/<model>`, or in `task_path`; they come from
    `paddlemix/examples/kosmos2/convert_weights.py`.
    """

    def __init__(self, task, model, **kwargs):
        super().__init__(task=task, model=model, **kwargs)
        self._static_mode = False
        self._construct_processor(model)
        self._construct_model(model)

    def _construct_processor(self, model):
        if not os.path.isfile(os.path.join(self._task_path, "config.json")):
            raise FileNotFoundError(
                f"{self._task_path} holds no Kosmos-2 weights; next: make them with "
                "paddlemix/examples/kosmos2/convert_weights.py, and put them there or pass task_path=DIRECTORY"
            )
        self._processor = Kosmos2Processor.from_pretrained(self._task_path)

    def _construct_model(self, model):
        self._model = Kosmos2ForConditionalGeneration.from_pretrained(self._task_path)
        self._model.eval()

    def _preprocess(self, inputs):
        image, prompt = inputs.get("image", None), inputs.get("prompt", None)
        assert image is not None, "The image is None"
        assert prompt is not None, "The prompt is None"
        inputs["kosmos2_input"] = self._processor(images=image, text=prompt, bboxes=inputs.get("bboxes", None))
        return inputs

    def _run_model(self, inputs):
        given = inputs["kosmos2_input"]
        options = {"max_new_tokens": 64, **(inputs.get("generate_kwargs") or {})}
        ids, _ = self._model.generate(**given, **options)
        inputs["result"] = self._processor.batch_decode(ids, inputs.pop("kosmos2_input")["input_ids"])
        return inputs

    def _postprocess(self, inputs):
        found = [self._processor.post_process_generation(text) for text in inputs["result"]]
        results = [
            {"text": clean, "markup": text, "entities": entities}
            for text, (clean, entities) in zip(inputs["result"], found)
        ]
        inputs["result"] = results[0] if len(results) == 1 else results
        return inputs
