#include "answer.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bundle/json.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

// Through decimals, as Python rounds; these two functions know no locale.
double rounded(double value, int decimals) {
  char text[400];
  const auto end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr;
  std::from_chars(text, end, value);
  return value;
}

void add_times(const Streamed& streamed, Json& record) {
  record["seq"] = streamed.seq;
  record["epoch"] = streamed.epoch;
  record["t0"] = rounded(streamed.t0, 6);
  record["t1"] = rounded(streamed.t1, 6);
  record["age_ms"] = rounded(streamed.age_ms, 3);
  if (!streamed.final) record["final"] = false;
  if (streamed.late) record["late"] = true;
  record["spoken"] = streamed.text ? Json(*streamed.text) : Json();
}

Json report_json(const InputReport& report) {
  Json record;
  record["state"] = report.reason.empty() ? "real" : "virtual";
  if (!report.reason.empty()) record["reason"] = report.reason;
  if (report.tokens >= 0) {
    record["tokens"] = report.tokens;
    record["truncated"] = report.truncated;
    record["unknown"] = rounded(report.unknown, 4);
  }
  if (report.frames >= 0) {
    record["frames"] = report.frames;
    record["incomplete"] = report.incomplete;
  }
  return record;
}

}  // namespace

void read_prediction(const float* values, const Task& task, Answer& answer) {
  const std::size_t count = task.regression ? 1 : task.labels.size();
  if (!std::all_of(values, values + count, [](float v) { return std::isfinite(v); })) {
    throw VerificationFailed("the engines gave NaN or infinity; build them again: trml-rt build");
  }
  if (task.regression) {
    answer.score = std::min(std::max(double(values[0]), task.range[0]), task.range[1]);
    const auto passed = std::count_if(task.thresholds.begin(), task.thresholds.end(),
                                      [&](double bound) { return bound <= answer.score; });
    answer.label = task.labels[std::size_t(passed)];
    return;
  }
  const double largest = *std::max_element(values, values + count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    answer.probabilities.emplace_back(task.labels[i], std::exp(double(values[i]) - largest));
    sum += answer.probabilities.back().second;
  }
  for (auto& [label, probability] : answer.probabilities) {
    probability /= sum;
    if (answer.label.empty() || probability > answer.score) {
      answer.label = label;
      answer.score = probability;
    }
  }
}

std::string to_json(const Answer& answer) {
  Json record;
  if (answer.streamed) add_times(*answer.streamed, record);
  record["label"] = answer.label;
  record["score"] = rounded(answer.score, 6);
  for (const auto& [label, probability] : answer.probabilities) {
    record["probabilities"][label] = rounded(probability, 6);
  }
  record["inputs"]["text"] = report_json(answer.text);
  record["inputs"]["video"] = report_json(answer.video);
  record["engine_set"] = answer.engine_set;
  record["backend"] = answer.backend;
  record["engines"] = answer.engines;
  record["verified"] = answer.verified;
  for (const auto& [name, value] : answer.ms) record["ms"][name] = rounded(value, 3);
  return record.dump();
}

}  // namespace trml::core
