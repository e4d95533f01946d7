// What this machine has of NVIDIA's, and whether it fits: the words of
// trml_rt/backends/tensorrt/doctor.py.
#include "backends/tensorrt/doctor.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>

#include "backends/check.hpp"
#include "backends/tensorrt/cuda.hpp"
#include "backends/tensorrt/library.hpp"

namespace trml::core {
namespace tensorrt {
namespace {

constexpr const char* release_file = "/etc/nv_tegra_release";
constexpr const char* model_file = "/proc/device-tree/model";
constexpr std::array<int, 2> oldest_compute{7, 5};  // of full TensorRT 10.3 to 11

std::string whole(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.pop_back();
  return text;
}

// One check on a Jetson, none elsewhere.
std::vector<Check> jetson(bool required) {
  const std::string release = whole(release_file);
  if (release.empty()) return {};
  std::string model = whole(model_file);
  if (model.empty()) model = "a Jetson";
  const auto versions = jetpack_of(release);
  if (!versions) {
    return {{"JetPack",
             false,
             model + ", " + release_file + " says " + release.substr(0, release.find('\n')),
             required,
             {}}};
  }
  const auto& [l4t, jetpack] = *versions;
  const bool fits = l4t >= std::array<int, 3>{36, 4, 0};  // JetPack 6.1
  return {{"JetPack", fits,
           model + ", L4T " + std::to_string(l4t[0]) + "." + std::to_string(l4t[1]) + "." +
               std::to_string(l4t[2]) + ", JetPack " + jetpack,
           required,
           fits ? std::optional<std::string>() : "TensorRT 10.3 or later comes with JetPack 6.1"}};
}

std::string cuda_number(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The file that a function came from.
template <typename Function>
std::string origin(Function* function) {
  Dl_info info{};
  return dladdr(reinterpret_cast<void*>(function), &info) != 0 && info.dli_fname ? info.dli_fname
                                                                                 : "this program";
}

std::string gigabytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", double(bytes) / (1 << 30));
  return text;
}

// The check of CUDA and its driver; `gpu` is filled in where there is one.
Check cuda(bool required, int device, std::optional<cudaDeviceProp>& gpu) {
  int driver = 0, own = 0;
  const auto no = [&](const std::string& found, std::optional<std::string> remedy = {}) {
    return Check{"CUDA", false, found, required, std::move(remedy)};
  };
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  check(cudaRuntimeGetVersion(&own), "tell its version");
  if (driver == 0) {
    return no("no NVIDIA driver", "install NVIDIA's driver, or take the back end openvino");
  }
  const std::string from = origin(&cudaRuntimeGetVersion);
  if (own / 1000 > driver / 1000) {
    return no("the driver is of CUDA " + std::to_string(driver / 1000) + ", " + from + " is newer");
  }
  cudaDeviceProp properties{};
  std::size_t free = 0, total = 0;
  try {
    const OnDevice here(device);
    check(cudaSetDevice(device), "use the device");
    check(cudaGetDeviceProperties(&properties, device), "describe the device");
    check(cudaMemGetInfo(&free, &total), "tell its memory");
  } catch (const EnvironmentUnfit& error) {
    return no(std::string("no GPU can be used (") + error.what() + ")");
  }
  gpu = properties;
  return {"CUDA",
          true,
          std::string(properties.name) + ", " +
              (properties.integrated ? "integrated" : "discrete") + ", compute capability " +
              std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", " +
              std::to_string(properties.multiProcessorCount) + " multiprocessors, " +
              gigabytes(total) + " GiB (" + gigabytes(free) + " free), driver of CUDA " +
              cuda_number(driver) + ", runtime " + cuda_number(own) + " of " + from,
          required,
          {}};
}

}  // namespace

std::optional<std::pair<std::array<int, 3>, std::string>> jetpack_of(const std::string& release) {
  static const std::regex pattern(R"(R(\d{1,4})[^,]*, REVISION: (\d{1,4})(?:\.(\d{1,4}))?)");
  std::smatch match;
  if (!std::regex_search(release, match, pattern)) return std::nullopt;
  const std::array<int, 3> version{std::stoi(match[1]), std::stoi(match[2]),
                                   match[3].matched ? std::stoi(match[3]) : 0};
  // The first L4T release of each JetPack, newest first.
  const std::pair<std::array<int, 3>, const char*> jetpacks[] = {
      {{38, 0, 0}, "7"},   {{36, 4, 3}, "6.2"}, {{36, 4, 0}, "6.1"}, {{36, 2, 0}, "6.0"},
      {{35, 2, 0}, "5.1"}, {{34, 0, 0}, "5.0"}, {{32, 0, 0}, "4"}};
  for (const auto& [first, name] : jetpacks) {
    if (version >= first) return {{version, name}};
  }
  return {{version, "older than 4"}};
}

}  // namespace tensorrt

std::string tensorrt_version() {
  using namespace tensorrt;
  const int version = getInferLibVersion();
  int own = 0;
  cudaRuntimeGetVersion(&own);
  return "TensorRT " + version_text(version) + ", CUDA " + cuda_number(own);
}

std::vector<Check> tensorrt_checks(bool required, int device) {
  using namespace tensorrt;
  std::vector<Check> checks = jetson(required);
  std::optional<cudaDeviceProp> gpu;
  checks.push_back(cuda(required, device, gpu));
  checks.push_back({"back end tensorrt",
                    true,
                    version_text(getInferLibVersion()) + " from " + origin(&getInferLibVersion),
                    required,
                    {}});
  if (gpu) {
    const std::array<int, 2> compute{gpu->major, gpu->minor};
    checks.push_back({"GPU for tensorrt",
                      compute >= oldest_compute,
                      "compute capability " + std::to_string(gpu->major) + "." +
                          std::to_string(gpu->minor) + "; it takes " +
                          std::to_string(oldest_compute[0]) + "." +
                          std::to_string(oldest_compute[1]) + " and later",
                      required,
                      {}});
  }
  return checks;
}

}  // namespace trml::core
