//   Copyright (c) 2024 PaddlePaddle Authors. All Rights Reserved.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

#include "paddle2onnx/mapper/fp16_helper.h"

#include <onnx/checker.h>
#include <onnx/defs/schema.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <vector>

namespace paddle2onnx {

namespace {

const int32_t kAlways = std::numeric_limits<int32_t>::max();

// {operator: the first opset at which it has a good FP16 form}.
const std::map<std::string, int32_t>& FP32Inside() {
  static const std::map<std::string, int32_t> operators = {
      // Paddle's kernels compute these in FP32; ONNX writes them as several
      // nodes, each of which would round, overflow or underflow in FP16.
      // (elu, selu, softplus and instance_norm are one node, whose formula,
      // as exp(x) - 1, ONNX does not say to compute in FP32.)
      {"dist", kAlways},
      {"elu", kAlways},
      {"gelu", kAlways},
      {"group_norm", kAlways},
      {"instance_norm", kAlways},
      {"layer_norm", 17},
      {"log1p", kAlways},
      {"log_softmax", 13},
      {"logsigmoid", kAlways},
      {"logsumexp", kAlways},
      {"mish", kAlways},
      {"norm", kAlways},
      {"p_norm", kAlways},
      {"selu", kAlways},
      {"softmax_with_cross_entropy", kAlways},
      {"softplus", kAlways},
      {"tanh_shrink", kAlways},
      {"yolo_box", kAlways},
      // ONNX or ONNX Runtime has no FP16 in these.
      {"atan2", kAlways},
      {"cumsum", 14},
      {"empty", kAlways},
      {"gaussian_random", kAlways},
      {"multiclass_nms3", kAlways},
      {"range", kAlways},
      {"scatter_nd_add", kAlways},
  };
  return operators;
}

// Operators whose inputs may have different float types in ONNX as well.
const std::map<std::string, int32_t>& MixesTypes() {
  static const std::map<std::string, int32_t> operators = {
      {"batch_norm", 7},  // it asks for opset 15 itself
      {"cast", 7},
  };
  return operators;
}

template <typename Entries>
void CollectTypes(const PaddleParser& parser, int64_t block_id, int64_t op_id,
                  const Entries& entries, bool input,
                  std::set<int32_t>* types) {
  for (const auto& entry : entries) {
    if (entry.arguments_size() == 0) {
      continue;
    }
    try {
      auto infos =
          input ? parser.GetOpInput(block_id, op_id, entry.parameter())
                : parser.GetOpOutput(block_id, op_id, entry.parameter());
      for (const auto& info : infos) {
        types->insert(info.dtype);
      }
    } catch (const std::runtime_error&) {
      // a variable that the program does not describe has no type
    }
  }
}

bool SkipsTensors(const std::string& op_type) {
  return op_type == "feed" || op_type == "fetch" || op_type == "while";
}

}  // namespace

bool ComputesInFP32(const PaddleParser& parser, int64_t block_id, int64_t op_id,
                    int32_t opset_version) {
  const auto& op = parser.GetOpDesc(block_id, op_id);
  std::set<int32_t> types;
  CollectTypes(parser, block_id, op_id, op.inputs(), true, &types);
  if (MixesTypes().count(op.type()) == 0 && types.count(P2ODataType::FP16) &&
      types.count(P2ODataType::FP32)) {
    return true;
  }
  auto inside = FP32Inside().find(op.type());
  if (inside == FP32Inside().end() || opset_version >= inside->second) {
    return false;
  }
  CollectTypes(parser, block_id, op_id, op.outputs(), false, &types);
  return types.count(P2ODataType::FP16) > 0;
}

std::string DescribeTypes(const PaddleParser& parser, int64_t block_id,
                          int64_t op_id) {
  static const std::map<int32_t, std::string> names = {
      {P2ODataType::BOOL, "bool"},     {P2ODataType::INT16, "int16"},
      {P2ODataType::INT32, "int32"},   {P2ODataType::INT64, "int64"},
      {P2ODataType::FP16, "float16"},  {P2ODataType::FP32, "float32"},
      {P2ODataType::FP64, "float64"},  {P2ODataType::UINT8, "uint8"},
      {P2ODataType::INT8, "int8"},
  };
  const auto& op = parser.GetOpDesc(block_id, op_id);
  std::string text;
  auto describe = [&](const framework::proto::OpDesc_Var& entry, bool input) {
    if (entry.arguments_size() == 0) {
      return;
    }
    auto one = {entry};
    std::set<int32_t> types;
    CollectTypes(parser, block_id, op_id, one, input, &types);
    auto found = names.find(types.empty() ? -1 : *types.begin());
    text += (text.empty() ? "" : ", ") + entry.parameter() + ": " +
            (found == names.end() ? "unknown" : found->second);
  };
  for (const auto& entry : op.inputs()) {
    describe(entry, true);
  }
  for (const auto& entry : op.outputs()) {
    describe(entry, false);
  }
  return text;
}

bool HasFP16(const PaddleParser& parser) {
  for (auto i = 0; i < parser.NumOfBlocks(); ++i) {
    for (auto j = 0; j < parser.NumOfOps(i); ++j) {
      const auto& op = parser.GetOpDesc(i, j);
      if (SkipsTensors(op.type())) {
        continue;
      }
      std::set<int32_t> types;
      CollectTypes(parser, i, j, op.inputs(), true, &types);
      CollectTypes(parser, i, j, op.outputs(), false, &types);
      if (types.count(P2ODataType::FP16)) {
        return true;
      }
    }
  }
  return false;
}

namespace {

typedef std::map<std::string, int32_t> ElementTypes;
typedef ONNX_NAMESPACE::OpSchema::FormalParameter FormalParameter;

bool IsFloat(int32_t dtype) {
  return dtype == ONNX_NAMESPACE::TensorProto::FLOAT16 ||
         dtype == ONNX_NAMESPACE::TensorProto::FLOAT;
}

// "tensor(float16)"
std::string TypeName(int32_t dtype) {
  std::string name = ONNX_NAMESPACE::TensorProto_DataType_Name(
      static_cast<ONNX_NAMESPACE::TensorProto_DataType>(dtype));
  std::transform(name.begin(), name.end(), name.begin(), ::tolower);
  return "tensor(" + name + ")";
}

// Which element types an operator's formal parameters are bound to.
class NodeTypes {
 public:
  NodeTypes(const ONNX_NAMESPACE::NodeProto& node,
            const ONNX_NAMESPACE::OpSchema* schema)
      : node_(node), schema_(schema) {}

