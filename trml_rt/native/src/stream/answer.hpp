// What a stream gives beside answers: events of its inputs, and the sum of frames: what
// trml_rt/stream/answer.py has.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "trml_rt/trml_rt.h"

namespace trml::core::stream {

using State = trml_rt_source_state;

const char* state_name(State state);

// Why a frame that was seen is in no answer.
enum class Cause { between, buffer, stale, deadline, unchanged, decode_error, unfinished };
constexpr std::size_t cause_count = 7;

// A change of what an input does; `reason`, where there is one, is why a virtual one stands in.
struct StreamEvent {
  trml_rt_modality input = TRML_RT_VIDEO;
  State state = TRML_RT_CONNECTING;
  std::string reason;
  std::int64_t epoch = 0;
  std::string message;

  std::string to_json() const;
};

// What became of the frames that a stream has seen: `seen` is the sum of all others.
struct Totals {
  std::uint64_t seen = 0, answered = 0, waiting = 0;
  std::array<std::uint64_t, cause_count> dropped{};
};

}  // namespace trml::core::stream
