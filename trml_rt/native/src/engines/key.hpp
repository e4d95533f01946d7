// What decides whether compiled engines may run here (E1).
#pragma once

#include <string>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"
#include "engines/device.hpp"

namespace trml::core {

// What a build does for a back end: the rows of trml_rt/backends/__init__.py, as far as this
// library runs their engines.
struct BackendRow {
  const char* name;
  const char* options;             // the builder options of a build without any
  const char *fp32, *fp16, *int8;  // the recipes
  bool converts;                   // graphs are converted to FP16, by the golden inputs
};
extern const BackendRow tensorrt_row, openvino_row;

// What engines of `precision` made here and now would be built for. `device` is what the back end
// knows of itself and of the device.
Fields built_for_here(const Bundle& bundle, const std::string& precision, const BackendRow& row,
                      const BuiltFor& device);

// Why `engines` may not run for `bundle` on the device of `expected`; empty if they may.
std::vector<std::string> misfits(const EngineFolder& engines, const Bundle& bundle,
                                 const Fields& expected);

// Of engines that fit alike, those of the default builder options, else the first. Raises
// ArtefactMismatch where they are of several calibrations.
EngineFolder one_of(const Bundle& bundle, std::vector<EngineFolder> fitting, const BackendRow& row,
                    const Fields& expected);

}  // namespace trml::core
