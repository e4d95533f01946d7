// Lanes, sessions and graphs of the TensorRT back end, on stand-ins for TensorRT and CUDA
// (tensorrt/stand_in.hpp says what that does not prove).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <NvInfer.h>

#include <cstring>
#include <deque>

#include "error.hpp"
#include "runtime.hpp"
#include "stream/core.hpp"
#include "support.hpp"
#include "tensorrt/stand_in.hpp"

using namespace support;
using namespace trml::core;
using stand_in::world;

namespace {

// The TensorRT back end, with a plan of the stand-in for each graph of the bundle.
class Planned : public Backend {
 public:
  Planned(const Manifest& manifest, const BackendSettings& settings)
      : manifest_(manifest), real_(make_tensorrt(settings)) {}
  const char* name() const override { return real_->name(); }
  BuiltFor here() const override { return real_->here(); }
  bool takes_device_memory() const override { return real_->takes_device_memory(); }
  bool works_by_shape() const override { return real_->works_by_shape(); }
  std::shared_ptr<trml::core::Engine> load(const EngineSpec& spec, std::string,
                                           const std::filesystem::path& path) override {
    scratch_ += 1000;  // each engine needs more than the last
    return real_->load(spec, stand_in::plan_of(spec, manifest_, scratch_), path);
  }

 private:
  const Manifest& manifest_;
  std::shared_ptr<Backend> real_;
  int scratch_ = 0;
};

const Bundle bundle(tiny.string());

struct Gpu {
  explicit Gpu(bool integrated = false, int device = 0) {
    stand_in::reset();
    world().integrated = integrated;
    BackendSettings settings;
    settings.device = device;
    settings.log = [this](trml_rt_log_level, const std::string& line) { log.push_back(line); };
    backend = std::make_shared<Planned>(bundle.manifest, settings);
    model = std::make_shared<Model>(tiny.string(), backend);
    runtime = std::make_unique<Runtime>(model);
  }
  ~Gpu() {
    runtime.reset();
    model.reset();
    backend.reset();
    CHECK(world().alive == 0);
    CHECK(join(world().faults, "; ") == "");
  }
  std::vector<std::string> log;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Model> model;
  std::unique_ptr<Runtime> runtime;
};

Sample text(const char* words) {
  Sample sample;
  sample.text = words;
  sample.text_length = std::strlen(words);
  return sample;
}

std::vector<std::uint8_t> pixels(int seed) {
  std::vector<std::uint8_t> made(8 * 8 * 3);
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = std::uint8_t(i * 7 + std::size_t(seed));
  return made;
}

Sample with_frames(Sample sample, const std::vector<std::uint8_t>& data, int count) {
  sample.frames.assign(std::size_t(count), frame_of(data, 8, 8));
  return sample;
}

double score(Runtime& runtime, const Sample& sample) {
  return runtime.infer({sample}, false, false)[0].score;
}

// What the sums come to without any GPU.
double expected(const Sample& sample) {
  Runtime sums(std::make_shared<Model>(tiny.string(), std::make_shared<SumBackend>()));
  return score(sums, sample);
}

}  // namespace

TEST_CASE("plainly run, recorded or launched, the answer is that of the sums") {
  for (const bool integrated : {false, true}) {
    Gpu gpu(integrated);
    for (int run = 0; run < 5; ++run) {  // other pixels each time, so a stale buffer would show
      const auto data = pixels(run);
      const Sample sample = with_frames(text("what a good day"), data, 1 + run % 2);
      CHECK(score(*gpu.runtime, sample) == doctest::Approx(expected(sample)));
    }
    CHECK(world().launches > 0);
  }
}

TEST_CASE("a stream keeps the vectors of frames, and answers as the sums do") {
  Gpu gpu;
  stream::Rules rules;
  rules.window = 3;
  stream::Stream camera(rules, gpu.model, [](const auto&) {}, [] { return 0.0; });
  camera.warm_up();
  std::deque<std::vector<std::uint8_t>> window;
  for (int i = 0; i < 6; ++i) {
    window.push_back(pixels(i));
    if (window.size() > 3) window.pop_front();
    Sample sample = text("what a good day");
    for (const auto& data : window) sample.frames.push_back(frame_of(data, 8, 8));
    camera.push_text("what a good day", {}, {});
    camera.push_frame(sample.frames.back(), i / 10.0);
    const auto answer = camera.poll(0);
    REQUIRE(answer);
    CHECK(answer->score == doctest::Approx(expected(sample)));
  }
  CHECK(world().launches > 0);
}

TEST_CASE("frames in CUDA memory are taken from there") {
  for (const bool integrated : {false, true}) {
    Gpu gpu(integrated);
    const auto data = pixels(3);
    void* device = nullptr;
    REQUIRE(cudaMalloc(&device, data.size()) == cudaSuccess);
    std::memcpy(device, data.data(), data.size());
    Sample sample = with_frames({}, data, 2);
    const double wanted = expected(sample);
    for (auto& frame : sample.frames) {
      frame.data = device;
      frame.memory = TRML_RT_CUDA;
    }
    for (int run = 0; run < 4; ++run) {
      CHECK(score(*gpu.runtime, sample) == doctest::Approx(wanted));
    }
    cudaFree(device);
  }
}

