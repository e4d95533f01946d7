// Whole answers through the C functions on OpenVINO, against those of Python on ONNX Runtime.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cmath>
#include <deque>
#include <fstream>

#include "backends/backend.hpp"
#include "bundle/folder.hpp"
#include "error.hpp"
#include "support.hpp"

using namespace support;

namespace {

trml_rt* open(const std::filesystem::path& bundle) {
  const std::string folder = bundle.string();
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.bundle = folder.c_str();
  options.backend = "openvino";
  trml_rt* rt = nullptr;
  REQUIRE_MESSAGE(trml_rt_open(&options, &rt) == TRML_RT_OK, trml_rt_last_error());
  return rt;
}

// The rows of a case as structs, with what they point at.
struct Rows {
  explicit Rows(const Json& rows) {
    for (const Json& row : rows) {
      trml_rt_sample sample{};
      sample.struct_size = sizeof sample;
      sample.frame_size = sizeof(trml_rt_frame);
      if (!row[0].is_null()) {
        texts.push_back(row[0].get<std::string>());
        sample.text = texts.back().c_str();
        sample.text_length = TRML_RT_TERMINATED;
      }
      auto& clip = frames.emplace_back();
      for (const Json& p : row[1].is_null() ? Json::array() : row[1]) {
        pixels.push_back(picture(p[0], p[1], p[2]));
        clip.push_back(frame_of(pixels.back(), p[0], p[1]));
      }
      sample.frames = clip.data();
      sample.frame_count = clip.size();
      samples.push_back(sample);
    }
  }
  std::vector<trml_rt_sample> samples;
  std::deque<std::string> texts;
  std::deque<std::vector<std::uint8_t>> pixels;
  std::deque<std::vector<trml_rt_frame>> frames;
};

void check_answer(const trml_rt_result* result, Json expected) {
  Json given = Json::parse(trml_rt_result_json(result));
  CHECK(std::abs(given["score"].get<double>() - expected["score"].get<double>()) <= 1e-3);
  CHECK(given["score"].get<double>() ==
        doctest::Approx(trml_rt_result_score(result)).epsilon(1e-5));
  CHECK(expected["label"] == trml_rt_result_label(result));
  CHECK(expected["engine_set"] == trml_rt_result_engine_set(result));
  CHECK(trml_rt_result_ms(result, "total") > 0);
  Json stages = Json::array();
  for (const auto& [stage, value] : given["ms"].items()) stages.push_back(stage);
  given["ms"] = stages;
  given["score"] = expected["score"];
  expected["backend"] = "openvino";
  CHECK(given.dump() == expected.dump());  // the keys in the same order, too
}

}  // namespace

TEST_CASE("answers are those of the Python runtime, field by field") {
  std::size_t checked = 0;
  for (const char* name : {"tiny", "default"}) {
    trml_rt* rt = open(name == std::string("tiny") ? tiny : default_bundle);
    for (const Json& row : read_json(conformance / "answers.json")) {
      if (row["bundle"] != name) continue;
      CAPTURE(row["rows"].dump().substr(0, 200));
      const Rows rows(row["rows"]);
      const std::uint32_t flags = row["degrade"].get<bool>() ? TRML_RT_DEGRADE : 0u;
      std::vector<trml_rt_result*> results(std::max<std::size_t>(1, rows.samples.size()));
      const auto status = row["call"] == "batch"
                              ? trml_rt_infer_batch(rt, rows.samples.data(), rows.samples.size(),
                                                    flags, results.data())
                              : trml_rt_infer(rt, rows.samples.data(), flags, results.data());
      if (row.contains("error")) {
        CHECK(int(status) == row["error"]["status"]);
        CHECK(row["error"]["message"] == trml_rt_last_error());
        CHECK(row["error"]["reason"] == trml_rt_last_reason());
        CHECK(results[0] == nullptr);
        continue;
      }
      REQUIRE_MESSAGE(status == TRML_RT_OK, trml_rt_last_error());
      for (std::size_t i = 0; i < rows.samples.size(); ++i) {
        check_answer(results[i], row["answers"][i]);
        trml_rt_result_free(results[i]);
        ++checked;
      }
    }
    trml_rt_close(rt);
  }
  CHECK(checked > 50);
}

TEST_CASE("a graph with other tensors than stated is refused in the same words") {
  for (const Json& row : read_json(conformance / "refusals.json")) {
    if (row["rule"] != "R13") continue;
    const BundleCopy copy;
    copy.harm(row);
    trml_rt* rt = open(copy.folder);
    trml_rt_sample sample{};
    sample.struct_size = sizeof sample;
    sample.text = "good day";
    sample.text_length = TRML_RT_TERMINATED;
    trml_rt_result* result = nullptr;
    CHECK(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_ARTEFACT);
    auto expected = row["message"].get<std::string>();
    CHECK(trml_rt_last_error() == expected.replace(0, 8, copy.folder.string()));
    trml_rt_close(rt);
  }
}

TEST_CASE("a compiled model says in its first line what it computes in, and nothing else passes") {
  trml::core::BackendSettings settings;
  settings.compiled = true;
  const auto backend = trml::core::make_openvino(settings);
  const auto refusal = [&](const std::string& data) -> std::string {
    try {
      backend->load({}, data, "text.blob");
    } catch (const trml::core::Error& error) {
      return error.what();
    }
    return "not refused";
  };
  for (const char* data : {"", "computes in i4\n", "computes in f32", "no model"}) {
    CHECK(refusal(data) == "text.blob: not a model that `trml-rt build` compiled");
  }
  const auto words = refusal("computes in f32\nno model");
  CHECK(words.find("text.blob: OpenVINO cannot load it: ") == 0);
  CHECK(words.find('\n') == words.npos);
}

TEST_CASE("a model without a graph is refused when it is loaded") {
  const BundleCopy copy;
  Json change;
  const std::string bytes = "\x08\x07";  // the version of an ONNX model, and nothing else
  std::ofstream(copy.folder / "onnx/text.onnx", std::ios::binary) << bytes;
  const Json entry = {{"sha256", trml::core::sha256_hex(bytes)}, {"bytes", bytes.size()}};
  change["patch"] =
      Json::array({Json{{"op", "replace"}, {"path", "/files/onnx~1text.onnx"}, {"value", entry}}});
  copy.harm(change);
  trml_rt* rt = open(copy.folder);
  trml_rt_sample sample{};
  sample.struct_size = sizeof sample;
  sample.text = "good day";
  sample.text_length = TRML_RT_TERMINATED;
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_ARTEFACT);
  CHECK(std::string(trml_rt_last_error()).find("text.onnx: OpenVINO cannot load it: ") !=
        std::string::npos);
  trml_rt_close(rt);
}
