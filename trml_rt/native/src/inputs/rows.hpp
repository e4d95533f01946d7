// Read rows of a frame in host memory as RGB, whatever its format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/shaping.hpp"
#include "trml_rt/trml_rt.h"

namespace trml::core {

// A caller's frame, its defaults filled in.
Frame frame_of(const trml_rt_frame& given);

// The columns from `from`, which is even, to `to` of a frame.
class Rows {
 public:
  Rows(const Frame& frame, int from, int to)
      : frame_(frame), from_(std::size_t(from)), width_(std::size_t(to - from)) {}

  // Write row `y` as red, green, blue and a byte that says nothing.
  void read(int y, std::uint8_t* out);

 private:
  void read_nv12(std::size_t y, std::uint8_t* out);

  const Frame& frame_;
  const std::size_t from_, width_;
  std::vector<int> tint_;  // of NV12: what U and V add to each of RGB
};

}  // namespace trml::core
