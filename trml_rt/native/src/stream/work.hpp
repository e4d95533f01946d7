// What a poll does: takes what came, in order, until there is something to answer on. What
// trml_rt/stream/work.py does.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "stream/accounts.hpp"
#include "stream/intake.hpp"
#include "stream/model.hpp"
#include "stream/rules.hpp"
#include "stream/times.hpp"
#include "stream/video.hpp"

namespace trml::core::stream {

// One step after another; one thread at a time.
class Work {
 public:
  Work(const Rules& rules, std::shared_ptr<Model> model, Intake& intake, Accounts& accounts,
       const Tell& tell, const Clock& clock);

  // The next answer that what came allows, if there is one. Raises what Runtime::infer does.
  std::optional<Answer> step();
  // Let go of the window and of what was to follow.
  void close();
  void warm_up() { model_.warm_up(); }

 private:
  // Where an answer on a frame has its place.
  struct Newest {
    std::int64_t epoch;
    double t, arrived;
  };
  // What follows an early answer.
  struct Rest {
    std::shared_ptr<Spoken> spoken;
    std::shared_ptr<ReadText> text;
    Newest newest;
  };
  using TextOf = std::shared_ptr<Spoken>;

  void change(const Change& change);
  std::optional<Answer> on_frame(Waiting waiting, double now);
  bool in_time(const Newest& newest, double now);
  std::optional<Answer> on_text_alone(double now);
  std::shared_ptr<ReadText> read(const TextOf& spoken, double t);
  Answer answer_on_window(const Rest& on);
  Answer answer_on_text(const TextOf& spoken, ReadText& text, const std::optional<Newest>& newest,
                        const std::string& reason, bool final);
  Answer finish(Answer answer, const TextOf& spoken, const std::optional<Newest>& newest,
                std::optional<double> t0, bool final, double now);
  double time_of(const Spoken& spoken, double now) const;
  std::string tell_of_text(double t);

  const Rules& rules_;
  WindowModel model_;
  Intake& intake_;
  Accounts& accounts_;
  const Tell& tell_;
  const Clock& clock_;
  Video video_;
  Times times_;
  std::optional<Rest> rest_;
  double beat_at_ = 0;
  std::int64_t seq_ = 0;
  std::pair<std::int64_t, double> told_{0, -no_limit};  // epoch and time of the last answer
  std::optional<State> text_state_;
};

}  // namespace trml::core::stream
