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

#pragma once

#include <onnx/onnx_pb.h>

#include <string>

#include "paddle2onnx/parser/parser.h"

namespace paddle2onnx {

// The type in which a mapper that was written for FP32 computes: FP16 stays.
inline int32_t ComputeType(int32_t paddle_dtype) {
  return paddle_dtype == P2ODataType::FP16 ? P2ODataType::FP16
                                           : P2ODataType::FP32;
}

// Whether an operator with FP16 tensors is computed in FP32, between Casts:
// because its inputs mix FP16 and FP32, which ONNX operators do not take, or
// because its FP16 form loses what Paddle's kernel keeps.
bool ComputesInFP32(const PaddleParser& parser, int64_t block_id, int64_t op_id,
                    int32_t opset_version);

// The data types of an operator's tensors: "X: float16, Out: float32".
std::string DescribeTypes(const PaddleParser& parser, int64_t block_id,
                          int64_t op_id);

// Whether a program holds an operator with an FP16 tensor.
bool HasFP16(const PaddleParser& parser);

// Check a model with FP16 tensors, and that no operator has FP16 where ONNX has
// none or FP32 beside it. Throws what is wrong. (The full check of ONNX stops
// at wrong ranks, which some mappers declare in FP32 as well.)
void CheckFP16Model(const ONNX_NAMESPACE::ModelProto& model);

// Give the FP16 inputs and outputs of a model FP32, with a Cast behind each.
void ConvertIOToFP32(ONNX_NAMESPACE::ModelProto* model);

}  // namespace paddle2onnx
