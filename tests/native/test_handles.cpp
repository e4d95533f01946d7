// Handles that are closed, freed or made up; sizes, counts and strides that cannot be meant.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "gate.hpp"

using namespace support;
using namespace trml::core;

namespace {

trml_rt_result* answer(trml_rt* rt, const char* text = "good") {
  const auto sample = text_sample(text);
  trml_rt_result* result = nullptr;
  REQUIRE_MESSAGE(trml_rt_infer(rt, &sample, 0, &result) == TRML_RT_OK, trml_rt_last_error());
  return result;
}

// Whether a call was refused as one that makes no sense, with these words.
bool refused(trml_rt_status status, const char* words) {
  CAPTURE(trml_rt_last_error());
  CHECK(std::strstr(trml_rt_last_error(), words) != nullptr);
  return status == TRML_RT_USAGE;
}

trml_rt_status infer(trml_rt* rt, const trml_rt_sample& sample) {
  trml_rt_result* result = nullptr;
  const auto status = trml_rt_infer(rt, &sample, 0, &result);
  trml_rt_result_free(result);
  return status;
}

constexpr const char* not_open =
    "this handle is not open: it was closed before, or never came from this library";

// Every function that takes a handle.
void check_refused(trml_rt* rt) {
  const auto sample = text_sample("good");
  trml_rt_info info{};
  info.struct_size = sizeof info;
  trml_rt* twin = nullptr;
  CHECK(refused(infer(rt, sample), not_open));
  trml_rt_result* result = nullptr;
  CHECK(refused(trml_rt_infer_batch(rt, &sample, 1, 0, &result), not_open));
  CHECK(refused(trml_rt_warm_up(rt), not_open));
  CHECK(refused(trml_rt_get_info(rt, &info), not_open));
  CHECK(refused(trml_rt_clone(rt, &twin), not_open));
  CHECK(refused(trml_rt_close(rt), not_open));
  CHECK(twin == nullptr);
  CHECK(result == nullptr);
}

}  // namespace

TEST_CASE("a closed handle is refused, also when another was opened since") {
  const GatedHandle kept;
  trml_rt* closed = nullptr;
  REQUIRE(trml_rt_clone(kept.rt, &closed) == TRML_RT_OK);
  REQUIRE(trml_rt_close(closed) == TRML_RT_OK);
  check_refused(closed);
  trml_rt* later = nullptr;  // takes the place of the one that was closed
  REQUIRE(trml_rt_clone(kept.rt, &later) == TRML_RT_OK);
  CHECK(later != closed);
  check_refused(closed);
  trml_rt_result_free(answer(later));
  CHECK(trml_rt_close(later) == TRML_RT_OK);
}

TEST_CASE("what is no handle is refused, and not read") {
  const GatedHandle kept;
  long on_the_stack[4] = {0, 0, 0, 0};
  for (void* made_up : {static_cast<void*>(on_the_stack), reinterpret_cast<void*>(1),
                        reinterpret_cast<void*>(~std::uintptr_t(0))}) {
    check_refused(static_cast<trml_rt*>(made_up));
  }
  trml_rt_result* result = answer(kept.rt);
  check_refused(reinterpret_cast<trml_rt*>(result));  // of another kind
  CHECK(refused(trml_rt_result_free(reinterpret_cast<trml_rt_result*>(kept.rt)),
                "this result is not open"));
  CHECK(trml_rt_result_free(result) == TRML_RT_OK);
}

TEST_CASE("a freed result gives nothing, and is freed once") {
  const GatedHandle handle;
  trml_rt_result* result = answer(handle.rt);
  CHECK(trml_rt_result_label(result) != nullptr);
  REQUIRE(trml_rt_result_free(result) == TRML_RT_OK);
  trml_rt_result* later = answer(handle.rt);
  CHECK(trml_rt_result_label(result) == nullptr);
  CHECK(trml_rt_result_json(result) == nullptr);
  CHECK(trml_rt_result_score(result) == 0);
  CHECK(trml_rt_result_ms(result, "total") == -1);
  CHECK(trml_rt_result_state(result, TRML_RT_TEXT) == trml_rt_state(0));
  CHECK(trml_rt_result_probability(result, 0, nullptr) == nullptr);
  CHECK(refused(trml_rt_result_free(result), "this result is not open: it was closed before"));
  CHECK(trml_rt_result_label(later) != nullptr);
  CHECK(trml_rt_result_free(later) == TRML_RT_OK);
}

TEST_CASE("through thousands of openings and closings a handle stands for its own object") {
  struct Handle;
  using Numbers = Handles<Handle, int, Kind::queue>;
  std::mt19937 random(7);
  std::vector<std::pair<Handle*, int>> open;
  std::vector<Handle*> closed;
  for (int step = 0; step < 5000; ++step) {
    if (open.empty() || random() % 2 == 0) {
      open.emplace_back(Numbers::add(std::make_shared<int>(step)), step);
      continue;
    }
    const auto chosen = random() % open.size();
    const auto [handle, number] = open[chosen];
    REQUIRE(*Numbers::take(handle, "it") == number);
    closed.push_back(handle);
    open[chosen] = open.back();
    open.pop_back();
  }
  for (const auto& [handle, number] : open) CHECK(*Numbers::get(handle, "it") == number);
  for (Handle* handle : closed) CHECK(Numbers::find(handle) == nullptr);
  for (const auto& [handle, number] : open) Numbers::take(handle, "it");
}

