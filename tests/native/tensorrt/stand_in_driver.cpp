// CUDA's driver for the tests, a library of its own that is opened by its name. It runs the kernels
// of frames.cu on the host, and looks at what they are given as a GPU would fall over it.
#include <algorithm>
#include <set>
#include <string>

#include "kernels_on_host.hpp"
#include "tensorrt/shared.hpp"

using namespace stand_in;
using kernels_on_host::Frame;
using kernels_on_host::Places;

namespace {

struct Module {
  std::set<std::string> kernels;
};

using Blocks = std::vector<std::shared_ptr<Block>>;

// `size` bytes at `address`, which a kernel may touch; `ours` are no caller's.
void touch(Blocks& blocks, const void* address, long long size, bool ours, const char* what) {
  const auto block = block_of(address, std::size_t(size));
  if (!block) return fault(std::string("a kernel is given no memory, or too little: ") + what);
  if (ours && block->kind == Kind::pinned) fault(std::string("a kernel reads the host: ") + what);
  blocks.push_back(block);
}

void touch(Blocks& blocks, const Places& places) {
  const auto reaches = [](const int* from, const int* to, int size) { return to - from == size; };
  if (!reaches(places.first, places.count, places.size) ||
      !reaches(places.count, places.weights, places.size)) {
    fault("the numbers of an axis do not follow each other");
  }
  touch(blocks, places.first, 4LL * places.size * (2 + places.widest), true, "weights");
}

void covers(kernels_on_host::Index grid, kernels_on_host::Index block, int width, int height) {
  if (block.x * block.y > 1024) fault("a block of more than 1024 threads");
  if (grid.x * block.x < width || grid.y * block.y < height) fault("a grid leaves places out");
  if (grid.x < 1 || grid.y < 1) fault("an empty grid");
}

template <typename Work>
void later(cudaStream_t stream, const Blocks& blocks, Work work) {
  put(stream, [blocks, work]() mutable {
    for (const auto& each : blocks) {
      if (each->freed) return fault("memory is gone before a kernel runs");
    }
    work();
  });
}

}  // namespace

extern "C" {

int cuModuleLoadData(void** module, const void* image) {
  auto* made = new Module;
  std::string names = static_cast<const char*>(image);
  for (std::size_t end; (end = names.find('\n')) != std::string::npos; names.erase(0, end + 1)) {
    made->kernels.insert(names.substr(0, end));
  }
  ++world().alive;
  *module = made;
  return 0;
}
int cuModuleUnload(void* module) {
  if (work_waits()) fault("kernels went while work waits in a stream");
  delete static_cast<Module*>(module);
  --world().alive;
  return 0;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  const auto& kernels = static_cast<Module*>(module)->kernels;
  const auto found = kernels.find(name);
  if (found == kernels.end()) return 500;
  *function = const_cast<std::string*>(&*found);
  return 0;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned, unsigned bx, unsigned by,
                   unsigned, unsigned, void* given, void** arguments, void**) {
  auto* stream = static_cast<cudaStream_t>(given);
  if (!exists(stream)) {
    fault("a kernel is put into no stream of ours");
    return 400;
  }
  const std::string name = *static_cast<std::string*>(function);
  const kernels_on_host::Index grid{int(gx), int(gy)}, block{int(bx), int(by)};
  const auto pointer = [&](int i) { return *static_cast<unsigned char**>(arguments[i]); };
  const auto first = *static_cast<Places*>(arguments[1]);
  const auto second = *static_cast<Places*>(arguments[2]);
  const int down_first = *static_cast<int*>(arguments[3]), beside = second.stop - second.start;
  Blocks blocks;
  touch(blocks, first);
  touch(blocks, second);
  const long long between = 3LL * first.size * beside, out = 3LL * first.length * second.length;
  if (name == "trml_rt_first_pass") {
    covers(grid, block, first.size, beside);
    const auto frame = *static_cast<Frame*>(arguments[0]);
    touch(blocks, frame.data,
          frame.stride * (frame.height - 1) + (long long)frame.width * frame.bytes, false, "frame");
    if (frame.uv != nullptr) {
      touch(blocks, frame.uv,
            frame.uv_stride * ((frame.height - 1) / 2) + (frame.width + 1LL) / 2 * 2, false, "uv");
    }
    touch(blocks, pointer(4), between, true, "between");
    later(stream, blocks, [=, to = pointer(4)]() mutable {
      Frame f = frame;
      Places a = first, b = second;
      int turned = down_first;
      void* now[] = {&f, &a, &b, &turned, &to};
      kernels_on_host::launch(name, grid, block, now);
    });
  } else {
    covers(grid, block, down_first ? second.length : first.length,
           down_first ? first.length : second.length);
    touch(blocks, pointer(0), between, true, "between");
    touch(blocks, pointer(5), out, true, "out");
    later(
        stream, blocks,
        [=, from = pointer(0), fill = *static_cast<int*>(arguments[4]), to = pointer(5)]() mutable {
          Places a = first, b = second;
          int turned = down_first;
          void* now[] = {&from, &a, &b, &turned, &fill, &to};
          kernels_on_host::launch(name, grid, block, now);
        });
  }
  return 0;
}
int cuGetErrorString(int status, const char** words) {
  *words = status == 500 ? "named symbol not found" : nullptr;
  return 0;
}

}  // extern "C"
