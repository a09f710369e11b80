// Declares what deploy/cpp_infer calls of Paddle Inference, by the names that libpaddle.so of the paddlepaddle 2.6 wheel exports: the wheel
// ships no headers for them. Written for this check, from the exported symbols; a real build takes the headers of the inference library.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace paddle {

struct AnalysisConfig {
  enum class Precision { kFloat32 = 0, kInt8, kHalf, kBf16 };

  // not exported by the wheel, and only passes for oneDNN are deleted by it: the check runs without oneDNN
  struct Passes {
    void DeletePass(const std::string &) {}
  };
  Passes *pass_builder() {
    static Passes passes;
    return &passes;
  }

  AnalysisConfig();
  AnalysisConfig(const AnalysisConfig &);
  ~AnalysisConfig();
  void SetModel(const std::string &program, const std::string &params);
  void EnableUseGpu(uint64_t, int, Precision = Precision::kFloat32);
  void DisableGpu();
  void EnableMKLDNN();
  void DisableMKLDNN();
  void SetMkldnnCacheCapacity(int);
  void SetCpuMathLibraryNumThreads(int);
  void SwitchUseFeedFetchOps(int = true);
  void SwitchSpecifyInputNames(bool = true);
  void SwitchIrOptim(int = true);
  void EnableMemoryOptim(bool = true);
  void DisableGlogInfo();
  void EnableTensorRtEngine(int64_t, int, int, Precision, bool, bool, bool = true);
  void CollectShapeRangeInfo(const std::string &);
  void EnableTunedTensorRtDynamicShape(const std::string &, bool);

private:
  alignas(16) char members_[16384]; // more than its size
};

} // namespace paddle

namespace paddle_infer {

// oneDNN is on in the wheel from the start, and a pass of it
// (self_attention_fuse_pass) is SIGILL on a CPU without AVX-512
struct Config : paddle::AnalysisConfig {
  Config() { DisableMKLDNN(); }
};

class Tensor {
public:
  void Reshape(const std::vector<int> &shape);
  std::vector<int> shape() const;
  template <typename T> void CopyFromCpu(const T *data);
  template <typename T> void CopyToCpu(T *data) const;

private:
  std::string name_; // destroyed by who calls; the rest is plain
  char members_[128];
};

class Predictor {
public:
  std::vector<std::string> GetInputNames();
  std::vector<std::string> GetOutputNames();
  std::unique_ptr<Tensor> GetInputHandle(const std::string &name);
  std::unique_ptr<Tensor> GetOutputHandle(const std::string &name);
  bool Run();
};

std::shared_ptr<Predictor> CreatePredictor(const paddle::AnalysisConfig &config);

} // namespace paddle_infer