TEST_CASE("two threads in one handle are told to take clones") {
  GatedHandle handle;
  handle.gate.close();
  std::thread other([&] { trml_rt_result_free(answer(handle.rt)); });
  handle.gate.arrived();
  const auto sample = text_sample("good");
  CHECK(refused(infer(handle.rt, sample), "another thread is in a call on this handle"));
  CHECK(refused(trml_rt_warm_up(handle.rt), "give each thread a clone of its own"));
  handle.gate.open();
  other.join();
  CHECK(infer(handle.rt, sample) == TRML_RT_OK);
}

TEST_CASE("a call goes on when its handle is closed meanwhile") {
  GatedHandle handle;
  trml_rt* twin = nullptr;
  REQUIRE(trml_rt_clone(handle.rt, &twin) == TRML_RT_OK);
  handle.gate.close();
  double score = 0;
  std::thread other([&] {
    trml_rt_result* result = answer(twin);
    score = trml_rt_result_score(result);
    trml_rt_result_free(result);
  });
  handle.gate.arrived();
  CHECK(trml_rt_close(twin) == TRML_RT_OK);
  handle.gate.open();
  other.join();
  trml_rt_result* expected = answer(handle.rt);
  CHECK(score == trml_rt_result_score(expected));
  trml_rt_result_free(expected);
}

TEST_CASE("sizes and counts that cannot be meant are refused before anything is read") {
  const GatedHandle handle;
  const std::vector<std::uint8_t> black(8 * 8 * 3, 0);
  const auto frame = frame_of(black, 8, 8);
  trml_rt_result* results[1] = {nullptr};
  auto sample = text_sample("good");
  sample.struct_size = 0xdeadbeef;  // was never set
  CHECK(refused(infer(handle.rt, sample), "the sample: set its size to that of the struct"));
  sample = text_sample("good");
  for (const auto count : {(std::size_t(1) << 20) + 1, ~std::size_t(0)}) {
    CHECK(refused(trml_rt_infer_batch(handle.rt, &sample, count, 0, results),
                  "samples: pass their number, at most 1048576"));
    sample.frames = &frame;
    sample.frame_count = count;
    CHECK(refused(infer(handle.rt, sample), "frames: pass their number, at most 1048576"));
    sample = text_sample("good");
  }
  sample.frames = &frame;
  sample.frame_count = 1;
  sample.frame_size = ~std::size_t(0);
  CHECK(refused(infer(handle.rt, sample), "frames (frame_size): set its size"));
  trml_rt_options options{};
  options.struct_size = 1 << 20;
  trml_rt* rt = nullptr;
  CHECK(refused(trml_rt_open(&options, &rt), "the options: set its size"));
  trml_rt_info info{};
  info.struct_size = ~std::size_t(0);
  CHECK(refused(trml_rt_get_info(handle.rt, &info), "struct_size is not set"));
}

TEST_CASE("a stride that no row has is refused") {
  const GatedHandle handle;
  const auto pixels = picture(8, 8, 0, "nv12");
  auto frame = frame_of(pixels, 8, 8, TRML_RT_NV12);
  auto sample = text_sample(nullptr);
  sample.frames = &frame;
  sample.frame_count = 1;
  CHECK(infer(handle.rt, sample) == TRML_RT_OK);
  frame.stride = std::size_t(-8);  // from the bottom up
  CHECK(refused(infer(handle.rt, sample), "a stride of 18446744073709551608 bytes"));
  frame.stride = 8;
  frame.uv_stride = std::size_t(1) << 40;
  CHECK(refused(infer(handle.rt, sample), "a uv_stride of 1099511627776 bytes"));
}

TEST_CASE("a text longer than any is refused unread") {
  const GatedHandle handle;
  auto sample = text_sample("good");
  sample.text_length = std::size_t(1) << 40;
  CHECK(infer(handle.rt, sample) == TRML_RT_INPUT);
  CHECK(std::string(trml_rt_last_error()) == "the text is larger than 1 MB; pass one utterance");
}

#ifndef __SANITIZE_THREAD__  // which takes no fork of a program with threads
TEST_CASE("a child that is forked amid calls can use its inherited results") {
  const GatedHandle handle;
  trml_rt_result* result = answer(handle.rt);
  std::atomic<bool> done{false};
  std::thread busy([&] {
    while (!done) trml_rt_result_score(result);
  });
  int failed = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      const bool same = trml_rt_result_score(result) != 0 && trml_rt_warm_up(handle.rt) != 0;
      _exit(same ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    failed += status != 0;
  }
  done = true;
  busy.join();
  CHECK(failed == 0);
  trml_rt_result_free(result);
}
#endif
