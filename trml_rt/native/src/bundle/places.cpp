#include "bundle/places.hpp"

#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace trml::core {
namespace fs = std::filesystem;

std::optional<fs::path> cache_folder() {
  const char* named = std::getenv("TRML_RT_CACHE");
  if (named != nullptr && *named != '\0') return fs::path(named);
  for (const auto& [variable, below] :
       {std::pair{"XDG_CACHE_HOME", "trml-rt"}, std::pair{"HOME", ".cache/trml-rt"}}) {
    named = std::getenv(variable);
    // Of these only an absolute path counts, as the XDG specification has it.
    if (named != nullptr && *named == '/') return fs::path(named) / below;
  }
  return std::nullopt;
}

std::vector<fs::path> engine_places(const Bundle& bundle) {
  std::vector<fs::path> places{bundle.folder / "engines"};
  if (const auto cache = cache_folder()) {
    const auto place = *cache / "engines" / bundle.sha256.substr(0, 16);
    if (::access(place.c_str(), R_OK | X_OK) == 0) places.insert(places.begin(), place);
  }
  return places;
}

}  // namespace trml::core
