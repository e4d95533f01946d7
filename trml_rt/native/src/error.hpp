// The one error tree, with the status codes of trml_rt.h. A message says what is wrong, where, and
// what to do next; it is the message that the Python runtime gives for the same fault.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "trml_rt/trml_rt.h"

namespace trml::core {

class Error : public std::runtime_error {
 public:
  Error(trml_rt_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}

  trml_rt_status status() const { return status_; }

 private:
  trml_rt_status status_;
};

// The call itself makes no sense.
struct UsageError : Error {
  explicit UsageError(const std::string& m) : Error(TRML_RT_USAGE, m) {}
};

// The machine or the build lacks something.
struct EnvironmentUnfit : Error {
  explicit EnvironmentUnfit(const std::string& m) : Error(TRML_RT_ENVIRONMENT, m) {}
};

// Engines gave what cannot be an answer.
struct VerificationFailed : Error {
  explicit VerificationFailed(const std::string& m) : Error(TRML_RT_VERIFICATION, m) {}
};

// A bundle or an engine is damaged, of another schema, or made for something else.
struct ArtefactMismatch : Error {
  explicit ArtefactMismatch(const std::string& m) : Error(TRML_RT_ARTEFACT, m) {}
};

// A text or a clip cannot be used; `reason` is the word that the answer would carry.
struct InputUnusable : Error {
  InputUnusable(const std::string& m, std::string why)
      : Error(TRML_RT_INPUT, m), reason(std::move(why)) {}
  std::string reason;
};

inline std::string join(const std::vector<std::string>& parts, const std::string& glue) {
  std::string joined;
  for (std::size_t i = 0; i < parts.size(); ++i) joined += (i ? glue : "") + parts[i];
  return joined;
}

// A queue has no room for another sample.
struct QueueFull : Error {
  explicit QueueFull(const std::string& m) : Error(TRML_RT_BUSY, m) {}
};

// Raise one ArtefactMismatch that lists all problems of `source`.
[[noreturn]] inline void refuse(const std::string& source,
                                const std::vector<std::string>& problems) {
  throw ArtefactMismatch(source + ": " + join(problems, "; "));
}

}  // namespace trml::core
