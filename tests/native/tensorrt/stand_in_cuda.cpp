#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "tensorrt/shared.hpp"

using Work = std::vector<std::function<void()>>;

struct StandInStream {
  Work waiting;
};
struct StandInEvent {};
struct StandInGraph {
  Work work;
};
struct StandInGraphExec {
  Work work;
};

namespace {

using namespace stand_in;

World now;
std::map<char*, std::shared_ptr<Block>> memory;
std::set<cudaStream_t> streams;
cudaStream_t capturing = nullptr;
bool capture_is_valid = false;
StandInGraph captured;

cudaError_t allocate(void** out, std::size_t size, Kind kind) {
  if (const auto status = outside_of_captures("an allocation")) return status;
  if (kind == Kind::device && size > now.most_bytes) return cudaErrorMemoryAllocation;
  *out = std::aligned_alloc(256, (size + 255) / 256 * 256);
  std::memset(*out, 0xFF, size);
  memory[static_cast<char*>(*out)] = std::make_shared<Block>(Block{kind, size, now.device});
  ++now.alive;
  return cudaSuccess;
}

cudaError_t release(void* address, bool device) {
  if (const auto status = outside_of_captures("a free")) return status;
  if (address == nullptr) return cudaSuccess;
  const auto found = memory.find(static_cast<char*>(address));
  if (found == memory.end() || (found->second->kind == Kind::device) != device) {
    fault("freed what is no such memory");
    return cudaErrorInvalidValue;
  }
  if (work_waits()) fault("freed memory while work waits in a stream");
  found->second->freed = true;
  memory.erase(found);
  std::free(address);
  --now.alive;
  return cudaSuccess;
}

}  // namespace

namespace stand_in {

World& world() { return now; }
void reset() { now = World(); }

void fault(const std::string& words) { now.faults.push_back(words); }

std::shared_ptr<Block> block_of(const void* address, std::size_t size) {
  auto* at = static_cast<char*>(const_cast<void*>(address));
  auto after = memory.upper_bound(at);
  if (after == memory.begin()) return nullptr;
  const auto& [start, block] = *--after;
  return at + size <= start + block->size ? block : nullptr;
}

cudaError_t outside_of_captures(const char* call) {
  if (capturing == nullptr) return cudaSuccess;
  fault(std::string(call) + " in a capture");
  capture_is_valid = false;
  return cudaErrorStreamCaptureUnsupported;
}

bool work_waits() {
  return std::any_of(streams.begin(), streams.end(), [](auto* s) { return !s->waiting.empty(); });
}
bool exists(cudaStream_t stream) { return streams.count(stream) > 0; }
bool captures(cudaStream_t stream) { return capturing == stream; }
void break_capture() { capture_is_valid = false; }
void put(cudaStream_t stream, std::function<void()> action) {
  (captures(stream) ? captured.work : stream->waiting).push_back(std::move(action));
}

}  // namespace stand_in

const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "out of memory"
         : status == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
                                             : "another error";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = now.driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = now.runtime;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = std::size_t(3) << 29;
  *total = std::size_t(8) << 30;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = now.device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  now.device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  if (!now.has_gpu) return cudaErrorNoDevice;
  *properties = {"Stand-in", now.compute[0], now.compute[1], 8, now.integrated};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** out, std::size_t size) { return allocate(out, size, Kind::device); }
cudaError_t cudaHostAlloc(void** out, std::size_t size, unsigned flags) {
  return allocate(out, size, flags == cudaHostAllocMapped ? Kind::mapped : Kind::pinned);
}
cudaError_t cudaFree(void* address) { return release(address, true); }
cudaError_t cudaFreeHost(void* address) { return release(address, false); }
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  const auto block = block_of(host, 1);
  if (!block || block->kind != Kind::mapped) fault("a device pointer of memory that is not mapped");
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address) {
  const auto block = block_of(address, 1);
  *found = {!block                        ? cudaMemoryTypeUnregistered
            : block->kind == Kind::device ? cudaMemoryTypeDevice
                                          : cudaMemoryTypeHost,
            block ? block->device : -2, nullptr, nullptr};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const auto target = block_of(to, size), source = block_of(from, size);
  if (!target || !source) {
    fault("a copy of memory that is not pinned, not there, or too small");
    return cudaErrorInvalidValue;
  }
  const bool up = source->kind != Kind::device, down = target->kind != Kind::device;
  const bool right = kind == cudaMemcpyDefault || (kind == cudaMemcpyHostToDevice && up && !down) ||
                     (kind == cudaMemcpyDeviceToHost && !up && down) ||
                     (kind == cudaMemcpyDeviceToDevice && !up && !down);
  if (!right) fault("the direction of a copy is not that of its memory");
  put(stream, [=] {
    if (target->freed || source->freed) return fault("memory is gone before it is copied");
    std::memcpy(to, from, size);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  if (flags != cudaStreamNonBlocking) fault("a stream that waits for the default stream");
  streams.insert(*out = new StandInStream);
  ++now.alive;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream->waiting.empty()) fault("a stream went before its work was done");
  streams.erase(stream);
  delete stream;
  --now.alive;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const auto status = outside_of_captures("a wait")) return status;
  Work work;
  work.swap(stream->waiting);
  for (const auto& action : work) action();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (mode != cudaStreamCaptureModeThreadLocal) fault("a capture that other threads can break");
  capturing = stream;
  capture_is_valid = true;
  captured.work.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  capturing = nullptr;
  *graph = nullptr;
  if (!capture_is_valid) return cudaErrorStreamCaptureInvalidated;
  *graph = new StandInGraph(std::move(captured));
  ++now.alive, ++now.captures;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = new StandInEvent;
  ++now.alive;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  --now.alive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* out, cudaGraph_t graph,
                                          unsigned long long) {
  *out = new StandInGraphExec{graph->work};
  ++now.alive;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  if (streams.count(stream) == 0) {
    fault("a graph is launched in no stream of ours");
    return cudaErrorInvalidValue;
  }
  ++now.launches;
  for (const auto& action : graph->work) put(stream, action);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --now.alive;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  if (work_waits()) fault("a graph went while work waits in a stream");
  delete graph;
  --now.alive;
  return cudaSuccess;
}
