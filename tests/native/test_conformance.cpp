// The conformance files, as tests/trml_rt/test_conformance.py reads them for Python.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdlib>
#include <fstream>

#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"
#include "bundle/places.hpp"
#include "engines/fastest.hpp"
#include "engines/key.hpp"
#include "error.hpp"
#include "inputs/charsmap.hpp"
#include "inputs/clip.hpp"
#include "inputs/image.hpp"
#include "inputs/tokenizer.hpp"
#include "runtime.hpp"
#include "support.hpp"

using namespace support;
using namespace trml::core;

namespace {

// The ids, -1 before them where the text was cut; or the reason of refusal.
Json encoded(const Tokenizer& tokenizer, const std::string& text, Scratch& scratch) {
  try {
    const Tokens tokens = tokenizer.encode(text, scratch);
    Json ids = tokens.ids;
    if (tokens.truncated) ids.insert(ids.begin(), -1);
    return ids;
  } catch (const InputUnusable& error) {
    return error.reason;
  }
}

void check_tokens(const std::filesystem::path& file, const char* expected) {
  const auto tokenizer = Tokenizer::read(read_bytes(file), file.string());
  const Json texts = read_json(conformance / "texts.json"), ids = read_json(conformance / expected);
  REQUIRE(texts.size() > 2000);
  REQUIRE(texts.size() == ids.size());
  Scratch scratch;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(texts[i].dump());
    CHECK(encoded(*tokenizer, texts[i].get<std::string>(), scratch).dump() == ids[i].dump());
  }
}

std::string refusal(const std::filesystem::path& folder, const std::string& call) {
  try {
    if (call == "engines") {
      const auto engines = open_engine_folder(folder / "engines" / "built");
      engines.passed_sets();
      for (const auto& [engine, entry] : engines.files) engines.read(engine);
      return "not refused";
    }
    Runtime runtime(std::make_shared<Model>(folder.string(), std::make_shared<SumBackend>()));
    const std::string text = "good day";
    Sample sample;
    sample.text = text.data();
    sample.text_length = text.size();
    if (call == "text") runtime.infer({sample}, false, false);
  } catch (const Error& error) {
    const bool artefact = error.status() == TRML_RT_ARTEFACT || error.status() == TRML_RT_USAGE;
    return artefact ? error.what() : "not an artefact mismatch";
  }
  return "not refused";
}

// TensorRT on the device that the engines of engines.json were built for.
class StandIn : public SumBackend {
 public:
  explicit StandIn(const Json& built_for) {
    for (const char* name :
         {"back end version", "compute capability", "GPU", "multiprocessors", "CUDA"}) {
      here_.emplace_back(name, built_for.at("fp32").at(name).get<std::string>());
    }
  }
  const char* name() const override { return "tensorrt"; }
  BuiltFor here() const override { return here_; }

 private:
  BuiltFor here_;
};

// The name of the engines that a call takes, "auto fp16", or the words that refuse it.
std::string taken(const std::filesystem::path& folder, const std::string& call,
                  const Json& built_for) {
  Options options;
  options.bundle = folder.string();
  options.backend = call.substr(0, call.find(' '));
  if (call.find(' ') != call.npos) options.precision = call.substr(call.find(' ') + 1);
  try {
    const Model model(options, [&](const auto&) { return std::make_shared<StandIn>(built_for); });
    return model.engines_name;
  } catch (const ArtefactMismatch& error) {
    return error.what();
  } catch (const EnvironmentUnfit&) {
    if (TRML_RT_WITH_OPENVINO || options.backend != "auto") throw;
    return "portable";  // which this build leaves to OpenVINO
  }
}

// The variables that name the cache, for as long as this lives.
class Environment {
 public:
  explicit Environment(const Json& values) {
    for (const char* name : {"TRML_RT_CACHE", "XDG_CACHE_HOME", "HOME"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      set(name, values);
    }
  }
  ~Environment() {
    for (const char* name : {"TRML_RT_CACHE", "XDG_CACHE_HOME", "HOME"}) set(name, before_);
  }
  Environment(const Environment&) = delete;

 private:
  static void set(const char* name, const Json& values) {
    ::unsetenv(name);
    if (values.contains(name)) ::setenv(name, values[name].get<std::string>().c_str(), 1);
  }
  Json before_ = Json::object();
};

}  // namespace

