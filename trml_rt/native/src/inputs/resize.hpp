// Resize rows of bytes as Pillow does: antialiased, horizontally first, in fixed point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trml::core {

// A picture that someone else holds.
struct View {
  const std::uint8_t* data;
  std::size_t stride;  // bytes from row to row
  int width, height;
  int channels;  // bytes a pixel
};

enum class Filter { bilinear, bicubic };

// Returns packed rows. A side that keeps its size is not filtered.
std::vector<std::uint8_t> resize(const View& picture, int width, int height, Filter filter);

}  // namespace trml::core
