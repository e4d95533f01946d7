// How long answers take on this device, so that a deadline can be kept: what
// trml_rt/stream/times.py does.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace trml::core::stream {

// Milliseconds of answers, by what was present and how many frames were new.
class Times {
 public:
  // Note that an answer on `fresh` new frames took so many milliseconds.
  void add(unsigned present, std::size_t fresh, double ms);
  // Whether such an answer is expected within `budget` milliseconds. What was hardly ever timed is
  // tried, and so is one now and then that would be late.
  bool fits(unsigned present, std::size_t fresh, double budget);

 private:
  struct Kind {
    std::deque<double> ms;
    int refused = 0;
    int wait = 20;  // answers are refused, then one is tried: times would never be seen to shrink
    std::optional<double> tried;  // the budget of a try
    double expected() const;
  };
  std::map<std::pair<unsigned, std::size_t>, Kind> kinds_;
};

}  // namespace trml::core::stream
