#include "inputs/image.hpp"

#include <algorithm>
#include <cmath>

#include "error.hpp"
#include "inputs/resize.hpp"
#include "inputs/rows.hpp"

namespace trml::core {
namespace {

// An extreme picture (1 x 30000) would be resized to more pixels than memory holds.
constexpr double most_pixels = 1 << 26;
constexpr std::int32_t most_side = 1 << 16;
// No row is as long; a negative stride, of a picture from the bottom up, would be.
constexpr std::size_t most_stride = std::size_t(1) << 28;

struct Size {
  double width, height;  // whole numbers; doubles, because a narrow picture's may be very large
};

// Halves go to the even neighbour, as Python's round() sends them.
double round_half_even(double x) { return std::nearbyint(x); }

Size target_size(double width, double height, const VideoInput& to) {
  const auto h = double(to.height), w = double(to.width);
  if (to.resize == "squash") return {w, h};
  if (to.resize == "longest") {
    const double ratio = std::max(height / h, width / w);
    return {std::max(1.0, round_half_even(width / ratio)),
            std::max(1.0, round_half_even(height / ratio))};
  }
  if (to.height != to.width) {
    const double ratio = std::min(height / h, width / w);
    return {round_half_even(width / ratio), round_half_even(height / ratio)};
  }
  // torchvision cuts the longer side where timm rounds it: a pixel either way.
  if (width <= height) return {w, std::floor(h * height / width)};
  return {std::floor(w * width / height), h};
}

// Whether Pillow resizes columns before rows: since 13, where the height loses more than twice as
// many pixels as the width.
bool is_down_first(double width, double height, const Size& to) {
  return height > to.height && height - to.height > 2 * (width - to.width);
}

Filter filter_for(const VideoInput& to) {
  // open_clip leaves the setting out on this one path, and its weights are trained that way.
  if (to.resize == "shortest" && to.height != to.width) return Filter::bicubic;
  return to.interpolation == "bicubic" ? Filter::bicubic : Filter::bilinear;
}

// Where the result begins in the picture; negative is padding.
int offset(int size, int target) {
  if (target > size) return -((target - size) / 2);
  return int(round_half_even((size - target) / 2.0));
}

}  // namespace

void check_frame(const trml_rt_frame& given) {
  std::string problem;
  if (given.data == nullptr) problem = "no data";
  if (given.width < 1 || given.height < 1 || given.width > most_side || given.height > most_side) {
    problem = std::to_string(given.width) + " x " + std::to_string(given.height) + " pixels";
  } else if (given.format < TRML_RT_RGB || given.format > TRML_RT_BGRA) {
    problem = "format " + std::to_string(given.format);
  } else if (given.memory < TRML_RT_HOST || given.memory > TRML_RT_CUDA) {
    problem = "memory " + std::to_string(given.memory);
  } else if (given.matrix < TRML_RT_BT601 || given.matrix > TRML_RT_BT709) {
    problem = "matrix " + std::to_string(given.matrix);
  } else if (const Frame frame = frame_of(given);
             frame.stride < (long long)frame.width * frame.bytes || given.stride > most_stride) {
    problem = "a stride of " + std::to_string(given.stride) + " bytes";
  } else if (frame.uv != nullptr &&
             (frame.uv_stride < (frame.width + 1LL) / 2 * 2 || given.uv_stride > most_stride)) {
    problem = given.uv_stride ? "a uv_stride of " + std::to_string(given.uv_stride) + " bytes"
                              : "an odd width without a uv_stride";
  }
  if (!problem.empty()) {
    throw UsageError("video: a frame with " + problem +
                     "; give data, width, height and format, and a stride that holds a row");
  }
}

FrameCopy::FrameCopy(const trml_rt_frame& given) : frame(given) {
  const Frame read = frame_of(given);
  const auto add = [this](const unsigned char* from, long long stride, std::size_t row, int rows) {
    for (int y = 0; y < rows; ++y, from += stride) bytes.insert(bytes.end(), from, from + row);
  };
  frame.stride = std::size_t(read.width) * std::size_t(read.bytes);
  const std::size_t uv_row = read.uv ? (std::size_t(read.width) + 1) / 2 * 2 : 0;
  const int uv_rows = read.uv ? (read.height + 1) / 2 : 0;
  bytes.reserve(frame.stride * std::size_t(read.height) + uv_row * std::size_t(uv_rows));
  add(read.data, read.stride, frame.stride, read.height);
  if (read.uv) add(read.uv, read.uv_stride, uv_row, uv_rows);
  frame.data = bytes.data();
  frame.uv = read.uv ? bytes.data() + frame.stride * std::size_t(read.height) : nullptr;
  frame.uv_stride = uv_row;
}

Shaping shaping_of(std::int32_t width, std::int32_t height, const VideoInput& settings) {
  const Size size = target_size(width, height, settings);
  if (size.width * size.height > most_pixels) {
    throw InputUnusable("picture of " + std::to_string(width) + " x " + std::to_string(height) +
                            ": too narrow to resize to " +
                            std::to_string(std::int64_t(size.width)) + " x " +
                            std::to_string(std::int64_t(size.height)) + "; crop it",
                        "undecodable");
  }
  // Crop or pad about the centre; an odd pixel goes the way torchvision sends it.
  const auto axis = [filter = filter_for(settings)](int from, double to, std::int64_t length) {
    return weigh(from, int(to), offset(int(to), int(length)), int(length), filter);
  };
  return {axis(width, size.width, settings.width), axis(height, size.height, settings.height),
          is_down_first(width, height, size),
          settings.resize == "longest" ? int(settings.fill) : 0};
}

}  // namespace trml::core
