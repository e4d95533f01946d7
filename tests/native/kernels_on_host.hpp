// The kernels of frames.cu, compiled for the host: a loop over what are threads on a GPU.
#pragma once

#include <string>

#define TRML_RT_KERNELS_ON_HOST
#define __global__
#define __device__

namespace kernels_on_host {

struct Index {
  int x, y;
};
inline thread_local Index blockIdx, blockDim, threadIdx;

#include "frames.cu"

// What cuLaunchKernel does; `arguments` are addresses, as it takes them.
inline bool launch(const std::string& name, Index grid, Index block, void** arguments) {
  const bool first_pass = name == "trml_rt_first_pass";
  if (!first_pass && name != "trml_rt_second_pass") return false;
  const auto pointer = [&](int i) { return *static_cast<unsigned char**>(arguments[i]); };
  const auto number = [&](int i) { return *static_cast<int*>(arguments[i]); };
  const auto first = *static_cast<Places*>(arguments[1]);
  const auto second = *static_cast<Places*>(arguments[2]);
  blockDim = block;
  for (int by = 0; by < grid.y; ++by) {
    for (int bx = 0; bx < grid.x; ++bx) {
      blockIdx = {bx, by};
      for (int i = 0; i < block.x * block.y; ++i) {
        threadIdx = {i % block.x, i / block.x};
        if (first_pass) {
          const auto& frame = *static_cast<Frame*>(arguments[0]);
          trml_rt_first_pass(frame, first, second, number(3), pointer(4));
        } else {
          trml_rt_second_pass(pointer(0), first, second, number(3), number(4), pointer(5));
        }
      }
    }
  }
  return true;
}

}  // namespace kernels_on_host
