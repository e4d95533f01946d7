// The sum of frames: what was seen is answered, dropped for a cause, or still waits: what
// trml_rt/stream/accounts.py does.
#pragma once

#include <mutex>

#include "stream/answer.hpp"

namespace trml::core::stream {

// Counts frames; each is seen once, and then answered or dropped once. Any thread may call.
class Accounts {
 public:
  void see() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++sums_.seen;
  }
  // Frames that are in an answer for the first time.
  void answer(std::size_t count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sums_.answered += count;
  }
  // Frames that will be in no answer.
  void drop(Cause cause, std::size_t count = 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sums_.dropped[std::size_t(cause)] += count;
  }
  Totals totals() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    Totals found = sums_;
    found.waiting = found.seen - found.answered;
    for (const auto count : found.dropped) found.waiting -= count;
    return found;
  }

 private:
  mutable std::mutex mutex_;
  Totals sums_;
};

}  // namespace trml::core::stream
