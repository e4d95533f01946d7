// Streams: those of streams.json, as Python plays them, and what threads and callers may do.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include "error.hpp"
#include "stream/core.hpp"
#include "support.hpp"

using namespace support;
using namespace trml::core;
using stream::Stream;

namespace {

// A back end whose encoder of frames takes its time by the clock of the test.
class Slow : public Backend {
 public:
  Slow(std::shared_ptr<Backend> real, double& now, double takes)
      : real_(std::move(real)), now_(now), takes_(takes) {}
  const char* name() const override { return real_->name(); }
  std::shared_ptr<trml::core::Engine> load(const EngineSpec& spec, std::string data,
                                           const std::filesystem::path& path) override {
    auto engine = real_->load(spec, std::move(data), path);
    if (spec.inputs[0].name != "frames") return engine;
    return std::make_shared<SlowEngine>(std::move(engine), now_, takes_);
  }

 private:
  struct SlowEngine : trml::core::Engine {
    SlowEngine(std::shared_ptr<trml::core::Engine> e, double& n, double t)
        : real(std::move(e)), now(n), takes(t) {}
    std::unique_ptr<Session> session(std::shared_ptr<void>& lane) override {
      return std::make_unique<SlowSession>(real->session(lane), now, takes);
    }
    std::shared_ptr<trml::core::Engine> real;
    double& now;
    double takes;
  };
  struct SlowSession : Session {
    SlowSession(std::unique_ptr<Session> s, double& n, double t)
        : real(std::move(s)), now(n), takes(t) {}
    std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) override {
      now += takes;
      return real->run(inputs);
    }
    std::unique_ptr<Session> real;
    double& now;
    double takes;
  };
  std::shared_ptr<Backend> real_;
  double& now_;
  double takes_;
};

std::shared_ptr<Backend> engines() {
#if TRML_RT_WITH_OPENVINO
  return make_openvino({});
#else
  return std::make_shared<SumBackend>();
#endif
}

// The model of a bundle, which the cases share; one whose engines take time is of its own.
std::shared_ptr<Model> model_of(const Json& row, double& now) {
  static std::map<std::string, std::shared_ptr<Model>> shared;
  const std::string name = row["bundle"];
  const auto folder = (name == "tiny" ? tiny : default_bundle).string();
  if (row.contains("takes")) {
    const double takes = row["takes"];
    return std::make_shared<Model>(folder, std::make_shared<Slow>(engines(), now, takes));
  }
  auto& model = shared[name];
  if (!model) model = std::make_shared<Model>(folder, engines());
  return model;
}

double time_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const auto word = value.get<std::string>();
  return word == "nan"    ? std::numeric_limits<double>::quiet_NaN()
         : word == "-inf" ? -stream::no_limit
                          : stream::no_limit;
}

std::optional<double> time_or_none(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(time_of(value));
}

stream::State state_of(const std::string& word) {
  for (int state = TRML_RT_CONNECTING; state <= TRML_RT_FAILED; ++state) {
    if (word == stream::state_name(stream::State(state))) return stream::State(state);
  }
  return stream::State(0);
}

trml_rt_stream_options options_of(const Json& rules) {
  trml_rt_stream_options options{};
  options.struct_size = sizeof options;
  const auto number = [&](const char* name) {
    return rules.contains(name) && rules[name].is_number() ? rules[name].get<double>() : 0;
  };
  options.window = int(number("window"));
  options.buffer = int(number("buffer"));
  options.every = number("every");
  options.max_staleness = number("max_staleness");
  options.hold = number("hold");
  options.offset = number("offset");
  options.stall_after = number("stall_after");
  options.freeze_after = number("freeze_after");
  options.max_gap = number("max_gap");
  options.deadline_ms = number("deadline_ms");
  options.policy = rules.value("policy", "freshest") == "every" ? TRML_RT_EVERY : TRML_RT_FRESHEST;
  options.anytime = rules.value("anytime", false);
  options.whole_windows = !rules.value("keep_vectors", true);
  return options;
}

// One case of streams.json, played as tests/conformance/streams.py does.
class Player {
 public:
  explicit Player(const Json& played) : case_(played) {
    auto model = model_of(played, now_);
    const auto rules =
        stream::read_rules(options_of(played["rules"]), model->bundle.manifest.video.frames);
    stream_.emplace(
        rules, std::move(model),
        [this](const stream::StreamEvent& event) { told_.push_back(Json::parse(event.to_json())); },
        [this] { return now_; });
  }

