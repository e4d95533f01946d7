// Choose the TensorRT engines of a bundle for this device, and keep to what the caller named.
#pragma once

#include <string>

#include "backends/backend.hpp"
#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"

namespace trml::core {

// Return the TensorRT engines that serve `bundle` on a device of which `here` is true (E4).
//
// `backend` is "auto" or "tensorrt". "auto" takes verified engines only: of `precision`, or where
// that is empty of FP16, then FP32. "tensorrt" takes unverified ones and INT8 too, INT8 last.
// Raises ArtefactMismatch where there are none, with what differs and the next step.
EngineFolder choose_engines(const Bundle& bundle, const std::string& backend,
                            const std::string& precision, const BuiltFor& here);

// Return the engines of one precision that fit (E1). Raises ArtefactMismatch where there are none.
EngineFolder find_engines(const Bundle& bundle, const std::string& precision, const BuiltFor& here);

}  // namespace trml::core
