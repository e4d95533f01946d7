// Frames in CUDA memory become pixels there: the kernels of frames.cu, and what they work on.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "backends/tensor.hpp"
#include "backends/tensorrt/cuda.hpp"

namespace trml::core::tensorrt {

// The kernels, compiled for one GPU when a frame first needs them; sessions share them.
class Kernels {
 public:
  // `architecture` is the GPU's, such as "sm_87".
  Kernels(int device, std::string architecture)
      : device_(device), architecture_(std::move(architecture)) {}
  ~Kernels();
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  // Put both into a stream. Raises EnvironmentUnfit where they cannot be compiled or run.
  void run(Frame frame, Places across, Places down, bool down_first, int fill,
           std::uint8_t* between, std::uint8_t* out, cudaStream_t stream);

 private:
  void compile();

  const int device_;
  const std::string architecture_;
  std::mutex mutex_;
  void *module_ = nullptr, *first_ = nullptr, *second_ = nullptr;
};

// One session's use of them: weights for the sizes that frames have, and what is between the two
// kernels.
class FrameReader {
 public:
  FrameReader(std::shared_ptr<Kernels> kernels, bool integrated)
      : kernels_(std::move(kernels)), integrated_(integrated) {}
  ~FrameReader() { cudaFree(between_); }
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // Put the way of one frame into `stream`, the same each time. `out` is `size` bytes on the
  // device. Raises UsageError where the frame does not lie in CUDA memory of this device.
  void read(const DeviceFrame& frame, std::uint8_t* out, std::size_t size, int device,
            cudaStream_t stream);

 private:
  // Weights on the device for frames of one size.
  struct Size {
    Size(const Shaping& shaping, int w, int h, bool integrated, cudaStream_t stream);
    int width, height;
    Buffer numbers;
    Places across, down;
  };

  const Size& size_of(const DeviceFrame& frame, cudaStream_t stream);
  void need(std::size_t size, cudaStream_t stream);

  std::shared_ptr<Kernels> kernels_;
  const bool integrated_;
  std::list<Size> sizes_;  // the one used last in front
  void* between_ = nullptr;
  std::size_t between_size_ = 0;
};

}  // namespace trml::core::tensorrt