TEST_CASE("word pieces are those of the Python reader") {
  check_tokens(default_bundle / "tokenizer.json", "tokens_word_piece.json");
}

TEST_CASE("byte pairs are those of the Python reader") {
  check_tokens(conformance / "byte_pair.json", "tokens_byte_pair.json");
}

TEST_CASE("frames are chosen as the Python reader chooses") {
  for (const Json& row : read_json(conformance / "frames.json")) {
    CAPTURE(row.dump());
    if (row.contains("indices")) {
      CHECK(Json(choose_indices(row["total"], row["count"])) == row["indices"]);
    } else {
      CHECK(Json(choose_times(row["start"], row["duration"], row["count"])) == row["times"]);
    }
  }
}

TEST_CASE("what the Python reader refuses is refused in the same words") {
  const Json cases = read_json(conformance / "refusals.json");
  REQUIRE(cases.size() > 100);
  for (const Json& row : cases) {
    CAPTURE(row.dump().substr(0, 300));
    const BundleCopy copy;
    copy.harm(row);
    // R13 speaks of the graph's own tensors, which a stand-in does not read; test_answers has it.
    if (row["rule"] == "R13") continue;
    auto expected = row["message"].get<std::string>();
    if (const auto at = expected.find("{bundle}"); at != expected.npos) {
      expected.replace(at, 8, copy.folder.string());
    }
    auto given = refusal(copy.folder, row["call"]);
    if (row.value("own_words", false)) {
      const std::string same = "not valid JSON: ";
      expected.resize(expected.find(same) + same.size());
      given.resize(std::min(given.size(), expected.size()));
    }
    CHECK(given == expected);
  }
}

TEST_CASE("a call takes the engines that it takes in Python") {
  const Json file = read_json(conformance / "engines.json"), fields = file["built_for"];
  REQUIRE(file["choices"].size() > 5 * 5 * 5);
  const BundleCopy copy;
  for (const Json& row : file["choices"]) {
    CAPTURE(row["engines"].dump());
    copy.lay_out(row["engines"], fields);
    for (const auto& [call, expected] : row["taken"].items()) {
      CAPTURE(call);
      const auto found = taken(copy.folder, call, fields);
      CHECK((found.find(": ") == found.npos ? found : "refused") == expected.get<std::string>());
    }
  }
}

TEST_CASE("engines that no call takes are refused in the same words") {
  const Json file = read_json(conformance / "engines.json"), fields = file["built_for"];
  REQUIRE(file["messages"].size() > 10);
  const BundleCopy copy;
  for (const Json& row : file["messages"]) {
    CAPTURE(row.dump());
    copy.lay_out(row["engines"], fields, row.value("change", Json::object()),
                 row.value("without", Json::array()));
    const auto expected = filled_in(row["message"], copy.folder);
    CHECK(taken(copy.folder, row["call"], fields) == expected);
  }
}

TEST_CASE("a call takes engines of the place that it takes them of in Python") {
  const Json file = read_json(conformance / "engines.json"), fields = file["built_for"];
  REQUIRE(file["places"].size() > 5 * 5);
  const BundleCopy copy;
  const auto cache = copy.folder.parent_path() / "cache";
  const auto digest = sha256_hex(read_bytes(copy.folder / "model.json"));
  const Environment environment(Json::object({{"TRML_RT_CACHE", cache.string()}}));
  for (const Json& row : file["places"]) {
    CAPTURE(row.dump());
    copy.lay_out(row["own"], fields);
    copy.lay_out(row["cache"], fields, Json::object(), Json::array(),
                 cache / "engines" / digest.substr(0, 16));
    for (const auto& [call, expected] : row["taken"].items()) {
      CAPTURE(call);
      const auto found = taken(copy.folder, call, fields);
      CHECK((found.find(": ") == found.npos ? found : "refused") == expected.get<std::string>());
    }
  }
}

TEST_CASE("a call takes what was found fastest where it takes that in Python") {
  const Json file = read_json(conformance / "engines.json"), fields = file["built_for"];
  REQUIRE(file["fastest"].size() > 100);
  const BundleCopy copy;
  for (const Json& row : file["fastest"]) {
    CAPTURE(row.dump());
    copy.lay_out(row["engines"], fields);
    copy.write_fastest(row["record"]);
    for (const auto& [call, expected] : row["taken"].items()) {
      CAPTURE(call);
      const auto found = taken(copy.folder, call, fields);
      CHECK((found.find(": ") == found.npos ? found : "refused") == expected.get<std::string>());
    }
  }
}

