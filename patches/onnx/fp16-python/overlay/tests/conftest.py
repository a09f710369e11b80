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
"""Lets the tests of a source tree run with a core that was not built from it.

PADDLE2ONNX_CORE names the module. Without it, a tree that holds no core takes
the one of the release that is installed beside it.
"""

import glob
import importlib.machinery
import importlib.util
import os
import sys
import types


def core_is_built():
    """Whether the source tree holds its core; if not, another one is loaded."""
    folders = [os.path.join(p or ".", "paddle2onnx") for p in sys.path]
    folders = [f for f in folders if os.path.isfile(f + "/__init__.py")]
    cores = [glob.glob(f + "/paddle2onnx_cpp2py_export*") for f in folders]
    given = os.environ.get("PADDLE2ONNX_CORE", "")
    if not given and (not any(cores) or cores[0]):
        return True  # without any, the import says what is missing
    version = types.ModuleType("paddle2onnx.version")
    version.version = "source"
    sys.modules.setdefault(version.__name__, version)
    name = "paddle2onnx.paddle2onnx_cpp2py_export"
    loader = importlib.machinery.ExtensionFileLoader(
        name, given or next(found[0] for found in cores if found))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    sys.modules[name] = module
    return False


BUILT = core_is_built()