  Json play() {
    Json gives = Json::array();
    for (const Json& each : case_["steps"]) gives.push_back(step(each));
    stream_->close();
    stream_->close();  // twice is fine
    return {{"gives", std::move(gives)}, {"totals", totals()}};
  }

 private:
  Json step(const Json& step) {
    const auto what = step[0].get<std::string>();
    if (what == "poll" || what == "drain") return polled(what == "drain");
    try {
      if (what == "frame") return push_frame(step);
      if (what == "text") {
        return stream_->push_text(step[1], time_or_none(step[2]), time_or_none(step[3]));
      }
      if (what == "state") {
        stream_->push_state(state_of(step[1]), step[2].is_null() ? "" : step[2].get<std::string>());
      }
      if (what == "clock") now_ += step[1].get<double>();
      if (what == "end_texts") stream_->end_texts();
      if (what == "end") stream_->end();
      if (what == "close") stream_->close();
    } catch (const trml::core::Error& error) {
      return {{"error", Json::array({int(error.status()), error.what()})}};
    }
    return {};
  }

  bool push_frame(const Json& step) {
    const int width = step[2][0], height = step[2][1];
    const std::string format = step.size() > 3 ? step[3].get<std::string>() : "rgb";
    auto pixels = picture(width, height, step[2][2].is_null() ? 0 : step[2][2].get<int>(), format);
    if (step[2][2].is_null()) std::fill(pixels.begin(), pixels.end(), std::uint8_t(0));
    const auto frame = frame_of(pixels, width, height,
                                format == "bgr"    ? TRML_RT_BGR
                                : format == "gray" ? TRML_RT_GRAY
                                                   : TRML_RT_RGB);
    return stream_->push_frame(frame, time_of(step[1]));
  }

  Json polled(bool every) {
    Json found = Json::array();
    while (true) {
      const auto answer = stream_->poll(0);
      for (auto& event : told_) found.push_back(std::move(event));
      told_.clear();
      if (!answer) return found;
      Json record = Json::parse(answer->json);
      Json stages = Json::array();
      for (const auto& [stage, value] : record["ms"].items()) stages.push_back(stage);
      record["ms"] = stages;
      found.push_back(std::move(record));
      if (!every) return found;
    }
  }

  Json totals() const {
    const auto found = stream_->totals();
    const char* names[] = {"between",   "buffer",       "stale",     "deadline",
                           "unchanged", "decode_error", "unfinished"};
    Json dropped = Json::object();
    for (std::size_t i = 0; i < stream::cause_count; ++i) {
      if (found.dropped[i] > 0) dropped[names[i]] = found.dropped[i];
    }
    return {{"seen", found.seen},
            {"answered", found.answered},
            {"waiting", found.waiting},
            {"dropped", dropped}};
  }

  const Json& case_;
  double now_ = 100;
  std::vector<Json> told_;
  std::optional<Stream> stream_;
};

// Hold an answer to the expected one: its score to other engines' rounding, or, of engines that
// add numbers, all but what they say.
void check_record(Json given, Json expected) {
  if (expected.contains("score")) {
    if (TRML_RT_WITH_OPENVINO) {
      CHECK(std::abs(given["score"].get<double>() - expected["score"].get<double>()) <= 1e-3);
    } else {
      given["label"] = expected["label"];
    }
    given["score"] = expected["score"];
    given["backend"] = expected["backend"];
  }
  CHECK(given.dump() == expected.dump());  // the keys in the same order, too
}

}  // namespace

TEST_CASE("streams answer, drop and tell as they do in Python") {
  const Json cases = read_json(conformance / "streams.json");
  REQUIRE(cases.size() > 90);
  std::size_t answers = 0;
  for (const Json& row : cases) {
    CAPTURE(row["name"].get<std::string>());
    if (row.contains("error")) {
      try {
        Player player(row);
        FAIL("not refused");
      } catch (const trml::core::Error& error) {
        CHECK(Json::array({int(error.status()), error.what()}) == row["error"]);
      }
      continue;
    }
    const Json played = Player(row).play();
    REQUIRE(played["gives"].size() == row["gives"].size());
    for (std::size_t i = 0; i < row["gives"].size(); ++i) {
      CAPTURE(i);
      CAPTURE(row["steps"][i].dump());
      const Json &given = played["gives"][i], &expected = row["gives"][i];
      if (!expected.is_array()) {
        CHECK(given == expected);
        continue;
      }
      REQUIRE(given.size() == expected.size());
      for (std::size_t k = 0; k < expected.size(); ++k) check_record(given[k], expected[k]);
      answers += expected.size();
    }
    CHECK(played["totals"] == row["totals"]);
  }
  CHECK(answers > 500);
}

