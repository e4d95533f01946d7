#include "stream/rules.hpp"

#include <cmath>
#include <string>

#include "bundle/json.hpp"
#include "error.hpp"

namespace trml::core::stream {
namespace {

constexpr double least_time = 0.001;

double number(const char* name, double value, double least, double otherwise) {
  if (value == 0) return otherwise;
  if (std::isfinite(value) && value >= least) return value;
  const std::string limit =
      std::isinf(least) ? "" : ", at least " + std::string(least == 0 ? "0" : "0.001");
  throw UsageError(std::string(name) + ": must be a number" + limit + ", not " + repr(value));
}

std::int64_t frames(const char* name, std::int32_t value, std::int64_t otherwise) {
  if (value >= 0) return value == 0 ? otherwise : value;
  throw UsageError(std::string(name) + ": must be a whole number of frames, at least 1");
}

bool flag(const char* name, std::int32_t value) {
  if (value == 0 || value == 1) return value == 1;
  throw UsageError(std::string(name) + ": must be 0 or 1, not " + std::to_string(value));
}

}  // namespace

Rules read_rules(const trml_rt_stream_options& options, std::int64_t most) {
  Rules rules;
  if (options.policy != TRML_RT_FRESHEST && options.policy != TRML_RT_EVERY) {
    throw UsageError("no policy " + std::to_string(options.policy) +
                     "; choose TRML_RT_FRESHEST or TRML_RT_EVERY");
  }
  rules.live = options.policy == TRML_RT_FRESHEST;
  rules.window = frames("window", options.window, most);
  rules.buffer = frames("buffer", options.buffer, rules.live ? 1 : 8);
  rules.every = number("every", options.every, 0, rules.every);
  rules.max_staleness = number("max_staleness", options.max_staleness, least_time,
                               rules.live ? rules.max_staleness : no_limit);
  rules.hold = number("hold", options.hold, 0, rules.hold);
  rules.offset = number("offset", options.offset, -no_limit, rules.offset);
  rules.stall_after = number("stall_after", options.stall_after, least_time, rules.stall_after);
  rules.freeze_after = number("freeze_after", options.freeze_after, least_time, rules.freeze_after);
  rules.max_gap = number("max_gap", options.max_gap, least_time, rules.max_gap);
  rules.deadline_ms = number("deadline_ms", options.deadline_ms, least_time, rules.deadline_ms);
  rules.anytime = flag("anytime", options.anytime);
  rules.keep_vectors = !flag("whole_windows", options.whole_windows);
  if (rules.window > most) {
    throw UsageError("window: this model takes at most " + std::to_string(most) + " frames, not " +
                     std::to_string(rules.window) +
                     "; to span more time, take fewer frames of it with every");
  }
  return rules;
}

}  // namespace trml::core::stream
