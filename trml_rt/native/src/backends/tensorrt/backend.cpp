// TensorRT 10.3 to 11 on NVIDIA GPUs: the only file that knows TensorRT and CUDA. It compiles
// against the headers of both; it has not run on a GPU yet.
//
// A lane is what one thread's sessions share: a stream, and one block of scratch memory, since its
// engines never run at the same time. Buffers are as large as the plan's profile allows and never
// move, so that the work of a shape, once recorded as a CUDA graph, can be launched again.
#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <mutex>

#include "backends/backend.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

constexpr std::size_t most_graphs = 16;  // shapes of one engine that a session keeps

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw EnvironmentUnfit(std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(status));
}

Type type_of(nvinfer1::DataType type, bool& known) {
  known = true;
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      return Type::float32;
    case nvinfer1::DataType::kINT32:
      return Type::int32;
    case nvinfer1::DataType::kUINT8:
      return Type::uint8;
    case nvinfer1::DataType::kBOOL:
      return Type::boolean;
    default:
      known = false;
      return Type::float32;
  }
}

// Keeps TensorRT's last lines, which say why something failed when its return value does not.
class Logger : public nvinfer1::ILogger {
 public:
  explicit Logger(Log log) : log_(std::move(log)) {}

  void log(Severity severity, char const* line) noexcept override {
    if (severity > Severity::kWARNING) return;
    try {
      if (log_) log_(TRML_RT_LOG_WARNING, std::string("TensorRT: ") + line);
      const std::lock_guard<std::mutex> lock(mutex_);
      lines_.emplace_back(line);
      if (lines_.size() > 5) lines_.pop_front();
    } catch (...) {  // a line that cannot be kept is lost
    }
  }

  std::string last() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lines_.empty() ? "it does not say why" : join({lines_.begin(), lines_.end()}, " | ");
  }

 private:
  Log log_;
  std::mutex mutex_;
  std::deque<std::string> lines_;
};

