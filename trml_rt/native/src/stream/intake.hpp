// The door of a stream: frames, texts and changes come in from any thread, in order. Here a frame
// gets its place in time: its epoch, whether it is due, and whether it may wait. What
// trml_rt/stream/intake.py does.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "inputs/image.hpp"
#include "stream/accounts.hpp"
#include "stream/rules.hpp"
#include "stream/words.hpp"

namespace trml::core::stream {

using Clock = std::function<double()>;  // seconds

// A frame that waits for its turn.
struct Waiting {
  double t;
  std::int64_t epoch;
  double arrived;
  FrameCopy frame;
  double silence;  // seconds by the clock since time stamps moved before
};

// What the caller says of its camera, in its place among the frames.
struct Change {
  State state;
  std::string message;
};

using Item = std::variant<std::monostate, Waiting, Change>;  // the first: there is none

// When frames came, by the clock.
struct Delivery {
  double moved_at;  // a frame whose time stamp had moved
  double delivered_at;
};

class Intake {
 public:
  Intake(const Rules& rules, Accounts& accounts, const Clock& clock);

  // See trml_rt.h; `t` and `end` of a text are absent where it has none. They raise UsageError.
  bool frame(const trml_rt_frame& frame, double t);
  bool text(std::string text, std::optional<double> t, std::optional<double> end);
  void change(Change change);
  void end_of_texts();
  void end();
  void close();

  Item next();
  // Wait until something comes that came not before `mark`, or so long.
  void wait(double seconds, std::uint64_t mark);
  std::uint64_t mark() const;  // counts what comes and goes
  bool over() const;           // nothing more comes
  bool closed() const;

  std::shared_ptr<Spoken> text_at(double t);
  // The first text behind the last frame that is in no answer.
  std::shared_ptr<Spoken> next_text();
  double start_of(const Spoken& spoken) const;
  TextState text_state(double t) const;
  // An answer without a frame had the time `t`: an earlier frame is a jump.
  void tell(double t);
  bool no_frame_yet() const;
  // The media time that it is: of the last frame, and later where time goes on. While frames come,
  // it is theirs: a text that comes with a frame must count for that frame.
  double media_now(double now) const;
  std::int64_t epoch() const;  // of the last frame
  Delivery delivery() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void wake();
  void refuse_late() const;
  std::optional<Cause> verdict(double t) const;
  bool jumps(double t) const;
  void move(double t, double now);
  void make_due(double t);
  void drop_oldest();
  double media_at(double now) const;

  const Rules& rules_;
  Accounts& accounts_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;
  std::int64_t frames_ = 0;  // of the queue
  std::uint64_t mark_ = 0;
  Words words_;
  const double began_;
  std::optional<double> last_;  // the time stamp of the last frame
  double told_ = -no_limit;     // the latest time of an answer without a frame, in this epoch
  double due_ = -no_limit;
  double grid_ = 0;  // where the grid of due times begins
  Delivery delivery_;
  std::int64_t epoch_ = 0;
  bool over_ = false, closed_ = false;
};

}  // namespace trml::core::stream
