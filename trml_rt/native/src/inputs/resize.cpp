// Pixels are four bytes here, so that eight lanes of a vector are two pixels of a row, and both
// directions read memory as it lies. The sums are 32-bit integers, those of Pillow to the bit.
#include "inputs/resize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "inputs/rows.hpp"

// The compiler makes vectors of plain loops well enough, but for x86-64 without AVX2, which it must
// assume. There the two inner loops exist twice.
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TRML_RT_AVX2 1
#else
#define TRML_RT_AVX2 0
#endif

namespace trml::core {
namespace {

using Line = std::vector<std::uint8_t>;

// Weights are integers of this many fraction bits; 8 more hold the pixel and 2 keep sums of
// overshooting bicubic weights from overflowing 32 bits.
constexpr int fraction_bits = 32 - 8 - 2;
constexpr std::int32_t half = 1 << (fraction_bits - 1);

constexpr int together = 4;  // rows that are resized at once, as they share weights
using Sources = std::array<const std::uint8_t*, together>;
using Targets = std::array<std::uint8_t*, together>;

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

// The weights of rows as vectors: those of two pixels, each four times.
struct Pairs {
  explicit Pairs(const Weights& weights)
      : count((weights.widest + 1) / 2), values(std::size_t(count * weights.size()) * 8) {
    for (int place = 0; place < weights.size(); ++place) {
      for (int k = 0; k < weights.widest; ++k) {
        const auto from = std::size_t(place) * std::size_t(weights.widest) + std::size_t(k);
        const auto to = std::size_t(place * count) * 8 + std::size_t(k) * 4;
        std::fill_n(values.begin() + std::ptrdiff_t(to), 4, weights.weights[from]);
      }
    }
  }
  int count;  // of pairs a place
  std::vector<int> values;
};

std::uint8_t to_byte(std::int32_t sum) {
  return std::uint8_t(std::clamp(sum >> fraction_bits, 0, 255));
}

// Resize a few rows. Lines begin with the pixel `weights.start`, and may be read a pair too far.
void across(const Weights& weights, const Pairs& pairs, const Sources& lines, const Targets& out) {
  const int* values = pairs.values.data();
  for (std::size_t place = 0; place < weights.first.size(); ++place) {
    std::size_t at = std::size_t(weights.first[place] - weights.start) * 4;
    std::int32_t sums[together][8] = {};
    for (int k = 0; k < pairs.count; ++k, values += 8, at += 8) {
      for (std::size_t r = 0; r < together; ++r) {
        for (std::size_t i = 0; i < 8; ++i) sums[r][i] += lines[r][at + i] * values[i];
      }
    }
    for (std::size_t r = 0; r < together; ++r) {
      for (std::size_t c = 0; c < 4; ++c) {
        out[r][place * 4 + c] = to_byte(half + sums[r][c] + sums[r][c + 4]);
      }
    }
  }
}

// Add lines, each with its weight.
[[gnu::always_inline]] inline void add(const std::uint8_t* const* lines, const int* weights,
                                       int count, std::vector<std::int32_t>& sums,
                                       std::uint8_t* out) {
  const std::size_t size = sums.size();
  std::int32_t* sum = sums.data();
  std::fill_n(sum, size, half);
  for (int k = 0; k < count; ++k) {
    const std::uint8_t* line = lines[k];
    const std::int32_t weight = weights[k];
    for (std::size_t i = 0; i < size; ++i) sum[i] += line[i] * weight;
  }
  for (std::size_t i = 0; i < size; ++i) out[i] = to_byte(sum[i]);
}

void down(const std::uint8_t* const* lines, const int* weights, int count,
          std::vector<std::int32_t>& sums, std::uint8_t* out) {
  add(lines, weights, count, sums, out);
}

#if TRML_RT_AVX2
[[gnu::target("avx2")]] void across_avx2(const Weights& weights, const Pairs& pairs,
                                         const Sources& lines, const Targets& out) {
  const int* values = pairs.values.data();
  for (std::size_t place = 0; place < weights.first.size(); ++place) {
    std::size_t at = std::size_t(weights.first[place] - weights.start) * 4;
    __m256i sums[together] = {};
    for (int k = 0; k < pairs.count; ++k, values += 8, at += 8) {
      const __m256i weight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
      for (std::size_t r = 0; r < together; ++r) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(lines[r] + at));
        const __m256i product = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight);
        sums[r] = _mm256_add_epi32(sums[r], product);
      }
    }
    for (std::size_t r = 0; r < together; ++r) {
      __m128i level =
          _mm_add_epi32(_mm256_castsi256_si128(sums[r]), _mm256_extracti128_si256(sums[r], 1));
      level = _mm_srai_epi32(_mm_add_epi32(level, _mm_set1_epi32(half)), fraction_bits);
      level = _mm_packs_epi32(level, level);
      const int pixel = _mm_cvtsi128_si32(_mm_packus_epi16(level, level));
      std::memcpy(out[r] + place * 4, &pixel, sizeof pixel);
    }
  }
}

[[gnu::target("avx2")]] void down_avx2(const std::uint8_t* const* lines, const int* weights,
                                       int count, std::vector<std::int32_t>& sums,
                                       std::uint8_t* out) {
  add(lines, weights, count, sums, out);
}
#endif

struct Loops {
  decltype(&across) rows = across;
  decltype(&down) columns = down;
};

Loops loops_for(Cpu cpu) {
#if TRML_RT_AVX2
  if (cpu == Cpu::this_one && __builtin_cpu_supports("avx2")) return {across_avx2, down_avx2};
#endif
  (void)cpu;
  return {};
}

// A line of pixels becomes RGB.
void store(const std::uint8_t* line, int count, std::uint8_t* out) {
  for (int x = 0; x < count; ++x) std::memcpy(out + x * 3, line + x * 4, 3);
}

