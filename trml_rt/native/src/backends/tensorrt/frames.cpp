#include "backends/tensorrt/frames.hpp"

#include <algorithm>
#include <vector>

#include "backends/tensorrt/driver.hpp"
#include "frames_text.hpp"

namespace trml::core::tensorrt {
namespace {

constexpr std::size_t most_sizes = 8;  // of frames whose weights are kept
constexpr int block_x = 32, block_y = 8;

void check_driver(int status, const char* what) {
  if (status == 0) return;
  const char* words = nullptr;
  driver().cuGetErrorString(status, &words);
  throw EnvironmentUnfit(std::string("CUDA cannot ") + what + ": " +
                         (words ? words : "error " + std::to_string(status)));
}

// The machine code of frames.cu for one architecture.
std::vector<char> compiled(const std::string& architecture) {
  const Driver& cuda = driver();
  struct Program {
    ~Program() {
      if (handle != nullptr) driver().nvrtcDestroyProgram(&handle);
    }
    void* handle = nullptr;
  } program;
  const std::string option = "--gpu-architecture=" + architecture;
  const char* options[] = {option.c_str()};
  int status =
      cuda.nvrtcCreateProgram(&program.handle, frames_text, "frames.cu", 0, nullptr, nullptr);
  if (status == 0) status = cuda.nvrtcCompileProgram(program.handle, 1, options);
  std::size_t size = 0;
  if (status != 0) {
    std::string log;
    if (program.handle != nullptr && cuda.nvrtcGetProgramLogSize(program.handle, &size) == 0) {
      log.resize(size);
      cuda.nvrtcGetProgramLog(program.handle, log.data());
      log.resize(log.find_last_not_of(std::string("\0\n ", 3)) + 1);
    }
    throw EnvironmentUnfit("NVRTC cannot compile frames.cu for " + architecture + " (error " +
                           std::to_string(status) + ")" + (log.empty() ? "" : ": " + log));
  }
  if (cuda.nvrtcGetCUBINSize(program.handle, &size) != 0 || size == 0) {
    throw EnvironmentUnfit("NVRTC gives no machine code for " + architecture +
                           "; it is older than this GPU");
  }
  std::vector<char> code(size);
  cuda.nvrtcGetCUBIN(program.handle, code.data());
  return code;
}

void launch(void* kernel, int width, int height, void** arguments, cudaStream_t stream) {
  const auto blocks = [](int places, int block) { return unsigned((places + block - 1) / block); };
  check_driver(driver().cuLaunchKernel(kernel, blocks(width, block_x), blocks(height, block_y), 1,
                                       block_x, block_y, 1, 0, stream, arguments, nullptr),
               "run a kernel for frames");
}

// A kernel that reads what CUDA does not know would end the process's use of the GPU.
void check_memory(const void* address, int device) {
  cudaPointerAttributes found{};
  const cudaError_t status = cudaPointerGetAttributes(&found, address);
  if (status != cudaSuccess) cudaGetLastError();
  if (status != cudaSuccess || found.type == cudaMemoryTypeUnregistered) {
    throw UsageError(
        "video: a frame that is said to lie in CUDA memory does not, or not all of it; set memory "
        "to "
        "TRML_RT_HOST");
  }
  if (found.type == cudaMemoryTypeDevice && found.device != device) {
    throw UsageError("video: a frame lies on CUDA device " + std::to_string(found.device) +
                     ", and the bundle was opened on " + std::to_string(device) +
                     "; open it there");
  }
}

}  // namespace

Kernels::~Kernels() {
  if (module_ == nullptr) return;
  const OnDevice here(device_);
  driver().cuModuleUnload(module_);
}

void Kernels::compile() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (second_ != nullptr) return;
  const Driver& cuda = driver();
  if (module_ == nullptr) {
    check_driver(cuda.cuModuleLoadData(&module_, compiled(architecture_).data()),
                 "load the kernels for frames");
  }
  check_driver(cuda.cuModuleGetFunction(&first_, module_, "trml_rt_first_pass"), "find a kernel");
  check_driver(cuda.cuModuleGetFunction(&second_, module_, "trml_rt_second_pass"), "find a kernel");
}

void Kernels::run(Frame frame, Places across, Places down, bool down_first, int fill,
                  std::uint8_t* between, std::uint8_t* out, cudaStream_t stream) {
  compile();
  int columns_first = down_first;
  Places &first = down_first ? down : across, &second = down_first ? across : down;
  void* one[] = {&frame, &first, &second, &columns_first, &between};
  launch(first_, first.size, second.stop - second.start, one, stream);
  void* two[] = {&between, &first, &second, &columns_first, &fill, &out};
  launch(second_, across.length, down.length, two, stream);
}

FrameReader::Size::Size(const Shaping& shaping, int w, int h, bool integrated, cudaStream_t stream)
    : width(w),
      height(h),
      numbers((numbers_of(shaping.across).size() + numbers_of(shaping.down).size()) * sizeof(int),
              integrated) {
  auto all = numbers_of(shaping.across);
  const auto* at = static_cast<const int*>(numbers.device());
  across = places_of(shaping.across, at);
  down = places_of(shaping.down, at + all.size());
  const auto rows = numbers_of(shaping.down);
  all.insert(all.end(), rows.begin(), rows.end());
  numbers.to_device(all.data(), all.size() * sizeof(int), stream);
}

const FrameReader::Size& FrameReader::size_of(const DeviceFrame& frame, cudaStream_t stream) {
  const auto known = std::find_if(sizes_.begin(), sizes_.end(), [&](const Size& size) {
    return size.width == frame.frame.width && size.height == frame.frame.height;
  });
  if (known != sizes_.end()) {
    sizes_.splice(sizes_.begin(), sizes_, known);
    return sizes_.front();
  }
  if (sizes_.size() == most_sizes) {
    check(cudaStreamSynchronize(stream), "finish earlier frames");
    sizes_.pop_back();
  }
  return sizes_.emplace_front(*frame.shaping, frame.frame.width, frame.frame.height, integrated_,
                              stream);
}

void FrameReader::need(std::size_t size, cudaStream_t stream) {
  if (size <= between_size_) return;
  check(cudaStreamSynchronize(stream), "finish earlier frames");
  cudaFree(between_);
  between_ = nullptr;
  between_size_ = 0;
  check(cudaMalloc(&between_, size), "allocate memory for frames");
  between_size_ = size;
}

void FrameReader::read(const DeviceFrame& frame, std::uint8_t* out, std::size_t size, int device,
                       cudaStream_t stream) {
  const Frame& given = frame.frame;
  check_memory(given.data, device);
  check_memory(given.data + given.stride * (given.height - 1) + given.width * given.bytes - 1,
               device);
  if (given.uv != nullptr) {
    check_memory(given.uv, device);
    check_memory(
        given.uv + given.uv_stride * ((given.height - 1) / 2) + (given.width - 1) / 2 * 2 + 1,
        device);
  }
  if (!frame.shaping) {  // as the model takes it
    check(cudaMemcpyAsync(out, frame.frame.data, size, cudaMemcpyDefault, stream), "copy frames");
    return;
  }
  const Size& known = size_of(frame, stream);
  const bool down_first = frame.shaping->down_first;
  const Places& first = down_first ? known.down : known.across;
  const Places& second = down_first ? known.across : known.down;
  need(std::size_t(first.size) * std::size_t(second.stop - second.start) * 3, stream);
  kernels_->run(frame.frame, known.across, known.down, down_first, frame.shaping->fill,
                static_cast<std::uint8_t*>(between_), out, stream);
}

}  // namespace trml::core::tensorrt
