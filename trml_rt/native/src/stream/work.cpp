#include "stream/work.hpp"

#include <algorithm>

#include "error.hpp"

namespace trml::core::stream {
namespace {

constexpr double beat = 1;  // second between answers while video is lost, where `every` is 0
constexpr unsigned both = TRML_RT_TEXT | TRML_RT_VIDEO;

// What a caller may say of video, and why a virtual one then stands in.
const char* reason_of(State state) {
  switch (state) {
    case TRML_RT_CONNECTING:
      return "connecting";
    case TRML_RT_STALLED:
      return "stalled";
    case TRML_RT_ENDED:
      return "ended";
    default:
      return "lost";
  }
}

}  // namespace

Work::Work(const Rules& rules, std::shared_ptr<Model> model, Intake& intake, Accounts& accounts,
           const Tell& tell, const Clock& clock)
    : rules_(rules),
      model_(std::move(model), rules.keep_vectors),
      intake_(intake),
      accounts_(accounts),
      tell_(tell),
      clock_(clock),
      video_(rules, accounts, tell) {}

std::optional<Answer> Work::step() {
  if (rest_) return answer_on_window(*std::exchange(rest_, std::nullopt));
  while (true) {
    const double now = clock_();
    video_.watch(intake_, now);
    Item item = intake_.next();
    const bool none = std::holds_alternative<std::monostate>(item);
    std::optional<Answer> answer;
    if (auto* waiting = std::get_if<Waiting>(&item)) {
      answer = on_frame(std::move(*waiting), now);
    } else {
      if (const auto* changed = std::get_if<Change>(&item)) change(*changed);
      answer = on_text_alone(now);
    }
    if (answer || none) return answer;
  }
}

void Work::close() {
  rest_.reset();
  video_.close();
}

void Work::change(const Change& change) {
  video_.enter(change.state, reason_of(change.state), change.message);
}

// Take a frame into the window, and answer on it if it is time to.
std::optional<Answer> Work::on_frame(Waiting waiting, double now) {
  const Newest newest{waiting.epoch, waiting.t, waiting.arrived};
  const bool overtaken = std::pair(newest.epoch, newest.t) < told_;  // by an answer on a text
  if (overtaken || now - newest.arrived > rules_.max_staleness) {
    video_.stale(now);
    return on_text_alone(now);
  }
  const auto spoken = intake_.text_at(newest.t);
  std::shared_ptr<ReadText> text;
  try {
    text = read(spoken, newest.t);
  } catch (...) {
    accounts_.drop(Cause::unfinished);  // it never came into a window
    throw;
  }
  const bool alone = text->tokens && model_.serves(TRML_RT_TEXT);
  if (alone && !in_time(newest, now)) {
    accounts_.drop(Cause::deadline);
    return answer_on_text(spoken, *text, newest, "deadline", true);
  }
  Shown shown{newest.t, newest.epoch, nullptr, 0};
  try {
    shown.pixels = model_.pixels(waiting.frame.frame, shown.preprocess_ms);
  } catch (const InputUnusable&) {
    accounts_.drop(Cause::decode_error);
    return {};
  }
  if (!video_.add(std::move(shown), waiting.silence)) return on_text_alone(now);
  const Rest on{spoken, text, newest};
  if (!(alone && rules_.anytime)) return answer_on_window(on);
  rest_ = on;
  return answer_on_text(spoken, *text, newest, "deadline", false);
}

// Whether an answer with this frame is expected before the deadline.
bool Work::in_time(const Newest& newest, double now) {
  if (rules_.deadline_ms == no_limit || !video_.running()) return true;
  return times_.fits(both, 1 + WindowModel::count_new(video_.window),
                     rules_.deadline_ms - (now - newest.arrived) * 1e3);
}

// Answer on a text where video is virtual, if it is time to.
std::optional<Answer> Work::on_text_alone(double now) {
  if (video_.running() || !model_.serves(TRML_RT_TEXT)) return {};
  TextOf spoken;
  bool due = false;
  double media = no_limit;
  if (rules_.live) {
    media = intake_.media_now(now);
    spoken = intake_.text_at(media);
    due = spoken && (!spoken->answered || (video_.lost() && now >= beat_at_));
  } else if (video_.connecting() || video_.lost()) {
    return {};  // nothing happens by the clock: frames may still come for this text
  } else {
    spoken = intake_.next_text();
    due = spoken != nullptr;
    if (spoken) media = intake_.start_of(*spoken);
  }
  if (!due) {
    tell_of_text(media);
    return {};
  }
  const auto text = read(spoken, media);
  if (!text->tokens) {
    spoken->answered = true;
    return {};
  }
  beat_at_ = now + (rules_.every > 0 ? rules_.every : beat);
  return answer_on_text(spoken, *text, {}, video_.reason(), true);
}

// The text that counts at `t`, as the model takes it.
std::shared_ptr<ReadText> Work::read(const TextOf& spoken, double t) {
  const std::string reason = tell_of_text(t);
  if (!spoken) {
    auto missing = std::make_shared<ReadText>();
    missing->report.reason = reason;
    return missing;
  }
  if (!spoken->read) spoken->read = model_.read(spoken->text);
  return spoken->read;
}

Answer Work::answer_on_window(const Rest& on) {
  const double began = clock_();
  const std::size_t fresh = WindowModel::count_new(video_.window);
  Answer answer = model_.answer(*on.text, video_.window, "");
  const double now = clock_();
  video_.answered();
  times_.add(on.text->tokens ? both : unsigned(TRML_RT_VIDEO), fresh, (now - began) * 1e3);
  return finish(std::move(answer), on.spoken, on.newest, video_.window.front().t, true, now);
}

Answer Work::answer_on_text(const TextOf& spoken, ReadText& text,
                            const std::optional<Newest>& newest, const std::string& reason,
                            bool final) {
  Window none;
  Answer answer = model_.answer(text, none, reason);
  return finish(std::move(answer), spoken, newest, {}, final, clock_());
}

Answer Work::finish(Answer answer, const TextOf& spoken, const std::optional<Newest>& newest,
                    std::optional<double> t0, bool final, double now) {
  if (spoken) spoken->answered = true;
  Newest at{};
  if (newest) {
    at = *newest;
  } else {
    at = {intake_.epoch(), time_of(*spoken, now), spoken->arrived};
    if (at.epoch == told_.first) at.t = std::max(at.t, told_.second);  // a text may come late
    intake_.tell(at.t);
  }
  told_ = {at.epoch, at.t};
  Streamed& streamed = answer.streamed.emplace();
  streamed.seq = seq_++;
  streamed.epoch = at.epoch;
  streamed.t0 = t0.value_or(at.t);
  streamed.t1 = at.t;
  if (spoken) streamed.text = spoken->text;
  streamed.final = final;
  streamed.age_ms = (now - at.arrived) * 1e3;
  streamed.late = streamed.age_ms > rules_.deadline_ms;
  answer.json = to_json(answer);
  return answer;
}

// The media time of an answer on a text alone.
double Work::time_of(const Spoken& spoken, double now) const {
  const double start = intake_.start_of(spoken);
  if (!rules_.live) return start;
  if (intake_.no_frame_yet()) return 0;  // that of the first frame, in most cases
  return std::max(intake_.media_now(now), start);
}

// Tell where texts begin and end; return why one is missing at `t` if none counts.
std::string Work::tell_of_text(double t) {
  const TextState found = intake_.text_state(t);
  if (found.state && found.state != text_state_) {
    text_state_ = found.state;
    const bool ended = *found.state == TRML_RT_ENDED;
    tell_({TRML_RT_TEXT, *found.state, ended ? found.reason : "", intake_.epoch(), ""});
  }
  return found.reason;
}

}  // namespace trml::core::stream
