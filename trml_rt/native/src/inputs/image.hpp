// Turn a frame into the pixels that an image encoder was trained on: what trml_rt/inputs/image.py
// does.
#pragma once

#include <cstdint>

#include "backends/shaping.hpp"
#include "bundle/manifest.hpp"
#include "trml_rt/trml_rt.h"

namespace trml::core {

// Raises UsageError where the frame is not one: no pixels, a short stride, an unknown format.
void check_frame(const trml_rt_frame& frame);

// A copy of a frame in host memory, with packed rows; `frame` lies over `bytes`.
struct FrameCopy {
  explicit FrameCopy(const trml_rt_frame& given);
  FrameCopy(FrameCopy&&) = default;
  FrameCopy& operator=(FrameCopy&&) = default;
  std::vector<std::uint8_t> bytes;
  trml_rt_frame frame;
};

// How frames of this size become pixels. Raises InputUnusable where they are so narrow that
// resizing them would exhaust memory.
Shaping shaping_of(std::int32_t width, std::int32_t height, const VideoInput& settings);

}  // namespace trml::core
