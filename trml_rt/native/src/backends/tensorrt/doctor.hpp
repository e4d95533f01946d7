// What a file of NVIDIA's tells of a Jetson.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace trml::core::tensorrt {

// L4T and JetPack version from the text of /etc/nv_tegra_release, or nothing.
std::optional<std::pair<std::array<int, 3>, std::string>> jetpack_of(const std::string& release);

}  // namespace trml::core::tensorrt
