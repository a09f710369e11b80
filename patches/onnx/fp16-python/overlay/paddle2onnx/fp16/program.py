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
"""Reading and lowering a saved Paddle program, without importing Paddle.

Only the fields that the conversion of FP16 needs are declared (field numbers of
paddle2onnx/proto/p2o_paddle.proto); protobuf keeps every other field as it is.
"""

import struct

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool

try:
    from google.protobuf.message_factory import GetMessageClass
except ImportError:  # protobuf before 4.22
    from google.protobuf.message_factory import MessageFactory

    def GetMessageClass(descriptor):
        return MessageFactory().GetPrototype(descriptor)



class ProgramError(RuntimeError):
    """A file of the model is damaged, or two do not belong together."""


FP16, FP32, BF16 = 4, 5, 22
DTYPE_NAMES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
    22: "bfloat16"
}
# integer attributes that hold a data type
DTYPE_ATTRS = ("dtype", "in_dtype", "out_dtype")
# variables that hold no tensor of their own:
# FEED_MINIBATCH, FETCH_LIST, READER, RAW
NOT_SAVED = (9, 10, 15, 17)
INT = 0  # AttrType.INT

_PACKAGE = "paddle2onnx_fp16"
_MESSAGES = {
    "TensorDesc": [("data_type", 1, "int32"), ("dims", 2, "*int64")],
    "LoDTensorDesc": [("tensor", 1, "TensorDesc")],
    "VarType": [("type", 1, "int32"), ("selected_rows", 2, "TensorDesc"),
                ("lod_tensor", 3, "LoDTensorDesc"), ("tensor_array", 4,
                                                     "LoDTensorDesc")],
    "VarDesc": [("name", 1, "string"), ("type", 2, "VarType"), ("persistable",
                                                                3, "bool")],
    "OpVar": [("parameter", 1, "string"), ("arguments", 2, "*string")],
    "OpAttr": [("name", 1, "string"), ("type", 2, "int32"), ("i", 3, "int32"),
               ("f", 4, "float"), ("b", 10, "bool")],
    "OpDesc": [("inputs", 1, "*OpVar"), ("outputs", 2, "*OpVar"),
               ("type", 3, "string"), ("attrs", 4, "*OpAttr")],
    "BlockDesc": [("idx", 1, "int32"), ("parent_idx", 2, "int32"),
                  ("vars", 3, "*VarDesc"), ("ops", 4, "*OpDesc")],
    "ProgramDesc": [("blocks", 1, "*BlockDesc")],
}


def _message_class(name):
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "int32": kinds.TYPE_INT32,
        "int64": kinds.TYPE_INT64,
        "bool": kinds.TYPE_BOOL,
        "float": kinds.TYPE_FLOAT,
        "string": kinds.TYPE_STRING
    }
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name=_PACKAGE + ".proto", package=_PACKAGE, syntax="proto2")
    for message, fields in _MESSAGES.items():
        entry = file.message_type.add(name=message)
        for field, number, kind in fields:
            plain = kind.lstrip("*")
            repeated = kind.startswith("*")
            added = entry.field.add(
                name=field,
                number=number,
                label=kinds.LABEL_REPEATED
                if repeated else kinds.LABEL_OPTIONAL)
            if plain in scalars:
                added.type = scalars[plain]
            else:
                added.type = kinds.TYPE_MESSAGE
                added.type_name = ".%s.%s" % (_PACKAGE, plain)
    pool.Add(file)
    return GetMessageClass(
        pool.FindMessageTypeByName("%s.%s" % (_PACKAGE, name)))


ProgramDesc = _message_class("ProgramDesc")
TensorDesc = _message_class("TensorDesc")


def read_program(path):
    """The program in `path`.

    Raises:
        ProgramError: the file holds none; says what it is.
    """
    with open(path, "rb") as file:
        data = file.read()
    if not data:
        raise ProgramError("the model file '%s' is empty" % path)
    if data[:1] == b"{":
        raise ProgramError(
            "the model file '%s' is a program of Paddle's new IR (json): save "
            "it with FLAGS_enable_pir_api=0 in the environment" % path)
    if data[:8] == b"version ":
        raise ProgramError("the model file '%s' is a pointer of Git LFS: fetch "
                         "the file itself" % path)
    try:
        program = ProgramDesc.FromString(data)
    except Exception:
        program = None
    if program is None or not program.blocks:
        raise ProgramError("the model file '%s' is damaged or not a Paddle "
                         "program" % path)
    return program


def needed_params(program):
    """Names of the saved variables that operators read and none makes."""
    saved, made = set(saved_names(program)), set()
    for block in program.blocks:
        for op in block.ops:
            made.update(arguments(op.outputs))
    read = [name for block in program.blocks for op in block.ops
            for name in arguments(op.inputs)]
    return [name for name in read if name in saved and name not in made]


def tensor_desc(var):
    """TensorDesc of a variable, or None where it holds no tensor."""
    for field in ("lod_tensor", "tensor_array"):
        if var.type.HasField(field):
            return getattr(var.type, field).tensor
    if var.type.HasField("selected_rows"):
        return var.type.selected_rows
    return None


