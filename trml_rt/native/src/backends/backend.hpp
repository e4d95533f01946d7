// What the dispatcher asks of a back end: load an engine, and run it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/tensor.hpp"
#include "trml_rt/trml_rt.h"

namespace trml::core {

// One thread's use of an engine.
class Session {
 public:
  virtual ~Session() = default;
  // `inputs` and the result are in the order of the engine's spec. Raises ArtefactMismatch.
  virtual std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) = 0;
};

// One loaded network; threads share it.
class Engine {
 public:
  virtual ~Engine() = default;
  // `lane` is what the sessions of one handle share; the first of them makes it.
  virtual std::unique_ptr<Session> session(std::shared_ptr<void>& lane) = 0;
};

// Facts by name that decide whether a compiled engine may run (E1).
using BuiltFor = std::vector<std::pair<std::string, std::string>>;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  // Those of its facts about this device that a build writes down.
  virtual BuiltFor here() const { return {}; }
  // Whether frames may lie in CUDA memory.
  virtual bool takes_device_memory() const { return false; }
  // Whether it keeps work for each shape, so that shapes should be few.
  virtual bool works_by_shape() const { return false; }
  // Load the graph or plan `data`, read from `path`; its tensors are those of `spec` (R13).
  virtual std::shared_ptr<Engine> load(const EngineSpec& spec, std::string data,
                                       const std::filesystem::path& path) = 0;
};

using Log = std::function<void(trml_rt_log_level, const std::string&)>;

struct BackendSettings {
  int threads = 0;  // of one caller; 0: the back end chooses
  int callers = 1;  // handles that run at once
  int device = 0;
  Log log;
  bool compiled = false;  // what is loaded are compiled engines, and no ONNX graphs
};

// Each raises EnvironmentUnfit where this build or this machine lacks what it needs.
std::shared_ptr<Backend> make_openvino(const BackendSettings& settings);
std::shared_ptr<Backend> make_tensorrt(const BackendSettings& settings);

// What a graph says of a tensor, as far as it fixes it: a size of 0 or less is open.
struct FoundTensor {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
};

// How a graph's tensors differ from those of the manifest: names, types, fixed sizes (R13).
std::vector<std::string> differences(const char* side, const std::vector<TensorSpec>& stated,
                                     const std::vector<FoundTensor>& found);

}  // namespace trml::core
