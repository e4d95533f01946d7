#include "stream/answer.hpp"

#include "bundle/json.hpp"

namespace trml::core::stream {

const char* state_name(State state) {
  switch (state) {
    case TRML_RT_CONNECTING:
      return "connecting";
    case TRML_RT_RUNNING:
      return "running";
    case TRML_RT_STALLED:
      return "stalled";
    case TRML_RT_RETRYING:
      return "retrying";
    case TRML_RT_ENDED:
      return "ended";
    case TRML_RT_FAILED:
      break;
  }
  return "failed";
}

std::string StreamEvent::to_json() const {
  Json record;
  record["event"] = input == TRML_RT_TEXT ? "text" : "video";
  record["state"] = state_name(state);
  if (!reason.empty()) record["reason"] = reason;
  record["epoch"] = epoch;
  if (!message.empty()) record["message"] = message;
  return record.dump();
}

}  // namespace trml::core::stream
