#include "backends/tensorrt/driver.hpp"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <string>
#include <vector>

#include "backends/tensorrt/cuda.hpp"
#include "error.hpp"

namespace trml::core::tensorrt {
namespace {

void* open(const std::vector<std::string>& names, const char* package) {
  for (const auto& name : names) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  throw EnvironmentUnfit("frames in CUDA memory need " + names.front() +
                         ", which cannot be loaded; install " + package +
                         ", or convert them to RGB of the size in trml_rt_get_info");
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw EnvironmentUnfit(std::string("CUDA has no ") + name);
}

Driver load() {
  int version = 0;
  check(cudaRuntimeGetVersion(&version), "tell its version");
  const std::string nvrtc_name = "libnvrtc.so." + std::to_string(version / 1000);
  // Where a toolkit is not in the loader's path, it lies here.
  const std::string toolkit = "/usr/local/cuda/lib64/";
  void* nvrtc = open({nvrtc_name, toolkit + nvrtc_name}, "cuda-nvrtc");
  void* cuda = open({"libcuda.so.1"}, "NVIDIA's driver");
  Driver driver{};
#define TRML_RT_FIND(library, name) find(library, #name, driver.name)
  TRML_RT_FIND(nvrtc, nvrtcVersion);
  TRML_RT_FIND(nvrtc, nvrtcCreateProgram);
  TRML_RT_FIND(nvrtc, nvrtcCompileProgram);
  TRML_RT_FIND(nvrtc, nvrtcGetCUBINSize);
  TRML_RT_FIND(nvrtc, nvrtcGetCUBIN);
  TRML_RT_FIND(nvrtc, nvrtcGetProgramLogSize);
  TRML_RT_FIND(nvrtc, nvrtcGetProgramLog);
  TRML_RT_FIND(nvrtc, nvrtcDestroyProgram);
  TRML_RT_FIND(cuda, cuModuleLoadData);
  TRML_RT_FIND(cuda, cuModuleUnload);
  TRML_RT_FIND(cuda, cuModuleGetFunction);
  TRML_RT_FIND(cuda, cuLaunchKernel);
  TRML_RT_FIND(cuda, cuGetErrorString);
#undef TRML_RT_FIND
  // NVRTC opens this one by its name alone, which the loader may not find.
  int major = 0, minor = 0;
  driver.nvrtcVersion(&major, &minor);
  const std::string number = std::to_string(major) + "." + std::to_string(minor);
  dlopen((toolkit + "libnvrtc-builtins.so." + number).c_str(), RTLD_NOW | RTLD_GLOBAL);
  return driver;
}

}  // namespace

const Driver& driver() {
  static const Driver loaded = load();  // tried again where it failed
  return loaded;
}

}  // namespace trml::core::tensorrt
