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

from paddlemix.models.instructblip.modeling import InstructBlipForConditionalGeneration
from paddlemix.processors.instructblip_processing import InstructBlipProcessor

from .apptask import AppTask


class InstructBlipTask(AppTask):
    """
    InstructBLIP answers about images.

    The weights are looked for in `$PPMIX_HOME/models/<model>`, or in `task_path`; they come from
    `paddlemix/examples/instructblip/convert_weights.py`.
    """

    def __init__(self, task, model, **kwargs):
        super().__init__(task=task, model=model, **kwargs)
        self._static_mode = False
        self._generate_kwargs = {
            "max_length": 256,
            "min_length": 1,
            "num_beams": 5,
            "decode_strategy": "beam_search",
            "repetition_penalty": 1.5,
        }
        self._construct_processor(model)
        self._construct_model(model)

    def _construct_processor(self, model):
        if not os.path.isfile(os.path.join(self._task_path, "config.json")):
            raise FileNotFoundError(
                f"{self._task_path} holds no InstructBLIP weights; next: make them with "
                "paddlemix/examples/instructblip/convert_weights.py, and put them there or pass task_path=DIRECTORY"
            )
        self._processor = InstructBlipProcessor.from_pretrained(self._task_path)

    def _construct_model(self, model):
        self._model = InstructBlipForConditionalGeneration.from_pretrained(self._task_path)
        self._model.eval()

    def _preprocess(self, inputs):
        image, prompt = inputs.get("image", None), inputs.get("prompt", None)
        assert image is not None, "The image is None"
        assert prompt is not None, "The prompt is None"
        inputs["instructblip_input"] = self._processor(images=image, text=prompt)
        return inputs

    def _run_model(self, inputs):
        given = inputs.get("generate_kwargs") or {}
        twins = {"max_new_tokens": "max_length", "do_sample": "decode_strategy"}
        defaults = {key: value for key, value in self._generate_kwargs.items() if key not in map(twins.get, given)}
        if given.get("do_sample") or given.get("decode_strategy") in ("sampling", "greedy_search"):
            defaults["num_beams"] = 1
        options = {**defaults, **given}
        inputs["result"], _ = self._model.generate(**inputs.pop("instructblip_input"), **options)
        return inputs

    def _postprocess(self, inputs):
        texts = self._processor.batch_decode(inputs["result"])
        inputs["result"] = texts[0] if len(texts) == 1 else texts
        return inputs
