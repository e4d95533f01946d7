// Buffers are as large as the plan's profile allows and never move, so that the work of a shape,
// once recorded as a CUDA graph, can be launched again.
#include "backends/tensorrt/session.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <type_traits>
#include <utility>
#include <vector>

namespace trml::core::tensorrt {
namespace {

constexpr std::size_t most_graphs = 16;  // shapes of one engine that a session keeps

// A context with the session's buffers. One that keeps to a shape records its work as a graph.
class Shaped {
 public:
  Shaped(const Plan& plan, Lane& lane, const std::deque<Buffer>& buffers, bool keeps)
      : plan_(plan), lane_(lane), keeps_(keeps) {
    using nvinfer1::ExecutionContextAllocationStrategy;
    context.reset(
        plan.engine->createExecutionContext(ExecutionContextAllocationStrategy::kUSER_MANAGED));
    if (!context) plan.fail("create a context");
    auto buffer = buffers.begin();
    for (const auto* side : {&plan.spec.inputs, &plan.spec.outputs}) {
      for (const auto& tensor : *side) {
        if (buffer == buffers.end()) return;  // only to learn sizes
        if (!context->setTensorAddress(tensor.name.c_str(), (buffer++)->device())) {
          plan.fail("set an address");
        }
      }
    }
  }
  ~Shaped() { forget(); }
  Shaped(const Shaped&) = delete;
  Shaped& operator=(const Shaped&) = delete;

  void set(const std::vector<const Tensor*>& inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      nvinfer1::Dims dims{};
      dims.nbDims = std::int32_t(inputs[i]->shape.size());
      for (int d = 0; d < dims.nbDims; ++d) {
        // 64-bit in 10.0 and later; the type is TensorRT's to choose.
        dims.d[d] =
            static_cast<std::decay_t<decltype(dims.d[0])>>(inputs[i]->shape[std::size_t(d)]);
      }
      const char* name = plan_.spec.inputs[i].name.c_str();
      if (!context->setInputShape(name, dims)) plan_.fail("set a shape");
    }
  }

  // Take the lane's scratch memory, if it has moved; before anything is put into the stream.
  void refresh() {
    if (generation_ == lane_.generation) return;
    forget();
    generation_ = lane_.generation;
    context->setDeviceMemoryV2(lane_.scratch, lane_.scratch_size);
  }

  void run(const Log& log) {
    if (graph_ != nullptr) {
      check(cudaGraphLaunch(graph_, lane_.stream), "launch a graph");
      return;
    }
    if (!context->enqueueV3(lane_.stream)) plan_.fail("run a context");
    // The first run after a change of shape does work that cannot be recorded; the next can be.
    if (keeps_ && !tried_) record(log);
  }

  std::unique_ptr<nvinfer1::IExecutionContext> context;

 private:
  void record(const Log& log) {
    tried_ = true;
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
    tried_ = false;
  }

  const Plan& plan_;
  Lane& lane_;
  const bool keeps_;
  cudaGraphExec_t graph_ = nullptr;
  bool tried_ = false;
  int generation_ = -1;
};

class TensorRtSession : public Session {
 public:
  TensorRtSession(std::shared_ptr<const Plan> plan, std::shared_ptr<Lane> lane, Log log)
      : plan_(std::move(plan)),
        lane_(std::move(lane)),
        log_(std::move(log)),
        reader_(std::make_unique<FrameReader>(plan_->kernels, plan_->integrated)) {
    plan_->logger->forget();
    lane_->need(plan_->engine->getDeviceMemorySizeV2());
    Shaped largest(*plan_, *lane_, {}, false);
    for (const auto& tensor : plan_->spec.inputs) {
      const auto most = plan_->engine->getProfileShape(tensor.name.c_str(), 0,
                                                       nvinfer1::OptProfileSelector::kMAX);
      if (!largest.context->setInputShape(tensor.name.c_str(), most)) plan_->fail("set a shape");
      add_buffer(tensor, most);
    }
    for (const auto& tensor : plan_->spec.outputs) {
      add_buffer(tensor, largest.context->getTensorShape(tensor.name.c_str()));
    }
    plain_ = std::make_unique<Shaped>(*plan_, *lane_, buffers_, false);
  }

  ~TensorRtSession() override {
    const OnDevice here(plan_->device);
    cudaStreamSynchronize(lane_->stream);
    shapes_.clear();
    plain_.reset();
    buffers_.clear();
    reader_.reset();
  }

  std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) override {
    const OnDevice here(plan_->device);
    plan_->logger->forget();
    lane_->need(plan_->engine->getDeviceMemorySizeV2());  // it may have been lost since
    Shaped& shaped = for_shapes(inputs);
    shaped.refresh();
    for (std::size_t i = 0; i < inputs.size(); ++i) feed(*inputs[i], i);
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
    for (const auto& frame : tensor.device) {
      reader_->read(frame, to, part, plan_->device, lane_->stream);
      to += part;
    }
  }

  // The context for these shapes: a shared one when they are met for the first time, then one of
  // their own.
  Shaped& for_shapes(const std::vector<const Tensor*>& inputs) {
    std::vector<std::int64_t> key;
    for (const auto* input : inputs) {
      key.insert(key.end(), input->shape.begin(), input->shape.end());
    }
    const auto known =
        std::find_if(shapes_.begin(), shapes_.end(), [&](const auto& s) { return s.first == key; });
    if (known == shapes_.end()) {
      if (shapes_.size() == most_graphs) shapes_.pop_back();
      shapes_.emplace_front(std::move(key), nullptr);
    } else {
      shapes_.splice(shapes_.begin(), shapes_, known);  // the last to be dropped
      auto& own = shapes_.front().second;
      if (!own) own = fixed(inputs);
      if (own) return *own;
    }
    plain_->set(inputs);
    return *plain_;
  }

  // A context of its own for a shape, or none where there is no room for one.
  std::unique_ptr<Shaped> fixed(const std::vector<const Tensor*>& inputs) {
    try {
      auto made = std::make_unique<Shaped>(*plan_, *lane_, buffers_, true);
      made->set(inputs);
      return made;
    } catch (const EnvironmentUnfit& error) {
      if (log_) log_(TRML_RT_LOG_WARNING, std::string("no CUDA graph: ") + error.what());
      return nullptr;
    }
  }

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<Lane> lane_;
  Log log_;
  std::vector<std::size_t> sizes_;  // of the buffers: inputs, then outputs
  std::deque<Buffer> buffers_;
  std::unique_ptr<FrameReader> reader_;
  std::unique_ptr<Shaped> plain_;
  std::list<std::pair<std::vector<std::int64_t>, std::unique_ptr<Shaped>>> shapes_;
};

}  // namespace

std::unique_ptr<Session> make_session(std::shared_ptr<const Plan> plan, std::shared_ptr<Lane> lane,
                                      Log log) {
  return std::make_unique<TensorRtSession>(std::move(plan), std::move(lane), std::move(log));
}

}  // namespace trml::core::tensorrt
