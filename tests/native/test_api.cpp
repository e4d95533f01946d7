// The C functions themselves: structs of any age, wrong use, strides and formats, errors by thread.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <sys/wait.h>
#include <unistd.h>

#include <clocale>
#include <cstring>
#include <locale>
#include <thread>

#include "support.hpp"

using namespace support;

namespace {

struct Handle {
  explicit Handle(const char* backend = "openvino") {
    const std::string folder = tiny.string();
    trml_rt_options options{};
    options.struct_size = sizeof options;
    options.bundle = folder.c_str();
    options.backend = backend;
    REQUIRE_MESSAGE(trml_rt_open(&options, &rt) == TRML_RT_OK, trml_rt_last_error());
  }
  ~Handle() { trml_rt_close(rt); }
  trml_rt* rt = nullptr;
};

trml_rt_sample text_sample(const char* text) {
  trml_rt_sample sample{};
  sample.struct_size = sizeof sample;
  sample.frame_size = sizeof(trml_rt_frame);
  sample.text = text;
  sample.text_length = TRML_RT_TERMINATED;
  return sample;
}

trml_rt_sample clip_sample(const trml_rt_frame& frame) {
  auto sample = text_sample(nullptr);
  sample.frames = &frame;
  sample.frame_count = 1;
  return sample;
}

double score(trml_rt* rt, const trml_rt_sample& sample) {
  trml_rt_result* result = nullptr;
  REQUIRE_MESSAGE(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_OK, trml_rt_last_error());
  const double value = trml_rt_result_score(result);
  trml_rt_result_free(result);
  return value;
}

// The answer to a text as JSON, without the times.
std::string answer_json(trml_rt* rt) {
  const auto sample = text_sample("a good day");
  trml_rt_result* result = nullptr;
  REQUIRE_MESSAGE(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_OK, trml_rt_last_error());
  std::string json = trml_rt_result_json(result);
  trml_rt_result_free(result);
  return json.substr(0, json.find("\"ms\""));
}

struct CommaAndGroups : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

// The locale of a German program, as a toolkit for windows sets it.
struct GermanLocale {
  GermanLocale() {
    std::locale::global(std::locale(std::locale::classic(), new CommaAndGroups));
    there = std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;
  }
  ~GermanLocale() {
    std::locale::global(std::locale::classic());
    std::setlocale(LC_ALL, "C");
  }
  bool there;
};

bool says(const char* words) { return std::strstr(trml_rt_last_error(), words) != nullptr; }

}  // namespace

TEST_CASE("the library is of the header's ABI") {
  CHECK(trml_rt_abi_version() == TRML_RT_ABI_VERSION);
  CHECK(std::strlen(trml_rt_version()) > 0);
}

TEST_CASE("an absent bundle is an artefact mismatch") {
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.bundle = "/nowhere/at/all";
  trml_rt* rt = nullptr;
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_ARTEFACT);
  CHECK(rt == nullptr);
  CHECK(trml_rt_last_error() ==
        std::string("/nowhere/at/all: not a bundle: model.json cannot be read (No such file or "
                    "directory); name a folder that `trml-rt export` made"));
}

TEST_CASE("wrong options are a usage error") {
  const std::string folder = tiny.string();
  trml_rt* rt = nullptr;
  trml_rt_options options{};
  CHECK(trml_rt_open(nullptr, &rt) == TRML_RT_USAGE);
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);  // struct_size is not set
  options.struct_size = sizeof options;
  options.bundle = folder.c_str();
  CHECK(trml_rt_open(&options, nullptr) == TRML_RT_USAGE);
  options.backend = "magic";
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);
  CHECK(says("no back end 'magic'; choose auto, openvino or tensorrt"));
  options.backend = nullptr;
  options.threads = 1000;
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);
  options.threads = 65;
  options.callers = 4;
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);
  CHECK(says("callers: 4 with 65 threads each are more than 256 threads; give fewer"));
  options.threads = 0;
  for (const int callers : {-1, 257}) {
    options.callers = callers;
    CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);
    CHECK(says("callers must be 1 to 256, not"));
  }
  options.callers = 0;
  options.precision = "int4";
  CHECK(trml_rt_open(&options, &rt) == TRML_RT_USAGE);
}

TEST_CASE("a named back end never changes silently") {
  const std::string folder = tiny.string();
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.bundle = folder.c_str();
  options.backend = "tensorrt";  // without a GPU, or without engines for this one
  trml_rt* rt = nullptr;
  const auto status = trml_rt_open(&options, &rt);
  CHECK((status == TRML_RT_ENVIRONMENT || status == TRML_RT_ARTEFACT));
  CHECK(rt == nullptr);
}

TEST_CASE("closing and freeing nothing is fine, and getters of nothing give nothing") {
  trml_rt_close(nullptr);
  trml_rt_result_free(nullptr);
  CHECK(trml_rt_result_label(nullptr) == nullptr);
  CHECK(trml_rt_result_json(nullptr) == nullptr);
  CHECK(trml_rt_result_reason(nullptr, TRML_RT_TEXT) == nullptr);
  CHECK(trml_rt_result_ms(nullptr, "total") < 0);
}

