// Choose the compiled engines of a bundle for this device, and keep to what the caller named.
#pragma once

#include <optional>
#include <string>

#include "backends/backend.hpp"
#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"
#include "engines/key.hpp"

namespace trml::core {

// Return the TensorRT engines that serve `bundle` on a device of which `here` is true (E4).
//
// `backend` is "auto" or "tensorrt". "auto" takes verified engines only: of `precision`, or where
// that is empty of FP16, then FP32. "tensorrt" takes unverified ones and INT8 too, INT8 last.
// Raises ArtefactMismatch where there are none, with what differs and the next step.
EngineFolder choose_engines(const Bundle& bundle, const std::string& backend,
                            const std::string& precision, const BuiltFor& here);

// Whether there are TensorRT engines, fitting or not, that "auto" takes unasked: of `precision`, or
// where that is empty of FP16 or FP32.
bool there_unasked(const Bundle& bundle, const std::string& precision);

// Return the engines of one precision that fit (E1). Raises ArtefactMismatch where there are none.
EngineFolder find_engines(const Bundle& bundle, const std::string& precision, const BackendRow& row,
                          const BuiltFor& here);

// The engines that a build found fastest on this device, and the row of their back end (E6).
struct Recorded {
  EngineFolder engines;
  const BackendRow& row;
};

// Return what was found fastest here, as far as its record and its manifest tell: of a back end of
// this library, and of `precision` unless that is empty. Whether it fits is for `fits_verified`.
//
// `unasked` names the engines that would be taken without the record, or is empty; if they took no
// part in the comparison, the record gives way.
std::optional<Recorded> find_fastest(const Bundle& bundle, const std::string& precision,
                                     const std::string& unasked);

// Whether these are the engines to take on a device of which `here` is true. Raises
// ArtefactMismatch where they do not fit, or are not verified.
bool fits_verified(const Bundle& bundle, const Recorded& recorded, const BuiltFor& here);

}  // namespace trml::core
