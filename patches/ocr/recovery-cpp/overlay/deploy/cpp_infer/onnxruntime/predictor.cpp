// Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
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

#include "paddle_inference_api.h"

#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>

#include <onnxruntime_cxx_api.h>

namespace paddle_infer {

namespace {

size_t count(const std::vector<int> &shape) {
  return std::accumulate(shape.begin(), shape.end(), size_t(1),
                         std::multiplies<size_t>());
}

[[noreturn]] void stop(const std::string &what) {
  std::cerr << "[ERROR] " << what << std::endl;
  exit(1);
}

} // namespace

void Config::SetModel(const std::string &program, const std::string &) {
  const std::string paddle = ".pdmodel";
  model_ = program;
  if (model_.size() > paddle.size() &&
      model_.compare(model_.size() - paddle.size(), paddle.size(), paddle) == 0)
    model_.replace(model_.size() - paddle.size(), paddle.size(), ".onnx");
}

void Tensor::CopyFromCpu(const float *data) {
  values_.assign(data, data + count(shape_));
}

void Tensor::CopyToCpu(float *data) const {
  std::copy(values_.begin(), values_.end(), data);
}

struct Predictor::Session {
  std::string model;
  Ort::Env env{ORT_LOGGING_LEVEL_WARNING, "ppocr"};
  Ort::Session session{nullptr};
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::shared_ptr<Tensor>> tensors;
};

Predictor::Predictor(const Config &config) : session_(new Session()) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(config.threads());
  session_->model = config.model();
#ifdef _WIN32
  const std::wstring path(config.model().begin(), config.model().end());
#else
  const std::string &path = config.model();
#endif
  session_->session = Ort::Session(session_->env, path.c_str(), options);
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session_->session.GetInputCount(); ++i)
    session_->inputs.push_back(
        session_->session.GetInputNameAllocated(i, allocator).get());
  for (size_t i = 0; i < session_->session.GetOutputCount(); ++i)
    session_->outputs.push_back(
        session_->session.GetOutputNameAllocated(i, allocator).get());
  for (const std::string &name : session_->inputs)
    session_->tensors[name] = std::make_shared<Tensor>();
  for (const std::string &name : session_->outputs)
    session_->tensors[name] = std::make_shared<Tensor>();
}

Predictor::~Predictor() = default;

std::vector<std::string> Predictor::GetInputNames() const {
  return session_->inputs;
}

std::vector<std::string> Predictor::GetOutputNames() const {
  return session_->outputs;
}

std::shared_ptr<Tensor> Predictor::GetInputHandle(const std::string &name) {
  return session_->tensors.at(name);
}

std::shared_ptr<Tensor> Predictor::GetOutputHandle(const std::string &name) {
  return session_->tensors.at(name);
}

bool Predictor::Run() {
  try {
    const Ort::MemoryInfo memory =
        Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
    std::vector<const char *> input_names, output_names;
    std::vector<Ort::Value> inputs;
    for (const std::string &name : session_->inputs) {
      Tensor &tensor = *session_->tensors[name];
      const std::vector<int64_t> shape(tensor.shape_.begin(),
                                       tensor.shape_.end());
      input_names.push_back(name.c_str());
      inputs.push_back(Ort::Value::CreateTensor<float>(
          memory, tensor.values_.data(), tensor.values_.size(), shape.data(),
          shape.size()));
    }
    for (const std::string &name : session_->outputs)
      output_names.push_back(name.c_str());
    const std::vector<Ort::Value> found = session_->session.Run(
        Ort::RunOptions(), input_names.data(), inputs.data(), inputs.size(),
        output_names.data(), output_names.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const Ort::TensorTypeAndShapeInfo info =
          found[i].GetTensorTypeAndShapeInfo();
      if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
        stop(session_->model + ": output " + session_->outputs[i] +
             " is not float32");
      const std::vector<int64_t> shape = info.GetShape();
      Tensor &tensor = *session_->tensors[session_->outputs[i]];
      tensor.Reshape(std::vector<int>(shape.begin(), shape.end()));
      tensor.CopyFromCpu(found[i].GetTensorData<float>());
    }
  } catch (const Ort::Exception &error) {
    stop(session_->model + ": " + error.what());
  }
  return true;
}

std::shared_ptr<Predictor> CreatePredictor(const Config &config) {
  if (config.gpu())
    stop("--use_gpu needs a build with Paddle Inference; the one with ONNX "
         "Runtime runs on the CPU: use --use_gpu=false");
  try {
    return std::make_shared<Predictor>(config);
  } catch (const Ort::Exception &error) {
    stop("cannot load " + config.model() + ": " + error.what());
  }
}

} // namespace paddle_infer
