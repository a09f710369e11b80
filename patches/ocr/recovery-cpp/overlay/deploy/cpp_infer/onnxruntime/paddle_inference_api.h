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

// The part of Paddle Inference that this directory uses, over ONNX Runtime, so
// that the recognizers in ../src need no second version. -DWITH_ONNXRUNTIME=ON
// puts this header in the place of Paddle Inference's own. It runs on the CPU;
// a model is <model_dir>/inference.onnx, made by paddle2onnx.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace paddle_infer {

// Where Paddle Inference has graph passes to delete, ONNX Runtime has none.
class PassBuilder {
public:
  void DeletePass(const std::string &) {}
};

class Config {
public:
  enum class Precision { kFloat32, kInt8, kHalf };

  // `program` may end in .pdmodel: the .onnx file beside it is taken.
  void SetModel(const std::string &program, const std::string &params);
  void SetCpuMathLibraryNumThreads(int threads) { threads_ = threads; }

  // CreatePredictor() refuses what only Paddle Inference can do.
  void EnableUseGpu(uint64_t, int) { gpu_ = true; }
  void EnableTensorRtEngine(int64_t, int, int, Precision, bool, bool) {}
  void CollectShapeRangeInfo(const std::string &) {}
  void EnableTunedTensorRtDynamicShape(const std::string &, bool) {}
  void DisableGpu() { gpu_ = false; }

  // ONNX Runtime chooses its own kernels and plans its memory.
  void EnableMKLDNN() {}
  void SetMkldnnCacheCapacity(int) {}
  void SwitchUseFeedFetchOps(bool) {}
  void SwitchSpecifyInputNames(bool) {}
  void SwitchIrOptim(bool) {}
  void EnableMemoryOptim() {}
  void DisableGlogInfo() {}
  PassBuilder *pass_builder() { return &passes_; }

  const std::string &model() const { return model_; }
  int threads() const { return threads_; }
  bool gpu() const { return gpu_; }

private:
  std::string model_;
  int threads_ = 1;
  bool gpu_ = false;
  PassBuilder passes_;
};

// A float tensor in the memory of the host.
class Tensor {
public:
  void Reshape(const std::vector<int> &shape) { shape_ = shape; }
  std::vector<int> shape() const { return shape_; }
  // Takes as many values as the shape has.
  void CopyFromCpu(const float *data);
  void CopyToCpu(float *data) const;

private:
  friend class Predictor;
  std::vector<int> shape_;
  std::vector<float> values_;
};

class Predictor {
public:
  explicit Predictor(const Config &config);
  ~Predictor();

  std::vector<std::string> GetInputNames() const;
  std::vector<std::string> GetOutputNames() const;
  std::shared_ptr<Tensor> GetInputHandle(const std::string &name);
  std::shared_ptr<Tensor> GetOutputHandle(const std::string &name);
  bool Run();

private:
  struct Session;
  std::unique_ptr<Session> session_;
};

// Ends the program with a message when the model cannot be loaded, as the
// recognizers do.
std::shared_ptr<Predictor> CreatePredictor(const Config &config);

} // namespace paddle_infer
