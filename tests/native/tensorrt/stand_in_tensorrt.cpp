#include <NvInfer.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "backends/tensor.hpp"
#include "tensorrt/shared.hpp"

namespace {

using namespace stand_in;

struct Plan {
  trml::core::EngineSpec spec;
  std::map<std::string, nvinfer1::Dims> most;  // of the inputs
  int scratch;
};

std::vector<std::unique_ptr<Plan>> plans;

std::size_t bytes_of(const nvinfer1::Dims& dims, trml::core::Type type) {
  std::size_t size = trml::core::type_size(type);
  for (int i = 0; i < dims.nbDims; ++i) size *= std::size_t(dims.d[i]);
  return size;
}

class Context : public nvinfer1::IExecutionContext {
 public:
  Context(const Plan& plan, nvinfer1::ILogger& logger, int& users)
      : plan_(plan), logger_(logger), users_(users) {
    ++users_, ++world().alive, ++world().contexts;
  }
  ~Context() override {
    if (work_waits()) fault("a context went while work waits in a stream");
    state_->there = false;
    --users_, --world().alive;
  }

  void setDeviceMemoryV2(void* address, std::int64_t size) override {
    state_->scratch = block_of(address, std::size_t(size));
    if (!state_->scratch) fault("scratch memory is not memory that is there");
  }

  bool setInputShape(char const* name, nvinfer1::Dims const& dims) override {
    const auto& most = plan_.most.at(name);
    bool fits = dims.nbDims == most.nbDims;
    for (int i = 0; fits && i < dims.nbDims; ++i) fits = dims.d[i] > 0 && dims.d[i] <= most.d[i];
    if (!fits) {
      logger_.log(nvinfer1::ILogger::Severity::kERROR, "setInputShape: outside of the profile");
      return false;
    }
    shapes_[name] = dims;
    state_->dirty = true;
    ++state_->version;
    return true;
  }

  bool setTensorAddress(char const* name, void* address) override {
    if (reinterpret_cast<std::uintptr_t>(address) % 256 != 0) return false;
    addresses_[name] = address;
    return true;
  }

  nvinfer1::Dims getTensorShape(char const* name) const override {
    const auto input = shapes_.find(name);
    if (input != shapes_.end()) return input->second;
    nvinfer1::Dims dims{};
    for (const auto& tensor : plan_.spec.outputs) {
      if (tensor.name != name) continue;
      dims.nbDims = std::int32_t(tensor.shape.size());
      dims.d[0] = shapes_.at(plan_.spec.inputs[0].name).d[0];
      for (int i = 1; i < dims.nbDims; ++i) dims.d[i] = tensor.shape[std::size_t(i)].size;
    }
    return dims;
  }

  bool enqueueV3(cudaStream_t stream) override {
    if (!exists(stream)) fault("a context runs in no stream of ours");
    if (!world().runs) return false;
    if (!state_->scratch || state_->scratch->freed ||
        state_->scratch->size < std::size_t(plan_.scratch)) {
      fault("scratch memory is not there, or too small for " + plan_.spec.name);
      return false;
    }
    if (captures(stream) && (state_->dirty || !world().capturable)) {
      break_capture();
      return false;
    }
    state_->dirty = false;
    put(stream,
        [state = state_, version = state_->version, scratch = state_->scratch, work = prepared()] {
          if (!state->there) return fault("a context is gone before its work is done");
          if (state->version != version) fault("a graph runs in a context of another shape");
          if (scratch->freed) return fault("scratch memory is gone before the work is done");
          work();
        });
    return true;
  }

 private:
  struct State {
    bool there = true, dirty = true;
    int version = 0;
    std::shared_ptr<Block> scratch;
  };

  const char* place(const std::string& name, std::size_t size) {
    const auto block = block_of(addresses_[name], size);
    if (!block || block->kind == Kind::pinned) {
      fault(name + " is not memory of the device, or too small");
      return nullptr;
    }
    return static_cast<const char*>(addresses_[name]);
  }

  // What the engine does, with the shapes and addresses of world().
  std::function<void()> prepared() {
    using trml::core::Type;
    struct Part {
      const char* data;
      Type type;
      std::size_t row;  // values in one
    };
    const auto rows = std::size_t(shapes_.at(plan_.spec.inputs[0].name).d[0]);
    const auto parts = [&](const auto& tensors) {
      std::vector<Part> found;
      for (const auto& tensor : tensors) {
        const std::size_t size = bytes_of(getTensorShape(tensor.name.c_str()), tensor.type);
        const std::size_t values = size / trml::core::type_size(tensor.type);
        found.push_back({place(tensor.name, size), tensor.type, values / rows});
      }
      return found;
    };
    return [rows, inputs = parts(plan_.spec.inputs), outputs = parts(plan_.spec.outputs)] {
      for (std::size_t row = 0; row < rows; ++row) {
        double total = 1;
        for (const auto& [data, type, size] : inputs) {
          for (std::size_t i = row * size; data != nullptr && i < (row + 1) * size; ++i) {
            total += type == Type::float32 ? double(reinterpret_cast<const float*>(data)[i])
                     : type == Type::int32 ? reinterpret_cast<const std::int32_t*>(data)[i]
                                           : reinterpret_cast<const std::uint8_t*>(data)[i];
          }
        }
        for (const auto& [data, type, size] : outputs) {
          if (data == nullptr) continue;
          auto* to = reinterpret_cast<float*>(const_cast<char*>(data));
          std::fill_n(to + row * size, size, float(total));
        }
      }
    };
  }

