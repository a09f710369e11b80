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

The released C++ core has no FP16 weights. A program that holds FP16 variables is
lowered to FP32, converted by that core in a process of its own, and the FP16
types and weights are put back into the ONNX graph, bit for bit.
paddle2onnx.export() comes here by itself where the core cannot do it alone.
"""

import os
import tempfile

from paddle2onnx.fp16 import program as programs
from paddle2onnx.fp16.core import ConvertError, describe, explain, run
from paddle2onnx.utils import logging, try_import

__all__ = ["ConvertError", "is_fp16", "wanted", "export"]

MAX_BYTES = 2**31 - 1
CONTROL_FLOW = ("while", "conditional_block")


def is_fp16(model_file):
    """Whether the saved program holds an FP16 variable."""
    try:
        program = programs.read_program(model_file)
    except Exception:  # the core says what is wrong with the file
        return False
    return programs.has_dtype(program, programs.FP16)


def wanted(core, model_file, fp32_io=False):
    """Whether export() of this module has to convert the program.

    A core that was built with FP16 types says so by its `native_fp16`; it is
    left to convert FP16 programs itself unless `fp32_io` is asked for.
    """
    if getattr(core, "native_fp16", False) and not fp32_io:
        return False
    return is_fp16(model_file)


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
           report=None):
    """Convert a program with FP16 variables.

    Args:
        as for paddle2onnx.export();
        report (dict): filled with "opset", "casts" (list of Paddle operator,
            ONNX operator, tensor: the Casts that the restoration inserted) and
            "weights" (number of FP16 weights), if it is given.

    Returns:
        bytes: the ONNX model. Its inputs and outputs have the types of the
        program, or FP32 in place of FP16 with `fp32_io`.

    Raises:
        ConvertError: names the operator and its data types.
        ValueError: the parameter file does not belong to the program.
    """
    onnx = try_import("onnx")
    from paddle2onnx.fp16 import cleanup, graph

    program = programs.read_program(model_file)
    _refuse(program)
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
    options = dict(
        opset_version=opset_version,
        auto_upgrade_opset=auto_upgrade_opset,
        verbose=verbose,
        enable_onnx_checker=False,
        enable_experimental_op=enable_experimental_op,
        enable_optimize=False,  # names of Paddle variables must survive
        custom_op_info=custom_op_info,
        deploy_backend=deploy_backend,
        calibration_file=calibration_file,
        external_file=external_file)
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
            if verbose:
                print(text)
            if not data:
                raise explain(program, lowered, params_path, options, text)
            restorer = graph.Restorer(
                onnx.ModelProto.FromString(data), names, ops, halves,
                set(programs.saved_names(program)))
            wanted = restorer.needed_opset
            if not auto_upgrade_opset or wanted == restorer.opset:
                break
            if verbose:
                logging.info(
                    "FP16 operators need opset %d, it is raised from %d" %
                    (wanted, restorer.opset))
            options["opset_version"] = wanted
    model = restorer.apply()
    if enable_optimize:
        model = cleanup.clean(model, restorer.want)
    if fp32_io:
        model = cleanup.float_io(model)
    if enable_onnx_checker:
        _check(onnx, model, data, program)
    if report is not None:
        report.update(
            opset=restorer.opset, casts=restorer.casts, weights=len(halves))
    return model.SerializeToString()


def _refuse(program):
    types = programs.dtypes(program)
    for op in program.blocks[0].ops:
        if op.type in CONTROL_FLOW:
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
    """Full check with type inference; the message names the operators.

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