// Memory that both sides see. On integrated GPUs they are one; elsewhere pinned memory is copied.
class Buffer {
 public:
  Buffer(std::size_t size, bool integrated) : integrated_(integrated) {
    size = std::max<std::size_t>(size, 1);
    const unsigned flags = integrated ? cudaHostAllocMapped : cudaHostAllocDefault;
    check(cudaHostAlloc(&host_, size, flags), "allocate pinned memory");
    const cudaError_t status =
        integrated ? cudaHostGetDevicePointer(&device_, host_, 0) : cudaMalloc(&device_, size);
    if (status != cudaSuccess) cudaFreeHost(host_);
    check(status, "allocate device memory");
  }
  ~Buffer() {
    if (!integrated_) cudaFree(device_);
    cudaFreeHost(host_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void to_device(const void* data, std::size_t size, cudaStream_t stream) {
    std::memcpy(host_, data, size);
    if (integrated_) return;
    check(cudaMemcpyAsync(device_, host_, size, cudaMemcpyHostToDevice, stream), "copy inputs");
  }
  void to_host(std::size_t size, cudaStream_t stream) {
    if (integrated_) return;
    check(cudaMemcpyAsync(host_, device_, size, cudaMemcpyDeviceToHost, stream), "copy outputs");
  }
  const void* host() const { return host_; }
  void* device() const { return device_; }

 private:
  bool integrated_;
  void* host_ = nullptr;
  void* device_ = nullptr;
};

struct Lane {
  explicit Lane(int number) : device(number) {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
    if (cudaEventCreateWithFlags(&ready, cudaEventDisableTiming) != cudaSuccess) {
      cudaStreamDestroy(stream);
      throw EnvironmentUnfit("CUDA cannot create an event");
    }
  }
  ~Lane() {
    cudaSetDevice(device);
    cudaEventDestroy(ready);
    cudaStreamDestroy(stream);
    cudaFree(scratch);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Sessions made before see by `generation` that the block has moved.
  void need(std::int64_t size) {
    if (size <= scratch_size) return;
    check(cudaStreamSynchronize(stream), "finish earlier work");
    cudaFree(scratch);
    scratch = nullptr;
    scratch_size = 0;
    check(cudaMalloc(&scratch, std::size_t(size)), "allocate scratch memory");
    scratch_size = size;
    ++generation;
  }

  int device;
  cudaStream_t stream = nullptr;
  cudaEvent_t ready = nullptr;
  void* scratch = nullptr;
  std::int64_t scratch_size = 0;
  int generation = 0;
};

struct Plan {
  std::shared_ptr<Logger> logger;
  std::shared_ptr<nvinfer1::IRuntime> runtime;  // must outlive the engine
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  EngineSpec spec;
  int device = 0;
  bool integrated = false;

  [[noreturn]] void fail(const char* what) const {
    throw ArtefactMismatch("TensorRT cannot " + std::string(what) + " of " + spec.name + ": " +
                           logger->last());
  }
};

std::size_t volume(const nvinfer1::Dims& dims) {
  std::size_t n = 1;
  for (int i = 0; i < dims.nbDims; ++i) n *= std::size_t(std::max<std::int64_t>(dims.d[i], 0));
  return n;
}

// The work of one shape: a context of its own, as a recorded graph must keep it to itself.
class Shaped {
 public:
  Shaped(const Plan& plan, Lane& lane) : plan_(plan), lane_(lane) {
    using nvinfer1::ExecutionContextAllocationStrategy;
    context.reset(
        plan.engine->createExecutionContext(ExecutionContextAllocationStrategy::kUSER_MANAGED));
    if (!context) plan.fail("create a context");
  }
  ~Shaped() { forget(); }
  Shaped(const Shaped&) = delete;
  Shaped& operator=(const Shaped&) = delete;

  void run(const Log& log) {
    if (generation_ != lane_.generation) {
      forget();
      generation_ = lane_.generation;
      context->setDeviceMemoryV2(lane_.scratch, lane_.scratch_size);
    }
    if (graph_ != nullptr) {
      check(cudaGraphLaunch(graph_, lane_.stream), "launch a graph");
      return;
    }
    // The first run after a change of shape does work that cannot be recorded.
    if (!context->enqueueV3(lane_.stream)) plan_.fail("run a context");
    if (runs_++ == 1) record(log);
  }

  std::unique_ptr<nvinfer1::IExecutionContext> context;

 private:
  void record(const Log& log) {
    check(cudaStreamSynchronize(lane_.stream), "finish a run");
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(lane_.stream, cudaStreamCaptureModeThreadLocal), "record a graph");
    const bool queued = context->enqueueV3(lane_.stream);
    const bool captured = cudaStreamEndCapture(lane_.stream, &graph) == cudaSuccess;
    if (!queued || !captured || graph == nullptr ||
        cudaGraphInstantiateWithFlags(&graph_, graph, 0) != cudaSuccess) {
      graph_ = nullptr;
      cudaGetLastError();  // the failed recording must not be taken for a later call's failure
      if (log) log(TRML_RT_LOG_WARNING, plan_.spec.name + " runs without a CUDA graph");
    }
    if (graph != nullptr) cudaGraphDestroy(graph);
  }

  void forget() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
    graph_ = nullptr;
    runs_ = 0;
  }

  const Plan& plan_;
  Lane& lane_;
  cudaGraphExec_t graph_ = nullptr;
  int runs_ = 0;
  int generation_ = -1;
};

class TensorRtSession : public Session {
 public:
  TensorRtSession(std::shared_ptr<const Plan> plan, std::shared_ptr<Lane> lane, Log log)
      : plan_(std::move(plan)), lane_(std::move(lane)), log_(std::move(log)) {
    lane_->need(plan_->engine->getDeviceMemorySizeV2());
    Shaped largest(*plan_, *lane_);
    for (const auto& tensor : plan_->spec.inputs) {
      const auto most = plan_->engine->getProfileShape(tensor.name.c_str(), 0,
                                                       nvinfer1::OptProfileSelector::kMAX);
      if (!largest.context->setInputShape(tensor.name.c_str(), most)) plan_->fail("set a shape");
      add_buffer(tensor, most);
    }
    for (const auto& tensor : plan_->spec.outputs) {
      add_buffer(tensor, largest.context->getTensorShape(tensor.name.c_str()));
    }
  }

  ~TensorRtSession() override {
    cudaSetDevice(plan_->device);
    cudaStreamSynchronize(lane_->stream);
  }

