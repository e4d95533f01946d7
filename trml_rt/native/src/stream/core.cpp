#include "stream/core.hpp"

#include <algorithm>

#include "error.hpp"

namespace trml::core::stream {
namespace {

constexpr double look = 0.25;  // second between two looks whether video stalls

}  // namespace

// The turn of the thread that polls; the window goes where an event closed the stream meanwhile.
class Stream::Turn {
 public:
  explicit Turn(Stream& stream) : stream_(stream) {
    if (stream.poller_ == std::this_thread::get_id()) {
      throw UsageError("an event of this stream is being told in this call; poll when it is done");
    }
    lock_ = std::unique_lock<std::mutex>(stream.polling_);
    stream.poller_ = std::this_thread::get_id();
  }
  ~Turn() {
    stream_.poller_ = std::thread::id();
    if (stream_.intake_.closed()) stream_.work_.close();
  }
  Turn(const Turn&) = delete;

 private:
  Stream& stream_;
  std::unique_lock<std::mutex> lock_;
};

Stream::Stream(const Rules& rules, std::shared_ptr<Model> model, Tell tell, Clock clock)
    : rules_(rules),
      tell_(std::move(tell)),
      clock_(std::move(clock)),
      intake_(rules_, accounts_, clock_),
      work_(rules_, std::move(model), intake_, accounts_, tell_, clock_) {}

void Stream::push_state(State state, std::string message) {
  if (state < TRML_RT_CONNECTING || state > TRML_RT_FAILED || state == TRML_RT_RUNNING) {
    throw UsageError("no state " + std::to_string(int(state)) +
                     "; choose connecting, stalled, retrying, ended or failed");
  }
  intake_.change({state, std::move(message)});
}

std::optional<Answer> Stream::poll(std::optional<double> timeout) {
  std::optional<double> until;
  if (timeout) until = clock_() + *timeout;
  const Turn turn(*this);
  return poll_until(until);
}

std::optional<Answer> Stream::poll_until(std::optional<double> until) {
  while (!intake_.closed()) {
    const bool over = intake_.over();
    const auto mark = intake_.mark();
    if (auto answer = work_.step()) return answer;
    if (over) {
      drained_ = true;
      break;
    }
    const double wait = until ? std::min(look, *until - clock_()) : look;
    if (wait <= 0) break;
    intake_.wait(wait, mark);
  }
  return {};
}

void Stream::warm_up() {
  const Turn turn(*this);
  work_.warm_up();
}

void Stream::close() {
  intake_.close();
  if (poller_ == std::this_thread::get_id()) return;  // an event; the poll closes the rest
  const std::lock_guard<std::mutex> lock(polling_);
  work_.close();
}

}  // namespace trml::core::stream
