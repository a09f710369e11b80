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
"""Gives the tensors of a lowered ONNX graph their FP16 types back.

The graph was converted from a program whose FP16 variables had been lowered to
FP32. A tensor that carries the name of a Paddle variable gets that variable's
type; weights get their original bits. Tensors in between belong to one Paddle
operator and get the type in which that operator computes. A Cast stands only
where ONNX has no operator with the types that Paddle uses.
"""

import re

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from paddle2onnx.fp16 import program as programs

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
MAX_OPSET = 19
TYPE_NAMES = {FLOAT: "tensor(float)", FLOAT16: "tensor(float16)"}

# Paddle computes these inside in float32 when their tensors are FP16. Where the
# converter writes them as several ONNX nodes, the nodes stay float32 as well:
# squares, sums and exponentials leave the range of FP16 long before the result.
FLOAT_INSIDE = frozenset([
    "layer_norm", "group_norm", "instance_norm", "norm", "p_norm", "dist",
    "logsumexp", "softmax_with_cross_entropy", "softplus", "mish", "log1p",
    "logsigmoid", "log_softmax", "reduce_prod", "cumsum", "grid_sampler",
    "yolo_box"
])
# nodes that move data or describe it, and never round
MOVES = frozenset([
    "Constant", "Identity", "Cast", "Shape", "Reshape", "Transpose", "Squeeze",
    "Unsqueeze", "Slice", "Gather", "Concat", "Split", "Expand", "Flatten",
    "ConstantOfShape", "Size", "Tile"
])
# nodes whose constants are bounds and fillings: Paddle makes them FP16 as well
BOUNDS = frozenset(["Clip", "Pad"])
# nodes that ONNX Runtime has in float32 only, although ONNX allows FP16
FLOAT_ONLY = frozenset([
    "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
    "Bernoulli"
])


def attribute(node, name):
    return next((a for a in node.attribute if a.name == name), None)


def constant_value(node):
    value = attribute(node, "value")
    return value.t if value is not None else None


def float_tensors(model, names):
    """Names of the float32 tensors, without moving large weights about."""
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(_without_weights(model))
    inferred = onnx.shape_inference.infer_shapes(skeleton)
    found = {}
    for info in list(inferred.graph.value_info) + list(
            inferred.graph.input) + list(inferred.graph.output):
        if info.type.HasField("tensor_type"):
            found[info.name] = info.type.tensor_type.elem_type
    for node in model.graph.node:
        if node.op_type == "Constant" and constant_value(node) is not None:
            found[node.output[0]] = constant_value(node).data_type
        for name in node.output:
            if found.get(name, 0) == 0 and names.get(name) in (programs.FP16,
                                                               programs.FP32):
                found[name] = FLOAT
    return set(name for name, dtype in found.items() if dtype == FLOAT)


def _without_weights(model):
    out = onnx.ModelProto(ir_version=model.ir_version)
    out.opset_import.extend(model.opset_import)
    out.graph.name = model.graph.name
    out.graph.input.extend(model.graph.input)
    out.graph.output.extend(model.graph.output)
    for node in model.graph.node:
        value = constant_value(node) if node.op_type == "Constant" else None
        if value is not None and len(value.raw_data) > 1024:
            out.graph.input.append(
                helper.make_tensor_value_info(node.output[0], value.data_type,
                                              list(value.dims)))
        else:
            out.graph.node.append(node)
    return out


def fits(value):
    """Whether float32 constants keep their meaning when they become FP16."""
    value = np.abs(value[np.isfinite(value) & (value != 0)])
    return value.size == 0 or (value.min() >= 2.0**-14 and
                               value.max() <= 65504)


def to_half(value):
    """FP16 of a mapper's float32 constants; beyond its range, its largest."""
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    over = np.isinf(half) & np.isfinite(value)
    return np.where(over, np.copysign(np.float16(65504), value),
                    half).astype(np.float16)


