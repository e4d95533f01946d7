// Which frames of a clip are taken: what trml_rt/inputs/clip.py does.
#pragma once

#include <cstdint>
#include <vector>

namespace trml::core {

// Which of `total` untimed frames to take: all, or `count` in the middle of equal parts.
std::vector<std::int64_t> choose_indices(std::int64_t total, std::int64_t count);

// The middle of each of `count` equal parts of a clip, in its own integer ticks.
std::vector<std::int64_t> choose_times(std::int64_t start, std::int64_t duration,
                                       std::int64_t count);

}  // namespace trml::core
