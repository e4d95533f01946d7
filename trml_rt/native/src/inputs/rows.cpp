#include "inputs/rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace trml::core {
namespace {

// Bytes of a pixel in the first plane, and where in it red, green and blue are.
std::array<int, 4> layout_of(std::int32_t format) {
  switch (format) {
    case TRML_RT_BGR:
      return {3, 2, 1, 0};
    case TRML_RT_GRAY:
    case TRML_RT_NV12:
      return {1, 0, 0, 0};
    case TRML_RT_RGBA:
      return {4, 0, 1, 2};
    case TRML_RT_BGRA:
      return {4, 2, 1, 0};
    default:
      return {3, 0, 1, 2};
  }
}

// Limited-range YCbCr to RGB (ITU-R BT.601 and BT.709).
void set_matrix(Frame& frame, bool hd) {
  const double red = hd ? 0.2126 : 0.299, blue = hd ? 0.0722 : 0.114, green = 1 - red - blue;
  const double of_v = 2 * (1 - red), of_u = 2 * (1 - blue);
  constexpr double eighth = 255.0 / 224 / 8;
  const auto whole = [](double levels) { return int(std::lround(levels * (1 << 20))); };
  frame.luma = whole(255.0 / 219);
  frame.r_v = whole(of_v * eighth);
  frame.g_u = whole(-of_u * blue / green * eighth);
  frame.g_v = whole(-of_v * red / green * eighth);
  frame.b_u = whole(of_u * eighth);
}

}  // namespace

Frame frame_of(const trml_rt_frame& given) {
  Frame frame{};
  const auto [bytes, red, green, blue] = layout_of(given.format);
  frame.data = static_cast<const unsigned char*>(given.data);
  frame.width = given.width;
  frame.height = given.height;
  frame.bytes = bytes;
  frame.red = red;
  frame.green = green;
  frame.blue = blue;
  frame.stride = given.stride ? (long long)given.stride : (long long)given.width * bytes;
  if (given.format != TRML_RT_NV12) return frame;
  frame.uv = given.uv ? static_cast<const unsigned char*>(given.uv)
                      : frame.data + frame.stride * given.height;
  frame.uv_stride = given.uv_stride ? (long long)given.uv_stride : frame.stride;
  set_matrix(frame, given.matrix == TRML_RT_BT709);
  return frame;
}

void Rows::read(int y, std::uint8_t* out) {
  if (frame_.uv != nullptr) return read_nv12(std::size_t(y), out);
  const auto bytes = std::size_t(frame_.bytes);
  const unsigned char* row = frame_.data + y * frame_.stride + from_ * bytes;
  if (frame_.red == 0 && bytes >= 3) {
    // Four bytes at a time; the row's last pixel may have three, and nothing after it.
    for (std::size_t x = 0; x + 1 < width_; ++x) std::memcpy(out + x * 4, row + x * bytes, 4);
    std::memcpy(out + (width_ - 1) * 4, row + (width_ - 1) * bytes, 3);
    return;
  }
  for (std::size_t x = 0; x < width_; ++x, row += bytes, out += 4) {
    out[0] = row[frame_.red];
    out[1] = row[frame_.green];
    out[2] = row[frame_.blue];
  }
}

// U and V lie between two rows, and on every second column, as MPEG-2 and H.264 have them. Between
// them they are interpolated.
void Rows::read_nv12(std::size_t y, std::uint8_t* out) {
  const std::size_t last_row = (std::size_t(frame_.height) - 1) / 2;
  const std::size_t last = (std::size_t(frame_.width) - 1) / 2;
  const std::size_t near = y / 2;
  const std::size_t other =
      y % 2 ? std::min(near + 1, last_row) : std::max<std::size_t>(near, 1) - 1;
  const auto stride = std::size_t(frame_.uv_stride);
  const unsigned char *a = frame_.uv + near * stride + from_,
                      *b = frame_.uv + other * stride + from_;
  const std::size_t count = (width_ + 1) / 2, there = std::min(count, last - from_ / 2);
  // A pair of U and V more than the columns have, for those between; at the edge the last counts
  // again.
  tint_.resize((count + 1) * 3);
  int* red = tint_.data();
  int *green = red + count + 1, *blue = green + count + 1;
  for (std::size_t k = 0; k <= count; ++k) {  // in quarters
    const std::size_t at = std::min(k, there) * 2;
    const int u = 3 * a[at] + b[at] - 4 * 128, v = 3 * a[at + 1] + b[at + 1] - 4 * 128;
    red[k] = frame_.r_v * v;
    green[k] = frame_.g_u * u + frame_.g_v * v;
    blue[k] = frame_.b_u * u;
  }
  const unsigned char* luma = frame_.data + y * std::size_t(frame_.stride) + from_;
  const auto level = [](int sum) { return std::uint8_t(std::clamp(sum >> 20, 0, 255)); };
  for (std::size_t x = 0; x < width_; ++x) {  // in eighths
    const std::size_t k = x / 2, next = k + x % 2;
    const int of_y = frame_.luma * (luma[x] - 16) + (1 << 19);
    out[x * 4] = level(of_y + red[k] + red[next]);
    out[x * 4 + 1] = level(of_y + green[k] + green[next]);
    out[x * 4 + 2] = level(of_y + blue[k] + blue[next]);
  }
}

}  // namespace trml::core
