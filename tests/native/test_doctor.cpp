// What trml_rt_probe says of the library, the machine and a bundle.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstring>
#include <fstream>

#include "doctor.hpp"
#include "error.hpp"
#include "support.hpp"

using namespace support;

namespace {

struct Report {
  explicit Report(const std::string& bundle = "", const char* backend = nullptr) {
    trml_rt_options options{};
    options.struct_size = sizeof options;
    options.bundle = bundle.c_str();
    options.backend = backend;
    REQUIRE_MESSAGE(trml_rt_probe(&options, &report) == TRML_RT_OK, trml_rt_last_error());
  }
  ~Report() { CHECK(trml_rt_report_free(report) == TRML_RT_OK); }

  trml_rt_check operator[](const std::string& name) const {
    for (std::size_t i = 0; i < trml_rt_report_count(report); ++i) {
      trml_rt_check check{};
      check.struct_size = sizeof check;
      REQUIRE(trml_rt_report_check(report, i, &check) == TRML_RT_OK);
      if (check.name == name) return check;
    }
    return {};
  }
  trml_rt_report* report = nullptr;
};

bool has(const trml_rt_check& check, const char* words) {
  CAPTURE(check.found);
  return std::strstr(check.found, words) != nullptr;
}

}  // namespace

TEST_CASE("the library and the system are described") {
  const Report report;
  CHECK(report["library"].ok);
  CHECK(has(report["library"], trml_rt_version()));
  CHECK(has(report["library"], "ABI 1, ICU "));
  CHECK(has(report["library"], " with Unicode "));
  CHECK(has(report["library"], "OpenSSL 3."));
  CHECK(has(report["library"], "OpenVINO ") == TRML_RT_WITH_OPENVINO);
  CHECK(has(report["system"], " CPUs, "));
  CHECK(report["system"].required == 0);
}

TEST_CASE("without a bundle nothing is said of one") {
  const Report report;
  CHECK(report["bundle"].name == nullptr);
  CHECK(report["engines"].name == nullptr);
}

TEST_CASE("a bundle is hashed, and what would answer is named") {
  const Report report(tiny.string());
  CHECK(report["bundle"].ok);
  CHECK(has(report["bundle"], (" at " + tiny.string()).c_str()));
  if (TRML_RT_WITH_OPENVINO) {
    CHECK(trml_rt_report_fit(report.report) == 1);
    CHECK(report["engines"].ok);
    CHECK(has(report["engines"], "portable engines on openvino"));
  }
}

TEST_CASE("a damaged bundle makes the machine unfit, with Python's remedy") {
  const BundleCopy copy;
  std::ofstream(copy.folder / "tokenizer.json", std::ios::app) << " ";
  const Report report(copy.folder.string());
  CHECK(trml_rt_report_fit(report.report) == 0);
  CHECK_FALSE(report["bundle"].ok);
  CHECK(has(report["bundle"], "tokenizer.json: "));
  CHECK(report["bundle"].remedy == std::string("copy or export the bundle again"));
  CHECK(report["engines"].name == nullptr);  // nothing would answer
}

TEST_CASE("a file whose bytes were changed is found by its hash") {
  const BundleCopy copy;
  const auto path = copy.folder / "tokenizer.json";
  std::fstream(path, std::ios::in | std::ios::out).put(' ');
  const Report report(copy.folder.string());
  CHECK(has(report["bundle"], "the content differs from its sha256 in the manifest"));
}

TEST_CASE("a back end that is named must be there, and the other is not looked at") {
  const Report openvino(tiny.string(), "openvino"), tensorrt(tiny.string(), "tensorrt");
  CHECK(openvino["back end openvino"].ok == TRML_RT_WITH_OPENVINO);
  CHECK(openvino["back end openvino"].required == 1);
  CHECK(openvino["back end tensorrt"].name == nullptr);
  CHECK(tensorrt["back end openvino"].name == nullptr);
  CHECK(trml_rt_report_fit(tensorrt.report) == 0);  // no test machine has a GPU and these engines
  CHECK_FALSE(tensorrt["engines"].ok);
}

TEST_CASE("what auto passes over is said with what it takes") {
  const Json fields = read_json(conformance / "engines.json")["built_for"];
  const BundleCopy copy;
  copy.lay_out({{"fp16", "verified"}}, fields);
  const Report report(copy.folder.string());
  CHECK(has(report["engines"], "this libtrml_rt was built without TensorRT"));
  CHECK(report["engines"].ok == TRML_RT_WITH_OPENVINO);
}

TEST_CASE("the JSON has the checks of the report") {
  const BundleCopy copy;
  const auto folder = copy.folder.parent_path() / "caf\xe9\n";  // no UTF-8
  std::filesystem::copy(copy.folder, folder, std::filesystem::copy_options::recursive);
  const Report report(folder.string());
  const Json json = Json::parse(trml_rt_report_json(report.report));
  CHECK(json["fit"] == (trml_rt_report_fit(report.report) == 1));
  REQUIRE(json["checks"].size() == trml_rt_report_count(report.report));
  CHECK(json["checks"][0]["name"] == "library");
  CHECK(json["checks"][0]["remedy"].is_null());
  CHECK(json["checks"][2]["name"] == "bundle");
}

TEST_CASE("wrong use is refused, and a report is freed once") {
  trml_rt_report* report = nullptr;
  CHECK(trml_rt_probe(nullptr, nullptr) == TRML_RT_USAGE);
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.backend = "magic";
  CHECK(trml_rt_probe(&options, &report) == TRML_RT_USAGE);
  CHECK(report == nullptr);
  REQUIRE(trml_rt_probe(nullptr, &report) == TRML_RT_OK);
  trml_rt_check check{};
  CHECK(trml_rt_report_check(report, 0, &check) == TRML_RT_USAGE);  // no struct_size
  check.struct_size = sizeof check;
  CHECK(trml_rt_report_check(report, 99, &check) == TRML_RT_USAGE);
  CHECK(std::strstr(trml_rt_last_error(), "there is no check 99: the report has ") != nullptr);
  CHECK(trml_rt_report_free(nullptr) == TRML_RT_OK);
  REQUIRE(trml_rt_report_free(report) == TRML_RT_OK);
  CHECK(trml_rt_report_free(report) == TRML_RT_USAGE);
  CHECK(trml_rt_report_json(report) == nullptr);
  CHECK(trml_rt_report_count(report) == 0);
  CHECK(trml_rt_report_fit(report) == 0);
}
