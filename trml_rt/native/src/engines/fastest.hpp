// Which engines a build found fastest on this device, as the Python package writes it down (E6).
#pragma once

#include <optional>
#include <set>
#include <string>

#include "bundle/folder.hpp"
#include "engines/device.hpp"

namespace trml::core {

struct Fastest {
  std::string engines;             // the name of their folder; "portable" where no engines paid
  std::set<std::string> compared;  // the engine folders that took part
};

// What was found fastest on this device; nothing where nothing was measured. Raises
// ArtefactMismatch where the record is damaged, or of another device.
std::optional<Fastest> read_fastest(const Bundle& bundle);

// The name that the record of a device has.
std::string fastest_name(const Fields& device);

}  // namespace trml::core
