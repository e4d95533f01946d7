// The video of a stream: its window of frames, and whether it is real. What
// trml_rt/stream/video.py does.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "stream/accounts.hpp"
#include "stream/intake.hpp"
#include "stream/model.hpp"
#include "stream/rules.hpp"

namespace trml::core::stream {

using Tell = std::function<void(const StreamEvent&)>;

// Keeps the window, and tells each change of state once; one thread at a time.
class Video {
 public:
  Video(const Rules& rules, Accounts& accounts, const Tell& tell)
      : rules_(rules), accounts_(accounts), tell_(tell) {}

  bool running() const { return state_ == TRML_RT_RUNNING; }
  bool connecting() const { return state_ == TRML_RT_CONNECTING; }
  // Whether video was there and may come back.
  bool lost() const { return state_ == TRML_RT_STALLED || state_ == TRML_RT_RETRYING; }
  // Why a virtual one stands in; empty while it is real.
  const std::string& reason() const { return reason_; }

  // Go to a state; a virtual video stands in from now on.
  void enter(State state, const std::string& reason, const std::string& message = "");
  // Take a frame into the window, and say whether it is to be answered on. `silence` is how long
  // nothing came before it, in seconds by the clock.
  bool add(Shown shown, double silence);
  // Drop a frame that has waited too long.
  void stale(double now);
  // Find out by the clock that video gives nothing any more.
  void watch(const Intake& intake, double now);
  // The window is in an answer.
  void answered();
  // Let go of the window.
  void close() { clear(); }

  Window window;  // what the next answer is on

 private:
  void clear();
  bool frozen(const Shown& shown);

  const Rules& rules_;
  Accounts& accounts_;
  const Tell& tell_;
  std::optional<State> state_;  // none until something is known of video
  std::string reason_ = "not_given";
  bool refilling_ = false;  // after a loss video is real again only with a full window
  std::shared_ptr<const Pixels> last_;
  double equal_since_ = 0;  // media time since which frames are equal
  std::optional<double> stale_since_;
  std::int64_t epoch_ = 0;
};

}  // namespace trml::core::stream