  const Plan& plan_;
  nvinfer1::ILogger& logger_;
  int& users_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::map<std::string, nvinfer1::Dims> shapes_;
  std::map<std::string, void*> addresses_;
};

class Engine : public nvinfer1::ICudaEngine {
 public:
  Engine(const Plan& plan, nvinfer1::ILogger& logger, int& users)
      : plan_(plan), logger_(logger), engines_(users) {
    ++engines_, ++world().alive;
  }
  ~Engine() override {
    if (contexts_ != 0) fault("an engine went before its contexts");
    --engines_, --world().alive;
  }
  std::int32_t getNbIOTensors() const override {
    return std::int32_t(plan_.spec.inputs.size() + plan_.spec.outputs.size());
  }
  char const* getIOTensorName(std::int32_t index) const override {
    const auto inputs = std::int32_t(plan_.spec.inputs.size());
    return index < inputs ? plan_.spec.inputs[std::size_t(index)].name.c_str()
                          : plan_.spec.outputs[std::size_t(index - inputs)].name.c_str();
  }
  nvinfer1::DataType getTensorDataType(char const* name) const override {
    switch (tensor(name).type) {
      case trml::core::Type::int32:
        return nvinfer1::DataType::kINT32;
      case trml::core::Type::uint8:
        return nvinfer1::DataType::kUINT8;
      case trml::core::Type::boolean:
        return nvinfer1::DataType::kBOOL;
      case trml::core::Type::float32:
        break;
    }
    return nvinfer1::DataType::kFLOAT;
  }
  nvinfer1::Dims getTensorShape(char const* name) const override {
    nvinfer1::Dims dims{};
    for (const auto& size : tensor(name).shape) {
      dims.d[dims.nbDims++] = size.axis == trml::core::Axis::none ? size.size : -1;
    }
    return dims;
  }
  nvinfer1::TensorIOMode getTensorIOMode(char const* name) const override {
    return plan_.most.count(name) ? nvinfer1::TensorIOMode::kINPUT
                                  : nvinfer1::TensorIOMode::kOUTPUT;
  }
  nvinfer1::Dims getProfileShape(char const* name, std::int32_t,
                                 nvinfer1::OptProfileSelector) const override {
    return plan_.most.at(name);
  }
  std::int64_t getDeviceMemorySizeV2() const override { return plan_.scratch; }
  nvinfer1::IExecutionContext* createExecutionContext(
      nvinfer1::ExecutionContextAllocationStrategy how) override {
    if (how != nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED) {
      fault("a context with scratch memory of its own");
    }
    if (outside_of_captures("a context") != cudaSuccess || --world().contexts_left < 0) {
      logger_.log(nvinfer1::ILogger::Severity::kERROR, "no room for a context");
      return nullptr;
    }
    return new Context(plan_, logger_, contexts_);
  }

 private:
  const trml::core::TensorSpec& tensor(const std::string& name) const {
    for (const auto* side : {&plan_.spec.inputs, &plan_.spec.outputs}) {
      for (const auto& each : *side) {
        if (each.name == name) return each;
      }
    }
    std::abort();
  }
  const Plan& plan_;
  nvinfer1::ILogger& logger_;
  int& engines_;
  int contexts_ = 0;
};

class Runtime : public nvinfer1::IRuntime {
 public:
  explicit Runtime(nvinfer1::ILogger& logger) : logger_(logger) { ++world().alive; }
  ~Runtime() override {
    if (engines_ != 0) fault("the runtime went before its engines");
    --world().alive;
  }
  nvinfer1::ICudaEngine* deserializeCudaEngine(void const* data, std::size_t size) override {
    const std::string words(static_cast<const char*>(data), size);
    if (words.rfind("plan ", 0) != 0) {
      logger_.log(nvinfer1::ILogger::Severity::kERROR, "the plan is of another version");
      return nullptr;
    }
    return new Engine(*plans.at(std::stoul(words.substr(5))), logger_, engines_);
  }

 private:
  nvinfer1::ILogger& logger_;
  int engines_ = 0;
};

}  // namespace

std::int32_t getInferLibVersion() { return 100300; }
nvinfer1::IRuntime* nvinfer1::createInferRuntime(ILogger& logger) { return new Runtime(logger); }

namespace stand_in {

std::string plan_of(const trml::core::EngineSpec& spec, const trml::core::Manifest& manifest,
                    int scratch) {
  Plan plan{spec, {}, scratch};
  for (const auto& tensor : spec.inputs) {
    nvinfer1::Dims dims{};
    for (const auto& size : tensor.shape) {
      dims.d[dims.nbDims++] = size.axis == trml::core::Axis::batch    ? manifest.batch.max
                              : size.axis == trml::core::Axis::tokens ? manifest.tokens.max
                              : size.axis == trml::core::Axis::frames ? manifest.frames.max
                                                                      : size.size;
    }
    plan.most[tensor.name] = dims;
  }
  plans.push_back(std::make_unique<Plan>(std::move(plan)));  // engines point to it
  return "plan " + std::to_string(plans.size() - 1);
}

}  // namespace stand_in
