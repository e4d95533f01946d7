// Frames of a Linux camera through plain V4L2: NV12 as it is, YUYV with every second row's colour.
#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "frames.hpp"

namespace {

constexpr unsigned buffer_count = 4;

class V4l2Frames : public FrameSource {
 public:
  V4l2Frames(const std::string& device, int width, int height)
      : device_(device), file_(open(device.c_str(), O_RDWR)) {
    if (file_ < 0) fail("open it");
    try {
      choose_format(unsigned(width), unsigned(height));
      start();
    } catch (...) {
      stop();
      throw;
    }
  }
  ~V4l2Frames() override { stop(); }
  V4l2Frames(const V4l2Frames&) = delete;
  V4l2Frames& operator=(const V4l2Frames&) = delete;

  bool next(trml_rt_frame& frame, double& t) override {
    if (held_) call(VIDIOC_QBUF, &buffer_, "give a frame back");
    held_ = false;
    buffer_ = described(0);
    call(VIDIOC_DQBUF, &buffer_, "take a frame");
    held_ = true;
    t = double(buffer_.timestamp.tv_sec) + double(buffer_.timestamp.tv_usec) * 1e-6;
    const auto* data = static_cast<const unsigned char*>(maps_[buffer_.index]);
    if (format_.pixelformat == V4L2_PIX_FMT_NV12) {
      frame = trml::frame(data, int(format_.width), int(format_.height), TRML_RT_NV12,
                          format_.bytesperline);
    } else {
      frame = from_yuyv(data);
    }
    return true;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw std::runtime_error(device_ + ": cannot " + what + " (" + std::strerror(errno) + ")");
  }

  void call(unsigned long request, void* argument, const char* what) const {
    int status = 0;
    do {
      status = ioctl(file_, request, argument);
    } while (status < 0 && errno == EINTR);
    if (status < 0) fail(what);
  }

  void choose_format(unsigned width, unsigned height) {
    for (const unsigned wanted : {V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV}) {
      v4l2_format format{};
      format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
      format.fmt.pix.width = width;
      format.fmt.pix.height = height;
      format.fmt.pix.pixelformat = wanted;
      call(VIDIOC_S_FMT, &format, "set a format");
      format_ = format.fmt.pix;  // the driver may have chosen another
      if (format_.pixelformat == wanted) return;
    }
    throw std::runtime_error(device_ + ": gives neither NV12 nor YUYV; use a GStreamer pipeline");
  }

  v4l2_buffer described(unsigned index) const {
    v4l2_buffer buffer{};
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.index = index;
    return buffer;
  }

  void start() {
    v4l2_requestbuffers request{};
    request.count = buffer_count;
    request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    request.memory = V4L2_MEMORY_MMAP;
    call(VIDIOC_REQBUFS, &request, "get buffers");
    for (unsigned i = 0; i < request.count; ++i) {
      v4l2_buffer buffer = described(i);
      call(VIDIOC_QUERYBUF, &buffer, "describe a buffer");
      void* map = mmap(nullptr, buffer.length, PROT_READ, MAP_SHARED, file_, buffer.m.offset);
      if (map == MAP_FAILED) fail("map a buffer");
      maps_.push_back(map);
      lengths_.push_back(buffer.length);
      call(VIDIOC_QBUF, &buffer, "queue a buffer");
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    call(VIDIOC_STREAMON, &type, "start");
  }

  void stop() {
    if (file_ < 0) return;
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    ioctl(file_, VIDIOC_STREAMOFF, &type);
    for (std::size_t i = 0; i < maps_.size(); ++i) munmap(maps_[i], lengths_[i]);
    close(file_);
    file_ = -1;
  }

  // Y U Y V in turn to NV12, which has half as many rows of colour.
  trml_rt_frame from_yuyv(const unsigned char* data) {
    const std::size_t width = format_.width & ~1u, rows = format_.height & ~1u;
    pixels_.resize(width * rows * 3 / 2);
    unsigned char* luma = pixels_.data();
    unsigned char* chroma = luma + width * rows;
    for (std::size_t y = 0; y < rows; ++y) {
      const unsigned char* row = data + y * format_.bytesperline;
      for (std::size_t x = 0; x < width; ++x) *luma++ = row[2 * x];
      for (std::size_t x = 0; x < width && y % 2 == 0; ++x) *chroma++ = row[2 * x + 1];
    }
    return trml::frame(pixels_.data(), int(width), int(rows), TRML_RT_NV12);
  }

  std::string device_;
  int file_;
  v4l2_pix_format format_{};
  std::vector<void*> maps_;
  std::vector<std::size_t> lengths_;
  v4l2_buffer buffer_{};  // that of the frame which was given last
  bool held_ = false;
  std::vector<unsigned char> pixels_;
};

}  // namespace

std::unique_ptr<FrameSource> open_v4l2(const std::string& device, int width, int height) {
  return std::make_unique<V4l2Frames>(device, width, height);
}
