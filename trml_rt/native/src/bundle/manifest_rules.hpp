// The rules of the format that look at a manifest as a whole (R4, R5, R8 to R12, R15, R16).
#pragma once

#include <string>
#include <vector>

#include "bundle/manifest.hpp"

namespace trml::core {

// Note every rule that `manifest` breaks. `has_range` and `has_thresholds`: the key is there and
// not null.
void check_rules(const Manifest& manifest, bool has_range, bool has_thresholds,
                 std::vector<std::string>& problems);

}  // namespace trml::core