void rows_first(const Loops& resize, Rows& source, const Weights& columns, const Weights& rows,
                std::uint8_t* out, std::size_t pitch) {
  const Pairs pairs(columns);
  const std::size_t width = std::size_t(columns.size()) * 4;
  const auto height = std::size_t(rows.stop - rows.start);
  std::array<Line, together> read;
  for (auto& line : read) {
    line.resize(std::size_t(columns.stop - columns.start) * 4 + std::size_t(pairs.count) * 8);
  }
  // What the rows become; a few more than there are, as they are resized together.
  Line between((height + together) * width), line(width);
  for (std::size_t y = 0; y < height; y += together) {
    Sources from;
    Targets to;
    for (std::size_t r = 0; r < together; ++r) {
      if (y + r < height) source.read(rows.start + int(y + r), read[r].data());
      from[r] = read[r].data();
      to[r] = between.data() + (y + r) * width;
    }
    resize.rows(columns, pairs, from, to);
  }
  std::vector<const std::uint8_t*> lines(std::size_t(rows.widest));
  std::vector<std::int32_t> sums(width);
  for (std::size_t y = 0; y < rows.first.size(); ++y, out += pitch) {
    for (int k = 0; k < rows.count[y]; ++k) {
      lines[std::size_t(k)] = between.data() + std::size_t(rows.first[y] - rows.start + k) * width;
    }
    const int* weights = &rows.weights[y * std::size_t(rows.widest)];
    resize.columns(lines.data(), weights, rows.count[y], sums, line.data());
    store(line.data(), columns.size(), out);
  }
}

void columns_first(const Loops& resize, Rows& source, const Weights& columns, const Weights& rows,
                   std::uint8_t* out, std::size_t pitch) {
  const Pairs pairs(columns);
  const std::size_t width = std::size_t(columns.stop - columns.start) * 4;
  // The rows that count for one place; the next place begins with the same one, or further on.
  std::vector<Line> kept(std::size_t(rows.widest), Line(width));
  std::vector<const std::uint8_t*> lines(std::size_t(rows.widest));
  std::vector<std::int32_t> sums(width);
  std::array<Line, together> between, resized;
  for (auto& line : between) line.resize(width + std::size_t(pairs.count) * 8);
  for (auto& line : resized) line.resize(std::size_t(columns.size()) * 4);
  int next = rows.start;  // the row that is read next
  for (std::size_t y = 0; y < rows.first.size(); y += together) {
    const std::size_t several = std::min<std::size_t>(together, rows.first.size() - y);
    Sources from;
    Targets to;
    for (std::size_t r = 0; r < together; ++r) {
      from[r] = between[r].data();
      to[r] = resized[r].data();
      if (r >= several) continue;
      const int first = rows.first[y + r], count = rows.count[y + r];
      for (next = std::max(next, first); next < first + count; ++next) {
        source.read(next, kept[std::size_t(next % rows.widest)].data());
      }
      for (int k = 0; k < count; ++k) {
        lines[std::size_t(k)] = kept[std::size_t((first + k) % rows.widest)].data();
      }
      const int* weights = &rows.weights[(y + r) * std::size_t(rows.widest)];
      resize.columns(lines.data(), weights, count, sums, between[r].data());
    }
    resize.rows(columns, pairs, from, to);
    for (std::size_t r = 0; r < several; ++r, out += pitch) {
      store(resized[r].data(), columns.size(), out);
    }
  }
}

}  // namespace

Weights weigh(int from, int to, int offset, int length, Filter filter) {
  const double scale = double(from) / to;
  const double widening = std::max(scale, 1.0);  // when shrinking, the kernel covers what vanishes
  const double reach = (filter == Filter::bicubic ? 2.0 : 1.0) * widening;
  Weights axis;
  axis.length = length;
  axis.begin = std::max(-offset, 0);
  axis.widest = int(std::ceil(reach)) * 2 + 1;
  axis.start = from;
  std::vector<double> row(std::size_t(axis.widest));
  for (int i = std::max(offset, 0); i < std::min(to, offset + length); ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(int(centre - reach + 0.5), 0);
    const int count = std::min(int(centre + reach + 0.5), from) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double x = (k + first - centre + 0.5) * (1.0 / widening);
      row[std::size_t(k)] = filter == Filter::bicubic ? cubic(x) : triangle(x);
      sum += row[std::size_t(k)];
    }
    const double share = sum != 0 ? 1.0 / sum : 1.0;
    for (int k = 0; k < axis.widest; ++k) {
      const double weight = k < count ? row[std::size_t(k)] * share * (1 << fraction_bits) : 0.0;
      axis.weights.push_back(std::int32_t(weight < 0 ? weight - 0.5 : weight + 0.5));
    }
    axis.first.push_back(first);
    axis.count.push_back(count);
    axis.start = std::min(axis.start, first);
    axis.stop = std::max(axis.stop, first + count);
  }
  axis.start -= axis.start % 2;  // where NV12 has U and V
  return axis;
}

void resize(const Frame& frame, const Shaping& shaping, std::uint8_t* out, Cpu cpu) {
  std::fill_n(out, std::size_t(shaping.down.length) * std::size_t(shaping.across.length) * 3,
              std::uint8_t(shaping.fill));
  const std::size_t pitch = std::size_t(shaping.across.length) * 3;
  out += std::size_t(shaping.down.begin) * pitch + std::size_t(shaping.across.begin) * 3;
  Rows source(frame, shaping.across.start, shaping.across.stop);
  (shaping.down_first ? columns_first : rows_first)(loops_for(cpu), source, shaping.across,
                                                    shaping.down, out, pitch);
}

}  // namespace trml::core