#if TRML_RT_WITH_OPENVINO

TEST_CASE("an older, shorter struct and a newer, longer one are read alike") {
  const Handle handle;
  const double expected = score(handle.rt, text_sample("good day"));
  struct Longer {
    trml_rt_sample sample;
    char future[64];
  } longer{text_sample("good day"), {}};
  longer.sample.struct_size = sizeof longer;
  CHECK(score(handle.rt, longer.sample) == expected);
  auto shorter = text_sample("good day");
  shorter.struct_size = offsetof(trml_rt_sample, cuda_stream);
  CHECK(score(handle.rt, shorter) == expected);
}

TEST_CASE("wrong use of infer is a usage error") {
  const Handle handle;
  trml_rt_result* result = nullptr;
  auto sample = text_sample("good");
  CHECK(trml_rt_infer(nullptr, &sample, 0, &result) == TRML_RT_USAGE);
  CHECK(trml_rt_infer(handle.rt, nullptr, 0, &result) == TRML_RT_USAGE);
  CHECK(trml_rt_infer(handle.rt, &sample, 0, nullptr) == TRML_RT_USAGE);
  CHECK(trml_rt_infer(handle.rt, &sample, 99, &result) == TRML_RT_USAGE);
  sample.struct_size = 0;
  CHECK(trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_USAGE);
  sample = text_sample("");  // nothing of length zero is absent
  CHECK(trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_USAGE);
  CHECK(says("neither text nor video is given; give at least one"));
}

TEST_CASE("wrong frames are a usage error") {
  const Handle handle;
  const auto pixels = picture(8, 8);
  const auto good = frame_of(pixels, 8, 8);
  trml_rt_result* result = nullptr;
  const auto refused = [&](const trml_rt_frame& frame) {
    const auto sample = clip_sample(frame);
    return trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_USAGE;
  };
  auto frame = good;
  frame.data = nullptr;
  CHECK(refused(frame));
  frame = good;
  frame.width = 0;
  CHECK(refused(frame));
  frame = good;
  frame.stride = 7;
  CHECK(refused(frame));
  frame = good;
  frame.format = 9;
  CHECK(refused(frame));
  frame = good;
  frame.memory = TRML_RT_CUDA;
  CHECK(refused(frame));
  CHECK(says("host memory only"));
  auto sample = clip_sample(good);
  sample.frame_size = 0;
  CHECK(trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_USAGE);
}

TEST_CASE("rows may be padded, and BGR is RGB the other way round") {
  const Handle handle;
  const auto rgb = picture(16, 12), bgr = picture(16, 12, 0, "bgr");
  const double expected = score(handle.rt, clip_sample(frame_of(rgb, 16, 12)));
  CHECK(score(handle.rt, clip_sample(frame_of(bgr, 16, 12, TRML_RT_BGR))) == expected);
  constexpr std::size_t stride = 16 * 3 + 20;
  std::vector<std::uint8_t> padded(stride * 12, 99);
  for (std::size_t y = 0; y < 12; ++y) std::memcpy(&padded[y * stride], &rgb[y * 48], 48);
  auto frame = frame_of(padded, 16, 12);
  frame.stride = stride;
  CHECK(score(handle.rt, clip_sample(frame)) == expected);
}

TEST_CASE("NV12 may have its planes apart") {
  const Handle handle;
  const auto nv12 = picture(16, 12, 0, "nv12");
  auto frame = frame_of(nv12, 16, 12, TRML_RT_NV12);
  const double expected = score(handle.rt, clip_sample(frame));
  const std::vector<std::uint8_t> uv(nv12.begin() + 16 * 12, nv12.end());
  frame.uv = uv.data();
  frame.uv_stride = 16;
  CHECK(score(handle.rt, clip_sample(frame)) == expected);
}

TEST_CASE("the model's sizes can be asked for") {
  const Handle handle;
  trml_rt_info info{};
  info.struct_size = sizeof info;
  REQUIRE(trml_rt_get_info(handle.rt, &info) == TRML_RT_OK);
  CHECK(info.frames == 4);
  CHECK(info.height == 8);
  CHECK(info.context == 8);
  CHECK(info.label_count == 3);
  CHECK(info.backend == std::string("openvino"));
}

TEST_CASE("warming up runs every engine set, and changes no answer") {
  Handle cold, warm;
  REQUIRE(trml_rt_warm_up(warm.rt) == TRML_RT_OK);
  CHECK(trml_rt_warm_up(nullptr) == TRML_RT_USAGE);
  const auto sample = text_sample("what a good day");
  double scores[2];
  for (auto* rt : {cold.rt, warm.rt}) {
    trml_rt_result* result = nullptr;
    REQUIRE(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_OK);
    scores[rt == warm.rt] = trml_rt_result_score(result);
    trml_rt_result_free(result);
  }
  CHECK(scores[0] == scores[1]);
}

