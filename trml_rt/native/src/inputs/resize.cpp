#include "inputs/resize.hpp"

#include <algorithm>
#include <cmath>

namespace trml::core {
namespace {

// Weights are integers of this many fraction bits; 8 more hold the pixel and 2 keep sums of
// overshooting bicubic weights from overflowing 32 bits.
constexpr int fraction_bits = 32 - 8 - 2;

double triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// The cubic convolution kernel with a = -1/2 (Keys 1981), which is Pillow's.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// For each place of the result: the first source place that counts, and the weights from there on.
struct Weights {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<std::int32_t> values;  // `widest` a place
  int widest;
};

Weights weigh(int from, int to, Filter filter) {
  const double scale = double(from) / to;
  const double widening = std::max(scale, 1.0);  // when shrinking, the kernel covers what vanishes
  const double reach = (filter == Filter::bicubic ? 2.0 : 1.0) * widening;
  Weights weights;
  weights.widest = int(std::ceil(reach)) * 2 + 1;
  weights.first.resize(std::size_t(to));
  weights.count.resize(std::size_t(to));
  weights.values.assign(std::size_t(to) * std::size_t(weights.widest), 0);
  std::vector<double> row(std::size_t(weights.widest));
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(int(centre - reach + 0.5), 0);
    const int count = std::min(int(centre + reach + 0.5), from) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double x = (k + first - centre + 0.5) * (1.0 / widening);
      row[std::size_t(k)] = filter == Filter::bicubic ? cubic(x) : triangle(x);
      sum += row[std::size_t(k)];
    }
    auto* out = &weights.values[std::size_t(i) * std::size_t(weights.widest)];
    const double share = sum != 0 ? 1.0 / sum : 1.0;
    for (int k = 0; k < count; ++k) {
      const double weight = row[std::size_t(k)] * share * (1 << fraction_bits);
      out[k] = std::int32_t(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    weights.first[std::size_t(i)] = first;
    weights.count[std::size_t(i)] = count;
  }
  return weights;
}

std::uint8_t to_byte(std::int32_t sum) {
  return std::uint8_t(std::clamp(sum >> fraction_bits, 0, 255));
}

constexpr std::int32_t half = 1 << (fraction_bits - 1);

template <int channels>
void across(const View& picture, const Weights& weights, int width, std::uint8_t* out) {
  for (int y = 0; y < picture.height; ++y) {
    const std::uint8_t* row = picture.data + std::size_t(y) * picture.stride;
    for (int x = 0; x < width; ++x) {
      const auto* w = &weights.values[std::size_t(x) * std::size_t(weights.widest)];
      const std::uint8_t* from = row + std::size_t(weights.first[std::size_t(x)]) * channels;
      std::int32_t sums[channels];
      std::fill_n(sums, channels, half);
      for (int k = 0; k < weights.count[std::size_t(x)]; ++k) {
        for (int c = 0; c < channels; ++c) sums[c] += from[k * channels + c] * w[k];
      }
      for (int c = 0; c < channels; ++c) *out++ = to_byte(sums[c]);
    }
  }
}

void down(const View& picture, const Weights& weights, int height, std::uint8_t* out) {
  const std::size_t row = std::size_t(picture.width) * std::size_t(picture.channels);
  std::vector<std::int32_t> sums(row);
  for (int y = 0; y < height; ++y) {
    const auto* w = &weights.values[std::size_t(y) * std::size_t(weights.widest)];
    std::fill(sums.begin(), sums.end(), half);
    for (int k = 0; k < weights.count[std::size_t(y)]; ++k) {
      const std::uint8_t* from =
          picture.data + std::size_t(weights.first[std::size_t(y)] + k) * picture.stride;
      const std::int32_t weight = w[k];
      for (std::size_t i = 0; i < row; ++i) sums[i] += from[i] * weight;
    }
    for (std::size_t i = 0; i < row; ++i) *out++ = to_byte(sums[i]);
  }
}

}  // namespace

std::vector<std::uint8_t> resize(const View& picture, int width, int height, Filter filter) {
  View current = picture;
  std::vector<std::uint8_t> wide, done;
  const auto channels = std::size_t(picture.channels);
  if (width != picture.width) {
    wide.resize(std::size_t(picture.height) * std::size_t(width) * channels);
    const Weights weights = weigh(picture.width, width, filter);
    (picture.channels == 3 ? across<3> : across<1>)(picture, weights, width, wide.data());
    current = {wide.data(), std::size_t(width) * channels, width, picture.height, picture.channels};
  }
  if (height == picture.height && width != picture.width) return wide;
  done.resize(std::size_t(height) * std::size_t(width) * channels);
  if (height != picture.height) {
    down(current, weigh(picture.height, height, filter), height, done.data());
  } else {
    const std::size_t row = std::size_t(width) * channels;
    for (int y = 0; y < height; ++y) {
      std::copy_n(current.data + std::size_t(y) * current.stride, row,
                  done.data() + std::size_t(y) * row);
    }
  }
  return done;
}

}  // namespace trml::core
