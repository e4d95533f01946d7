// trml_rt for C++17: the C functions of trml_rt.h with owners, exceptions and containers.
//
// Threads and ownership are as trml_rt.h says. A Runtime serves one thread at a time; clone() gives
// one for another thread. Errors are trml::Error with the C status.
//
//     trml::Runtime rt("bundle/");
//     trml::Sample sample;
//     sample.text = "what a day";
//     sample.frames.push_back(trml::frame(pixels, 640, 360));     // packed RGB
//     const trml::Result answer = rt.infer(sample);
//     std::cout << answer.label() << ' ' << answer.score() << '\n';
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trml_rt/trml_rt.h"

namespace trml {

// A failed call: what() is the sentence; reason() is the answer's word for an unusable input.
class Error : public std::runtime_error {
 public:
  Error(trml_rt_status status, const char* message, std::string reason)
      : std::runtime_error(message), status_(status), reason_(std::move(reason)) {}
  trml_rt_status status() const noexcept { return status_; }
  const std::string& reason() const noexcept { return reason_; }

 private:
  trml_rt_status status_;
  std::string reason_;
};

inline void check(trml_rt_status status) {
  if (status != TRML_RT_OK) throw Error(status, trml_rt_last_error(), trml_rt_last_reason());
}

struct Options {
  std::string bundle;     // empty: the environment's TRML_RT_BUNDLE
  std::string backend;    // empty: "auto"
  std::string precision;  // empty: what fits
  int threads = 0;        // 0: the back end chooses
  int device = 0;
  trml_rt_log_fn log = nullptr;
  void* log_user = nullptr;
  int callers = 0;                       // handles that run at once; 0: one
  std::optional<std::string> signed_by;  // file of a public key; none: an unsigned bundle will do
};

// As C has them; points into `options`.
inline trml_rt_options to_c(const Options& options) {
  trml_rt_options raw{};
  raw.struct_size = sizeof raw;
  raw.bundle = options.bundle.empty() ? nullptr : options.bundle.c_str();
  raw.backend = options.backend.empty() ? nullptr : options.backend.c_str();
  raw.precision = options.precision.empty() ? nullptr : options.precision.c_str();
  raw.threads = options.threads;
  raw.device = options.device;
  raw.log = options.log;
  raw.log_user = options.log_user;
  raw.callers = options.callers;
  raw.signed_by = options.signed_by ? options.signed_by->c_str() : nullptr;
  return raw;
}

// What the library has, and whether this machine is fit; see trml_rt_probe.
struct Report {
  struct Check {
    std::string name, found, remedy;
    bool ok, required;
  };
  bool fit;
  std::vector<Check> checks;
  std::string json;
};

inline Report probe(const Options& options = {}) {
  const trml_rt_options raw = to_c(options);
  trml_rt_report* made = nullptr;
  check(trml_rt_probe(&raw, &made));
  const std::unique_ptr<trml_rt_report, decltype(&trml_rt_report_free)> owner(made,
                                                                              &trml_rt_report_free);
  Report report{trml_rt_report_fit(made) != 0, {}, trml_rt_report_json(made)};
  for (std::size_t i = 0; i < trml_rt_report_count(made); ++i) {
    trml_rt_check each{};
    each.struct_size = sizeof each;
    check(trml_rt_report_check(made, i, &each));
    report.checks.push_back(
        {each.name, each.found, each.remedy ? each.remedy : "", each.ok != 0, each.required != 0});
  }
  return report;
}

// A frame over pixels that the caller keeps; `stride` 0 means packed rows.
inline trml_rt_frame frame(const void* data, int width, int height,
                           trml_rt_format format = TRML_RT_RGB, std::size_t stride = 0) {
  trml_rt_frame made{};
  made.data = data;
  made.stride = stride;
  made.width = width;
  made.height = height;
  made.format = format;
  return made;
}

// One row; what is empty is absent. Text is UTF-8 and, like pixels, stays the caller's.
struct Sample {
  std::string_view text;
  std::vector<trml_rt_frame> frames;
  void* cuda_stream = nullptr;
};

// One answer; see the getters of trml_rt.h.
class Result {
 public:
  explicit Result(trml_rt_result* result) : result_(result, &trml_rt_result_free) {}

