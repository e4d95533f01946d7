// The C functions of streams: structs of any age, wrong use, getters, what outlives what.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "support.hpp"

using namespace support;

namespace {

bool says(const char* words) { return std::strstr(trml_rt_last_error(), words) != nullptr; }

trml_rt_stream_options defaults() {
  trml_rt_stream_options options{};
  options.struct_size = sizeof options;
  options.max_staleness = 60;  // a machine may be busy
  return options;
}

struct Open {
  explicit Open(const trml_rt_stream_options& options = defaults()) {
    const std::string folder = tiny.string();
    trml_rt_options handle{};
    handle.struct_size = sizeof handle;
    handle.bundle = folder.c_str();
    handle.backend = "openvino";
    trml_rt* rt = nullptr;
    REQUIRE_MESSAGE(trml_rt_open(&handle, &rt) == TRML_RT_OK, trml_rt_last_error());
    REQUIRE_MESSAGE(trml_rt_stream_open(rt, &options, &stream) == TRML_RT_OK, trml_rt_last_error());
    trml_rt_close(rt);  // a stream outlives it
  }
  ~Open() { trml_rt_stream_free(stream); }

  void push(const trml_rt_frame& frame, double t) {
    int32_t taken = 0;
    REQUIRE_MESSAGE(
        trml_rt_stream_push_frame(stream, &frame, sizeof frame, t, &taken) == TRML_RT_OK,
        trml_rt_last_error());
    CHECK(taken == 1);
  }
  void say(const char* text) {
    int32_t taken = 0;
    REQUIRE(trml_rt_stream_push_text(stream, text, TRML_RT_TERMINATED, TRML_RT_NO_TIME,
                                     TRML_RT_NO_TIME, &taken) == TRML_RT_OK);
  }
  trml_rt_result* poll() {
    trml_rt_result* result = nullptr;
    REQUIRE_MESSAGE(trml_rt_stream_poll(stream, 0, &result) == TRML_RT_OK, trml_rt_last_error());
    return result;
  }
  trml_rt_totals totals() {
    trml_rt_totals found{};
    found.struct_size = sizeof found;
    REQUIRE(trml_rt_stream_totals(stream, &found) == TRML_RT_OK);
    return found;
  }
  trml_rt_stream* stream = nullptr;
};

const auto pixels = picture(8, 8);
const trml_rt_frame plain = frame_of(pixels, 8, 8);

}  // namespace

TEST_CASE("nothing is no stream, and may be closed and freed") {
  trml_rt_stream_close(nullptr);
  trml_rt_stream_free(nullptr);
  trml_rt_stream* stream = nullptr;
  trml_rt_result* result = nullptr;
  int32_t taken = 0;
  CHECK(trml_rt_stream_open(nullptr, nullptr, &stream) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_push_frame(nullptr, &plain, sizeof plain, 0, &taken) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_poll(nullptr, 0, &result) == TRML_RT_USAGE);
  CHECK(says("the stream is NULL; pass one"));
  CHECK(trml_rt_stream_totals(nullptr, nullptr) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_finished(nullptr) == 1);
  CHECK(trml_rt_result_seq(nullptr) == 0);
  CHECK(trml_rt_result_spoken(nullptr) == nullptr);
  CHECK(trml_rt_result_early(nullptr) == 0);
}

#if TRML_RT_WITH_OPENVINO

TEST_CASE("an answer of a stream says when it was, and on what") {
  Open open;
  open.say("what a good day");
  open.push(plain, 1.5);
  open.push(plain, 1.75);
  auto* result = open.poll();
  REQUIRE(result != nullptr);
  CHECK(trml_rt_result_seq(result) == 0);
  CHECK(trml_rt_result_epoch(result) == 0);
  CHECK(trml_rt_result_t0(result) == 1.75);
  CHECK(trml_rt_result_t1(result) == 1.75);
  CHECK(trml_rt_result_age_ms(result) > 0);
  CHECK(trml_rt_result_spoken(result) == std::string("what a good day"));
  CHECK(trml_rt_result_early(result) == 0);
  CHECK(trml_rt_result_late(result) == 0);
  CHECK(trml_rt_result_engine_set(result) == std::string("text_video"));
  CHECK(Json::parse(trml_rt_result_json(result))["t1"] == 1.75);
  trml_rt_result_free(result);
  CHECK(open.poll() == nullptr);
  trml_rt_stream_close(open.stream);
  trml_rt_stream_close(open.stream);
  const auto totals = open.totals();
  CHECK(totals.seen == 2);
  CHECK(totals.answered == 1);
  CHECK(totals.buffer == 1);
  CHECK(totals.waiting == 0);
}

TEST_CASE("why video is virtual is told with the answer and by an event") {
  std::string told;
  auto options = defaults();
  options.on_event = [](void* user, const trml_rt_event* event) {
    auto& words = *static_cast<std::string*>(user);
    words += std::to_string(event->input) + ":" + std::to_string(event->state);
    words += std::string(",") + (event->reason ? event->reason : "-");
    words += std::string(",") + (event->message ? event->message : "-") + ";";
  };
  options.event_user = &told;
  Open open(options);
  open.say("a good day");
  REQUIRE(trml_rt_stream_push_state(open.stream, TRML_RT_RETRYING, "the cable") == TRML_RT_OK);
  auto* result = open.poll();
  REQUIRE(result != nullptr);
  CHECK(trml_rt_result_state(result, TRML_RT_VIDEO) == TRML_RT_VIRTUAL);
  CHECK(trml_rt_result_reason(result, TRML_RT_VIDEO) == std::string("lost"));
  trml_rt_result_free(result);
  CHECK(told == "2:4,lost,the cable;1:2,-,-;");
}

