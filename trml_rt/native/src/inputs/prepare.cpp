#include "inputs/prepare.hpp"

#include <algorithm>
#include <chrono>

#include "error.hpp"
#include "inputs/clip.hpp"
#include "inputs/image.hpp"
#include "inputs/resize.hpp"
#include "inputs/rows.hpp"

namespace trml::core {
namespace {

class Clock {
 public:
  explicit Clock(double& milliseconds) : total_(milliseconds) {}
  ~Clock() {
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - start_;
    total_ += took.count();
  }

 private:
  double& total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Whether a frame is as the model takes it, and needs no work.
bool is_ready(const trml_rt_frame& frame, const VideoInput& settings) {
  const std::size_t row = std::size_t(frame.width) * 3;
  return frame.format == TRML_RT_RGB && frame.width == settings.width &&
         frame.height == settings.height && (frame.stride == 0 || frame.stride == row);
}

void prepare_text(const Sample& sample, const std::function<const Tokenizer&()>& tokenizer,
                  Scratch& scratch, Row& row) {
  const Tokenizer& loaded = tokenizer();
  const Clock clock(row.preprocess_ms);
  row.tokens = loaded.encode({sample.text, sample.text_length}, scratch);
  row.text.tokens = int(row.tokens->ids.size());
  row.text.truncated = row.tokens->truncated;
  row.text.unknown = row.tokens->unknown;
}

void prepare_video(const Sample& sample, const VideoInput& settings, bool device_memory, Row& row) {
  const Clock clock(row.preprocess_ms);
  const auto chosen = choose_indices(std::int64_t(sample.frames.size()), settings.frames);
  std::vector<const trml_rt_frame*> frames;
  for (const auto index : chosen) {
    frames.push_back(&sample.frames[std::size_t(index)]);
    check_frame(*frames.back());
    if (frames.back()->memory != frames.front()->memory) {
      throw UsageError("video: frames of one clip must all lie in host or all in CUDA memory");
    }
  }
  const bool on_device = frames.front()->memory == TRML_RT_CUDA;
  if (on_device && !device_memory) {
    throw UsageError(
        "video: this back end takes frames in host memory only; copy them there, or "
        "open the bundle on TensorRT");
  }
  const auto size = std::size_t(settings.height) * std::size_t(settings.width) * 3;
  row.pixels.resize(on_device ? 0 : frames.size() * size);
  row.stream = on_device ? sample.stream : nullptr;
  std::shared_ptr<const Shaping> shaping;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const trml_rt_frame& frame = *frames[i];
    if (i == 0 || frame.width != frames[i - 1]->width || frame.height != frames[i - 1]->height) {
      shaping = std::make_shared<Shaping>(shaping_of(frame.width, frame.height, settings));
    }
    if (on_device) {
      row.device.push_back({frame_of(frame), is_ready(frame, settings) ? nullptr : shaping});
    } else {
      resize(frame_of(frame), *shaping, row.pixels.data() + i * size);
    }
  }
  row.frames = std::int64_t(frames.size());
  row.video.frames = int(row.frames);
}

}  // namespace

Row prepare(const Sample& sample, const Manifest& manifest,
            const std::function<const Tokenizer&()>& tokenizer, Scratch& scratch, bool degrade,
            bool device_memory) {
  if (sample.text == nullptr && sample.frames.empty()) {
    throw UsageError("neither text nor video is given; give at least one");
  }
  Row row;
  std::vector<std::string> refused;
  std::string reason;  // of the first that was refused
  const auto attempt = [&](bool given, InputReport& report, const auto& work) {
    report.reason = "not_given";
    if (!given) return;
    try {
      work();
      report.reason.clear();
    } catch (const InputUnusable& error) {
      // A text of unknown tokens alone is sound; it says nothing to this model.
      if (!degrade && error.reason != "unknown_text") throw;
      refused.emplace_back(error.what());
      report.reason = error.reason;
      if (reason.empty()) reason = error.reason;
    }
  };
  attempt(sample.text != nullptr, row.text, [&] { prepare_text(sample, tokenizer, scratch, row); });
  attempt(!sample.frames.empty(), row.video,
          [&] { prepare_video(sample, manifest.video, device_memory, row); });
  if (row.present() == 0) {
    throw InputUnusable("no input can be used: " + join(refused, "; "), reason);
  }
  return row;
}

std::vector<std::int64_t> few_lengths(std::int64_t context) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t length = 0, octave = 32; length < context;) {
    while (length >= octave) octave *= 2;
    length = std::min(length + octave / 4, context);
    lengths.push_back(length);
  }
  return lengths;
}

Row blank(const Manifest& manifest, unsigned present, std::int64_t tokens) {
  Row row;
  if (present & TRML_RT_TEXT) {
    row.tokens.emplace();
    row.tokens->ids.assign(std::size_t(tokens), std::int32_t(manifest.text.pad_id));
  }
  if (present & TRML_RT_VIDEO) {
    const VideoInput& video = manifest.video;
    row.frames = video.frames;
    row.pixels.resize(std::size_t(video.frames * video.height * video.width * 3));
  }
  return row;
}

Tensors stack(std::vector<Row>& rows, const Manifest& manifest, bool few_shapes) {
  Tensors tensors;
  const auto batch = std::int64_t(rows.size());
  if (rows.front().tokens) {
    std::size_t length = manifest.text.cut ? 0 : std::size_t(manifest.text.context);
    for (const auto& row : rows) length = std::max(length, row.tokens->ids.size());
    if (few_shapes) {
      const auto lengths = few_lengths(manifest.text.context);
      length = std::size_t(*std::lower_bound(lengths.begin(), lengths.end(), length));
    }
    Tensor ids(Type::int32, {batch, std::int64_t(length)});
    auto* out = ids.as<std::int32_t>();
    std::fill_n(out, ids.count(), std::int32_t(manifest.text.pad_id));
    for (const auto& row : rows) {
      std::copy(row.tokens->ids.begin(), row.tokens->ids.end(), out);
      out += length;
    }
    tensors["ids"] = std::move(ids);
  }
  if (rows.front().frames) {
    const VideoInput& video = manifest.video;
    Tensor mask(Type::boolean, {batch, video.frames});
    std::int64_t total = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      total += rows[i].frames;
      std::fill_n(mask.bytes.begin() + std::ptrdiff_t(i) * video.frames, rows[i].frames, 1);
    }
    Tensor frames;
    frames.type = Type::uint8;
    frames.shape = {total, video.height, video.width, 3};
    frames.stream = rows.front().stream;
    if (rows.size() == 1) frames.bytes = std::move(rows[0].pixels);
    for (const auto& row : rows) {
      if (rows.size() > 1) {
        frames.bytes.insert(frames.bytes.end(), row.pixels.begin(), row.pixels.end());
      }
      frames.device.insert(frames.device.end(), row.device.begin(), row.device.end());
    }
    tensors["frames"] = std::move(frames);
    tensors["frame_mask"] = std::move(mask);
  }
  return tensors;
}

}  // namespace trml::core
