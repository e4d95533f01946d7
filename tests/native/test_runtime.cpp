// The rules of dispatch, on engines that add numbers.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "bundle/engine_folder.hpp"
#include "error.hpp"
#include "runtime.hpp"
#include "support.hpp"

using namespace support;
using namespace trml::core;

namespace {

Sample text(const char* words) {
  Sample sample;
  sample.text = words;
  sample.text_length = std::char_traits<char>::length(words);
  return sample;
}

Sample clip(const std::vector<std::uint8_t>& pixels, int count, int size = 8) {
  Sample sample;
  sample.frames.assign(std::size_t(count), frame_of(pixels, size, size));
  return sample;
}

struct World {
  std::shared_ptr<SumBackend> backend = std::make_shared<SumBackend>();
  std::shared_ptr<Model> model = std::make_shared<Model>(tiny.string(), backend);
  Runtime runtime{model};
};

const std::vector<std::uint8_t> black(8 * 8 * 3, 0);

}  // namespace

TEST_CASE("text alone never loads the image encoder") {
  World world;
  world.runtime.infer({text("good")}, false, false);
  CHECK(world.backend->loaded == std::vector<std::string>{"text", "fuse_text"});
}

TEST_CASE("video alone never loads the text encoder") {
  World world;
  world.runtime.infer({clip(black, 1)}, false, false);
  CHECK(world.backend->loaded == std::vector<std::string>{"frame", "fuse_video"});
}

TEST_CASE("what was opened through a link stays what it was") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("trml_rt_link_" + std::to_string(getpid()));
  fs::create_directories(folder);
  fs::create_directory_symlink(tiny, folder / "current");
  auto backend = std::make_shared<SumBackend>();
  const auto model = std::make_shared<Model>((folder / "current").string(), backend);
  fs::remove(folder / "current");  // as a deploy that lets it name another bundle
  fs::create_directory_symlink(folder, folder / "current");
  Runtime runtime{model};
  runtime.infer({text("good")}, false, false);  // which loads the first engines
  CHECK(backend->loaded == std::vector<std::string>{"text", "fuse_text"});
  fs::remove_all(folder);
}

TEST_CASE("clones share engines") {
  World world;
  Runtime twin(world.model);
  world.runtime.infer({text("good")}, false, false);
  twin.infer({text("good")}, false, false);
  CHECK(world.backend->loaded.size() == 2);
}

TEST_CASE("frames are laid out by the mask, the rest is zero") {
  Tensor vectors(Type::float32, {3, 2}), mask(Type::boolean, {2, 2});
  for (int i = 0; i < 6; ++i) vectors.as<float>()[i] = float(i + 1);
  mask.bytes = {1, 1, 1, 0};
  const Tensor out = lay_out(vectors, mask);
  CHECK(out.shape == std::vector<std::int64_t>{2, 2, 2});
  const std::vector<float> expected{1, 2, 3, 4, 5, 6, 0, 0};
  CHECK(std::vector<float>(out.as<float>(), out.as<float>() + 8) == expected);
}

TEST_CASE("vectors that do not match the mask are refused") {
  Tensor vectors(Type::float32, {2, 2}), mask(Type::boolean, {1, 2});
  mask.bytes = {1, 0};
  CHECK_THROWS_AS(lay_out(vectors, mask), ArtefactMismatch);
}

TEST_CASE("a row of a mixed batch is answered as if alone") {
  World world;
  const std::vector<Sample> rows{text("good"), clip(black, 2), text("a bad day"), clip(black, 9),
                                 text("what")};
  const auto together = world.runtime.infer(rows, false, true);
  REQUIRE(together.size() == rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto alone = world.runtime.infer({rows[i]}, false, false);
    CHECK(together[i].score == alone[0].score);
    CHECK(together[i].label == alone[0].label);
    CHECK(together[i].text.tokens == alone[0].text.tokens);
    CHECK(together[i].video.frames == alone[0].video.frames);
  }
}

TEST_CASE("a group never exceeds what the engines take") {
  class Watch : public SumBackend {
   public:
    std::shared_ptr<Engine> load(const EngineSpec& spec, std::string data,
                                 const std::filesystem::path& path) override {
      struct Session : trml::core::Session {
        std::unique_ptr<trml::core::Session> inner;
        std::int64_t* most = nullptr;
        std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) override {
          *most = std::max(*most, inputs[0]->shape[0]);
          return inner->run(inputs);
        }
      };
      struct Engine : trml::core::Engine {
        std::shared_ptr<trml::core::Engine> inner;
        std::int64_t* most = nullptr;
        std::unique_ptr<trml::core::Session> session(std::shared_ptr<void>& lane) override {
          auto made = std::make_unique<Session>();
          made->inner = inner->session(lane);
          made->most = most;
          return made;
        }
      };
      auto engine = std::make_shared<Engine>();
      engine->inner = SumBackend::load(spec, std::move(data), path);
      engine->most = &most[spec.name];
      return engine;
    }
    std::map<std::string, std::int64_t> most;
  };
  auto backend = std::make_shared<Watch>();
  Runtime runtime(std::make_shared<Model>(tiny.string(), backend));
  runtime.infer({10, text("good")}, false, true);
  runtime.infer({10, clip(black, 4)}, false, true);
  CHECK(backend->most["text"] == 3);
  CHECK(backend->most["frame"] == 4);  // two clips of 4 would be more than 6
}

