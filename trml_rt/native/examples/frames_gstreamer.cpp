// Frames of a GStreamer pipeline that ends in `appsink name=sink`, as NV12 or RGB.
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>

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
    release();
    if (sink_ != nullptr) gst_object_unref(sink_);
    gst_object_unref(pipeline_);
  }
  GStreamerFrames(const GStreamerFrames&) = delete;

  bool next(trml_rt_frame& frame, double& t) override {
    release();
    // A pipeline that failed gives no end to its sink, so its errors are asked for meanwhile.
    while ((sample_ = gst_app_sink_try_pull_sample(GST_APP_SINK(sink_), GST_SECOND / 4)) ==
           nullptr) {
      raise_error();
      if (gst_app_sink_is_eos(GST_APP_SINK(sink_))) return false;
    }
    GstVideoInfo info;
    GstBuffer* buffer = gst_sample_get_buffer(sample_);
    mapped_ = gst_video_info_from_caps(&info, gst_sample_get_caps(sample_)) &&
              gst_video_frame_map(&map_, &info, buffer, GST_MAP_READ);
    if (!mapped_) throw std::runtime_error("the appsink must get video/x-raw in system memory");
    if (!GST_BUFFER_PTS_IS_VALID(buffer)) {
      throw std::runtime_error("the appsink must get buffers with time stamps");
    }
    t = double(GST_BUFFER_PTS(buffer)) / double(GST_SECOND);
    const bool nv12 = GST_VIDEO_FRAME_FORMAT(&map_) == GST_VIDEO_FORMAT_NV12;
    if (!nv12 && GST_VIDEO_FRAME_FORMAT(&map_) != GST_VIDEO_FORMAT_RGB) {
      throw std::runtime_error("the appsink must get format=NV12 or format=RGB");
    }
    const auto stride = [this](int plane) {
      return std::size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&map_, plane));
    };
    frame =
        trml::frame(GST_VIDEO_FRAME_PLANE_DATA(&map_, 0), GST_VIDEO_FRAME_WIDTH(&map_),
                    GST_VIDEO_FRAME_HEIGHT(&map_), nv12 ? TRML_RT_NV12 : TRML_RT_RGB, stride(0));
    if (nv12) {
      frame.uv = GST_VIDEO_FRAME_PLANE_DATA(&map_, 1);
      frame.uv_stride = stride(1);
    }
    return true;
  }

 private:
  void release() {
    if (mapped_) gst_video_frame_unmap(&map_);
    if (sample_ != nullptr) gst_sample_unref(sample_);
    mapped_ = false;
    sample_ = nullptr;
  }

  // What the pipeline says went wrong, if something did.
  void raise_error() const {
    GstBus* bus = gst_element_get_bus(pipeline_);
    GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    gst_object_unref(bus);
    if (message == nullptr) return;
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    const std::string words = error->message;
    g_error_free(error);
    gst_message_unref(message);
    throw std::runtime_error("the pipeline failed: " + words);
  }

  GstElement* pipeline_ = nullptr;
  GstElement* sink_ = nullptr;
  GstSample* sample_ = nullptr;
  GstVideoFrame map_{};
  bool mapped_ = false;
};

}  // namespace

std::unique_ptr<FrameSource> open_gstreamer(const std::string& pipeline) {
  return std::make_unique<GStreamerFrames>(pipeline);
}
