// Where the watch example has its frames from.
#pragma once

#include <memory>
#include <string>
#include <trml_rt/trml_rt.hpp>

class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // The next frame, which lies here until the next call, and its time stamp in seconds. False at
  // the end; raises std::runtime_error where the device fails.
  virtual bool next(trml_rt_frame& frame, double& t) = 0;
};

// A V4L2 camera that gives NV12 or YUYV, such as /dev/video0.
std::unique_ptr<FrameSource> open_v4l2(const std::string& device, int width, int height);
// The appsink of a GStreamer pipeline, which must be called "sink" and get NV12 or RGB.
std::unique_ptr<FrameSource> open_gstreamer(const std::string& pipeline);