TEST_CASE("clones answer on several threads as one does alone") {
  World world;
  const auto pixels = picture(20, 20, 1);
  const std::vector<Sample> rows{text("good day"), clip(pixels, 5, 20), text("not bad.")};
  const auto expected = world.runtime.infer(rows, false, true);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  auto fresh = std::make_shared<Model>(tiny.string(), std::make_shared<SumBackend>());
  for (int& failures : wrong) {
    threads.emplace_back([&failures, &rows, &expected, fresh] {
      Runtime twin(fresh);
      for (int i = 0; i < 50; ++i) {
        const auto answers = twin.infer(rows, false, true);
        for (std::size_t r = 0; r < rows.size(); ++r) {
          failures += answers[r].score != expected[r].score;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("classification gives the probabilities of all labels") {
  Task task;
  task.regression = false;
  task.labels = {"sad", "glad", "calm"};
  const float values[] = {1.0f, 3.0f, 2.0f};
  Answer answer;
  read_prediction(values, task, answer);
  CHECK(answer.label == "glad");
  CHECK(answer.score == doctest::Approx(0.665241));
  CHECK(answer.probabilities.size() == 3);
  CHECK(answer.probabilities[0].second == doctest::Approx(0.090031));
}

TEST_CASE("a regression's score is clipped, and a threshold belongs to the label above") {
  Task task;
  task.labels = {"negative", "neutral", "positive"};
  task.range = {-1, 1};
  task.thresholds = {-0.25, 0.25};
  for (const auto& [value, score, label] :
       {std::tuple{7.0f, 1.0, "positive"}, {0.25f, 0.25, "positive"}, {-0.5f, -0.5, "negative"}}) {
    Answer answer;
    read_prediction(&value, task, answer);
    CHECK(answer.score == score);
    CHECK(answer.label == label);
  }
}

TEST_CASE("NaN and infinity are never an answer") {
  Task task;
  task.labels = {"a"};
  task.range = {0, 1};
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Answer answer;
    CHECK_THROWS_AS(read_prediction(&value, task, answer), VerificationFailed);
  }
}

TEST_CASE("invalid UTF-8 is unusable, and says where") {
  World world;
  for (const char* bad :
       {"ab\xff", "ab\xc3", "ab\xed\xa0\x80", "ab\xc0\x80", "ab\xf5\x80\x80\x80"}) {
    try {
      world.runtime.infer({text(bad)}, false, false);
      CHECK(false);
    } catch (const InputUnusable& error) {
      CHECK(error.reason == "undecodable");
      CHECK(std::string(error.what()) == "the text is not valid Unicode at byte 2; pass UTF-8");
    }
  }
}

TEST_CASE("a text larger than a megabyte is unusable, and is not tokenised") {
  World world;
  const std::string most(1'000'000, 'a');
  CHECK_NOTHROW(world.runtime.infer({text((most.substr(6) + " good ").c_str())}, false, false));
  try {
    world.runtime.infer({text((most + "a").c_str())}, false, false);
    CHECK(false);
  } catch (const InputUnusable& error) {
    CHECK(error.reason == "undecodable");
    CHECK(std::string(error.what()) == "the text is larger than 1 MB; pass one utterance");
  }
}

TEST_CASE("damaged tokenizers are refused") {
  for (const char* bad : {"", "{}", "\xff", R"({"model": {"type": "Unigram", "vocab": []}})",
                          R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})",
                          R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})"}) {
    CHECK_THROWS_AS(Tokenizer::read(bad, "tokenizer.json"), ArtefactMismatch);
  }
}

TEST_CASE("engines carry what the build writes, and verify.json says whether they are verified") {
  namespace fs = std::filesystem;
  const auto folder = fs::temp_directory_path() / ("trml_engines_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const auto put = [&](const char* name, const std::string& content) {
    std::ofstream(folder / name, std::ios::binary) << content;
  };
  const auto manifest = [](const std::string& layers) {
    return R"({"schema": 1, "backend": "tensorrt", "precision": "fp16", "weights": "fp16", "compute": "fp16",
      "built_for": {}, "files": {"text": {"file": "text.plan", "bytes": 4, "layers": )" +
           layers + R"(, "sha256": ")" + std::string(64, 'a') +
           R"("}}, "verified": {"text/prediction": 0.0},
      "products": {}, "plan_layers": {}, "islands": {"text": ["norm"]}})";
  };
  put("text.plan", "plan");
  put("manifest.json", manifest("{}"));
  const auto passed = [&] { return open_engine_folder(folder).passed_sets(); };
  CHECK(passed().empty());
  const auto verdict = [](const char* holds) {
    return std::string(R"({"problems": [], "warnings": [], "inputs": "data", "golden": {},
      "fp32": {"rows": 3}, "passed": )") +
           holds + "}";
  };
  const auto record = [&](char digit) {
    return R"({"schema": 2, "precision": "fp16", "reference": "FP32", "limits": {"score": 0.01},
      "engines": {"text": ")" +
           std::string(64, digit) + R"("}, "engine_sets": {"text": )" + verdict("true") +
           R"(, "video": )" + verdict("false") + "}}";
  };
  put("verify.json", record('a'));
  CHECK(passed() == std::vector<std::string>{"text"});
  put("verify.json", record('b'));  // of other engines
  CHECK(passed().empty());
  put("verify.json", "damaged");
  CHECK_THROWS_AS(passed(), ArtefactMismatch);
  fs::remove(folder / "verify.json");
  put("manifest.json", manifest("[]"));
  CHECK_THROWS_AS(open_engine_folder(folder), ArtefactMismatch);
  fs::remove_all(folder);
}
