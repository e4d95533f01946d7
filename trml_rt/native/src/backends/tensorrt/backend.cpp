// TensorRT 10.3 to 11 on NVIDIA GPUs: the only folder that knows TensorRT and CUDA. It compiles
// against the headers of both; it has not run on a GPU yet.
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backends/tensorrt/session.hpp"

namespace trml::core {
namespace tensorrt {
namespace {

class TensorRtEngine : public Engine {
 public:
  TensorRtEngine(std::shared_ptr<const Plan> plan, Log log)
      : plan_(std::move(plan)), log_(std::move(log)) {}

  std::unique_ptr<Session> session(std::shared_ptr<void>& lane) override {
    const OnDevice here(plan_->device);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!lane) lane = std::make_shared<Lane>(plan_->device);
    return make_session(plan_, std::static_pointer_cast<Lane>(lane), log_);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Plan> plan_;
  Log log_;
};

class TensorRtBackend : public Backend {
 public:
  explicit TensorRtBackend(const BackendSettings& settings)
      : settings_(settings), logger_(std::make_shared<Logger>(settings.log)) {
    const OnDevice here(settings.device);
    check(cudaSetDevice(settings.device), "use the device");
    check(cudaGetDeviceProperties(&properties_, settings.device), "describe the device");
    runtime_.reset(nvinfer1::createInferRuntime(*logger_));
    kernels_ =
        std::make_shared<Kernels>(settings.device, "sm_" + std::to_string(properties_.major) +
                                                       std::to_string(properties_.minor));
    if (!runtime_) throw EnvironmentUnfit("TensorRT cannot start: " + logger_->last());
  }

  const char* name() const override { return "tensorrt"; }
  bool takes_device_memory() const override { return true; }
  bool works_by_shape() const override { return true; }

  BuiltFor here() const override {
    const int version = getInferLibVersion();
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "tell its version");
    return {{"back end version", version_text(version)},
            {"compute capability",
             std::to_string(properties_.major) + "." + std::to_string(properties_.minor)},
            {"GPU", properties_.name},
            {"multiprocessors", std::to_string(properties_.multiProcessorCount)},
            {"CUDA", std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10)}};
  }

  std::shared_ptr<Engine> load(const EngineSpec& spec, std::string data,
                               const std::filesystem::path& path) override {
    const OnDevice here(settings_.device);
    logger_->forget();
    auto plan = std::make_shared<Plan>();
    plan->logger = logger_;
    plan->runtime = runtime_;
    plan->kernels = kernels_;
    plan->spec = spec;
    plan->device = settings_.device;
    plan->integrated = properties_.integrated != 0;
    plan->engine.reset(runtime_->deserializeCudaEngine(data.data(), data.size()));
    if (!plan->engine) {
      throw ArtefactMismatch(path.string() + ": TensorRT cannot load it: " + logger_->last());
    }
    std::vector<FoundTensor> inputs, outputs;
    for (int i = 0; i < plan->engine->getNbIOTensors(); ++i) {
      const char* tensor = plan->engine->getIOTensorName(i);
      bool known = false;
      const Type type = type_of(plan->engine->getTensorDataType(tensor), known);
      const auto dims = plan->engine->getTensorShape(tensor);
      const bool input = plan->engine->getTensorIOMode(tensor) == nvinfer1::TensorIOMode::kINPUT;
      (input ? inputs : outputs)
          .push_back({tensor, known ? type_name(type) : "another type",
                      std::vector<std::int64_t>(dims.d, dims.d + dims.nbDims)});
    }
    auto problems = differences("input", spec.inputs, inputs);
    for (auto& more : differences("output", spec.outputs, outputs)) {
      problems.push_back(std::move(more));
    }
    if (!problems.empty()) refuse(path.string(), problems);
    return std::make_shared<TensorRtEngine>(std::move(plan), settings_.log);
  }

 private:
  BackendSettings settings_;
  std::shared_ptr<Logger> logger_;
  std::shared_ptr<nvinfer1::IRuntime> runtime_;
  std::shared_ptr<Kernels> kernels_;
  cudaDeviceProp properties_{};
};

}  // namespace
}  // namespace tensorrt

std::shared_ptr<Backend> make_tensorrt(const BackendSettings& settings) {
  return std::make_shared<tensorrt::TensorRtBackend>(settings);
}

}  // namespace trml::core
