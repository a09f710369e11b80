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
"""The child process of paddle2onnx.fp16.core: python -m paddle2onnx.fp16.worker REQUEST."""

import json
import sys

import paddle2onnx.paddle2onnx_cpp2py_export as c_p2o


def main(path):
    with open(path) as file:
        request = json.load(file)
    options = request["options"]
    model = c_p2o.export(
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
