#include "inputs/clip.hpp"

#include <numeric>

namespace trml::core {

std::vector<std::int64_t> choose_times(std::int64_t start, std::int64_t duration,
                                       std::int64_t count) {
  std::vector<std::int64_t> times;
  for (std::int64_t i = 0; i < count; ++i) {
    times.push_back(start + (2 * i + 1) * duration / (2 * count));
  }
  return times;
}

std::vector<std::int64_t> choose_indices(std::int64_t total, std::int64_t count) {
  if (total > count) return choose_times(0, total, count);
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < total; ++i) all.push_back(i);
  return all;
}

}  // namespace trml::core