def dtypes(program):
    """{variable name: Paddle data type number} of all blocks."""
    found = {}
    for block in program.blocks:
        for var in block.vars:
            desc = tensor_desc(var)
            if desc is not None and var.type.type not in NOT_SAVED:
                found[var.name] = desc.data_type
    return found


def has_dtype(program, dtype):
    return dtype in dtypes(program).values()


def arguments(entries):
    return [name for entry in entries for name in entry.arguments]


def saved_names(program):
    """Names of the saved variables in the order of the parameter file."""
    return sorted(var.name for block in program.blocks for var in block.vars
                  if var.persistable and var.type.type not in NOT_SAVED)


def lower(program):
    """A copy of `program`; every FP16 variable and attribute is FP32."""
    lowered = ProgramDesc()
    lowered.CopyFrom(program)
    for block in lowered.blocks:
        for var in block.vars:
            desc = tensor_desc(var)
            if desc is not None and desc.data_type == FP16:
                desc.data_type = FP32
        for op in block.ops:
            for attr in op.attrs:
                if (attr.name in DTYPE_ATTRS and attr.type == INT and
                        attr.i == FP16):
                    attr.i = FP32
    return lowered


def parameters(data, names):
    """Walk through a combined parameter file.

    Args:
        data (bytes): content of the file, parameters one after another.
        names (list): their names, in the order of the file.

    Yields:
        (name, TensorDesc, start of the entry, start and end of its values).

    Raises:
        ProgramError: the file does not hold these parameters.
    """
    at = 0
    if data[:8] == b"version ":
        raise ProgramError("the parameter file is a pointer of Git LFS: fetch "
                         "the file itself")
    if names and not data:
        raise ProgramError(
            "the parameter file is empty, the program needs the parameter "
            "'%s': give the parameter file of the model" % names[0])
    for name in names:
        if at >= len(data):
            raise ProgramError("the parameter file ends before '%s'" % name)
        start = at
        if at + 20 > len(data):
            raise ProgramError("the parameter file ends inside '%s'" % name)
        damaged = ("the parameter file is damaged at '%s', or belongs to "
                   "another program: " % name)
        _, lod_level, _, size = struct.unpack_from("<IQIi", data, at)
        at += 20
        if lod_level != 0:
            raise ProgramError(damaged + "lod_level is %d, only 0 can be "
                             "converted" % lod_level)
        if size < 0 or at + size > len(data):
            raise ProgramError(damaged + "the description takes %d bytes" %
                               size)
        try:
            desc = TensorDesc.FromString(data[at:at + size])
        except Exception:
            raise ProgramError(damaged + "no description of a tensor")
        at += size
        if desc.data_type not in _ITEM_SIZE:
            raise ProgramError(damaged + "data type %d" % desc.data_type)
        if any(dim < 0 for dim in desc.dims):
            raise ProgramError(damaged + "a dimension is negative")
        count = 1
        for dim in desc.dims:
            count *= dim
        end = at + count * _ITEM_SIZE[desc.data_type]
        if end > len(data):
            raise ProgramError("the parameter file ends inside '%s'" % name)
        yield name, desc, start, at, end
        at = end
    if at != len(data):
        raise ProgramError("the parameter file has %d bytes after the last "
                           "parameter" % (len(data) - at))


def lower_params(data, names):
    """Lower a combined parameter file; arguments and errors of parameters().

    Returns:
        the file with FP32 in place of FP16, and {name: FP16 array} of those
        that were lowered.
    """
    out, halves = [], {}
    for name, desc, start, at, end in parameters(data, names):
        if desc.data_type != FP16:
            out.append(data[start:end])
            continue
        value = np.frombuffer(data[at:end], np.float16)
        halves[name] = value.reshape(tuple(desc.dims))
        desc.data_type = FP32
        head = desc.SerializeToString()
        out.append(struct.pack("<IQIi", 0, 0, 0, len(head)))
        out.append(head)
        out.append(value.astype(np.float32).tobytes())
    return b"".join(out), halves


_ITEM_SIZE = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}


def first_ops(program, count):
    """A copy that ends after its first `count` operators and fetches the last.

    Feed operators are kept and not counted.
    """
    cut = ProgramDesc()
    cut.CopyFrom(program)
    block = cut.blocks[0]
    feeds = [op for op in block.ops if op.type == "feed"]
    fetch = next(op for op in block.ops if op.type == "fetch")
    body = [op for op in block.ops if op.type not in ("feed", "fetch")][:count]
    kept = type(block)()
    kept.ops.extend(feeds + body)
    end = kept.ops.add()
    end.CopyFrom(fetch)
    del end.inputs[0].arguments[:]
    end.inputs[0].arguments.append(arguments(body[-1].outputs)[0])
    for attr in end.attrs:
        if attr.name == "col":
            attr.i = 0
    del block.ops[:]
    block.ops.extend(kept.ops)
    return cut