  std::string label() const { return trml_rt_result_label(get()); }
  double score() const { return trml_rt_result_score(get()); }
  std::vector<std::pair<std::string, double>> probabilities() const {
    std::vector<std::pair<std::string, double>> all(trml_rt_result_probability_count(get()));
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].first = trml_rt_result_probability(get(), i, &all[i].second);
    }
    return all;
  }
  bool is_real(trml_rt_modality input) const {
    return trml_rt_result_state(get(), input) == TRML_RT_REAL;
  }
  // Why an input is virtual, or empty.
  std::string reason(trml_rt_modality input) const {
    const char* word = trml_rt_result_reason(get(), input);
    return word ? word : "";
  }
  double unknown() const { return trml_rt_result_unknown(get()); }
  int tokens() const { return trml_rt_result_tokens(get()); }
  bool truncated() const { return trml_rt_result_truncated(get()) != 0; }
  int frames() const { return trml_rt_result_frames(get()); }
  std::string engine_set() const { return trml_rt_result_engine_set(get()); }
  std::string backend() const { return trml_rt_result_backend(get()); }
  std::string engines() const { return trml_rt_result_engines(get()); }
  bool verified() const { return trml_rt_result_verified(get()) != 0; }
  double ms(const char* stage) const { return trml_rt_result_ms(get(), stage); }
  std::string json() const { return trml_rt_result_json(get()); }
  // Of an answer that Stream::poll gave.
  long long seq() const { return trml_rt_result_seq(get()); }
  long long epoch() const { return trml_rt_result_epoch(get()); }
  double t0() const { return trml_rt_result_t0(get()); }
  double t1() const { return trml_rt_result_t1(get()); }
  double age_ms() const { return trml_rt_result_age_ms(get()); }
  std::optional<std::string> spoken() const {
    const char* text = trml_rt_result_spoken(get());
    return text ? std::optional<std::string>(text) : std::nullopt;
  }
  bool early() const { return trml_rt_result_early(get()) != 0; }
  bool late() const { return trml_rt_result_late(get()) != 0; }
  const trml_rt_result* get() const noexcept { return result_.get(); }

 private:
  std::unique_ptr<trml_rt_result, decltype(&trml_rt_result_free)> result_;
};

class Runtime {
 public:
  explicit Runtime(const Options& options) : rt_(nullptr, &trml_rt_close) {
    const trml_rt_options raw = trml::to_c(options);
    trml_rt* opened = nullptr;
    check(trml_rt_open(&raw, &opened));
    rt_.reset(opened);
  }
  explicit Runtime(std::string bundle) : Runtime(with_bundle(std::move(bundle))) {}

  Runtime clone() const {
    trml_rt* twin = nullptr;
    check(trml_rt_clone(rt_.get(), &twin));
    return Runtime(twin);
  }

  trml_rt_info info() const {
    trml_rt_info found{};
    found.struct_size = sizeof found;
    check(trml_rt_get_info(rt_.get(), &found));
    return found;
  }

  // Load every engine and run each engine set, so that no later call of this handle waits for it.
  void warm_up() { check(trml_rt_warm_up(rt_.get())); }

  // `degrade`: an unusable input counts as missing, and the answer says so.
  Result infer(const Sample& sample, bool degrade = false) {
    const trml_rt_sample raw = to_c(sample);
    trml_rt_result* result = nullptr;
    check(trml_rt_infer(rt_.get(), &raw, degrade ? TRML_RT_DEGRADE : 0u, &result));
    return Result(result);
  }

  std::vector<Result> infer_batch(const std::vector<Sample>& samples, bool degrade = false) {
    std::vector<trml_rt_sample> raw;
    for (const auto& sample : samples) raw.push_back(to_c(sample));
    std::vector<trml_rt_result*> made(samples.size());
    std::vector<Result> results;
    results.reserve(samples.size());
    check(trml_rt_infer_batch(rt_.get(), raw.data(), raw.size(), degrade ? TRML_RT_DEGRADE : 0u,
                              made.data()));
    for (trml_rt_result* result : made) results.emplace_back(result);
    return results;
  }