TEST_CASE("wrong use of a stream is a usage error, and changes nothing") {
  Open open;
  int32_t taken = 7;
  trml_rt_result* result = nullptr;
  const auto push = [&](const trml_rt_frame* frame, std::size_t size, int32_t* to) {
    return trml_rt_stream_push_frame(open.stream, frame, size, 0, to);
  };
  CHECK(push(nullptr, sizeof plain, &taken) == TRML_RT_USAGE);
  CHECK(push(&plain, 0, &taken) == TRML_RT_USAGE);
  CHECK(push(&plain, sizeof plain, nullptr) == TRML_RT_USAGE);
  CHECK(says("taken is NULL"));
  CHECK(trml_rt_stream_push_text(open.stream, nullptr, 0, 0, 0, &taken) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_push_text(open.stream, "\xff", 1, 0, 0, &taken) == TRML_RT_INPUT);
  CHECK(trml_rt_last_reason() == std::string("undecodable"));
  for (const int state : {0, int(TRML_RT_RUNNING), 7, -1}) {
    CHECK(trml_rt_stream_push_state(open.stream, state, nullptr) == TRML_RT_USAGE);
  }
  CHECK(trml_rt_stream_push_state(open.stream, TRML_RT_ENDED, "\xff") == TRML_RT_USAGE);
  CHECK(trml_rt_stream_poll(open.stream, 0, nullptr) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_poll(open.stream, std::nan(""), &result) == TRML_RT_USAGE);
  trml_rt_totals totals{};
  CHECK(trml_rt_stream_totals(open.stream, &totals) == TRML_RT_USAGE);
  CHECK(open.totals().seen == 0);
}

TEST_CASE("options that make no sense are refused") {
  const Open open;
  const std::string folder = tiny.string();
  trml_rt_options handle{};
  handle.struct_size = sizeof handle;
  handle.bundle = folder.c_str();
  handle.backend = "openvino";
  trml_rt* rt = nullptr;
  REQUIRE(trml_rt_open(&handle, &rt) == TRML_RT_OK);
  trml_rt_stream* stream = nullptr;
  const auto refused = [&](const trml_rt_stream_options& options, const char* words) {
    return trml_rt_stream_open(rt, &options, &stream) == TRML_RT_USAGE && says(words);
  };
  trml_rt_stream_options options{};
  CHECK(refused(options, "set its size to that of the struct"));
  (options = defaults()).policy = 2;
  CHECK(refused(options, "no policy 2; choose TRML_RT_FRESHEST or TRML_RT_EVERY"));
  (options = defaults()).anytime = 2;
  CHECK(refused(options, "anytime: must be 0 or 1, not 2"));
  (options = defaults()).every = std::nan("");
  CHECK(refused(options, "every: must be a number, at least 0, not nan"));
  (options = defaults()).offset = -INFINITY;
  CHECK(refused(options, "offset: must be a number, not -inf"));
  CHECK(stream == nullptr);
  options = defaults();
  options.struct_size = offsetof(trml_rt_stream_options, whole_windows);  // of an older header
  options.anytime = 1;
  REQUIRE(trml_rt_stream_open(rt, &options, &stream) == TRML_RT_OK);
  trml_rt_stream_free(stream);
  CHECK(trml_rt_stream_open(rt, nullptr, nullptr) == TRML_RT_USAGE);
  REQUIRE(trml_rt_stream_open(rt, nullptr, &stream) == TRML_RT_OK);
  CHECK(trml_rt_stream_warm_up(stream) == TRML_RT_OK);
  trml_rt_stream_free(stream);
  trml_rt_close(rt);
}

TEST_CASE("a stream that was freed is refused, also when another was opened since") {
  Open open;
  const auto freed = open.stream;
  REQUIRE(trml_rt_stream_free(freed) == TRML_RT_OK);
  Open later;
  CHECK(later.stream != freed);
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_stream_poll(freed, 0, &result) == TRML_RT_USAGE);
  CHECK(says("this stream is not open: it was closed before"));
  CHECK(trml_rt_stream_end(freed) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_close(freed) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_free(freed) == TRML_RT_USAGE);
  CHECK(trml_rt_stream_finished(freed) == 1);
  int32_t taken = 0;
  CHECK(trml_rt_stream_push_text(later.stream, "good", std::size_t(1) << 40, 0, 0, &taken) ==
        TRML_RT_INPUT);
  open.stream = nullptr;
}

TEST_CASE("an event may free the stream that tells it") {
  trml_rt_stream* told = nullptr;
  auto options = defaults();
  options.on_event = [](void* user, const trml_rt_event*) {
    trml_rt_stream_free(*static_cast<trml_rt_stream**>(user));
  };
  options.event_user = &told;
  Open open(options);
  told = open.stream;
  open.push(plain, 0);
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_stream_poll(open.stream, -1, &result) == TRML_RT_OK);
  CHECK(result != nullptr);
  trml_rt_result_free(result);
  open.stream = nullptr;
}

TEST_CASE("a forked child cannot use a stream, and may free what it inherited") {
  Open open;
  const pid_t child = fork();
  if (child == 0) {
    trml_rt_result* result = nullptr;
    const bool refused = trml_rt_stream_poll(open.stream, 0, &result) == TRML_RT_USAGE &&
                         says("this stream was opened before a fork") &&
                         trml_rt_stream_finished(open.stream) == 1;
    trml_rt_stream_close(open.stream);
    trml_rt_stream_free(open.stream);
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  open.push(plain, 0);
  auto* result = open.poll();
  CHECK(result != nullptr);
  trml_rt_result_free(result);
}
#endif  // TRML_RT_WITH_OPENVINO
