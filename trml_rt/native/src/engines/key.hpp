// What decides whether compiled engines may run here (E1).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"

namespace trml::core {

using Fields = std::map<std::string, std::string>;

// What TensorRT engines of `precision` made here and now would be built for. `device` is what the
// back end knows of itself and of the GPU.
Fields built_for_here(const Bundle& bundle, const std::string& precision, const BuiltFor& device);

// Why `engines` may not run for `bundle` on the device of `expected`; empty if they may.
std::vector<std::string> misfits(const EngineFolder& engines, const Bundle& bundle,
                                 const Fields& expected);

// Of engines that fit alike, those of the default builder options, else the first. Raises
// ArtefactMismatch where they are of several calibrations.
EngineFolder one_of(const Bundle& bundle, std::vector<EngineFolder> fitting,
                    const Fields& expected);

}  // namespace trml::core