  trml_rt* get() const noexcept { return rt_.get(); }

 private:
  friend class Queue;
  explicit Runtime(trml_rt* rt) : rt_(rt, &trml_rt_close) {}

  static Options with_bundle(std::string bundle) {
    Options options;
    options.bundle = std::move(bundle);
    return options;
  }

  static trml_rt_sample to_c(const Sample& sample) {
    trml_rt_sample raw{};
    raw.struct_size = sizeof raw;
    raw.text = sample.text.empty() ? nullptr : sample.text.data();
    raw.text_length = sample.text.size();
    raw.frames = sample.frames.data();
    raw.frame_count = sample.frames.size();
    raw.frame_size = sizeof(trml_rt_frame);
    raw.cuda_stream = sample.cuda_stream;
    return raw;
  }

  std::unique_ptr<trml_rt, decltype(&trml_rt_close)> rt_;
};

// Answers later, in the order of submission; any number of threads may call it.
//
//     trml::Queue queue(rt);
//     queue.submit(sample);                    // copies it; Error with TRML_RT_BUSY if it is full
//     if (auto done = queue.poll()) use(done->get());
class Queue {
 public:
  // What became of a submitted sample.
  struct Done {
    std::uint64_t number;
    std::optional<Result> result;
    std::optional<Error> error;  // in its place

    // Raises the error, if there is one.
    const Result& get() const {
      if (error) throw *error;
      return *result;
    }
  };

  // `capacity`: samples under way; 0: 4.
  explicit Queue(const Runtime& rt, int capacity = 0) : queue_(nullptr, &trml_rt_queue_close) {
    trml_rt_queue* opened = nullptr;
    check(trml_rt_queue_open(rt.get(), capacity, &opened));
    queue_.reset(opened);
  }

  // Return the number of the sample, from 1.
  std::uint64_t submit(const Sample& sample, bool degrade = false) {
    const trml_rt_sample raw = Runtime::to_c(sample);
    std::uint64_t number = 0;
    check(trml_rt_submit(queue_.get(), &raw, degrade ? TRML_RT_DEGRADE : 0u, &number));
    return number;
  }
  // Take the next answer, if there is one within the timeout; of a negative one, if any is under
  // way.
  std::optional<Done> poll(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) {
    Done done{};
    trml_rt_result* result = nullptr;
    const auto status = trml_rt_poll(queue_.get(), timeout.count(), &done.number, &result);
    if (done.number == 0) {
      check(status);
      return std::nullopt;
    }
    if (status == TRML_RT_OK) {
      done.result.emplace(result);
    } else {
      done.error.emplace(status, trml_rt_last_error(), trml_rt_last_reason());
    }
    return done;
  }
  // Forget a sample that is under way.
  void cancel(std::uint64_t number) { check(trml_rt_cancel(queue_.get(), number)); }

 private:
  std::unique_ptr<trml_rt_queue, decltype(&trml_rt_queue_close)> queue_;
};

// A change of what an input of a stream does.
struct Event {
  trml_rt_modality input;
  trml_rt_source_state state;
  long long epoch;
  std::string reason;   // why a virtual input stands in from now on, or empty
  std::string message;  // of push_state, or empty
  std::string json;
};

// What is left out has the default of trml_rt_stream_options.
struct StreamOptions {
  int window = 0;
  trml_rt_policy policy = TRML_RT_FRESHEST;
  int buffer = 0;
  bool anytime = false;
  double every = 0;
  double max_staleness = 0;
  double hold = 0;
  double offset = 0;
  double stall_after = 0;
  double freeze_after = 0;
  double max_gap = 0;
  double deadline_ms = 0;
  bool whole_windows = false;
  std::function<void(const Event&)>
      on_event;                      // called within a poll; its exceptions leave the poll
  trml_rt_clock_fn clock = nullptr;  // for tests
  void* clock_user = nullptr;
};