namespace {

const std::vector<std::uint8_t> pixels = picture(8, 8);
const trml_rt_frame plain = frame_of(pixels, 8, 8);

stream::Rules rules_of(const Json& rules) { return stream::read_rules(options_of(rules), 4); }

// A stream on engines that add numbers, with a clock that stands still.
struct World {
  explicit World(
      const Json& rules = Json::object(), stream::Tell tell = [](const auto&) {})
      : stream(rules_of(rules), model, std::move(tell), [] { return 100.0; }) {}
  std::shared_ptr<SumBackend> backend = std::make_shared<SumBackend>();
  std::shared_ptr<Model> model = std::make_shared<Model>(tiny.string(), backend);
  Stream stream;
};

std::uint64_t sum_of(const stream::Totals& totals) {
  std::uint64_t sum = totals.answered + totals.waiting;
  for (const auto count : totals.dropped) sum += count;
  return sum;
}

double offline(const std::shared_ptr<Model>& model, const std::vector<trml_rt_frame>& frames) {
  Sample sample;
  sample.frames = frames;
  return trml::core::Runtime(model).infer({sample}, false, false)[0].score;
}

}  // namespace

TEST_CASE("a window with one new frame encodes one frame, and answers as infer does") {
  World world(Json::object({{"window", 3}}));
  std::vector<std::vector<std::uint8_t>> pictures;
  for (int i = 0; i < 5; ++i) pictures.push_back(picture(8, 8, i));
  for (int i = 0; i < 5; ++i) {
    REQUIRE(world.stream.push_frame(frame_of(pictures[std::size_t(i)], 8, 8), i / 10.0));
    const auto answer = world.stream.poll(0);
    REQUIRE(answer);
    std::vector<trml_rt_frame> window;
    for (int k = std::max(0, i - 2); k <= i; ++k) {
      window.push_back(frame_of(pictures[std::size_t(k)], 8, 8));
    }
    CHECK(answer->score == offline(world.model, window));
    CHECK(answer->video.frames == int(window.size()));
  }
  CHECK(world.backend->loaded == std::vector<std::string>{"frame", "fuse_video"});
}

TEST_CASE("frames with any stride and NV12 with its planes apart are copied") {
  const auto nv12 = picture(6, 10, 3, "nv12");
  auto packed = frame_of(nv12, 6, 10, TRML_RT_NV12);
  std::vector<std::uint8_t> luma(std::size_t(10 * 9)), chroma(std::size_t(5 * 11));
  for (std::size_t y = 0; y < 10; ++y) std::copy_n(&nv12[y * 6], 6, &luma[y * 9]);
  for (std::size_t y = 0; y < 5; ++y) std::copy_n(&nv12[60 + y * 6], 6, &chroma[y * 11]);
  auto apart = packed;
  apart.data = luma.data();
  apart.stride = 9;
  apart.uv = chroma.data();
  apart.uv_stride = 11;
  World world;
  const double expected = offline(world.model, {packed});
  for (const auto& frame : {packed, apart}) {
    static double t = 0;
    World own;
    REQUIRE(own.stream.push_frame(frame, t += 1));
    std::fill(frame.data == luma.data() ? luma.begin() : luma.end(), luma.end(), std::uint8_t(0));
    CHECK(own.stream.poll(0)->score == expected);
  }
}

TEST_CASE("frames that are none are refused, and count nowhere") {
  World world;
  auto cuda = plain;
  cuda.memory = TRML_RT_CUDA;
  CHECK_THROWS_WITH_AS(world.stream.push_frame(cuda, 0),
                       "video: a stream takes frames in host memory only; copy them there",
                       UsageError);
  auto none = plain;
  none.data = nullptr;
  CHECK_THROWS_AS(world.stream.push_frame(none, 0), UsageError);
  CHECK_THROWS_AS(world.stream.push_text("ab\xff", {}, {}), InputUnusable);
  CHECK_THROWS_AS(world.stream.push_state(TRML_RT_RUNNING, ""), UsageError);
  CHECK(world.stream.totals().seen == 0);
}

TEST_CASE("a frame whose text cannot be read for a damaged bundle is accounted for") {
  const BundleCopy copy;
  copy.harm({{"flip", {"tokenizer.json"}}});
  auto model = std::make_shared<Model>(copy.folder.string(), std::make_shared<SumBackend>());
  Stream broken(rules_of(Json::object()), model, [](const auto&) {}, [] { return 0.0; });
  broken.push_text("a good day", {}, {});
  broken.push_frame(plain, 0);
  CHECK_THROWS_AS(broken.poll(0), ArtefactMismatch);
  broken.close();
  CHECK(broken.totals().waiting == 0);
  CHECK(sum_of(broken.totals()) == 1);
}

