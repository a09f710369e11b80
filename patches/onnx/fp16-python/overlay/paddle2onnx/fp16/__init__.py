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
variables, if the core has no FP16 types, as released ones. The C++ core works
in a process of its own, so that its abort() becomes an exception. The program
is lowered to FP32, converted, and the FP16 types and weights are put back into
the ONNX graph, bit for bit.
"""

import os
import tempfile

from paddle2onnx.fp16 import program as programs
from paddle2onnx.fp16.core import ConvertError, describe, explain, run
from paddle2onnx.utils import logging

__all__ = ["ConvertError", "takes", "native", "export"]

MAX_BYTES = 2**31 - 1
MIN_OPSET, MAX_OPSET = 7, 19
CONTROL_FLOW = ("while", "conditional_block")


def takes(model_file):
    """Whether a program has to come here: it holds FP16 or bfloat16.

    Raises:
        ProgramError: the file holds no program; says what it is.
    """
    program = programs.read_program(model_file)
    kinds = programs.dtypes(program).values()
    return programs.FP16 in kinds or programs.BF16 in kinds


def native():
    """Whether the core has FP16 types of its own."""
    import paddle2onnx.paddle2onnx_cpp2py_export as c_p2o
    return hasattr(c_p2o, "convert_io_to_fp32")


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
           export_fp16_model=False,
           fp32_io=False,
           report=None):
    """Convert a program with FP16 variables by a core without FP16 types.

    Args:
        as for paddle2onnx.export();
        report (dict): filled with "opset" and "casts" (list of Paddle operator,
            ONNX operator, tensor: the Casts that the restoration inserted), if
            it is given.

    Returns:
        bytes: the ONNX model. Its inputs and outputs have the types of the
        program, or FP32 in place of FP16 with `fp32_io`.

    Raises:
        ConvertError: names the operator and its data types.
        programs.ProgramError: a file is damaged, or both do not fit together.
    """
    if not MIN_OPSET <= opset_version <= MAX_OPSET:
        raise ConvertError("opset version %d is not in the range [%d, %d]" %
                           (opset_version, MIN_OPSET, MAX_OPSET))
    program = programs.read_program(model_file)
    needed = programs.needed_params(program)
    if needed and not params_file:
        raise programs.ProgramError(
            "the program needs the parameter '%s', but there are no "
            "parameters: give the parameter file of the model" % needed[0])
    if params_file and not os.path.isfile(params_file):
        raise programs.ProgramError("Cannot read the parameter file '%s'" %
                                    params_file)
    _refuse_bfloat16(program)
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
    flow = [
        op for op in program.blocks[0].ops if op.type in CONTROL_FLOW
    ]
    if flow:
        model, found = _as_it_is(program, flow[0], model_file, params_file,
                                 options)
    else:
        model, found = _restored(program, params_file, options)
    onnx = _onnx() if export_fp16_model or fp32_io else None
    if export_fp16_model:
        model = _all_fp16(model)
    if fp32_io:
        from paddle2onnx.fp16 import cleanup
        model = cleanup.float_io(
            onnx.ModelProto.FromString(model)).SerializeToString()
    if report is not None:
        report.update(found)
    return model


def _onnx():
    try:
        import onnx
    except ImportError:
        raise ImportError("the conversion of FP16 programs needs the package "
                          "onnx: pip install onnx")
    return onnx


def _all_fp16(model):
    """The core's own conversion of what is still FP32."""
    import paddle2onnx.paddle2onnx_cpp2py_export as c_p2o
    with tempfile.TemporaryDirectory(prefix="paddle2onnx_") as scratch:
        whole, half = (os.path.join(scratch, name)
                       for name in ("whole.onnx", "half.onnx"))
        with open(whole, "wb") as file:
            file.write(model)
        c_p2o.convert_to_fp16(whole, half)
        with open(half, "rb") as file:
            return file.read()


def _as_it_is(program, flow, model_file, params_file, options):
    """A program with control flow, without lowering; (bytes, report).

    The core converts it where no FP16 weight and no FP16 constant is in it.
    """
    data, text = run(model_file, params_file, options)
    if options["verbose"]:
        print(text)
    if not data:
        raise ConvertError(
            "Operator '%s' (%s) cannot be converted in an FP16 program: "
            "control flow has no FP16 conversion" %
            (flow.type, describe(program, flow)),
            operator=flow.type,
            detail=text)
    opset = 0
    try:
        onnx = _onnx()
    except ImportError:
        logging.warning("The model is not checked: onnx is not installed")
    else:
        onnx.checker.check_model(data)
        opset = onnx.ModelProto.FromString(data).opset_import[0].version
    return data, {"opset": opset, "casts": []}


def _restored(program, params_file, options):
    """Through FP32, by any core; (bytes, report)."""
    onnx = _onnx()
    from paddle2onnx.fp16 import cleanup, graph

    params, halves = b"", {}
    if params_file:
        with open(params_file, "rb") as file:
            params, halves = programs.lower_params(
                file.read(), programs.saved_names(program))
    if len(params) > MAX_BYTES:
        raise ConvertError(
            "The parameters take %d bytes as float32, more than the 2 GB that "
            "the released core takes; a core with FP16 types (built from the "
            "branch feature/fp16) counts them as FP16" % len(params))
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
    restored = model.SerializeToString()
    if check:
        _check(onnx, restored, data, program)
    return restored, {"opset": restorer.opset, "casts": restorer.casts}


def _refuse_bfloat16(program):
    types = programs.dtypes(program)
    for block in program.blocks:
        for op in block.ops:
            for name in programs.arguments(op.inputs) + programs.arguments(
                    op.outputs):
                if types.get(name) == programs.BF16:
                    raise ConvertError(
                        "Operator '%s' (%s) cannot be converted: '%s' is "
                        "bfloat16" % (op.type, describe(program, op), name),
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
            # Constant has no int64 before opset 9, and mappers use it
            of_types = "tensor(" in str(error) or "elem type" in str(error)
            if not of_types or "op_type:Constant)" in str(error):
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
