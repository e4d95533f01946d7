// What a check of a machine holds, as in trml_rt/backends/check.py.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace trml::core {

// One finding. A check that is not `ok` makes the machine unfit if it is `required`.
struct Check {
  std::string name;
  bool ok = false;
  std::string found;
  bool required = true;
  std::optional<std::string> remedy;
};

// The checks of a back end, whether or not this build has it. `required`: the machine must pass
// them. `device` is the number of the CUDA device.
std::vector<Check> openvino_checks(bool required);
std::vector<Check> tensorrt_checks(bool required, int device);

// The versions of the libraries of a back end, "OpenVINO 2026.1"; empty where this build lacks it.
std::string openvino_version();
std::string tensorrt_version();

}  // namespace trml::core
