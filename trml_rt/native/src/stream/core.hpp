// A stream: frames and texts go in from any thread, answers come out of `poll`. What
// trml_rt/stream/core.py does.
//
// `poll` does the work, in the thread of its caller: it takes what came, in order, and answers. So
// one window is in work at a time, and nothing happens that the caller did not ask for.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "stream/work.hpp"

namespace trml::core::stream {

class Stream {
 public:
  Stream(const Rules& rules, std::shared_ptr<Model> model, Tell tell, Clock clock);
  Stream(const Stream&) = delete;

  // Any thread may call these; see trml_rt.h.
  bool push_frame(const trml_rt_frame& frame, double t) { return intake_.frame(frame, t); }
  bool push_text(std::string text, std::optional<double> t, std::optional<double> end) {
    return intake_.text(std::move(text), t, end);
  }
  void push_state(State state, std::string message);
  void end_texts() { intake_.end_of_texts(); }
  void end() { intake_.end(); }
  Totals totals() const { return accounts_.totals(); }
  bool finished() const { return drained_ || intake_.closed(); }
  void close();

  // The next answer, if there is one. Waits for `timeout` seconds; for none: until there is one, or
  // the stream ends. Threads that poll at once wait in line.
  std::optional<Answer> poll(std::optional<double> timeout);
  void warm_up();

 private:
  class Turn;
  std::optional<Answer> poll_until(std::optional<double> until);

  const Rules rules_;
  const Tell tell_;
  const Clock clock_;
  Accounts accounts_;
  Intake intake_;
  Work work_;
  std::mutex polling_;
  std::atomic<std::thread::id> poller_{};  // the thread that polls
  std::atomic<bool> drained_{false};
};

}  // namespace trml::core::stream
