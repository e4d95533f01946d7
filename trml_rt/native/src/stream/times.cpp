#include "stream/times.hpp"

#include <algorithm>
#include <vector>

namespace trml::core::stream {
namespace {

constexpr std::size_t most_kept = 20;  // times of one kind; the oldest gives way
constexpr std::size_t few = 3;         // times that are no ground to refuse anything
constexpr int first_wait = 20, longest_wait = 640;

}  // namespace

// What nearly every answer takes: all but one of those that are kept.
double Times::Kind::expected() const {
  std::vector<double> sorted(ms.begin(), ms.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() - 2];
}

void Times::add(unsigned present, std::size_t fresh, double ms) {
  Kind& kind = kinds_[{present, fresh}];
  if (kind.tried) {
    const bool in_time = ms <= *kind.tried;
    kind.tried.reset();
    kind.wait = in_time ? first_wait : std::min(2 * kind.wait, longest_wait);
    if (in_time) kind.ms.clear();  // the device has become faster
  }
  kind.ms.push_back(ms);
  if (kind.ms.size() > most_kept) kind.ms.pop_front();
}

bool Times::fits(unsigned present, std::size_t fresh, double budget) {
  Kind& kind = kinds_[{present, fresh}];
  if (kind.ms.size() < few || kind.expected() <= budget) {
    kind.refused = 0;
    return true;
  }
  if (++kind.refused <= kind.wait) return false;
  kind.refused = 0;
  kind.tried = budget;
  return true;
}

}  // namespace trml::core::stream
