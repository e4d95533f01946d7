// NVRTC for the tests, a library of its own that is opened by its name. It "compiles" a text into
// the names of its kernels.
#include <cstddef>
#include <cstring>
#include <sstream>
#include <string>

#include "tensorrt/shared.hpp"

using namespace stand_in;

namespace {

struct Program {
  std::string text, code, log;
};

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 12, *minor = 6;
  return 0;
}
int nvrtcCreateProgram(void** program, const char* text, const char*, int, const char* const*,
                       const char* const*) {
  ++world().alive;
  *program = new Program{text, "", ""};
  return 0;
}
int nvrtcCompileProgram(void* given, int count, const char* const* options) {
  auto& program = *static_cast<Program*>(given);
  ++world().compilations;
  if (!world().compiles || count != 1 || std::string(options[0]) != "--gpu-architecture=sm_87") {
    program.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
    return 5;
  }
  const std::string kernel = "extern \"C\" __global__ void ";
  for (auto at = program.text.find(kernel); at != std::string::npos;
       at = program.text.find(kernel, at + 1)) {
    const auto name = at + kernel.size();
    program.code += program.text.substr(name, program.text.find('(', name) - name) + "\n";
  }
  return 0;
}
int nvrtcGetCUBINSize(void* program, std::size_t* size) {
  *size = static_cast<Program*>(program)->code.size() + 1;
  return 0;
}
int nvrtcGetCUBIN(void* program, char* code) {
  std::strcpy(code, static_cast<Program*>(program)->code.c_str());
  return 0;
}
int nvrtcGetProgramLogSize(void* program, std::size_t* size) {
  *size = static_cast<Program*>(program)->log.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(void* program, char* log) {
  std::strcpy(log, static_cast<Program*>(program)->log.c_str());
  return 0;
}
int nvrtcDestroyProgram(void** program) {
  delete static_cast<Program*>(*program);
  --world().alive;
  return 0;
}

}  // extern "C"
