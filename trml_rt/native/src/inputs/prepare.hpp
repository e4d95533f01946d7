// Prepare inputs: a text becomes ids, a clip pixels, and a report says what became of each.
#pragma once

#include <optional>
#include <vector>

#include "answer.hpp"
#include "backends/tensor.hpp"
#include "inputs/tokenizer.hpp"
#include "trml_rt/trml_rt.h"

namespace trml::core {

// A caller's sample, as the API hands it in; pixels and text stay the caller's.
struct Sample {
  const char* text = nullptr;  // nullptr: absent
  std::size_t text_length = 0;
  std::vector<trml_rt_frame> frames;  // empty: absent
  void* stream = nullptr;
};

// A sample as tensors. Chosen frames are RGB pixels of the model's size, or lie in CUDA memory.
struct Row {
  std::optional<Tokens> tokens;
  std::vector<std::uint8_t> pixels;
  std::vector<DeviceFrame> device;
  void* stream = nullptr;
  std::int64_t frames = 0;
  InputReport text, video;
  double preprocess_ms = 0;
  Milliseconds engines_ms;  // of encoders that ran for this row alone

  unsigned present() const {
    return (tokens ? unsigned(TRML_RT_TEXT) : 0u) | (frames ? unsigned(TRML_RT_VIDEO) : 0u);
  }
};

// `tokenizer` is called when there is a text; `device_memory` says whether CUDA frames are taken.
// Raises UsageError where neither input is given, InputUnusable where one cannot be used; with
// `degrade` only if none can.
Row prepare(const Sample& sample, const Manifest& manifest,
            const std::function<const Tokenizer&()>& tokenizer, Scratch& scratch, bool degrade,
            bool device_memory);

// The lengths that texts are padded to for a back end that works by shape: 8, 16, 24, 32, 48, 64,
// 96 and so on up to `context`, as in Python.
std::vector<std::int64_t> few_lengths(std::int64_t context);

// A row of padding and black frames, as many as may be, where `present`; `tokens` are its text's.
Row blank(const Manifest& manifest, unsigned present, std::int64_t tokens);

// Stack rows of one presence into the input tensors of an engine set. `few_shapes`: texts are
// padded to few lengths.
Tensors stack(std::vector<Row>& rows, const Manifest& manifest, bool few_shapes);

}  // namespace trml::core
