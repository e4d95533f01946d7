// TensorRT itself: its log, its types, and a plan that it has loaded.
#pragma once

#include <NvInfer.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "backends/backend.hpp"
#include "backends/tensorrt/frames.hpp"
#include "error.hpp"

namespace trml::core::tensorrt {

// Of 100300 or 110100: two digits each after the first.
inline std::string version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

inline Type type_of(nvinfer1::DataType type, bool& known) {
  known = true;
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      return Type::float32;
    case nvinfer1::DataType::kINT32:
      return Type::int32;
    case nvinfer1::DataType::kUINT8:
      return Type::uint8;
    case nvinfer1::DataType::kBOOL:
      return Type::boolean;
    default:
      known = false;
      return Type::float32;
  }
}

inline std::size_t volume(const nvinfer1::Dims& dims) {
  std::size_t n = 1;
  for (int i = 0; i < dims.nbDims; ++i) n *= std::size_t(std::max<std::int64_t>(dims.d[i], 0));
  return n;
}

// Keeps TensorRT's last lines, which say why something failed when its return value does not.
class Logger : public nvinfer1::ILogger {
 public:
  explicit Logger(Log log) : log_(std::move(log)) {}

  void log(Severity severity, char const* line) noexcept override {
    if (severity > Severity::kWARNING) return;
    try {
      if (log_) log_(TRML_RT_LOG_WARNING, std::string("TensorRT: ") + line);
      const std::lock_guard<std::mutex> lock(mutex_);
      lines_.emplace_back(line);
      if (lines_.size() > 5) lines_.pop_front();
    } catch (...) {  // a line that cannot be kept is lost
    }
  }

  // What was said before is of earlier calls; each call begins with this.
  void forget() {
    const std::lock_guard<std::mutex> lock(mutex_);
    lines_.clear();
  }

  std::string last() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lines_.empty() ? "it does not say why" : join({lines_.begin(), lines_.end()}, " | ");
  }

 private:
  Log log_;
  std::mutex mutex_;
  std::deque<std::string> lines_;
};

// A loaded plan, which the sessions of all threads share.
struct Plan {
  std::shared_ptr<Logger> logger;
  std::shared_ptr<nvinfer1::IRuntime> runtime;  // must outlive the engine
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  std::shared_ptr<Kernels> kernels;
  EngineSpec spec;
  int device = 0;
  bool integrated = false;

  [[noreturn]] void fail(const char* what) const {
    throw EnvironmentUnfit("TensorRT cannot " + std::string(what) + " of " + spec.name + ": " +
                           logger->last());
  }
};

}  // namespace trml::core::tensorrt
