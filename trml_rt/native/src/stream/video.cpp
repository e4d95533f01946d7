#include "stream/video.hpp"

#include <algorithm>

namespace trml::core::stream {
namespace {

constexpr int black_level = 16;  // of 255: the black of studio range

}  // namespace

void Video::enter(State state, const std::string& reason, const std::string& message) {
  if (state_ == state && reason_ == reason) return;
  if (lost() || (running() && state != TRML_RT_RUNNING)) {
    clear();
    refilling_ = true;
  }
  state_ = state;
  reason_ = reason;
  tell_({TRML_RT_VIDEO, state, reason, epoch_, message});
}

bool Video::add(Shown shown, double silence) {
  const bool broken = refilling_ && rules_.live && silence >= rules_.stall_after;
  if (shown.epoch != epoch_ || broken) {
    clear();
    epoch_ = shown.epoch;
  }
  stale_since_.reset();
  if (frozen(shown)) {
    accounts_.drop(Cause::unchanged);
    return false;
  }
  if (window.size() == std::size_t(rules_.window)) window.pop_front();
  window.push_back(std::move(shown));
  if (refilling_ && window.size() < std::size_t(rules_.window)) return false;
  refilling_ = false;
  if (!running()) {
    state_ = TRML_RT_RUNNING;
    reason_.clear();
    tell_({TRML_RT_VIDEO, TRML_RT_RUNNING, "", epoch_, ""});
  }
  return true;
}

void Video::stale(double now) {
  accounts_.drop(Cause::stale);
  if (!stale_since_) stale_since_ = now;
}

void Video::watch(const Intake& intake, double now) {
  if (!rules_.live || !running()) return;
  const double after = rules_.stall_after;
  const Delivery delivery = intake.delivery();
  if (now - delivery.moved_at >= after) {
    enter(TRML_RT_STALLED, now - delivery.delivered_at < after ? "frozen" : "stalled");
  } else if (stale_since_ && now - *stale_since_ >= after) {
    enter(TRML_RT_STALLED, "stale");
  }
}

void Video::answered() {
  std::size_t fresh = 0;
  for (auto& shown : window) {
    fresh += !shown.answered;
    shown.answered = true;
  }
  accounts_.answer(fresh);
}

void Video::clear() {
  const auto lost_frames = std::count_if(window.begin(), window.end(),
                                         [](const Shown& shown) { return !shown.answered; });
  accounts_.drop(Cause::unfinished, std::size_t(lost_frames));
  window.clear();
  last_.reset();
}

// Whether frames have been equal for too long, where the caller asks for that.
bool Video::frozen(const Shown& shown) {
  const double after = rules_.freeze_after;
  if (after == no_limit) return false;
  if (!last_ || *last_ != *shown.pixels) {
    last_ = shown.pixels;
    equal_since_ = shown.t;
  }
  if (shown.t - equal_since_ < after) return false;
  const bool black = *std::max_element(shown.pixels->begin(), shown.pixels->end()) <= black_level;
  const auto last = last_;
  enter(TRML_RT_STALLED, black ? "black" : "frozen");
  last_ = last;  // they are still equal to these
  return true;
}

}  // namespace trml::core::stream