TEST_CASE("damaged records of what was fastest are refused in the same words") {
  const Json rows = read_json(conformance / "engines.json")["damage"];
  REQUIRE(rows.size() > 10);
  for (const Json& row : rows) {
    CAPTURE(row.dump());
    const BundleCopy copy;
    const auto path = copy.write_fastest(row["record"]);
    auto expected = row["message"].get<std::string>();
    expected.replace(expected.find("{path}"), 6, path.string());
    std::string given = "not refused";
    try {
      read_fastest(Bundle(copy.folder.string()));
    } catch (const ArtefactMismatch& error) {
      given = error.what();
    }
    CHECK(given == expected);
  }
}

TEST_CASE("engines for OpenVINO are built for what they are built for in Python") {
  const Json file = read_json(conformance / "engines.json")["openvino"];
  const BundleCopy copy;
  const Bundle bundle(copy.folder.string());
  BuiltFor here;
  for (const auto& [name, value] : file["here"].items()) here.emplace_back(name, value);
  for (const char* precision : {"fp32", "fp16", "int8"}) {
    auto expected = Json::parse(filled_in(file[precision].dump(), copy.folder)).get<Fields>();
    CHECK(expected["builder options"] == openvino_row.options);
    expected.erase("builder options");
    CHECK(built_for_here(bundle, precision, openvino_row, here) == expected);
  }
}

TEST_CASE("of a CPU and a device is told what Python tells") {
  const Json file = read_json(conformance / "engines.json");
  REQUIRE(file["cpus"].size() > 10);
  for (const Json& row : file["cpus"]) {
    CAPTURE(row.dump());
    const Cpu cpu = read_cpu(row["text"]);
    CHECK(cpu.name == row["told"]["name"]);
    CHECK(cpu.features == row["told"]["features"]);
    CHECK(cpu.half_precision == row["told"]["half precision"]);
  }
  for (const Json& row : file["devices"]) {
    CHECK(fastest_name(row["device"].get<Fields>()) == row["name"]);
  }
}

TEST_CASE("the cache is the folder that it is in Python") {
  const Json rows = read_json(conformance / "engines.json")["caches"];
  REQUIRE(rows.size() > 50);
  for (const Json& row : rows) {
    CAPTURE(row.dump());
    const Environment environment(row["environment"]);
    const auto found = cache_folder();
    CHECK((found ? Json(found->string()) : Json()) == row["folder"]);
  }
}

TEST_CASE("the cache is looked into once it is there") {
  const BundleCopy copy;
  const auto cache = copy.folder.parent_path() / "cache";
  std::filesystem::create_directories(cache);
  const Bundle bundle(copy.folder.string());
  const auto place = cache / "engines" / bundle.sha256.substr(0, 16);
  const Environment environment(Json::object({{"TRML_RT_CACHE", cache.string()}}));
  CHECK(engine_places(bundle).size() == 1);
  std::filesystem::create_directories(place);
  CHECK(engine_places(bundle).front() == place);
}

TEST_CASE("of engines that fit alike those of the default options are taken") {
  const Json fields = read_json(conformance / "engines.json")["built_for"];
  const BundleCopy copy;
  const auto add = [&](const char* name, const Json& change) {
    const BundleCopy other;
    other.lay_out({{"int8", "verified"}}, fields, change);
    std::filesystem::copy(other.folder / "engines" / "int8", copy.folder / "engines" / name,
                          std::filesystem::copy_options::recursive);
  };
  std::filesystem::create_directories(copy.folder / "engines");
  add("a", {{"builder options", "others"}});
  CHECK(taken(copy.folder, "tensorrt", fields) == "a");
  add("b", Json::object());
  CHECK(taken(copy.folder, "tensorrt", fields) == "b");
  add("b2", {{"calibration", "one"}});
  CHECK(taken(copy.folder, "tensorrt", fields) == "b");
  std::filesystem::remove_all(copy.folder / "engines" / "a");
  std::filesystem::remove_all(copy.folder / "engines" / "b");
  CHECK(taken(copy.folder, "tensorrt", fields) == "b2");
  add("c", {{"calibration", "two"}});
  CHECK(taken(copy.folder, "tensorrt", fields) ==
        copy.folder.string() +
            ": 2 engine folders fit alike: b2, c; keep those of one calibration, or put it into "
            "the bundle");
  std::filesystem::create_directories(copy.folder / "calibration");
  std::ofstream(copy.folder / "calibration" / "calibration.json") << "{}";
  add("d", {{"calibration", sha256_hex("{}")}});
  CHECK(taken(copy.folder, "tensorrt", fields) == "d");
}

