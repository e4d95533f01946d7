// What a stream asks of the model: vectors of one frame or one text, kept, and answers on them.
// What trml_rt/stream/model.py does.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inputs/image.hpp"
#include "runtime.hpp"

namespace trml::core::stream {

using Pixels = std::vector<std::uint8_t>;  // of one frame, as the encoder takes it

// A text as the model takes it; one without tokens cannot be used, for `reason`.
struct ReadText {
  std::optional<Tokens> tokens;
  InputReport report;
  double preprocess_ms = 0;  // until an answer states it
  Tensors kept;
};

// A frame of a window, and what the encoder made of it.
struct Shown {
  double t;
  std::int64_t epoch;
  std::shared_ptr<const Pixels> pixels;
  double preprocess_ms;  // until an answer states it
  bool answered = false;
  std::optional<Tensors> kept = {};
};

using Window = std::deque<Shown>;

// Answers on the window of a stream; one thread at a time.
class WindowModel {
 public:
  // `keep`: keep what encoders make of frames and texts.
  WindowModel(std::shared_ptr<Model> model, bool keep);

  // The frame as the encoder takes it; adds to `ms`. Raises InputUnusable where it cannot be
  // resized.
  std::shared_ptr<const Pixels> pixels(const trml_rt_frame& frame, double& ms) const;
  std::shared_ptr<ReadText> read(const std::string& text);
  // Answer on a text and a window, of which one may be missing; `reason` is why video is virtual.
  Answer answer(ReadText& text, Window& window, const std::string& reason);
  // Whether the bundle answers on `present` alone.
  bool serves(unsigned present) { return runtime_.dispatcher().serves(present); }
  // How many frames of a window are not encoded as yet.
  static std::size_t count_new(const Window& window);
  // Load every engine, and run all that an answer may need.
  void warm_up();

 private:
  const Manifest& manifest() const { return runtime_.model()->bundle.manifest; }
  void encode_text(ReadText& text, Row& row, Tensors& kept);
  void encode_frames(Window& window, Row& row, Tensors& kept);
  Tensor frame_tensor(const Pixels& pixels) const;

  Runtime runtime_;
  const EngineSpec* of_frames_ = nullptr;
  const EngineSpec* of_text_ = nullptr;
  bool needs_pixels_ = true;  // an engine other than the encoder reads frames
};

}  // namespace trml::core::stream
