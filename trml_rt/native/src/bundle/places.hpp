// Where the engines of a bundle lie: beside it in engines/, and in the user's cache.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "bundle/folder.hpp"

namespace trml::core {

// The folder of the cache, whether it exists or not; nothing where no variable names one.
std::optional<std::filesystem::path> cache_folder();

// The folders that may hold engines of a bundle; the engines of the first win. A cache that this
// user may not enter holds none of theirs, and is left out.
std::vector<std::filesystem::path> engine_places(const Bundle& bundle);

}  // namespace trml::core
