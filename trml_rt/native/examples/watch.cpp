// Answer again and again on the newest frames of a camera, a pipeline or raw frames, in C++.
//
//     ffmpeg -i v.mp4 -f rawvideo -pix_fmt rgb24 - | trml_rt_watch bundle/ raw 640 360
//     trml_rt_watch bundle/ v4l2 /dev/video0 640 480
//     trml_rt_watch bundle/ gst "nvarguscamerasrc ! nvvidconv ! video/x-raw,format=NV12 ! appsink
//     name=sink"
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>

#include "frames.hpp"

namespace {

constexpr std::size_t window = 60;  // frames that an answer looks back on
constexpr std::size_t step = 15;    // frames from answer to answer

// Packed RGB from standard input.
class RawFrames : public FrameSource {
 public:
  RawFrames(int width, int height) : width_(width), height_(height) {}

  bool next(OwnedFrame& frame) override {
    frame.pixels.resize(std::size_t(width_) * std::size_t(height_) * 3);
    frame.view = trml::frame(nullptr, width_, height_);
    return std::fread(frame.pixels.data(), 1, frame.pixels.size(), stdin) == frame.pixels.size();
  }

 private:
  int width_, height_;
};

std::unique_ptr<FrameSource> open_source(int count, char** arguments) {
  const std::string kind = count > 2 ? arguments[2] : "";
  if (kind == "raw" && count == 5) {
    return std::make_unique<RawFrames>(std::atoi(arguments[3]), std::atoi(arguments[4]));
  }
  if (kind == "v4l2" && count == 6) {
    return open_v4l2(arguments[3], std::atoi(arguments[4]), std::atoi(arguments[5]));
  }
#if TRML_RT_GSTREAMER
  if (kind == "gst" && count == 4) return open_gstreamer(arguments[3]);
#endif
  throw std::runtime_error(
      "usage: trml_rt_watch bundle/ raw WIDTH HEIGHT < frames.rgb, or v4l2 "
      "DEVICE WIDTH HEIGHT, or gst PIPELINE (built with TRML_RT_GSTREAMER)");
}

void answer(trml::Runtime& rt, std::deque<OwnedFrame>& frames) {
  trml::Sample sample;
  for (auto& frame : frames) {
    sample.frames.push_back(frame.view);
    sample.frames.back().data = frame.pixels.data();
  }
  // The library takes the model's few frames out of these, from the middle of equal parts.
  const auto result = rt.infer(sample);
  std::printf("%-10s ", result.label().c_str());
  if (result.probabilities().empty()) {
    std::printf("%+.3f", result.score());
  } else {  // a classifier's score is a probability
    std::printf("%.1f %%", 100 * result.score());
  }
  std::printf("  %d frames, %.1f ms\n", result.frames(), result.ms("total"));
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    const auto source = open_source(count, arguments);
    trml::Runtime rt{std::string(arguments[1])};
    std::deque<OwnedFrame> frames;
    std::size_t since = 0;
    for (OwnedFrame frame; source->next(frame); frame = {}) {
      frames.push_back(std::move(frame));
      if (frames.size() > window) frames.pop_front();
      if (++since < step) continue;
      since = 0;
      answer(rt, frames);
    }
    if (since > 0) answer(rt, frames);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