namespace {

// Pixels of the stand-in's device memory, each row `more` bytes longer than it must be.
class OnDevice {
 public:
  OnDevice(const std::string& format, trml_rt_format number, int width, int height, int seed,
           std::size_t more = 0)
      : host_(picture(width, height, seed, format)), frame(frame_of(host_, width, height, number)) {
    REQUIRE(cudaMalloc(&data_, host_.size() + more * std::size_t(height) * 2) == cudaSuccess);
    const auto rows = std::size_t(height);
    const std::size_t line = format == "nv12" || format == "gray" ? std::size_t(width)
                             : format.size() == 4                 ? std::size_t(width) * 4
                                                                  : std::size_t(width) * 3;
    const std::size_t all = host_.size() / line;  // NV12 has the rows of U and V, too
    for (std::size_t y = 0; y < all; ++y) {
      std::memcpy(static_cast<std::uint8_t*>(data_) + y * (line + more), &host_[y * line], line);
    }
    there = frame;
    there.data = data_;
    there.stride = line + more;
    there.memory = TRML_RT_CUDA;
    CHECK(all >= rows);
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  std::vector<std::uint8_t> host_;
  void* data_ = nullptr;

 public:
  trml_rt_frame frame, there;
};

}  // namespace

TEST_CASE("frames of any format, size and pitch in CUDA memory are what they are on the host") {
  for (const bool integrated : {false, true}) {
    Gpu gpu(integrated);
    const OnDevice rgb("rgb", TRML_RT_RGB, 33, 21, 1), bgr("bgr", TRML_RT_BGR, 33, 21, 2, 7);
    const OnDevice rgba("rgba", TRML_RT_RGBA, 16, 40, 3, 4), bgra("bgra", TRML_RT_BGRA, 9, 9, 4);
    const OnDevice gray("gray", TRML_RT_GRAY, 5, 6, 5), nv12("nv12", TRML_RT_NV12, 48, 32, 6, 16);
    const OnDevice padded("rgb", TRML_RT_RGB, 8, 8, 7, 8), ready("rgb", TRML_RT_RGB, 8, 8, 8);
    for (const auto* each : {&rgb, &bgr, &rgba, &bgra, &gray, &nv12, &padded, &ready}) {
      Sample host, device;
      host.frames = {each->frame, rgb.frame};
      device.frames = {each->there, rgb.there};
      for (int run = 0; run < 3; ++run) {
        CHECK(score(*gpu.runtime, device) == doctest::Approx(expected(host)));
      }
    }
    CHECK(world().compilations == 1);
  }
}

TEST_CASE("frames of more sizes than are kept are read all the same") {
  Gpu gpu;
  for (int run = 0; run < 2; ++run) {
    for (int width = 9; width < 22; width += 1) {
      const OnDevice frame("rgb", TRML_RT_RGB, width, 2 * width, width);
      Sample host, device;
      host.frames = {frame.frame};
      device.frames = {frame.there};
      CHECK(score(*gpu.runtime, device) == doctest::Approx(expected(host)));
    }
  }
}

TEST_CASE("frames that do not lie where they are said to are refused") {
  Gpu gpu;
  const OnDevice frame("rgb", TRML_RT_RGB, 20, 20, 1);
  Sample sample;
  sample.frames = {frame.there};
  sample.frames[0].data = frame.frame.data;
  const char* words =
      "video: a frame that is said to lie in CUDA memory does not, or not all of it; set memory to "
      "TRML_RT_HOST";
  CHECK_THROWS_WITH_AS(score(*gpu.runtime, sample), words, UsageError);
  sample.frames = {frame.there};
  sample.frames[0].height = 2000;
  CHECK_THROWS_WITH_AS(score(*gpu.runtime, sample), words, UsageError);
  cudaSetDevice(1);
  const OnDevice elsewhere("rgb", TRML_RT_RGB, 20, 20, 1);
  cudaSetDevice(0);
  sample.frames = {elsewhere.there};
  CHECK_THROWS_WITH_AS(score(*gpu.runtime, sample),
                       "video: a frame lies on CUDA device 1, and the bundle was opened on 0; "
                       "open it there",
                       UsageError);
  sample.frames = {frame.there};  // and what is right still works
  CHECK(score(*gpu.runtime, sample) > 0);
}

TEST_CASE("kernels that cannot be compiled are the machine's fault, in NVRTC's words") {
  Gpu gpu;
  const OnDevice frame("rgb", TRML_RT_RGB, 20, 20, 1);
  Sample sample;
  sample.frames = {frame.there};
  world().compiles = false;
  CHECK_THROWS_WITH_AS(score(*gpu.runtime, sample),
                       "NVRTC cannot compile frames.cu for sm_87 (error 5): nvrtc: error: invalid "
                       "value for --gpu-architecture (-arch)",
                       EnvironmentUnfit);
  world().compiles = true;  // tried again, not remembered
  CHECK(score(*gpu.runtime, sample) > 0);
}

TEST_CASE("what cannot be captured goes on running plainly, and the log says so") {
  Gpu gpu;
  world().capturable = false;
  for (int run = 0; run < 4; ++run) {
    CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
  }
  CHECK(world().launches == 0);
  CHECK(std::find(gpu.log.begin(), gpu.log.end(), "text runs without a CUDA graph") !=
        gpu.log.end());
}

TEST_CASE("two handles on one model have lanes of their own") {
  Gpu gpu;
  Runtime twin(gpu.model);
  for (int run = 0; run < 4; ++run) {
    CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
    CHECK(score(twin, text("bad")) == doctest::Approx(expected(text("bad"))));
  }
}

TEST_CASE("scratch memory that could not be had is asked for again") {
  Gpu gpu;
  CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
  const auto data = pixels(1);
  const Sample both = with_frames(text("good"), data, 2);
  world().most_bytes = 3500;  // enough for `frame`, and too little for `fuse_text_video`
  CHECK_THROWS_WITH_AS(score(*gpu.runtime, both),
                       "CUDA cannot allocate scratch memory: out of memory", EnvironmentUnfit);
  // The engines that ran before lost the block that they shared.
  CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
  world().most_bytes = 1 << 30;
  for (int run = 0; run < 3; ++run) {
    CHECK(score(*gpu.runtime, both) == doctest::Approx(expected(both)));
    CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
  }
}

TEST_CASE("shapes that come once share a context") {
  Gpu gpu;
  const auto data = pixels(2);
  score(*gpu.runtime, with_frames({}, data, 1));
  const int before = world().contexts;
  for (int frames = 2; frames < 5; ++frames) {
    const Sample sample = with_frames({}, data, frames);
    CHECK(score(*gpu.runtime, sample) == doctest::Approx(expected(sample)));
  }
  CHECK(world().contexts == before + 1);  // of `fuse_video`, whose shape stays the same
}

TEST_CASE("texts are padded to few lengths, as in Python") {
  CHECK(few_lengths(77) == std::vector<std::int64_t>{8, 16, 24, 32, 48, 64, 77});
  CHECK(few_lengths(512) ==
        std::vector<std::int64_t>{8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512});
  CHECK(few_lengths(5) == std::vector<std::int64_t>{5});
  Gpu gpu;
  for (const char* words : {"bad", "good day", "a good day", "what a good day"}) {
    score(*gpu.runtime, text(words));
  }
  CHECK(world().captures == 2);  // one of `text`, one of `fuse_text`
  CHECK(world().launches == 4);
}

TEST_CASE("after warming up no call makes a context or a graph") {
  Gpu gpu;
  gpu.runtime->warm_up();
  const int contexts = world().contexts, captures = world().captures, launches = world().launches;
  const auto data = pixels(1);
  for (const Sample& sample :
       {text("bad"), with_frames({}, data, 4), with_frames(text("what a good day"), data, 4)}) {
    CHECK(score(*gpu.runtime, sample) == doctest::Approx(expected(sample)));
  }
  CHECK(world().contexts == contexts);
  CHECK(world().captures == captures);
  CHECK(world().launches == launches + 7);
}

TEST_CASE("where there is no room for a graph's context, the call runs without") {
  Gpu gpu;
  score(*gpu.runtime, text("good"));
  world().contexts_left = 0;
  for (int run = 0; run < 3; ++run) {
    CHECK(score(*gpu.runtime, text("good")) == doctest::Approx(expected(text("good"))));
  }
  CHECK(world().launches == 0);
  CHECK(join(gpu.log, "; ")
            .find("no CUDA graph: TensorRT cannot create a context of text: "
                  "no room for a context") != std::string::npos);
}

TEST_CASE("no room at all is the machine's fault, and not the bundle's") {
  Gpu gpu;
  world().contexts_left = 0;
  CHECK_THROWS_AS(score(*gpu.runtime, text("good")), EnvironmentUnfit);
}

TEST_CASE("a run that fails leaves no work behind that outlives its memory") {
  Gpu gpu;
  world().runs = false;  // by now the inputs wait in the stream
  CHECK_THROWS_AS(score(*gpu.runtime, text("good")), EnvironmentUnfit);
}

TEST_CASE("a call leaves the thread on the device that it was on") {
  Gpu gpu(false, 1);
  CHECK(world().device == 0);
  score(*gpu.runtime, text("good"));
  gpu.runtime.reset();
  CHECK(world().device == 0);
}

TEST_CASE("a plan that TensorRT refuses is said with its last words") {
  stand_in::reset();
  const auto backend = make_tensorrt(BackendSettings{});
  for (int call = 0; call < 2; ++call) {  // and not with those of the call before
    CHECK_THROWS_WITH_AS(backend->load(*bundle.manifest.engine("text"), "other", "plan"),
                         "plan: TensorRT cannot load it: the plan is of another version",
                         ArtefactMismatch);
  }
}
