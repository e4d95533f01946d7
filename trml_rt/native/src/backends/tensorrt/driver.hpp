// What is called of NVRTC and of CUDA's driver, loaded when a frame first needs it.
//
// Neither is linked: a device without NVRTC serves all else, and no build needs a CUDA compiler.
#pragma once

#include <cstddef>

namespace trml::core::tensorrt {

// The functions by their names; handles are pointers, and a status is 0 where all is well.
struct Driver {
  using Handle = void*;

  int (*nvrtcVersion)(int* major, int* minor);
  int (*nvrtcCreateProgram)(Handle*, const char* text, const char* name, int headers,
                            const char* const* header_texts, const char* const* header_names);
  int (*nvrtcCompileProgram)(Handle, int count, const char* const* options);
  int (*nvrtcGetCUBINSize)(Handle, std::size_t*);
  int (*nvrtcGetCUBIN)(Handle, char*);
  int (*nvrtcGetProgramLogSize)(Handle, std::size_t*);
  int (*nvrtcGetProgramLog)(Handle, char*);
  int (*nvrtcDestroyProgram)(Handle*);

  int (*cuModuleLoadData)(Handle* module, const void* image);
  int (*cuModuleUnload)(Handle module);
  int (*cuModuleGetFunction)(Handle* function, Handle module, const char* name);
  int (*cuLaunchKernel)(Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                        void* stream, void** arguments, void** extra);
  int (*cuGetErrorString)(int, const char**);
};

// Load both, NVRTC of the CUDA runtime's major version. Raises EnvironmentUnfit.
const Driver& driver();

}  // namespace trml::core::tensorrt
