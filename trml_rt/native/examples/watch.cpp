// Answer on a camera, a pipeline or raw frames as they come, in C++.
//
//     ffmpeg -i v.mp4 -f rawvideo -pix_fmt rgb24 - | trml_rt_watch bundle/ raw 640 360 25
//     trml_rt_watch bundle/ v4l2 /dev/video0 640 480
//     trml_rt_watch bundle/ gst "nvarguscamerasrc ! nvvidconv ! video/x-raw,format=NV12 ! appsink
//     name=sink"
//
// Answers go to the standard output, and what the camera does to the standard error.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "frames.hpp"

namespace {

constexpr double every = 0.5;  // second from answer to answer

// Packed RGB from standard input, so many frames a second.
class RawFrames : public FrameSource {
 public:
  RawFrames(int width, int height, double rate) : width_(width), height_(height), rate_(rate) {
    if (width < 1 || height < 1 || !(rate > 0)) {
      throw std::runtime_error("raw: give a width, a height and frames a second above 0");
    }
    pixels_.resize(std::size_t(width) * std::size_t(height) * 3);
  }

  bool next(trml_rt_frame& frame, double& t) override {
    if (std::fread(pixels_.data(), 1, pixels_.size(), stdin) != pixels_.size()) return false;
    frame = trml::frame(pixels_.data(), width_, height_);
    t = double(count_++) / rate_;
    return true;
  }

 private:
  int width_, height_;
  double rate_;
  long count_ = 0;
  std::vector<unsigned char> pixels_;
};

std::unique_ptr<FrameSource> open_source(int count, char** arguments) {
  const std::string kind = count > 2 ? arguments[2] : "";
  if (kind == "raw" && count == 6) {
    return std::make_unique<RawFrames>(std::atoi(arguments[3]), std::atoi(arguments[4]),
                                       std::atof(arguments[5]));
  }
  if (kind == "v4l2" && count == 6) {
    return open_v4l2(arguments[3], std::atoi(arguments[4]), std::atoi(arguments[5]));
  }
#if TRML_RT_GSTREAMER
  if (kind == "gst" && count == 4) return open_gstreamer(arguments[3]);
#endif
  throw std::runtime_error(
      "usage: trml_rt_watch bundle/ raw WIDTH HEIGHT RATE < frames.rgb, or v4l2 "
      "DEVICE WIDTH HEIGHT, or gst PIPELINE (built with TRML_RT_GSTREAMER)");
}

// What the thread of the camera does.
void read(FrameSource& source, trml::Stream& stream) {
  try {
    trml_rt_frame frame{};
    double t = 0;
    while (source.next(frame, t)) {
      while (!stream.push_frame(frame, t)) {  // only where none may be lost
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    stream.push_state(TRML_RT_ENDED);
  } catch (const std::exception& error) {
    stream.push_state(TRML_RT_FAILED, error.what());
  }
  stream.end();
}

void print(const trml::Result& result) {
  std::printf("%8.2f s  %-10s ", result.t1(), result.label().c_str());
  if (result.probabilities().empty()) {
    std::printf("%+.3f", result.score());
  } else {  // a classifier's score is a probability
    std::printf("%.1f %%", 100 * result.score());
  }
  std::printf("  %d frames, %.1f ms old\n", result.frames(), result.age_ms());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  bool failed = false;
  try {
    const auto source = open_source(count, arguments);
    const trml::Runtime rt{std::string(arguments[1])};
    trml::StreamOptions options;
    options.every = every;
    // Of a camera the newest frame counts, of a recording every one.
    options.policy = arguments[2] == std::string("raw") ? TRML_RT_EVERY : TRML_RT_FRESHEST;
    options.on_event = [&failed](const trml::Event& event) {
      std::cerr << event.json << '\n';
      failed = failed || event.state == TRML_RT_FAILED;
    };
    trml::Stream stream(rt, options);
    stream.warm_up();
    std::thread camera([&] { read(*source, stream); });
    try {
      while (const auto answer = stream.poll(-1)) print(*answer);
    } catch (const trml::Error& error) {
      std::cerr << error.what() << '\n';
      failed = true;
    }
    stream.close();
    camera.join();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return failed;
}