// A stream; trml_rt.h says which thread may call what. It outlives the Runtime.
//
//     trml::Stream stream(rt);
//     stream.push_frame(trml::frame(pixels, 640, 360), t);
//     stream.push_text("so far, so good");
//     if (const auto answer = stream.poll()) std::cout << answer->t1() << ' ' << answer->label();
class Stream {
 public:
  explicit Stream(const Runtime& rt, StreamOptions options = {})
      : teller_(std::make_unique<Teller>()), stream_(nullptr, &trml_rt_stream_free) {
    trml_rt_stream_options raw{};
    raw.struct_size = sizeof raw;
    raw.window = options.window;
    raw.policy = options.policy;
    raw.buffer = options.buffer;
    raw.anytime = options.anytime;
    raw.every = options.every;
    raw.max_staleness = options.max_staleness;
    raw.hold = options.hold;
    raw.offset = options.offset;
    raw.stall_after = options.stall_after;
    raw.freeze_after = options.freeze_after;
    raw.max_gap = options.max_gap;
    raw.deadline_ms = options.deadline_ms;
    raw.whole_windows = options.whole_windows;
    raw.clock = options.clock;
    raw.clock_user = options.clock_user;
    if (options.on_event) {
      teller_->on_event = std::move(options.on_event);
      raw.on_event = &Teller::tell;
      raw.event_user = teller_.get();
    }
    trml_rt_stream* opened = nullptr;
    check(trml_rt_stream_open(rt.get(), &raw, &opened));
    stream_.reset(opened);
  }

  // Load every engine, and run all that an answer may need.
  void warm_up() { check(trml_rt_stream_warm_up(get())); }

  // False where it was not taken, because too much waits; `t` and `end` in seconds.
  [[nodiscard]] bool push_frame(const trml_rt_frame& frame, double t) {
    int32_t taken = 0;
    check(trml_rt_stream_push_frame(get(), &frame, sizeof frame, t, &taken));
    return taken != 0;
  }
  bool push_text(std::string_view text, double t = TRML_RT_NO_TIME, double end = TRML_RT_NO_TIME) {
    int32_t taken = 0;
    const char* data = text.empty() ? "" : text.data();
    check(trml_rt_stream_push_text(get(), data, text.size(), t, end, &taken));
    return taken != 0;
  }
  void push_state(trml_rt_source_state state, const std::string& message = "") {
    check(trml_rt_stream_push_state(get(), state, message.empty() ? nullptr : message.c_str()));
  }
  void end_texts() { check(trml_rt_stream_end_texts(get())); }
  void end() { check(trml_rt_stream_end(get())); }

  // The next answer, if there is one: waits `timeout` seconds, or, if that is negative, until there
  // is one or the stream ends.
  std::optional<Result> poll(double timeout = 0) {
    trml_rt_result* result = nullptr;
    const trml_rt_status status = trml_rt_stream_poll(get(), timeout, &result);
    std::optional<Result> answer;
    if (result != nullptr) answer.emplace(result);
    if (teller_->failed) std::rethrow_exception(std::exchange(teller_->failed, nullptr));
    check(status);
    return answer;
  }

  bool finished() const { return trml_rt_stream_finished(get()) != 0; }
  trml_rt_totals totals() const {
    trml_rt_totals found{};
    found.struct_size = sizeof found;
    check(trml_rt_stream_totals(get(), &found));
    return found;
  }
  void close() { trml_rt_stream_close(get()); }
  trml_rt_stream* get() const noexcept { return stream_.get(); }

 private:
  // Hands events on; an exception must not go through the library.
  struct Teller {
    std::function<void(const Event&)> on_event;
    std::exception_ptr failed;

    static void tell(void* user, const trml_rt_event* event) {
      auto& teller = *static_cast<Teller*>(user);
      try {
        const auto words = [](const char* text) { return std::string(text ? text : ""); };
        teller.on_event({trml_rt_modality(event->input), trml_rt_source_state(event->state),
                         event->epoch, words(event->reason), words(event->message),
                         words(event->json)});
      } catch (...) {
        teller.failed = std::current_exception();
      }
    }
  };

  std::unique_ptr<Teller> teller_;  // before the stream, which uses it
  std::unique_ptr<trml_rt_stream, decltype(&trml_rt_stream_free)> stream_;
};

}  // namespace trml
