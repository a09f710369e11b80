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
"""Removes from an FP16 graph what the conversion leaves behind."""

from onnx import TensorProto, helper

from paddle2onnx.fp16.graph import FLOAT, FLOAT16, attribute


def element_types(model):
    """{name: type} of graph inputs, constants and results of Cast."""
    types = {}
    for info in list(model.graph.input) + list(model.graph.output):
        types[info.name] = info.type.tensor_type.elem_type
    for node in model.graph.node:
        if node.op_type == "Constant" and attribute(node, "value") is not None:
            types[node.output[0]] = attribute(node, "value").t.data_type
        elif node.op_type == "Cast":
            types[node.output[0]] = attribute(node, "to").i
    return types


def clean(model, types):
    """Drop Identity, Casts without effect, and nodes that nothing reads.

    Args:
        model (onnx.ModelProto): changed in place.
        types (dict): {tensor: element type}, as far as they are known.

    Returns:
        the model.
    """
    known = dict(types)
    known.update(element_types(model))
    nodes = list(model.graph.node)
    outputs = set(info.name for info in model.graph.output)
    fixed = set(info.name for info in model.graph.input)
    producer = {name: node for node in nodes for name in node.output}
    alias, dropped = {}, set()

    def source(name):
        while name in alias:
            name = alias[name]
        return name

    for index, node in enumerate(nodes):
        for position, name in enumerate(node.input):
            node.input[position] = source(name)
        if node.op_type not in ("Identity", "Cast"):
            continue
        origin = _origin(node, known, producer)
        if origin is None:
            continue
        result = node.output[0]
        if result not in outputs:
            alias[result] = origin
            dropped.add(index)
        elif origin not in fixed and origin not in outputs:
            maker = producer[origin]
            if maker.op_type == "Constant":
                continue
            # the result keeps its name: the maker writes it directly
            for other in nodes:
                for position, name in enumerate(other.input):
                    if name == origin:
                        other.input[position] = result
            position = list(maker.output).index(origin)
            maker.output[position] = result
            producer[result] = maker
            alias[origin] = result
            dropped.add(index)
    nodes = [n for i, n in enumerate(nodes) if i not in dropped]
    nodes = _live(nodes, outputs)
    _replace(model, nodes)
    return model


def _origin(node, known, producer):
    """The tensor that the result of an Identity or needless Cast equals."""
    name = node.input[0]
    if node.op_type == "Identity":
        return name
    to = attribute(node, "to").i
    if known.get(name) == to:
        return name
    before = producer.get(name)
    if before is None or before.op_type != "Cast":
        return None
    # FP16 -> FP32 -> FP16 changes no bit
    first = before.input[0]
    if to == FLOAT16 and known.get(name) == FLOAT and known.get(
            first) == FLOAT16:
        return first
    return None


def _live(nodes, outputs):
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            needed.update(name for name in node.input if name)
            kept.append(node)
    return kept[::-1]


def _replace(model, nodes):
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def float_io(model):
    """Make the graph's FP16 inputs and outputs FP32, with a Cast behind each.

    An input that is an output passes through; a tensor that is an output twice
    has one Cast.
    """
    graph = model.graph
    taken = set(info.name for info in list(graph.input) + list(graph.output))
    for node in graph.node:
        taken.update(node.input)
        taken.update(node.output)
    inner = {}

    def halved(infos):
        for info in infos:
            if info.type.tensor_type.elem_type == FLOAT16:
                info.type.tensor_type.elem_type = FLOAT
                if info.name not in inner:
                    name = info.name + ".fp16"
                    while name in taken:
                        name += "_"
                    taken.add(name)
                    inner[info.name] = name
                    yield info.name

    first, last = list(halved(graph.input)), list(halved(graph.output))
    nodes = list(graph.node)
    for node in nodes:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = inner.get(name, name)
    before = [
        helper.make_node(
            "Cast", [name], [inner[name]],
            name="fp16.input." + name,
            to=TensorProto.FLOAT16) for name in first
    ]
    after = [
        helper.make_node(
            "Cast", [inner[name]], [name],
            name="fp16.output." + name,
            to=TensorProto.FLOAT) for name in last
    ]
    _replace(model, before + nodes + after)
    return model
