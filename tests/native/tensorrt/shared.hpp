// What the stand-ins for TensorRT and CUDA share: memory, streams, captures, faults.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensorrt/stand_in.hpp"

namespace stand_in {

enum class Kind { device, pinned, mapped };

struct Block {
  Kind kind;
  std::size_t size;
  int device;
  bool freed = false;
};

void fault(const std::string& words);

// The block that `size` bytes at `address` lie in; null where there is none.
std::shared_ptr<Block> block_of(const void* address, std::size_t size);

// Whether a call may come now: not while its thread captures.
cudaError_t outside_of_captures(const char* call);

bool work_waits();
bool exists(cudaStream_t stream);
bool captures(cudaStream_t stream);
void break_capture();

// Put work into a stream, or into the graph that is captured from it.
void put(cudaStream_t stream, std::function<void()> action);

}  // namespace stand_in
