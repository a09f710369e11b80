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
"""Conversion of programs that were saved in FP16, wholly or in part.

paddle2onnx.export() comes here by itself with a program that holds FP16
variables. The C++ core works in a process of its own, so that its abort() becomes
an exception. A core that has FP16 types converts the program as it is. A released
one has none: the program is lowered to FP32, converted, and the FP16 types and
weights are put back into the ONNX graph, bit for bit.
"""

import os
import tempfile

from paddle2onnx.fp16 import program as programs
from paddle2onnx.fp16.core import ConvertError, describe, explain, run
from paddle2onnx.utils import logging, try_import

__all__ = ["ConvertError", "is_fp16", "native", "export"]

MAX_BYTES = 2**31 - 1
CONTROL_FLOW = ("while", "conditional_block")


def is_fp16(model_file):
    """Whether the saved program holds an FP16 variable."""
    try:
        program = programs.read_program(model_file)
    except Exception:  # the core says what is wrong with the file
        return False
    return programs.has_dtype(program, programs.FP16)


def native():
    """Whether the core was built with FP16 types: it says so by `native_fp16`."""
    import paddle2onnx.paddle2onnx_cpp2py_export as c_p2o
    return getattr(c_p2o, "native_fp16", False)


def export(model_file,
           params_file="",
           opset_version=11,
           auto_upgrade_opset=True,
           verbose=True,
           enable_onnx_checker=True,
           enable_experimental_op=True,
           enable_optimize=True,
           custom_op_info=None,
           deploy_backend="onnxruntime",
           calibration_file="",
           external_file="",
           fp32_io=False,
           restore=None,
           report=None):
    """Convert a program with FP16 variables.

    Args:
        as for paddle2onnx.export();
        restore (bool): lower the program to FP32 and restore the graph; None
            does so where the core has no FP16 types.
        report (dict): filled with "opset" and "casts" (list of Paddle operator,
            ONNX operator, tensor: the Casts that the restoration inserted), if
            it is given.

    Returns:
        bytes: the ONNX model. Its inputs and outputs have the types of the
        program, or FP32 in place of FP16 with `fp32_io`.

    Raises:
        ConvertError: names the operator and its data types.
        ValueError: the parameter file does not belong to the program.
    """
    if restore is None:
        restore = not native()
    program = programs.read_program(model_file)
    _refuse(program, CONTROL_FLOW if restore else ())
    options = dict(
        opset_version=opset_version,
        auto_upgrade_opset=auto_upgrade_opset,
        verbose=verbose,
        enable_onnx_checker=enable_onnx_checker,
        enable_experimental_op=enable_experimental_op,
        enable_optimize=enable_optimize,
        custom_op_info=custom_op_info,
        deploy_backend=deploy_backend,
        calibration_file=calibration_file,
        external_file=external_file)
    if restore:
        model, found = _restored(program, params_file, options, fp32_io)
    else:
        model, found = _native(program, model_file, params_file, options,
                               fp32_io)
    if report is not None:
        report.update(found)
    return model


def _native(program, model_file, params_file, options, fp32_io):
    """By a core that has FP16 types; (bytes, report)."""
    if params_file:  # the core reads on behind the end of a file
        with open(params_file, "rb") as file:
            for _ in programs.parameters(file.read(),
                                         programs.saved_names(program)):
                pass
    data, text = run(model_file, params_file, options)
    if options["verbose"]:
        print(text)
    if not data:
        raise explain(program, program, params_file, options, text)
    onnx = try_import("onnx")
    from paddle2onnx.fp16 import cleanup
    model = onnx.ModelProto.FromString(data)
    if fp32_io:
        data = cleanup.float_io(model).SerializeToString()
    return data, {"opset": model.opset_import[0].version, "casts": []}


def _restored(program, params_file, options, fp32_io):
    """Through FP32, by any core; (bytes, report)."""
    onnx = try_import("onnx")
    from paddle2onnx.fp16 import cleanup, graph

    params, halves = b"", {}
    if params_file:
        with open(params_file, "rb") as file:
            params, halves = programs.lower_params(
                file.read(), programs.saved_names(program))
    if len(params) > MAX_BYTES:
        raise ConvertError(
            "The parameters take %d bytes as float32, more than the 2 GB that "
            "can be converted this way" % len(params))
    lowered = programs.lower(program)
    optimize, check = options["enable_optimize"], options[
        "enable_onnx_checker"]
    # names of Paddle variables must survive, and the checks come last
    options = dict(options, enable_onnx_checker=False, enable_optimize=False)
    names = programs.dtypes(program)
    ops = [(op.type, programs.arguments(op.outputs))
           for op in program.blocks[0].ops if op.type not in ("feed", "fetch")]
    with tempfile.TemporaryDirectory(prefix="paddle2onnx_") as scratch:
        model_path = os.path.join(scratch, "lowered.pdmodel")
        params_path = os.path.join(scratch, "lowered.pdiparams")
        with open(model_path, "wb") as file:
            file.write(lowered.SerializeToString())
        if params_file:
            with open(params_path, "wb") as file:
                file.write(params)
        else:
            params_path = ""
        while True:
            data, text = run(model_path, params_path, options)
            if options["verbose"]:
                print(text)
            if not data:
                raise explain(program, lowered, params_path, options, text)
            restorer = graph.Restorer(
                onnx.ModelProto.FromString(data), names, ops, halves,
                set(programs.saved_names(program)))
            wanted = restorer.needed_opset
            if not options["auto_upgrade_opset"] or wanted == restorer.opset:
                break
            if options["verbose"]:
                logging.info(
                    "FP16 operators need opset %d, it is raised from %d" %
                    (wanted, restorer.opset))
            options["opset_version"] = wanted
    model = restorer.apply()
    if optimize:
        model = cleanup.clean(model, restorer.want)
    if fp32_io:
        model = cleanup.float_io(model)
    restored = model.SerializeToString()
    if check:
        _check(onnx, restored, data, program)
    return restored, {"opset": restorer.opset, "casts": restorer.casts}


def _refuse(program, kinds):
    types = programs.dtypes(program)
    for op in program.blocks[0].ops:
        if op.type in kinds:
            raise ConvertError(
                "Operator '%s' (%s) cannot be converted in an FP16 program: "
                "control flow has no FP16 conversion" %
                (op.type, describe(program, op)),
                operator=op.type)
        for name in programs.arguments(op.inputs) + programs.arguments(
                op.outputs):
            if types.get(name) == programs.BF16:
                raise ConvertError(
                    "Operator '%s' (%s) cannot be converted: '%s' is bfloat16"
                    % (op.type, describe(program, op), name),
                    operator=op.type)


def _check(onnx, model, lowered, program):
    """Full check with type inference of the bytes of a model.

    The message names the operators of the program.

    Some mappers declare a wrong rank, in float32 as well. That is reported as a
    warning: it is not of FP16's making, and the model runs.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        try:
            onnx.checker.check_model(lowered, full_check=True)
        except Exception:
            logging.warning(
                "The model is not fully valid, in float32 neither: "
                "%s" % error)
            onnx.checker.check_model(model)
            return
        kinds = sorted(
            set(op.type for op in program.blocks[0].ops) - {"feed", "fetch"})
        raise ConvertError(
            "The converted FP16 model is not valid: %s (operators of the "
            "program: %s)" % (error, ", ".join(kinds)),
            detail=str(error))
