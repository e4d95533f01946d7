// The few things of CUDA that the TensorRT back end needs: checked calls, memory, a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "error.hpp"

namespace trml::core::tensorrt {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw EnvironmentUnfit(std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(status));
}

// Makes a device the calling thread's for as long as this lives, then puts its own back. The back
// end has looked once whether the device can be used.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    cudaGetDevice(&before_);
    cudaSetDevice(device);
  }
  ~OnDevice() { cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
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
    check(cudaMemcpyAsync(device_, host_, size, cudaMemcpyDefault, stream), "copy inputs");
  }
  void to_host(std::size_t size, cudaStream_t stream) {
    if (integrated_) return;
    check(cudaMemcpyAsync(host_, device_, size, cudaMemcpyDefault, stream), "copy outputs");
  }
  const void* host() const { return host_; }
  void* device() const { return device_; }

 private:
  bool integrated_;
  void* host_ = nullptr;
  void* device_ = nullptr;
};

// What one thread's sessions share: a stream, and one block of scratch memory, since its engines
// never run at the same time.
struct Lane {
  explicit Lane(int number) : device(number) {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
    if (cudaEventCreateWithFlags(&ready, cudaEventDisableTiming) != cudaSuccess) {
      cudaStreamDestroy(stream);
      throw EnvironmentUnfit("CUDA cannot create an event");
    }
  }
  ~Lane() {
    const OnDevice here(device);
    cudaEventDestroy(ready);
    cudaStreamDestroy(stream);
    cudaFree(scratch);
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Sessions made before see by `generation` that the block has moved, or is gone.
  void need(std::int64_t size) {
    if (size <= scratch_size) return;
    check(cudaStreamSynchronize(stream), "finish earlier work");
    ++generation;
    cudaFree(scratch);
    scratch = nullptr;
    scratch_size = 0;
    check(cudaMalloc(&scratch, std::size_t(size)), "allocate scratch memory");
    scratch_size = size;
  }

  int device;
  cudaStream_t stream = nullptr;
  cudaEvent_t ready = nullptr;
  void* scratch = nullptr;
  std::int64_t scratch_size = 0;
  int generation = 0;
};

}  // namespace trml::core::tensorrt
