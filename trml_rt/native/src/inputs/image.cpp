#include "inputs/image.hpp"

#include <algorithm>
#include <cmath>

#include "error.hpp"
#include "inputs/resize.hpp"

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

std::size_t bytes_a_pixel(std::int32_t format) {
  return format == TRML_RT_RGB || format == TRML_RT_BGR ? 3 : 1;
}

std::size_t stride_of(const trml_rt_frame& frame) {
  return frame.stride ? frame.stride : std::size_t(frame.width) * bytes_a_pixel(frame.format);
}

// Limited-range YCbCr to RGB in 16-bit fixed point (ITU-R BT.601 and BT.709); each pair of U and V
// serves the four pixels that it covers.
std::vector<std::uint8_t> from_nv12(const trml_rt_frame& frame) {
  struct Matrix {
    int r_v, g_u, g_v, b_u;
  };
  constexpr int luma = 76309;  // 255 / 219
  const Matrix m = frame.matrix == TRML_RT_BT709 ? Matrix{117489, -13975, -34925, 138438}
                                                 : Matrix{104597, -25675, -53279, 132201};
  const auto width = std::size_t(frame.width), height = std::size_t(frame.height);
  const auto* y_plane = static_cast<const std::uint8_t*>(frame.data);
  const std::size_t stride = stride_of(frame),
                    uv_stride = frame.uv_stride ? frame.uv_stride : stride;
  const auto* uv_plane =
      frame.uv ? static_cast<const std::uint8_t*>(frame.uv) : y_plane + stride * height;
  std::vector<std::uint8_t> rgb(width * height * 3);
  auto* out = rgb.data();
  const auto store = [&out](int value) {
    *out++ = std::uint8_t(std::clamp((value + 32768) >> 16, 0, 255));
  };
  for (std::size_t y = 0; y < height; ++y) {
    const auto* uv = uv_plane + y / 2 * uv_stride;
    for (std::size_t x = 0; x < width; ++x) {
      const int level = luma * (y_plane[y * stride + x] - 16);
      const int u = uv[x / 2 * 2] - 128, v = uv[x / 2 * 2 + 1] - 128;
      store(level + m.r_v * v);
      store(level + m.g_u * u + m.g_v * v);
      store(level + m.b_u * u);
    }
  }
  return rgb;
}

}  // namespace

void check_frame(const trml_rt_frame& frame) {
  std::string problem;
  if (frame.data == nullptr) problem = "no data";
  if (frame.width < 1 || frame.height < 1 || frame.width > most_side || frame.height > most_side) {
    problem = std::to_string(frame.width) + " x " + std::to_string(frame.height) + " pixels";
  } else if (frame.format < TRML_RT_RGB || frame.format > TRML_RT_NV12) {
    problem = "format " + std::to_string(frame.format);
  } else if (frame.memory < TRML_RT_HOST || frame.memory > TRML_RT_CUDA) {
    problem = "memory " + std::to_string(frame.memory);
  } else if (frame.matrix < TRML_RT_BT601 || frame.matrix > TRML_RT_BT709) {
    problem = "matrix " + std::to_string(frame.matrix);
  } else if (stride_of(frame) < std::size_t(frame.width) * bytes_a_pixel(frame.format) ||
             stride_of(frame) > most_stride) {
    problem = "a stride of " + std::to_string(frame.stride) + " bytes";
  } else if (frame.format == TRML_RT_NV12 && frame.uv_stride != 0 &&
             (frame.uv_stride < (std::size_t(frame.width) + 1) / 2 * 2 ||
              frame.uv_stride > most_stride)) {
    problem = "a uv_stride of " + std::to_string(frame.uv_stride) + " bytes";
  } else if (frame.format == TRML_RT_NV12 && frame.uv_stride == 0 && frame.width % 2 != 0 &&
             stride_of(frame) == std::size_t(frame.width)) {
    problem = "an odd width without a uv_stride";
  }
  if (!problem.empty()) {
    throw UsageError("video: a frame with " + problem +
                     "; give data, width, height and format, and a stride that holds a row");
  }
}

