#include "stream/intake.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bundle/json.hpp"
#include "error.hpp"
#include "utf.hpp"

namespace trml::core::stream {
namespace {

constexpr double rounding = 1e-6;  // of the time between two due frames

bool is_frame(const Item& item) { return std::holds_alternative<Waiting>(item); }

}  // namespace

Intake::Intake(const Rules& rules, Accounts& accounts, const Clock& clock)
    : rules_(rules),
      accounts_(accounts),
      clock_(clock),
      words_(rules.hold, rules.offset),
      began_(clock()),
      delivery_{began_, began_} {}

bool Intake::frame(const trml_rt_frame& frame, double t) {
  const Lock lock(mutex_);
  refuse_late();
  if (!std::isfinite(t)) {
    throw UsageError("t: must be the time of the frame in seconds, not " + repr(t));
  }
  if (!rules_.live && frames_ >= rules_.buffer) return false;
  const auto cause = verdict(t);
  std::optional<FrameCopy> copy;
  if (!cause) {  // a refusal must change nothing
    check_frame(frame);
    if (frame.memory != TRML_RT_HOST) {
      throw UsageError("video: a stream takes frames in host memory only; copy them there");
    }
    copy.emplace(frame);
  }
  const double now = clock_();
  const double silence = now - delivery_.moved_at;
  delivery_.delivered_at = now;
  accounts_.see();
  if (cause != Cause::unchanged) move(t, now);
  if (cause) {
    accounts_.drop(*cause);
    return true;
  }
  make_due(t);
  queue_.emplace_back(Waiting{t, epoch_, now, std::move(*copy), silence});
  if (++frames_ > rules_.buffer) drop_oldest();  // only where the newest count
  wake();
  return true;
}

bool Intake::text(std::string text, std::optional<double> t, std::optional<double> end) {
  const Lock lock(mutex_);
  refuse_late();
  if (const auto bad = invalid_utf8_at(text)) {
    throw InputUnusable(
        "the text is not valid Unicode at byte " + std::to_string(*bad) + "; pass UTF-8",
        "undecodable");
  }
  if (words_.full()) return false;
  const double now = clock_();
  const double start = t ? *t : media_at(now);
  const double until = end ? *end : start;
  if (!(std::isfinite(start) && std::isfinite(until) && until >= start)) {
    throw UsageError("a text from " + repr(start) + " to " + repr(until) +
                     ": give seconds, t before end");
  }
  auto spoken = std::make_shared<Spoken>();
  spoken->text = std::move(text);
  spoken->start = start;
  spoken->end = until;
  spoken->arrived = now;
  spoken->stamped = !t;
  words_.add(std::move(spoken));
  wake();
  return true;
}

void Intake::change(Change change) {
  const Lock lock(mutex_);
  if (!queue_.empty()) {
    const auto* last = std::get_if<Change>(&queue_.back());
    // Who repeats it fills no memory.
    if (last != nullptr && last->state == change.state && last->message == change.message) {
      wake();
      return;
    }
  }
  queue_.emplace_back(std::move(change));
  wake();
}

void Intake::end_of_texts() {
  const Lock lock(mutex_);
  words_.ended = true;
  wake();
}

void Intake::end() {
  const Lock lock(mutex_);
  over_ = words_.ended = true;
  wake();
}

void Intake::close() {
  const Lock lock(mutex_);
  closed_ = over_ = true;
  queue_.clear();
  accounts_.drop(Cause::unfinished, std::size_t(frames_));
  frames_ = 0;
  wake();
}

Item Intake::next() {
  const Lock lock(mutex_);
  if (queue_.empty()) return {};
  Item item = std::move(queue_.front());
  queue_.pop_front();
  frames_ -= is_frame(item);
  wake();  // there is room
  return item;
}

void Intake::wait(double seconds, std::uint64_t mark) {
  Lock lock(mutex_);
  if (mark_ == mark) changed_.wait_for(lock, std::chrono::duration<double>(seconds));
}

std::uint64_t Intake::mark() const {
  const Lock lock(mutex_);
  return mark_;
}

bool Intake::over() const {
  const Lock lock(mutex_);
  return over_;
}

bool Intake::closed() const {
  const Lock lock(mutex_);
  return closed_;
}

std::shared_ptr<Spoken> Intake::text_at(double t) {
  const Lock lock(mutex_);
  return words_.at(t);
}

std::shared_ptr<Spoken> Intake::next_text() {
  const Lock lock(mutex_);
  return words_.unanswered(last_.value_or(-no_limit));
}

double Intake::start_of(const Spoken& spoken) const {
  const Lock lock(mutex_);
  return spoken.start;
}

TextState Intake::text_state(double t) const {
  const Lock lock(mutex_);
  return words_.state_at(t);
}

void Intake::tell(double t) {
  const Lock lock(mutex_);
  told_ = std::max(told_, t);
}

bool Intake::no_frame_yet() const {
  const Lock lock(mutex_);
  return !last_;
}

double Intake::media_now(double now) const {
  const Lock lock(mutex_);
  return media_at(now);
}

std::int64_t Intake::epoch() const {
  const Lock lock(mutex_);
  return epoch_;
}

Delivery Intake::delivery() const {
  const Lock lock(mutex_);
  return delivery_;
}

double Intake::media_at(double now) const {
  if (!last_) return now - began_;
  const double silent = now - delivery_.moved_at;
  return !rules_.live || silent < rules_.stall_after ? *last_ : *last_ + silent;
}

void Intake::wake() {
  ++mark_;
  changed_.notify_all();
}

void Intake::refuse_late() const {
  if (closed_) throw UsageError("this stream is closed; open another");
  if (over_) {
    throw UsageError("this stream was told that it ends; open another");
  }
}

// Why the frame is dropped at once, if it is.
std::optional<Cause> Intake::verdict(double t) const {
  if (last_ == t) return Cause::unchanged;
  if (!last_ || jumps(t) || !(t < due_)) return {};
  return Cause::between;
}

bool Intake::jumps(double t) const {
  if (t < told_) return true;
  return last_ && !(0 <= t - *last_ && t - *last_ <= rules_.max_gap);
}

// Let media time come to `t`; a jump begins an epoch.
void Intake::move(double t, double now) {
  const bool jump = jumps(t);
  if (jump || !last_) {
    words_.shift(t - media_at(now));
    epoch_ += jump;
    due_ = told_ = -no_limit;
  }
  last_ = t;
  delivery_.moved_at = now;
}

// Set when the next frame is due: on a grid, so that rounding does not add up.
void Intake::make_due(double t) {
  const double every = rules_.every;
  if (every <= 0) return;
  if (due_ == -no_limit) grid_ = t;
  // A frame that is early by rounding is not early.
  const double passed = std::floor((t - grid_) / every + rounding);
  due_ = grid_ + (passed + 1 - rounding) * every;
}

void Intake::drop_oldest() {
  queue_.erase(std::find_if(queue_.begin(), queue_.end(), is_frame));
  --frames_;
  accounts_.drop(Cause::buffer);
}

}  // namespace trml::core::stream
