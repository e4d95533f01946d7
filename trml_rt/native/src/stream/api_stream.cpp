// The C functions of streams.
#include <chrono>
#include <cmath>
#include <cstddef>

#include "api.hpp"
#include "stream/core.hpp"
#include "utf.hpp"

namespace {

using namespace trml::core;

// What a `trml_rt_stream` stands for.
struct OpenStream {
  OpenStream(const stream::Rules& rules, std::shared_ptr<Model> model, stream::Tell tell,
             stream::Clock clock)
      : stream(rules, std::move(model), std::move(tell), std::move(clock)) {}
  stream::Stream stream;
  const pid_t process = getpid();
};
using Streams = Handles<trml_rt_stream, OpenStream, Kind::stream>;

stream::Tell teller(const trml_rt_stream_options& options) {
  const auto tell = options.on_event;
  if (tell == nullptr) return [](const stream::StreamEvent&) {};
  return [tell, user = options.event_user](const stream::StreamEvent& event) {
    const std::string json = event.to_json();
    trml_rt_event told{};
    told.struct_size = sizeof told;
    told.input = event.input;
    told.state = event.state;
    told.epoch = event.epoch;
    told.reason = event.reason.empty() ? nullptr : event.reason.c_str();
    told.message = event.message.empty() ? nullptr : event.message.c_str();
    told.json = json.c_str();
    tell(user, &told);
  };
}

stream::Clock clock_of(const trml_rt_stream_options& options) {
  if (options.clock != nullptr) {
    return [clock = options.clock, user = options.clock_user] { return clock(user); };
  }
  return [] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  };
}

// A call of another thread keeps a stream alive that is freed meanwhile, and so does its own poll.
std::shared_ptr<stream::Stream> checked(const trml_rt_stream* stream) {
  if (stream == nullptr) throw UsageError("the stream is NULL; pass one");
  auto found = Streams::get(stream, "this stream");
  check_process(found->process, "stream");
  return {found, &found->stream};
}

int32_t& checked(int32_t* taken) {
  if (taken == nullptr) throw UsageError("taken is NULL; pass the address of a number");
  return *taken = 0;
}

// What a stream added to a result, which holds it; defaults where it is of none.
std::shared_ptr<const Streamed> streamed(const trml_rt_result* result) {
  static const Streamed none;
  const auto answer = Results::find(result);
  if (answer == nullptr || !answer->streamed) return {std::shared_ptr<void>(), &none};
  return {answer, &*answer->streamed};
}

std::optional<double> time_of(double t) {
  return t == TRML_RT_NO_TIME ? std::nullopt : std::optional(t);
}

}  // namespace

