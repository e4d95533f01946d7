// What a caller may say of a stream, checked once at its start: what trml_rt/stream/rules.py does.
#pragma once

#include <cstdint>
#include <limits>

#include "trml_rt/trml_rt.h"

namespace trml::core::stream {

constexpr double no_limit = std::numeric_limits<double>::infinity();

// How a stream answers; times are in seconds. docs/streaming.md is the specification.
struct Rules {
  std::int64_t window = 1;         // the most frames of an answer
  double every = 0;                // between two frames that are taken, by their time stamps
  bool live = true;                // "freshest": time passes by the clock, nothing waits
  std::int64_t buffer = 1;         // how many frames may wait
  double max_staleness = 0.5;      // how long a frame may wait
  double hold = 5;                 // how long a text counts after its end
  double offset = 0;               // added to the times of texts
  double stall_after = 2;          // how long video may give nothing
  double freeze_after = no_limit;  // how long frames may be equal
  double max_gap = 10;             // a longer step of time ahead begins an epoch
  double deadline_ms = no_limit;   // how old the newest frame of an answer may be
  bool anytime = false;            // answer on the text at once, and again with the frames
  bool keep_vectors = true;        // encode each frame once, not once in each window
};

// The rules that a caller's options, 0 for a default, mean for a model of `most` frames. Raises
// UsageError.
Rules read_rules(const trml_rt_stream_options& options, std::int64_t most);

}  // namespace trml::core::stream
