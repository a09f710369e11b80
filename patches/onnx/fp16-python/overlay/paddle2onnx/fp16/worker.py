# Copyright (c) 2024 PaddlePaddle Authors. All Rights Reserved.
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
"""The child process of paddle2onnx.fp16.core: python worker.py REQUEST.

It loads the core and nothing else of the package.
"""

import json
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

NAME = "paddle2onnx_cpp2py_export"


def load_core(path):
    spec = spec_from_loader(NAME, ExtensionFileLoader(NAME, path))
    core = module_from_spec(spec)
    spec.loader.exec_module(core)
    return core


def main(path):
    with open(path) as file:
        request = json.load(file)
    options = request["options"]
    model = load_core(request["core"]).export(
        request["model_file"], request["params_file"],
        options["opset_version"], options["auto_upgrade_opset"],
        options["verbose"], options["enable_onnx_checker"],
        options["enable_experimental_op"], options["enable_optimize"],
        options["custom_op_info"] or {}, options["deploy_backend"],
        options["calibration_file"], options["external_file"], False)
    if not model:
        return 3
    with open(request["result"], "wb") as file:
        file.write(model)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