TEST_CASE("a command that is suggested is quoted as in Python") {
  const Json fields = read_json(conformance / "engines.json")["built_for"];
  const BundleCopy copy;
  for (const auto& [name, quoted] :
       {std::pair<std::string, std::string>{"my bundle", "/my bundle'"},
        {"it's", "/it'\"'\"'s'"},
        {"plain_1.0", "/plain_1.0 "}}) {
    const auto folder = copy.folder / name;
    std::filesystem::create_directory(folder);
    for (const char* part : {"model.json", "onnx", "golden", "tokenizer.json"}) {
      std::filesystem::copy(copy.folder / part, folder / part,
                            std::filesystem::copy_options::recursive);
    }
    CAPTURE(taken(folder, "tensorrt", fields));
    CHECK(taken(folder, "tensorrt", fields).find(quoted) != std::string::npos);
  }
}

namespace {

// The warnings of a call that opens `folder`, and the error that it ends in, if any.
std::vector<std::string> warnings_of(const std::filesystem::path& folder, const Json& built_for,
                                     const std::string& precision = "") {
  std::vector<std::string> lines;
  Options options;
  options.bundle = folder.string();
  options.precision = precision;
  options.settings.log = [&](trml_rt_log_level level, const std::string& line) {
    if (level == TRML_RT_LOG_WARNING) lines.push_back(line);
  };
  try {
    const Model model(options, [&](const auto&) { return std::make_shared<StandIn>(built_for); });
  } catch (const EnvironmentUnfit& error) {
    CHECK_FALSE(TRML_RT_WITH_OPENVINO);
    CHECK(std::string(error.what()).rfind("no back end can answer: ", 0) == 0);
    CHECK(std::string(error.what()).find("was built without OpenVINO") != std::string::npos);
  }
  return lines;
}

}  // namespace

TEST_CASE("auto warns of engines that it passes over, and of nothing where there are none") {
  const Json fields = read_json(conformance / "engines.json")["built_for"];
  const BundleCopy copy;
  const auto warnings = [&](const Json& engines) {
    copy.lay_out(engines, fields);
    return warnings_of(copy.folder, fields);
  };
  CHECK(warnings(Json::object()).empty());
  CHECK(warnings({{"int8", "unverified"}}).empty());  // which is taken by name only
  CHECK(warnings({{"fp16", "verified"}, {"fp32", "unverified"}}).empty());
  const std::string begins = "openvino answers, since no other engines can: ";
  const auto unverified = warnings({{"fp16", "unverified"}});
  REQUIRE(unverified.size() == 1);
  CHECK(unverified[0].rfind(begins, 0) == 0);
  CHECK(unverified[0].find("not verified; verify it: trml-rt verify") != std::string::npos);
  const auto elsewhere = warnings({{"fp16", "verified elsewhere"}, {"fp32", "failed"}});
  REQUIRE(elsewhere.size() == 1);
  CHECK(elsewhere[0].rfind(begins, 0) == 0);
  CHECK(elsewhere[0].find(" there, ") != std::string::npos);
  CHECK(elsewhere[0].find("not verified") != std::string::npos);
}

TEST_CASE("auto warns where it does not take what was found fastest") {
  const Json fields = read_json(conformance / "engines.json")["built_for"];
  const BundleCopy copy;
  copy.lay_out({{"fp16", "verified"}, {"int8", "unverified"}}, fields);
  const Json record = {{"schema", 1},
                       {"device", Json::object()},
                       {"engines", "int8"},
                       {"compared", {{"fp16", Json::object()}, {"int8", Json::object()}}}};
  copy.write_fastest(record);
  const auto unverified = warnings_of(copy.folder, fields);
  REQUIRE(unverified.size() == 1);
  CHECK(unverified[0].rfind("not what was fastest: ", 0) == 0);
  CHECK(unverified[0].find("not verified") != std::string::npos);
  copy.write_fastest("{");
  const auto damaged = warnings_of(copy.folder, fields);
  REQUIRE(damaged.size() == 1);
  CHECK(damaged[0].find(".fastest-") != std::string::npos);
}