FrameCopy::FrameCopy(const trml_rt_frame& given) : frame(given) {
  const auto height = std::size_t(given.height);
  const auto add = [this](const std::uint8_t* from, std::size_t stride, std::size_t row,
                          std::size_t rows) {
    for (std::size_t y = 0; y < rows; ++y, from += stride) {
      bytes.insert(bytes.end(), from, from + row);
    }
  };
  const auto* data = static_cast<const std::uint8_t*>(given.data);
  const std::size_t stride = stride_of(given);
  frame.stride = std::size_t(given.width) * bytes_a_pixel(given.format);
  const bool nv12 = given.format == TRML_RT_NV12;
  const std::size_t uv_row = nv12 ? (std::size_t(given.width) + 1) / 2 * 2 : 0;
  const std::size_t uv_rows = nv12 ? (height + 1) / 2 : 0;
  bytes.reserve(frame.stride * height + uv_row * uv_rows);
  add(data, stride, frame.stride, height);
  if (nv12) {
    const auto* uv = given.uv ? static_cast<const std::uint8_t*>(given.uv) : data + stride * height;
    add(uv, given.uv_stride ? given.uv_stride : stride, uv_row, uv_rows);
  }
  frame.data = bytes.data();
  frame.uv = nv12 ? bytes.data() + frame.stride * height : nullptr;
  frame.uv_stride = uv_row;
}

void to_pixels(const trml_rt_frame& frame, const VideoInput& settings, std::uint8_t* out) {
  const Size size = target_size(frame.width, frame.height, settings);
  if (size.width * size.height > most_pixels) {
    throw InputUnusable("picture of " + std::to_string(frame.width) + " x " +
                            std::to_string(frame.height) + ": too narrow to resize to " +
                            std::to_string(std::int64_t(size.width)) + " x " +
                            std::to_string(std::int64_t(size.height)) + "; crop it",
                        "undecodable");
  }
  std::vector<std::uint8_t> converted;
  View picture{static_cast<const std::uint8_t*>(frame.data), stride_of(frame), frame.width,
               frame.height, int(bytes_a_pixel(frame.format))};
  if (frame.format == TRML_RT_NV12) {
    converted = from_nv12(frame);
    picture = {converted.data(), std::size_t(frame.width) * 3, frame.width, frame.height, 3};
  }
  std::vector<std::uint8_t> resized;
  const int width = int(size.width), height = int(size.height);
  if (width != frame.width || height != frame.height) {
    resized = resize(picture, width, height, filter_for(settings));
    picture = {resized.data(), std::size_t(width) * std::size_t(picture.channels), width, height,
               picture.channels};
  }
  // Crop or pad about the centre; an odd pixel goes the way torchvision sends it.
  const int rows = int(settings.height), columns = int(settings.width);
  const int left = offset(width, columns), top = offset(height, rows);
  const auto fill = std::uint8_t(settings.resize == "longest" ? settings.fill : 0);
  const int first = picture.channels == 1 ? 0 : frame.format == TRML_RT_BGR ? 2 : 0;
  const int step = picture.channels == 1 ? 0 : frame.format == TRML_RT_BGR ? -1 : 1;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x, out += 3) {
      const int from_x = x + left, from_y = y + top;
      if (from_x < 0 || from_y < 0 || from_x >= width || from_y >= height) {
        std::fill_n(out, 3, fill);
        continue;
      }
      const std::uint8_t* pixel = picture.data + std::size_t(from_y) * picture.stride +
                                  std::size_t(from_x) * std::size_t(picture.channels);
      for (int c = 0; c < 3; ++c) out[c] = pixel[first + c * step];
    }
  }
}

}  // namespace trml::core
