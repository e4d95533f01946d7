#include "stream/model.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "error.hpp"
#include "inputs/image.hpp"
#include "inputs/resize.hpp"
#include "inputs/rows.hpp"

namespace trml::core::stream {

WindowModel::WindowModel(std::shared_ptr<Model> model, bool keep) : runtime_(std::move(model)) {
  if (!keep) return;
  of_frames_ = runtime_.dispatcher().encoder("frames");
  of_text_ = runtime_.dispatcher().encoder("ids");
  needs_pixels_ = std::any_of(
      manifest().engines.begin(), manifest().engines.end(), [this](const EngineSpec& spec) {
        return &spec != of_frames_ &&
               std::any_of(spec.inputs.begin(), spec.inputs.end(),
                           [](const TensorSpec& input) { return input.name == "frames"; });
      });
}

std::shared_ptr<const Pixels> WindowModel::pixels(const trml_rt_frame& frame, double& ms) const {
  const auto start = std::chrono::steady_clock::now();
  const VideoInput& video = manifest().video;
  auto made = std::make_shared<Pixels>(std::size_t(video.height * video.width * 3));
  resize(frame_of(frame), shaping_of(frame.width, frame.height, video), made->data());
  ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return made;
}

std::shared_ptr<ReadText> WindowModel::read(const std::string& text) {
  auto read = std::make_shared<ReadText>();
  Sample sample;
  sample.text = text.data();
  sample.text_length = text.size();
  try {
    Row row = runtime_.prepared(sample, false);
    read->tokens = std::move(row.tokens);
    read->report = row.text;
    read->preprocess_ms = row.preprocess_ms;
  } catch (const InputUnusable& error) {
    read->report.reason = error.reason;
  }
  return read;
}

Answer WindowModel::answer(ReadText& text, Window& window, const std::string& reason) {
  std::vector<Row> rows(1);
  Row& row = rows[0];
  Tensors kept;
  row.text = text.report;
  if (text.tokens) {
    row.tokens = text.tokens;
    row.preprocess_ms += std::exchange(text.preprocess_ms, 0);  // the time of a text counts once
    encode_text(text, row, kept);
  }
  if (window.empty()) {
    row.video.reason = reason;
  } else {
    row.frames = std::int64_t(window.size());
    row.video.frames = int(window.size());
    for (auto& shown : window) {
      row.preprocess_ms += std::exchange(shown.preprocess_ms, 0);
      if (needs_pixels_) {
        row.pixels.insert(row.pixels.end(), shown.pixels->begin(), shown.pixels->end());
      }
    }
    encode_frames(window, row, kept);
  }
  return std::move(runtime_.answer(rows, std::move(kept)).front());
}

void WindowModel::encode_text(ReadText& text, Row& row, Tensors& kept) {
  if (of_text_ == nullptr) return;
  if (text.kept.empty()) {
    std::vector<Row> rows(1);
    rows[0].tokens = text.tokens;
    const bool few_shapes = runtime_.model()->backend->works_by_shape();
    text.kept = runtime_.dispatcher().encode(*of_text_, stack(rows, manifest(), few_shapes),
                                             row.engines_ms);
  }
  kept = text.kept;
}

void WindowModel::encode_frames(Window& window, Row& row, Tensors& kept) {
  if (of_frames_ == nullptr) return;
  Milliseconds each;
  for (auto& shown : window) {
    if (shown.kept) continue;
    Tensors inputs;
    inputs["frames"] = frame_tensor(*shown.pixels);
    shown.kept = runtime_.dispatcher().encode(*of_frames_, std::move(inputs), each);
  }
  double ms = 0;
  for (const auto& [name, took] : each) ms += took;
  if (!each.empty()) row.engines_ms.emplace_back(of_frames_->name, ms);
  for (const auto& output : of_frames_->outputs) {
    Tensor joined = window.front().kept->at(output.name);
    for (auto shown = window.begin() + 1; shown != window.end(); ++shown) {
      const Tensor& part = shown->kept->at(output.name);
      joined.bytes.insert(joined.bytes.end(), part.bytes.begin(), part.bytes.end());
    }
    joined.shape[0] = row.frames;
    kept[output.name] = std::move(joined);
  }
}

Tensor WindowModel::frame_tensor(const Pixels& pixels) const {
  Tensor tensor;
  tensor.type = Type::uint8;
  tensor.shape = {1, manifest().video.height, manifest().video.width, 3};
  tensor.bytes = pixels;
  return tensor;
}

std::size_t WindowModel::count_new(const Window& window) {
  return std::size_t(
      std::count_if(window.begin(), window.end(), [](const Shown& shown) { return !shown.kept; }));
}

void WindowModel::warm_up() {
  runtime_.warm_up();
  if (of_frames_ == nullptr) return;
  const VideoInput& video = manifest().video;
  const Pixels black(std::size_t(video.height * video.width * 3));
  for (int pass = 0; pass < 2; ++pass) {  // met again, a shape gets its CUDA graph
    Tensors inputs;
    Milliseconds times;
    inputs["frames"] = frame_tensor(black);
    runtime_.dispatcher().encode(*of_frames_, std::move(inputs), times);
  }
}

}  // namespace trml::core::stream