  template <typename Names>
  void Read(const Names& names,
            const std::vector<FormalParameter>& formal,
            const ElementTypes& types) {
    for (int i = 0; i < names.size() && !formal.empty(); ++i) {
      const auto& parameter = formal[std::min<size_t>(i, formal.size() - 1)];
      auto found = types.find(names[i]);
      if (names[i].empty() || found == types.end() || found->second == 0) {
        continue;
      }
      std::string name = TypeName(found->second);
      const auto& allowed = parameter.GetTypes();
      bool fits = allowed.empty() || !IsFloat(found->second);
      for (const auto& type : allowed) {
        fits = fits || *type == name;
      }
      Assert(fits, Text() + " has no " + name + " as '" + names[i] + "'.");
      if (parameter.GetIsHomogeneous()) {
        auto known = bound_.insert({parameter.GetTypeStr(), found->second});
        Assert(known.first->second == found->second,
               Text() + " has tensors of different types: '" + names[i] +
                   "' is " + name + " beside " +
                   TypeName(known.first->second) + ".");
      }
    }
  }

  // The type of an output that has the type of an input.
  int32_t Output(int i) const {
    const auto& formal = schema_->outputs();
    if (formal.empty()) {
      return 0;
    }
    const auto& parameter = formal[std::min<size_t>(i, formal.size() - 1)];
    auto found = bound_.find(parameter.GetTypeStr());
    return found == bound_.end() ? 0 : found->second;
  }

 private:
  std::string Text() const {
    return "the ONNX operator " + node_.op_type() + " (" + node_.name() + ")";
  }

