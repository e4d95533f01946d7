// OpenVINO on the CPU: the back end that answers on any machine. The only file that knows OpenVINO.
#include <cstring>
#include <openvino/openvino.hpp>
#include <openvino/runtime/intel_cpu/properties.hpp>
#include <sstream>
#include <tuple>
#include <utility>

#include "backends/backend.hpp"
#include "backends/check.hpp"
#include "engines/device.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

ov::element::Type element_of(Type type) {
  switch (type) {
    case Type::int32:
      return ov::element::i32;
    case Type::uint8:
      return ov::element::u8;
    case Type::boolean:
      return ov::element::boolean;
    case Type::float32:
      break;
  }
  return ov::element::f32;
}

std::string type_word(const ov::element::Type& type) {
  for (const Type known : {Type::int32, Type::uint8, Type::boolean, Type::float32}) {
    if (type == element_of(known)) return type_name(known);
  }
  return type.get_type_name();
}

// Of an error of OpenVINO; the lines before it say where it was raised.
std::string last_line(const char* text) {
  std::string lines(text);
  while (!lines.empty() && lines.back() == '\n') lines.pop_back();
  return lines.substr(lines.rfind('\n') + 1);
}

template <typename Ports>
std::vector<FoundTensor> found(const Ports& ports) {
  std::vector<FoundTensor> tensors;
  for (const auto& port : ports) {
    FoundTensor tensor{port.get_any_name(), type_word(port.get_element_type()), {}};
    const ov::PartialShape shape = port.get_partial_shape();
    if (shape.rank().is_static()) {
      for (const auto& size : shape) {
        tensor.shape.push_back(size.is_static() ? size.get_length() : -1);
      }
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

class OpenVinoSession : public Session {
 public:
  OpenVinoSession(ov::CompiledModel& model, const EngineSpec& spec)
      : spec_(spec), request_(model.create_infer_request()) {
    for (const auto& tensor : spec.inputs) inputs_.push_back(model.input(tensor.name));
    for (const auto& tensor : spec.outputs) outputs_.push_back(model.output(tensor.name));
  }

  std::vector<Tensor> run(const std::vector<const Tensor*>& inputs) override {
    try {
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const ov::Shape shape(inputs[i]->shape.begin(), inputs[i]->shape.end());
        // OpenVINO only reads inputs; its tensors have no const form.
        auto* data = const_cast<std::uint8_t*>(inputs[i]->bytes.data());
        request_.set_tensor(inputs_[i], ov::Tensor(element_of(inputs[i]->type), shape, data));
      }
      request_.infer();
      std::vector<Tensor> results;
      for (std::size_t i = 0; i < outputs_.size(); ++i) {
        const ov::Tensor given = request_.get_tensor(outputs_[i]);
        const ov::Shape& shape = given.get_shape();
        Tensor result(spec_.outputs[i].type, {shape.begin(), shape.end()});
        if (result.bytes.size() != given.get_byte_size()) {
          throw ArtefactMismatch("OpenVINO gave another type than stated for " +
                                 spec_.outputs[i].name);
        }
        std::memcpy(result.bytes.data(), given.data(), result.bytes.size());
        results.push_back(std::move(result));
      }
      return results;
    } catch (const ov::Exception& error) {
      throw ArtefactMismatch("OpenVINO cannot run an engine: " + last_line(error.what()));
    }
  }

 private:
  EngineSpec spec_;
  ov::InferRequest request_;
  std::vector<ov::Output<const ov::Node>> inputs_, outputs_;
};

class OpenVinoEngine : public Engine {
 public:
  OpenVinoEngine(ov::CompiledModel model, EngineSpec spec)
      : model_(std::move(model)), spec_(std::move(spec)) {}

  std::unique_ptr<Session> session(std::shared_ptr<void>&) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::make_unique<OpenVinoSession>(model_, spec_);
  }

 private:
  std::mutex mutex_;
  ov::CompiledModel model_;
  EngineSpec spec_;
};

// The first line of a compiled engine, and the type that it names.
std::pair<std::string, ov::element::Type> read_head(const std::string& data,
                                                    const std::filesystem::path& path) {
  for (const auto& type : {ov::element::f32, ov::element::bf16, ov::element::f16}) {
    const std::string head = "computes in " + type.get_type_name() + "\n";
    if (data.compare(0, head.size(), head) == 0) return {head, type};
  }
  throw ArtefactMismatch(path.string() + ": not a model that `trml-rt build` compiled");
}

class OpenVinoBackend : public Backend {
 public:
  explicit OpenVinoBackend(const BackendSettings& settings)
      : threads_(settings.threads), callers_(settings.callers), compiled_(settings.compiled) {}

  const char* name() const override { return "openvino"; }

  BuiltFor here() const override {
    const Cpu cpu = this_cpu();
    return {{"back end version", ov::get_openvino_version().buildNumber},
            {"CPU features", cpu.features},
            {"half precision", cpu.half_precision}};
  }

  std::shared_ptr<Engine> load(const EngineSpec& spec, std::string data,
                               const std::filesystem::path& path) override {
    std::string head;
    // Portable graphs in full precision whatever the CPU prefers: the golden files hold FP32.
    ov::element::Type type = ov::element::f32;
    if (compiled_) std::tie(head, type) = read_head(data, path);
    ov::CompiledModel compiled;
    std::vector<std::string> problems;
    try {
      if (compiled_) {
        std::istringstream rest(data.substr(head.size()));
        std::string().swap(data);
        compiled = core_.import_model(rest, "CPU", settings(type));
        problems = stated_otherwise(spec, compiled);
      } else {
        const auto model = core_.read_model(data, ov::Tensor());
        problems = stated_otherwise(spec, *model);
        if (problems.empty()) compiled = core_.compile_model(model, "CPU", settings(type));
      }
    } catch (const std::exception& error) {  // some of its front ends throw their own
      throw ArtefactMismatch(path.string() +
                             ": OpenVINO cannot load it: " + last_line(error.what()));
    }
    if (!problems.empty()) refuse(path.string(), problems);
    const auto given = compiled.get_property(ov::hint::inference_precision);
    if (given != type) {  // it takes another one without a word
      throw EnvironmentUnfit("OpenVINO computes in " + given.get_type_name() +
                             " here, and not in " + type.get_type_name() +
                             "; take another precision, or upgrade OpenVINO");
    }
    return std::make_shared<OpenVinoEngine>(std::move(compiled), spec);
  }

 private:
  ov::AnyMap settings(const ov::element::Type& type) const {
    ov::AnyMap map{ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                   ov::num_streams(callers_),  // more calls at once would wait in line
                   ov::hint::inference_precision(type)};
    // OpenVINO counts the threads of all streams together.
    if (threads_ > 0) map.insert(ov::inference_num_threads(threads_ * callers_));
    return map;
  }

  template <typename Model>
  static std::vector<std::string> stated_otherwise(const EngineSpec& spec, const Model& model) {
    auto problems = differences("input", spec.inputs, found(model.inputs()));
    for (auto& more : differences("output", spec.outputs, found(model.outputs()))) {
      problems.push_back(std::move(more));
    }
    return problems;
  }

  ov::Core core_;
  int threads_, callers_;
  bool compiled_;
};

}  // namespace

std::shared_ptr<Backend> make_openvino(const BackendSettings& settings) {
  try {
    return std::make_shared<OpenVinoBackend>(settings);
  } catch (const ov::Exception& error) {
    throw EnvironmentUnfit("OpenVINO cannot start: " + last_line(error.what()));
  }
}

std::string openvino_version() {
  return std::string("OpenVINO ") + ov::get_openvino_version().buildNumber;
}

std::vector<Check> openvino_checks(bool required) {
  const auto check = [required](bool ok, const std::string& found) {
    return std::vector<Check>{{"back end openvino", ok, found, required, {}}};
  };
  try {
    const auto cpu = ov::Core().get_property("CPU", ov::device::full_name);
    const std::string half = this_cpu().half_precision;
    return check(true, cpu + ", half precision: " + (half == "none" ? "none, so no fp16" : half));
  } catch (const std::exception& error) {
    return check(false, "OpenVINO cannot start: " + last_line(error.what()));
  }
}

}  // namespace trml::core