TEST_CASE("as many texts wait as may") {
  World world(Json::object({{"policy", "every"}}));
  for (std::size_t i = 0; i < stream::most_texts; ++i) {
    world.stream.push_text("good", 1e6 + double(i), {});
  }
  CHECK(!world.stream.push_text("good", 3e6, {}));
}

TEST_CASE("an event may close the stream that tells it, and must not poll it") {
  Stream* told = nullptr;
  std::string refusal;
  World world(Json::object(), [&](const auto&) {
    try {
      told->poll(0);
    } catch (const UsageError& error) {
      refusal = error.what();
    }
    told->close();
  });
  told = &world.stream;
  world.stream.push_frame(plain, 0);
  CHECK(world.stream.poll(0));
  CHECK(refusal == "an event of this stream is being told in this call; poll when it is done");
  CHECK(!world.stream.poll({}));
  CHECK(world.stream.finished());
  CHECK(world.stream.totals().waiting == 0);
}

TEST_CASE("warming up loads every engine, and changes no answer") {
  World cold, warm;
  warm.stream.warm_up();
  CHECK(warm.backend->loaded.size() == 5);
  for (auto* world : {&cold, &warm}) world->stream.push_frame(plain, 0);
  CHECK(cold.stream.poll(0)->score == warm.stream.poll(0)->score);
}

TEST_CASE("who waits is woken by a frame, by the end, and by a close") {
  const auto clock = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  World world;
  Stream live(
      rules_of(Json::object({{"max_staleness", 60}})), world.model, [](const auto&) {}, clock);
  std::thread frame([&] { live.push_frame(plain, 0); });
  CHECK(live.poll(30));
  frame.join();
  std::thread closer([&] { live.close(); });
  CHECK(!live.poll({}));
  closer.join();
  CHECK(live.finished());
}

TEST_CASE("frames and texts come from any thread, and every frame is accounted for") {
  World world(Json::object({{"window", 2}}));
  std::atomic<int> pushing{3};
  std::atomic<std::size_t> answers{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < 3; ++k) {
    threads.emplace_back([&, k] {
      for (int i = 0; i < 100; ++i) {
        if (i % 10 == k)
          world.stream.push_text("a good day", i % 20 ? std::optional(0.1 * i) : std::nullopt, {});
        if (i % 40 == 20 + k) world.stream.push_state(TRML_RT_RETRYING, "cable");
        world.stream.push_frame(plain, 0.1 * i + 0.01 * k);
      }
      --pushing;
    });
  }
  for (int k = 0; k < 2; ++k) {
    threads.emplace_back([&] {
      // The clock of this world stands still, so a poll that waits would never end its wait.
      while (pushing > 0) {
        answers += world.stream.poll(0).has_value();
        std::this_thread::yield();
      }
      world.stream.totals();
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 2; ++i) {  // the first ones may have come faster than any poll
    world.stream.push_frame(plain, 1000 + i);
    while (world.stream.poll(0)) ++answers;
  }
  world.stream.close();
  const auto totals = world.stream.totals();
  CHECK(answers > 0);
  CHECK(totals.seen == 302);
  CHECK(totals.waiting == 0);
  CHECK(sum_of(totals) == totals.seen);
}

TEST_CASE("several streams on one model have threads of their own, and load its engines once") {
  World world;
  std::vector<std::thread> threads;
  std::vector<double> scores(4);
  for (double& score : scores) {
    threads.emplace_back([&world, &score] {
      Stream own(
          rules_of(Json::object({{"policy", "every"}, {"window", 2}})), world.model,
          [](const auto&) {}, [] { return 0.0; });
      for (int i = 0; i < 20; ++i) {
        own.push_frame(plain, i / 10.0);
        score += own.poll(0)->score;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(scores == std::vector<double>(4, scores[0]));
  CHECK(world.backend->loaded.size() == 2);
}

TEST_CASE("a deadline is kept by the times that answers took") {
  stream::Times times;
  for (const double ms : {10.0, 30.0, 20.0}) times.add(3, 1, ms);
  CHECK(times.fits(3, 1, 20));  // all but one took no longer
  CHECK(!times.fits(3, 1, 19));
  CHECK(times.fits(3, 2, 1));  // of which nothing is known
  int refused = 1;
  while (!times.fits(3, 1, 19)) ++refused;
  CHECK(refused == 20);  // then one is tried
  times.add(3, 1, 5);    // and is in time
  CHECK(times.fits(3, 1, 1));
}
