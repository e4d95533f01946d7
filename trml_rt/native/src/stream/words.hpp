// The texts of a stream, on a clock of their own: which of them counts at a moment. What
// trml_rt/stream/words.py does.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "stream/answer.hpp"
#include "stream/model.hpp"

namespace trml::core::stream {

constexpr std::size_t most_texts = 65536;  // may wait for their time

// A text, and when it was said, in media time. Times may move under the lock of the intake; what
// is behind them belongs to the thread that polls.
struct Spoken {
  std::string text;
  double start = 0, end = 0, arrived = 0;
  bool stamped = false;  // it had no time of its own, so it has that of its arrival
  bool answered = false;
  std::shared_ptr<ReadText> read;
};

// What texts do at a moment, if one has come, and why one is missing if none counts.
struct TextState {
  std::optional<State> state;
  const char* reason = "not_given";
};

// Holds the texts that may still count; each replaces those before it.
class Words {
 public:
  // `hold`: how long a text counts after its end; `offset` is added to the times of texts.
  Words(double hold, double offset) : hold_(hold), offset_(offset) {}

  bool full() const { return texts_.size() >= most_texts; }
  // Add a text; one that comes late goes where it belongs in time.
  void add(std::shared_ptr<Spoken> spoken);
  // The text that counts at `now`: the last that began, unless that is long ago.
  std::shared_ptr<Spoken> at(double now);
  // The first text that is in no answer and began, or came, after a time.
  std::shared_ptr<Spoken> unanswered(double after);
  TextState state_at(double now) const;
  // Move the texts that had no time of their own, where media time jumps.
  void shift(double seconds);

  bool ended = false;  // no further text comes

 private:
  double hold_, offset_;
  std::deque<std::shared_ptr<Spoken>> texts_;
  bool began_ = false;  // the time of some text has come
};

}  // namespace trml::core::stream
