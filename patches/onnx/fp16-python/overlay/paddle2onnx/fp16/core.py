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
"""Runs the C++ core in a process of its own.

The core ends its process with abort() where a model cannot be converted. Here
that becomes an exception which names the operator and the data types.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile

from paddle2onnx.fp16 import program as programs


class ConvertError(RuntimeError):
    """The C++ core could not convert a program.

    Attributes:
        operator (str): type of the Paddle operator, "" where it is not known.
        detail (str): what the core printed last.
    """

    def __init__(self, message, operator="", detail=""):
        super(ConvertError, self).__init__(message)
        self.operator = operator
        self.detail = detail


def run(model_file, params_file, options):
    """Convert in a child process.

    Args:
        model_file (str): the program.
        params_file (str): combined parameters, "" for none.
        options (dict): keyword arguments of the core's export().

    Returns:
        (bytes, str): the ONNX model (empty if the core failed) and the text
        that the core printed, with the way it ended as the last line.
    """
    import paddle2onnx.paddle2onnx_cpp2py_export as c_p2o
    with tempfile.TemporaryDirectory(prefix="paddle2onnx_") as scratch:
        request = os.path.join(scratch, "request.json")
        result = os.path.join(scratch, "model.onnx")
        with open(request, "w") as file:
            json.dump({
                "core": c_p2o.__file__,
                "model_file": model_file,
                "params_file": params_file,
                "result": result,
                "options": options
            }, file)
        done = subprocess.run(
            [
                sys.executable,
                "-I",  # the child needs no package: not even site is read
                "-S",
                os.path.join(
                    os.path.dirname(os.path.abspath(__file__)), "worker.py"),
                request
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode == 0 and os.path.isfile(result):
            with open(result, "rb") as file:
                return file.read(), text
    if done.returncode < 0:
        try:
            how = signal.Signals(-done.returncode).name
        except ValueError:
            how = "signal %d" % -done.returncode
    else:
        how = "exit status %d" % done.returncode
    return b"", text + "\nthe converter ended with " + how


def explain(program, lowered, params_file, options, text):
    """ConvertError for a conversion that failed.

    The operator is taken from the core's message; where that names none, it is
    found by converting ever shorter beginnings of the program.

    Args:
        program: the program as it was saved (its data types are reported).
        lowered: the program that was handed to the core.
        params_file (str): the parameters that were handed to the core.
        options (dict): as for run().
        text (str): what the core printed.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Oops" in line]
    if not errors:
        errors = [line for line in lines if "[Paddle2ONNX]" not in line]
    detail = "; ".join(errors[-2:] +
                       [l for l in lines[-1:] if l not in errors])
    ops = [
        op for op in program.blocks[0].ops if op.type not in ("feed", "fetch")
    ]
    known = {op.type: op for op in reversed(ops)}
    named = []
    listed = re.search(r"not supported yet, including (.*)", text)
    if listed:
        named = [n for n in re.split(r"[,\s]+", listed.group(1)) if n in known]
    if not named:
        named = re.findall(r"ERROR\]\[Paddle2ONNX\] \[([a-z0-9_]+):", text)
    if not named:
        named = re.findall(r"Due to the operator: (\w+), this model", text)
    if named:
        op = known.get(named[-1])
    else:
        op = _bisect(ops, lowered, params_file, options)
    if op is None:
        return ConvertError(
            "The model cannot be converted: %s" % detail, detail=detail)
    return ConvertError(
        "Operator '%s' (%s) cannot be converted at opset %d: %s" %
        (op.type, describe(program, op), options["opset_version"], detail),
        operator=op.type,
        detail=detail)


def describe(program, op):
    """'X: float16, Out: float16' of an operator of the program."""
    types = programs.dtypes(program)
    parts = []
    for entry in list(op.inputs) + list(op.outputs):
        for name in entry.arguments[:1]:
            dtype = programs.DTYPE_NAMES.get(types.get(name), "unknown type")
            parts.append("%s: %s" % (entry.parameter, dtype))
    return ", ".join(parts) or "no tensors"


def _bisect(ops, lowered, params_file, options):
    low, high = 0, len(ops)  # the first `low` convert, the first `high` do not
    quick = dict(options, verbose=False, enable_onnx_checker=False)
    with tempfile.TemporaryDirectory(prefix="paddle2onnx_") as scratch:
        path = os.path.join(scratch, "part.pdmodel")
        while high - low > 1:
            middle = (low + high) // 2
            with open(path, "wb") as file:
                file.write(
                    programs.first_ops(lowered, middle).SerializeToString())
            model, _ = run(path, params_file, quick)
            low, high = (middle, high) if model else (low, middle)
    return ops[high - 1] if ops else None
