// What the library answers, and how it says which input was real, which virtual, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundle/manifest.hpp"
#include "dispatch.hpp"

namespace trml::core {

// What became of one input. `tokens` counts special tokens; -1 where there is nothing to count.
struct InputReport {
  std::string reason;  // empty: the input is real
  int tokens = -1;
  bool truncated = false;
  double unknown = 0;  // share of the text's own tokens that the tokenizer does not know
  int frames = -1;
  bool incomplete = false;
};

// What a stream adds to an answer; see trml_rt.h.
struct Streamed {
  std::int64_t seq = 0;
  std::int64_t epoch = 0;
  double t0 = 0, t1 = 0;
  std::optional<std::string> text;
  bool final = true;
  double age_ms = 0;
  bool late = false;
};

struct Answer {
  std::optional<Streamed> streamed;  // of the answer of a stream
  std::string label;
  double score = 0;
  std::vector<std::pair<std::string, double>> probabilities;  // classification only
  InputReport text, video;
  std::string engine_set, backend, engines;
  bool verified = false;
  Milliseconds ms;
  std::string json;  // the same as text
};

// Turn one row of `prediction`, k values, into label, score and probabilities. Raises
// VerificationFailed where it holds NaN or infinity.
void read_prediction(const float* values, const Task& task, Answer& answer);

// Plain JSON; scores to 6 decimals, times to 3, as trml_rt.Answer.to_dict and that of a streamed
// answer have them.
std::string to_json(const Answer& answer);

}  // namespace trml::core