  std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) override {
    check(cudaSetDevice(plan_->device), "use the device");
    for (std::size_t i = 0; i < inputs.size(); ++i) feed(*inputs[i], i);
    Shaped& shaped = for_shapes(inputs);
    shaped.run(log_);
    std::vector<Tensor> outputs;
    const std::size_t first = plan_->spec.inputs.size();
    for (std::size_t i = 0; i < plan_->spec.outputs.size(); ++i) {
      const auto& spec = plan_->spec.outputs[i];
      const auto dims = shaped.context->getTensorShape(spec.name.c_str());
      outputs.emplace_back(spec.type, std::vector<std::int64_t>(dims.d, dims.d + dims.nbDims));
      buffers_[first + i].to_host(outputs.back().bytes.size(), lane_->stream);
    }
    check(cudaStreamSynchronize(lane_->stream), "finish a run");
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      auto& bytes = outputs[i].bytes;
      std::memcpy(bytes.data(), buffers_[first + i].host(), bytes.size());
    }
    return outputs;
  }

 private:
  void add_buffer(const TensorSpec& tensor, const nvinfer1::Dims& most) {
    sizes_.push_back(volume(most) * type_size(tensor.type));
    buffers_.emplace_back(sizes_.back(), plan_->integrated);
  }

  void feed(const Tensor& tensor, std::size_t input) {
    const std::size_t size = tensor.count() * type_size(tensor.type);
    if (size > sizes_[input]) {
      throw ArtefactMismatch(plan_->spec.name + ": " + plan_->spec.inputs[input].name +
                             " is larger than its plan allows; build it again: trml-rt build");
    }
    Buffer& buffer = buffers_[input];
    if (tensor.device.empty()) {
      buffer.to_device(tensor.bytes.data(), size, lane_->stream);
      return;
    }
    check(cudaEventRecord(lane_->ready, static_cast<cudaStream_t>(tensor.stream)),
          "wait for the frames");
    check(cudaStreamWaitEvent(lane_->stream, lane_->ready, 0), "wait for the frames");
    const std::size_t part = size / tensor.device.size();
    auto* to = static_cast<std::uint8_t*>(buffer.device());
    for (const void* from : tensor.device) {
      check(cudaMemcpyAsync(to, from, part, cudaMemcpyDeviceToDevice, lane_->stream),
            "copy frames");
      to += part;
    }
  }

  Shaped& for_shapes(const std::vector<const Tensor*>& inputs) {
    std::vector<std::int64_t> key;
    for (const auto* input : inputs) {
      key.insert(key.end(), input->shape.begin(), input->shape.end());
    }
    const auto known =
        std::find_if(shapes_.begin(), shapes_.end(), [&](const auto& s) { return s.first == key; });
    if (known != shapes_.end()) {
      shapes_.splice(shapes_.begin(), shapes_, known);  // the last to be dropped
      return *shapes_.front().second;
    }
    auto made = std::make_unique<Shaped>(*plan_, *lane_);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      nvinfer1::Dims dims{};
      dims.nbDims = std::int32_t(inputs[i]->shape.size());
      for (int d = 0; d < dims.nbDims; ++d) {
        // 64-bit in 10.0 and later; the type is TensorRT's to choose.
        dims.d[d] =
            static_cast<std::decay_t<decltype(dims.d[0])>>(inputs[i]->shape[std::size_t(d)]);
      }
      const char* name = plan_->spec.inputs[i].name.c_str();
      if (!made->context->setInputShape(name, dims)) plan_->fail("set a shape");
      if (!made->context->setTensorAddress(name, buffers_[i].device())) plan_->fail("set an input");
    }
    for (std::size_t i = 0; i < plan_->spec.outputs.size(); ++i) {
      const char* name = plan_->spec.outputs[i].name.c_str();
      if (!made->context->setTensorAddress(name, buffers_[inputs.size() + i].device())) {
        plan_->fail("set an output");
      }
    }
    if (shapes_.size() == most_graphs) shapes_.pop_back();
    shapes_.emplace_front(std::move(key), std::move(made));
    return *shapes_.front().second;
  }

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<Lane> lane_;
  Log log_;
  std::vector<std::size_t> sizes_;  // of the buffers: inputs, then outputs
  std::deque<Buffer> buffers_;
  std::list<std::pair<std::vector<std::int64_t>, std::unique_ptr<Shaped>>> shapes_;
};

class TensorRtEngine : public Engine {
 public:
  TensorRtEngine(std::shared_ptr<const Plan> plan, Log log)
      : plan_(std::move(plan)), log_(std::move(log)) {}

  std::unique_ptr<Session> session(std::shared_ptr<void>& lane) override {
    check(cudaSetDevice(plan_->device), "use the device");
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!lane) lane = std::make_shared<Lane>(plan_->device);
    return std::make_unique<TensorRtSession>(plan_, std::static_pointer_cast<Lane>(lane), log_);
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
    check(cudaSetDevice(settings.device), "use the device");
    check(cudaGetDeviceProperties(&properties_, settings.device), "describe the device");
    runtime_.reset(nvinfer1::createInferRuntime(*logger_));
    if (!runtime_) throw EnvironmentUnfit("TensorRT cannot start: " + logger_->last());
  }

  const char* name() const override { return "tensorrt"; }
  bool takes_device_memory() const override { return true; }

  BuiltFor here() const override {
    const int version = getInferLibVersion();  // 100300 or 110100: two digits each after the first
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "tell its version");
    return {{"back end version", std::to_string(version / 10000) + "." +
                                     std::to_string(version / 100 % 100) + "." +
                                     std::to_string(version % 100)},
            {"compute capability",
             std::to_string(properties_.major) + "." + std::to_string(properties_.minor)},
            {"GPU", properties_.name},
            {"multiprocessors", std::to_string(properties_.multiProcessorCount)},
            {"CUDA", std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10)}};
  }

  std::shared_ptr<Engine> load(const EngineSpec& spec, std::string data,
                               const std::filesystem::path& path) override {
    check(cudaSetDevice(settings_.device), "use the device");
    auto plan = std::make_shared<Plan>();
    plan->logger = logger_;
    plan->runtime = runtime_;
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
  cudaDeviceProp properties_{};
};

}  // namespace

std::shared_ptr<Backend> make_tensorrt(const BackendSettings& settings) {
  return std::make_shared<TensorRtBackend>(settings);
}

}  // namespace trml::core