  const ONNX_NAMESPACE::NodeProto& node_;
  const ONNX_NAMESPACE::OpSchema* schema_;
  ElementTypes bound_;
};

void CheckGraph(const ONNX_NAMESPACE::GraphProto& graph, int opset_version,
                ElementTypes types) {
  for (const auto& info : graph.input()) {
    types[info.name()] = info.type().tensor_type().elem_type();
  }
  for (const auto& tensor : graph.initializer()) {
    types[tensor.name()] = tensor.data_type();
  }
  for (const auto& node : graph.node()) {
    const auto* schema = ONNX_NAMESPACE::OpSchemaRegistry::Schema(
        node.op_type(), opset_version, node.domain());
    if (schema == nullptr) {
      continue;  // a custom operator
    }
    int32_t given = 0;
    for (const auto& attr : node.attribute()) {
      if (attr.name() == "to" || attr.name() == "dtype") {
        given = attr.i();
      } else if (attr.name() == "value" && attr.has_t()) {
        given = attr.t().data_type();
      } else if (attr.has_g()) {
        CheckGraph(attr.g(), opset_version, types);
      }
    }
    NodeTypes found(node, schema);
    if (node.op_type() != "Loop") {
      found.Read(node.input(), schema->inputs(), types);
    }
    for (int i = 0; i < node.output_size(); ++i) {
      int32_t dtype = given != 0 ? given : found.Output(i);
      if (node.op_type() == "Loop" && i + 2 < node.input_size()) {
        dtype = types[node.input(i + 2)];
      }
      types[node.output(i)] = dtype;
    }
    if (node.op_type() != "Loop") {
      found.Read(node.output(), schema->outputs(), types);
    }
  }
  for (const auto& info : graph.output()) {
    int32_t declared = info.type().tensor_type().elem_type();
    int32_t made = types[info.name()];
    Assert(!IsFloat(declared) || !IsFloat(made) || declared == made,
           "the output '" + info.name() + "' is " + TypeName(made) + ", not " +
               TypeName(declared) + ".");
  }
}

}  // namespace

void CheckFP16Model(const ONNX_NAMESPACE::ModelProto& model) {
  try {
    ONNX_NAMESPACE::checker::check_model(model);
    int opset_version = 0;
    for (const auto& opset : model.opset_import()) {
      if (opset.domain().empty()) {
        opset_version = opset.version();
      }
    }
    CheckGraph(model.graph(), opset_version, ElementTypes());
  } catch (const std::exception& e) {
    Assert(false, std::string("The FP16 model is not valid: ") + e.what());
  }
}

namespace {

bool MakeFP32(ONNX_NAMESPACE::ValueInfoProto* info) {
  auto type = info->mutable_type()->mutable_tensor_type();
  if (type->elem_type() != ONNX_NAMESPACE::TensorProto::FLOAT16) {
    return false;
  }
  type->set_elem_type(ONNX_NAMESPACE::TensorProto::FLOAT);
  return true;
}

void MakeCast(const std::string& input, const std::string& output,
              ONNX_NAMESPACE::TensorProto_DataType dtype,
              ONNX_NAMESPACE::NodeProto* node) {
  node->set_op_type("Cast");
  node->set_name("io.cast." + output);
  node->add_input(input);
  node->add_output(output);
  auto attr = node->add_attribute();
  attr->set_name("to");
  attr->set_type(ONNX_NAMESPACE::AttributeProto::INT);
  attr->set_i(dtype);
}

void CollectNames(const ONNX_NAMESPACE::GraphProto& graph,
                  std::set<std::string>* names) {
  for (const auto& node : graph.node()) {
    names->insert(node.input().begin(), node.input().end());
    names->insert(node.output().begin(), node.output().end());
    for (const auto& attr : node.attribute()) {
      if (attr.has_g()) {
        CollectNames(attr.g(), names);
      }
    }
  }
}

void Rename(std::map<std::string, std::string> renamer,
            ONNX_NAMESPACE::GraphProto* graph) {
  for (auto& node : *graph->mutable_node()) {
    for (auto& name : *node.mutable_input()) {
      auto found = renamer.find(name);
      name = found == renamer.end() ? name : found->second;
    }
    for (auto& name : *node.mutable_output()) {
      auto found = renamer.find(name);
      name = found == renamer.end() ? name : found->second;
    }
    for (auto& attr : *node.mutable_attribute()) {
      if (attr.has_g()) {  // the body of a Loop reads from outside
        auto outside = renamer;
        for (const auto& info : attr.g().input()) {
          outside.erase(info.name());
        }
        for (const auto& inner : attr.g().node()) {
          for (const auto& name : inner.output()) {
            outside.erase(name);
          }
        }
        Rename(outside, attr.mutable_g());
      }
    }
  }
}

}  // namespace

void ConvertIOToFP32(ONNX_NAMESPACE::ModelProto* model) {
  auto graph = model->mutable_graph();
  std::set<std::string> names;
  CollectNames(*graph, &names);
  std::map<std::string, std::string> inner;
  ONNX_NAMESPACE::GraphProto made;
  std::set<std::string> inputs;
  for (auto& info : *graph->mutable_input()) {
    names.insert(info.name());
    inputs.insert(info.name());
  }
  auto fresh = [&names](std::string name) {
    do {
      name += ".fp16";
    } while (!names.insert(name).second);
    return name;
  };
  for (auto& info : *graph->mutable_input()) {
    if (MakeFP32(&info)) {
      inner[info.name()] = fresh(info.name());
      MakeCast(info.name(), inner[info.name()],
               ONNX_NAMESPACE::TensorProto::FLOAT16, made.add_node());
    }
  }
  std::vector<std::string> outputs;
  for (auto& info : *graph->mutable_output()) {
    // an input that is an output passes through; one that is fetched twice
    // has one Cast
    if (MakeFP32(&info) && inner.count(info.name()) == 0) {
      inner[info.name()] = fresh(info.name());
      outputs.push_back(info.name());
    }
  }
  Rename(inner, graph);
  for (const auto& node : graph->node()) {
    *made.add_node() = node;
  }
  for (const auto& name : outputs) {
    MakeCast(inner[name], name, ONNX_NAMESPACE::TensorProto::FLOAT,
             made.add_node());
  }
  graph->mutable_node()->Swap(made.mutable_node());
}

}  // namespace paddle2onnx