TEST_CASE("results and clones outlive the handle that they came from") {
  trml_rt_result* result = nullptr;
  trml_rt* twin = nullptr;
  const auto sample = text_sample("good day");
  {
    const Handle handle;
    REQUIRE(trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_OK);
    REQUIRE(trml_rt_clone(handle.rt, &twin) == TRML_RT_OK);
  }
  CHECK(trml_rt_result_score(result) == score(twin, sample));
  CHECK(trml_rt_result_state(result, TRML_RT_TEXT) == TRML_RT_REAL);
  CHECK(trml_rt_result_state(result, TRML_RT_VIDEO) == TRML_RT_VIRTUAL);
  CHECK(trml_rt_result_reason(result, TRML_RT_VIDEO) == std::string("not_given"));
  CHECK(trml_rt_result_reason(result, TRML_RT_TEXT) == nullptr);
  CHECK(trml_rt_result_tokens(result) == 4);
  trml_rt_result_free(result);
  trml_rt_close(twin);
}

TEST_CASE("the last error belongs to its thread") {
  const Handle handle;
  trml_rt_result* result = nullptr;
  auto sample = text_sample("");
  CHECK(trml_rt_infer(handle.rt, &sample, 0, &result) == TRML_RT_USAGE);
  std::string other = "unset";
  std::thread([&] { other = trml_rt_last_error(); }).join();
  CHECK(other.empty());
  CHECK(says("neither"));
}

void answer_in_four_clones(trml_rt* rt) {
  const auto sample = text_sample("what a good day");
  const double expected = score(rt, sample);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& failures : wrong) {
    threads.emplace_back([&failures, rt, &sample, expected] {
      trml_rt* twin = nullptr;
      if (trml_rt_clone(rt, &twin) != TRML_RT_OK) ++failures;
      for (int i = 0; i < 50; ++i) {
        trml_rt_result* result = nullptr;
        failures += trml_rt_infer(twin, &sample, 0, &result) != TRML_RT_OK ||
                    trml_rt_result_score(result) != expected;
        trml_rt_result_free(result);
      }
      trml_rt_close(twin);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("clones answer at the same time") {
  const Handle handle;
  answer_in_four_clones(handle.rt);
}

TEST_CASE("clones that have a part of the cores each answer as one does") {
  const std::string folder = tiny.string();
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.bundle = folder.c_str();
  options.callers = 4;
  options.threads = 2;
  trml_rt* rt = nullptr;
  REQUIRE(trml_rt_open(&options, &rt) == TRML_RT_OK);
  const Handle plain;
  const auto sample = text_sample("what a good day");
  CHECK(score(rt, sample) == doctest::Approx(score(plain.rt, sample)));
  answer_in_four_clones(rt);
  trml_rt_close(rt);
}

TEST_CASE("the log tells what is loaded") {
  std::string lines;
  const std::string folder = tiny.string();
  trml_rt_options options{};
  options.struct_size = sizeof options;
  options.bundle = folder.c_str();
  options.log = [](void* user, trml_rt_log_level, const char* line) {
    *static_cast<std::string*>(user) += std::string(line) + "\n";
  };
  options.log_user = &lines;
  trml_rt* rt = nullptr;
  REQUIRE(trml_rt_open(&options, &rt) == TRML_RT_OK);
  score(rt, text_sample("good"));
  trml_rt_close(rt);
  CHECK(lines.find("not on TensorRT: ") != lines.npos);
  CHECK(lines.find("loaded onnx/text.onnx on openvino") != lines.npos);
  CHECK(lines.find("frame.onnx") == lines.npos);
}

TEST_CASE("the locale of a program changes neither bundles nor answers") {
  const std::string expected = answer_json(Handle().rt);
  CAPTURE(expected);
  CHECK(expected.find("\"score\":-0.") != expected.npos);
  const GermanLocale german;
  if (!german.there) {
    MESSAGE("no German C locale here: localedef -i de_DE -f UTF-8 de_DE.UTF-8");
  }
  CHECK(answer_json(Handle().rt) == expected);
}

TEST_CASE("a forked child is told to open for itself, and may close what it inherited") {
  const Handle parent;
  const auto sample = text_sample("a good day");
  const double before = score(parent.rt, sample);
  const pid_t child = fork();
  if (child == 0) {
    trml_rt_result* result = nullptr;
    trml_rt* clone = nullptr;
    const bool refused = trml_rt_infer(parent.rt, &sample, 0, &result) == TRML_RT_USAGE &&
                         says("before a fork") && trml_rt_clone(parent.rt, &clone) == TRML_RT_USAGE;
    trml_rt_close(parent.rt);
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(score(parent.rt, sample) == before);
}
#endif  // TRML_RT_WITH_OPENVINO