extern "C" {

trml_rt_status trml_rt_stream_open(const trml_rt* rt, const trml_rt_stream_options* options,
                                   trml_rt_stream** out) {
  return guarded([&] {
    if (rt == nullptr || out == nullptr) {
      throw UsageError("the handle or out is NULL; pass both");
    }
    *out = nullptr;
    trml_rt_stream_options read{};
    if (options != nullptr) {
      read = copy_of<trml_rt_stream_options>(options, size_at(options),
                                             offsetof(trml_rt_stream_options, whole_windows),
                                             "the options of the stream");
    }
    const auto model = opened(rt)->runtime.model();
    const auto rules = stream::read_rules(read, model->bundle.manifest.video.frames);
    *out = Streams::add(std::make_shared<OpenStream>(rules, model, teller(read), clock_of(read)));
  });
}

trml_rt_status trml_rt_stream_warm_up(trml_rt_stream* stream) {
  return guarded([&] { checked(stream)->warm_up(); });
}

trml_rt_status trml_rt_stream_push_frame(trml_rt_stream* stream, const trml_rt_frame* frame,
                                         size_t frame_size, double t, int32_t* taken) {
  return guarded([&] {
    const auto to = checked(stream);
    auto& was_taken = checked(taken);
    was_taken =
        to->push_frame(copy_of<trml_rt_frame>(frame, frame_size, offsetof(trml_rt_frame, matrix),
                                              "the frame (frame_size)"),
                       t);
  });
}

trml_rt_status trml_rt_stream_push_text(trml_rt_stream* stream, const char* text,
                                        size_t text_length, double t, double end, int32_t* taken) {
  return guarded([&] {
    const auto to = checked(stream);
    auto& was_taken = checked(taken);
    if (text == nullptr) throw UsageError("the text is NULL; pass UTF-8");
    // Before it is read: a length that is wrong leads beyond the text.
    if (text_length != TRML_RT_TERMINATED && text_length > most_text) {
      throw InputUnusable("the text is larger than 1 MB; pass one utterance", "undecodable");
    }
    std::string words =
        text_length == TRML_RT_TERMINATED ? std::string(text) : std::string(text, text_length);
    was_taken = to->push_text(std::move(words), time_of(t), time_of(end));
  });
}

trml_rt_status trml_rt_stream_push_state(trml_rt_stream* stream, int32_t state,
                                         const char* message) {
  return guarded([&] {
    std::string words = message == nullptr ? "" : message;
    if (const auto bad = invalid_utf8_at(words)) {
      throw UsageError("the message is not valid Unicode at byte " + std::to_string(*bad) +
                       "; pass UTF-8");
    }
    checked(stream)->push_state(stream::State(state), std::move(words));
  });
}

trml_rt_status trml_rt_stream_end_texts(trml_rt_stream* stream) {
  return guarded([&] { checked(stream)->end_texts(); });
}

trml_rt_status trml_rt_stream_end(trml_rt_stream* stream) {
  return guarded([&] { checked(stream)->end(); });
}

trml_rt_status trml_rt_stream_poll(trml_rt_stream* stream, double timeout, trml_rt_result** out) {
  return guarded([&] {
    const auto from = checked(stream);
    if (out == nullptr) throw UsageError("out is NULL; pass the address of a result");
    *out = nullptr;
    if (std::isnan(timeout)) throw UsageError("timeout: must be seconds, not nan");
    auto found = from->poll(timeout < 0 ? std::nullopt : std::optional(timeout));
    if (!found) return;
    *out = Results::add(std::make_shared<Answer>(std::move(*found)));
  });
}

int32_t trml_rt_stream_finished(const trml_rt_stream* stream) {
  const auto found = Streams::find(stream);
  return found == nullptr || found->process != getpid() || found->stream.finished();
}

trml_rt_status trml_rt_stream_totals(const trml_rt_stream* stream, trml_rt_totals* totals) {
  return guarded([&] {
    if (stream == nullptr || totals == nullptr ||
        totals->struct_size < sizeof totals->struct_size || totals->struct_size > largest_struct) {
      throw UsageError("the stream or totals is NULL, or totals' struct_size is not set");
    }
    const auto found = checked(stream)->totals();
    const auto dropped = [&](stream::Cause cause) { return found.dropped[std::size_t(cause)]; };
    const trml_rt_totals full{totals->struct_size,
                              found.seen,
                              found.answered,
                              found.waiting,
                              dropped(stream::Cause::between),
                              dropped(stream::Cause::buffer),
                              dropped(stream::Cause::stale),
                              dropped(stream::Cause::deadline),
                              dropped(stream::Cause::unchanged),
                              dropped(stream::Cause::decode_error),
                              dropped(stream::Cause::unfinished)};
    std::memcpy(totals, &full, std::min(full.struct_size, sizeof full));
  });
}

trml_rt_status trml_rt_stream_close(trml_rt_stream* stream) {
  return guarded([&] {
    // A forked child ends nothing: locks may be held for ever there.
    if (stream == nullptr || Streams::get(stream, "this stream")->process != getpid()) return;
    checked(stream)->close();
  });
}

trml_rt_status trml_rt_stream_free(trml_rt_stream* stream) {
  return guarded([&] {
    if (stream == nullptr || Streams::get(stream, "this stream")->process != getpid()) return;
    Streams::take(stream, "this stream")->stream.close();
  });
}

int64_t trml_rt_result_seq(const trml_rt_result* r) { return streamed(r)->seq; }
int64_t trml_rt_result_epoch(const trml_rt_result* r) { return streamed(r)->epoch; }
double trml_rt_result_t0(const trml_rt_result* r) { return streamed(r)->t0; }
double trml_rt_result_t1(const trml_rt_result* r) { return streamed(r)->t1; }
double trml_rt_result_age_ms(const trml_rt_result* r) { return streamed(r)->age_ms; }
const char* trml_rt_result_spoken(const trml_rt_result* r) {
  const auto found = streamed(r);
  return found->text ? found->text->c_str() : nullptr;
}
int32_t trml_rt_result_early(const trml_rt_result* r) { return !streamed(r)->final; }
int32_t trml_rt_result_late(const trml_rt_result* r) { return streamed(r)->late; }

}  // extern "C"