class Restorer(object):
    """Restores one graph.

    Args:
        model (onnx.ModelProto): converted from the lowered program, without
            optimization (each Paddle variable still has its tensor).
        names (dict): {Paddle variable: Paddle data type} of the program as it
            was saved.
        ops (list): its operators, as (type, output names).
        halves (dict): {parameter: FP16 array}.
        params (set): names of all parameters.
    """

    def __init__(self, model, names, ops, halves, params):
        self.model, self.graph = model, model.graph
        self.taken = set(names)
        for node in self.graph.node:
            self.taken.update(node.input)
            self.taken.update(node.output)
        self.names, self.ops = dict(names), ops
        self.halves, self.params = halves, params
        self.opset = next(
            o.version for o in model.opset_import
            if o.domain in ("", "ai.onnx"))
        for node in self.graph.node:
            for name in node.output:  # the core renamed a second writer of it
                again = re.match(r"p2o\.(.*)\.\d+$", name)
                if again and again.group(1) in self.names:
                    self.names.setdefault(name, self.names[again.group(1)])
        self.floats = float_tensors(model, self.names)
        self.want = {}
        self.casts = []  # (Paddle operator, ONNX operator, tensor)
        self.needed_opset = self.opset
        self._regions()
        self._tensor_types()
        self._node_types()

    # --- which Paddle operator a node belongs to

    def _regions(self):
        producer = {
            name: index
            for index, node in enumerate(self.graph.node)
            for name in node.output
        }
        self.region_of, self.regions = {}, {}
        for number, (_, outputs) in enumerate(self.ops):
            stack = [name for name in outputs if name in producer]
            while stack:
                index = producer.get(stack.pop())
                if index is None or index in self.region_of:
                    continue
                self.region_of[index] = number
                self.regions.setdefault(number, []).append(index)
                stack.extend(name for name in self.graph.node[index].input
                             if name and name not in self.names)

    def _computing(self, number):
        return [
            i for i in self.regions.get(number, ())
            if self.graph.node[i].op_type not in MOVES
        ]

    def _region_type(self, number):
        """Type of the tensors inside a Paddle operator."""
        nodes = [self.graph.node[i] for i in self.regions[number]]
        seen = set()
        for node in nodes:
            for name in list(node.input) + list(node.output):
                if name in self.floats and name in self.names:
                    if name not in self.params:
                        seen.add(self._named_type(name))
        if not seen:
            seen = set(
                self._named_type(name) for node in nodes for name in node.input
                if name in self.floats and name in self.names)
        if FLOAT16 not in seen:
            return FLOAT
        computing = self._computing(number)
        if len(computing) > 1:
            if len(seen) > 1 or self.ops[number][0] in FLOAT_INSIDE:
                return FLOAT
        kinds = set(self.graph.node[index].op_type for index in computing)
        if not kinds <= BOUNDS:
            if not all(self._constant_fits(node) for node in nodes):
                return FLOAT
        return FLOAT16

    def _constant_fits(self, node):
        if node.op_type != "Constant" or node.output[0] not in self.floats:
            return True
        value = numpy_helper.to_array(constant_value(node))
        return node.output[0] in self.names or fits(value)

    def _named_type(self, name):
        return FLOAT16 if self.names[name] == programs.FP16 else FLOAT

    # --- types

    def _tensor_types(self):
        kinds = {number: self._region_type(number) for number in self.regions}
        for name in self.floats:
            if name in self.names:
                self.want[name] = self._named_type(name)
        self.helpers = set()
        for index, node in enumerate(self.graph.node):
            kind = kinds.get(self.region_of.get(index))
            if kind is None:  # of no operator: as what it reads
                read = [self.want.get(name) for name in node.input]
                kind = FLOAT16 if FLOAT16 in read else FLOAT
            for name in node.output:
                if name in self.floats and name not in self.names:
                    self.want[name] = kind
                    if node.op_type == "Constant":
                        self.helpers.add(name)

    def _groups(self, node, opset):
        """{type parameter: [float tensors]} of a node, and what each allows."""
        try:
            schema = defs.get_schema(node.op_type, opset, node.domain)
        except defs.SchemaError:
            return {}, {}
        allowed = {
            c.type_param_str: set(c.allowed_type_strs)
            for c in schema.type_constraints
        }
        groups = {}
        for names, formals in ((node.input, schema.inputs), (node.output,
                                                             schema.outputs)):
            for position, name in enumerate(names):
                if not formals or name not in self.floats:
                    continue
                formal = formals[min(position, len(formals) - 1)]
                groups.setdefault(formal.type_str, []).append(name)
                allowed.setdefault(formal.type_str, {formal.type_str})
        return groups, allowed

    def _node_types(self):
        """The type of each float tensor as each node must see it."""
        self.seen_as = []
        for index, node in enumerate(self.graph.node):
            decided = {}
            if node.op_type not in ("Constant", "Cast", "ConstantOfShape"):
                groups, allowed = self._groups(node, self.opset)
                for key, names in groups.items():
                    kind = self._vote(names)
                    if node.op_type in FLOAT_ONLY or attribute(
                            node, "reduction") is not None:
                        kind = FLOAT  # ScatterND that adds, ScatterElements
                    if TYPE_NAMES[kind] not in allowed[key]:
                        kind = FLOAT
                    decided.update((name, kind) for name in names)
                self._opset_for(index, node, decided)
            self.seen_as.append(decided)
        users = {}
        for decided in self.seen_as:
            for name, kind in decided.items():
                if name in self.helpers:
                    users.setdefault(name, set()).add(kind)
        for name, kinds in users.items():
            self.want[name] = FLOAT16 if kinds == {FLOAT16} else FLOAT

    def _vote(self, names):
        votes = set(self.want[n] for n in names if n not in self.helpers)
        votes = votes or set(self.want[n] for n in names)
        return FLOAT16 if votes == {FLOAT16} else FLOAT

    def _opset_for(self, index, node, decided):
        """Note a later opset in which the node takes the types as they are."""
        number = self.region_of.get(index)
        if number is None or len(self._computing(number)) != 1:
            return
        if node.op_type in FLOAT_ONLY:
            return  # no later opset changes what ONNX Runtime has
        named = [n for n in decided if n not in self.helpers]
        if all(decided[n] == self.want[n] for n in named):
            return
        for opset in range(self.opset + 1, MAX_OPSET + 1):
            groups, allowed = self._groups(node, opset)
            kinds = {
                key: set(self.want[n] for n in names if n not in self.helpers)
                for key, names in groups.items()
            }
            if all(
                    len(kind) <= 1 and all(TYPE_NAMES[k] in allowed[key]
                                           for k in kind)
                    for key, kind in kinds.items()):
                self.needed_opset = max(self.needed_opset, opset)
                return

    # --- the new graph

    def apply(self):
        """Rewrite the model in place; returns it."""
        nodes, made = [], {}
        for index, node in enumerate(self.graph.node):
            decided = self.seen_as[index]
            if node.op_type == "Constant":
                self._constant(node)
            elif node.op_type == "Cast":
                if node.output[0] in self.floats:
                    attribute(node, "to").i = self.want[node.output[0]]
            elif node.op_type == "ConstantOfShape":
                self._constant_of_shape(node)
            for position, name in enumerate(node.input):
                kind = decided.get(name)
                if kind is None or kind == self.want[name]:
                    continue
                if (name, kind) not in made:
                    made[name, kind] = self._fresh(
                        name + (".fp32" if kind == FLOAT else ".fp16"))
                    nodes.append(
                        self._cast(index, name, made[name, kind], kind))
                node.input[position] = made[name, kind]
            after = []
            for position, name in enumerate(node.output):
                kind = decided.get(name)
                if kind is not None and kind != self.want[name]:
                    inner = self._fresh(name + ".before_cast")
                    node.output[position] = inner
                    after.append(
                        self._cast(index, inner, name, self.want[name]))
            nodes.append(node)
            nodes.extend(after)
        for info in list(self.graph.input) + list(self.graph.output):
            if info.name in self.want:
                info.type.tensor_type.elem_type = self.want[info.name]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.value_info[:]
        return self.model

    def _fresh(self, name):
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _cast(self, index, source, target, kind):
        number = self.region_of.get(index)
        operator = self.ops[number][0] if number is not None else ""
        self.casts.append((operator, self.graph.node[index].op_type, source))
        return helper.make_node(
            "Cast", [source], [target],
            name="fp16.Cast.%d" % len(self.casts),
            to=kind)

    def _constant(self, node):
        name = node.output[0]
        if name not in self.floats or self.want[name] != FLOAT16:
            return
        tensor = constant_value(node)
        if name in self.halves:
            half = self.halves[name].reshape(tuple(tensor.dims))
        else:
            half = numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                half = half.astype(
                    np.float16) if name in self.names else to_half(half)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))

    def _constant_of_shape(self, node):
        name = node.output[0]
        if name not in self.floats or self.want[name] != FLOAT16:
            return
        old = constant_value(node)
        value = numpy_helper.to_array(old) if old is not None else np.zeros(
            [1], np.float32)
        del node.attribute[:]
        node.attribute.append(
            helper.make_attribute(
                "value", numpy_helper.from_array(to_half(value), "value")))
