// Frames of a GStreamer pipeline that ends in `appsink name=sink`, as NV12 or RGB.
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <cstring>
#include <stdexcept>

#include "frames.hpp"

namespace {

class GStreamerFrames : public FrameSource {
 public:
  explicit GStreamerFrames(const std::string& text) {
    gst_init(nullptr, nullptr);
    GError* error = nullptr;
    pipeline_ = gst_parse_launch(text.c_str(), &error);
    if (error != nullptr) {
      const std::string message = error->message;
      g_error_free(error);
      if (pipeline_ != nullptr) gst_object_unref(pipeline_);
      throw std::runtime_error("GStreamer cannot make the pipeline: " + message);
    }
    sink_ = gst_bin_get_by_name(GST_BIN(pipeline_), "sink");
    if (sink_ == nullptr || !GST_IS_APP_SINK(sink_)) {
      throw std::runtime_error("the pipeline must end in: appsink name=sink");
    }
    gst_app_sink_set_max_buffers(GST_APP_SINK(sink_), 2);
    gst_app_sink_set_drop(GST_APP_SINK(sink_), TRUE);  // answer on the newest, not on the oldest
    gst_element_set_state(pipeline_, GST_STATE_PLAYING);
  }
  ~GStreamerFrames() override {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    if (sink_ != nullptr) gst_object_unref(sink_);
    gst_object_unref(pipeline_);
  }

  bool next(OwnedFrame& frame) override {
    GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(sink_));
    if (sample == nullptr) return false;  // the end, or an error that the pipeline has printed
    GstVideoInfo info;
    GstVideoFrame mapped;
    GstBuffer* buffer = gst_sample_get_buffer(sample);
    const bool usable = gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) &&
                        gst_video_frame_map(&mapped, &info, buffer, GST_MAP_READ);
    if (usable) copy(mapped, frame);
    if (usable) gst_video_frame_unmap(&mapped);
    gst_sample_unref(sample);
    if (!usable) throw std::runtime_error("the appsink must get video/x-raw in system memory");
    return true;
  }

 private:
  static void copy(const GstVideoFrame& from, OwnedFrame& frame) {
    const int width = GST_VIDEO_FRAME_WIDTH(&from), height = GST_VIDEO_FRAME_HEIGHT(&from);
    const bool nv12 = GST_VIDEO_FRAME_FORMAT(&from) == GST_VIDEO_FORMAT_NV12;
    if (!nv12 && GST_VIDEO_FRAME_FORMAT(&from) != GST_VIDEO_FORMAT_RGB) {
      throw std::runtime_error("the appsink must get format=NV12 or format=RGB");
    }
    const auto rows = [&](int plane, int count) {
      const auto* data =
          static_cast<const unsigned char*>(GST_VIDEO_FRAME_PLANE_DATA(&from, plane));
      const auto stride = std::size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&from, plane));
      frame.pixels.insert(frame.pixels.end(), data, data + stride * std::size_t(count));
      return stride;
    };
    frame.pixels.clear();
    const std::size_t stride = rows(0, height);
    frame.view = trml::frame(nullptr, width, height, nv12 ? TRML_RT_NV12 : TRML_RT_RGB, stride);
    if (nv12) frame.view.uv_stride = rows(1, (height + 1) / 2);
  }

  GstElement* pipeline_ = nullptr;
  GstElement* sink_ = nullptr;
};

}  // namespace

std::unique_ptr<FrameSource> open_gstreamer(const std::string& pipeline) {
  return std::make_unique<GStreamerFrames>(pipeline);
}
