// Say what this library has, and whether this machine is fit to run a bundle, check by check: what
// trml_rt/doctor.py does.
#pragma once

#include <string>
#include <vector>

#include "backends/check.hpp"
#include "runtime.hpp"

namespace trml::core {

struct Diagnosis {
  bool fit = true;
  std::vector<Check> checks;
  std::string json;  // as `trml-rt doctor --json` has it
};

// Check the library, this machine, the back ends, and what a Model of `options` would run on.
// Without a bundle the last is left out. Raises UsageError where an option makes no sense.
Diagnosis diagnose(const Options& options, const Model::OpenBackend& tensorrt = make_tensorrt);

}  // namespace trml::core
