#include "engines/key.hpp"

#include <set>
#include <system_error>
#include <utility>

#include "error.hpp"

namespace trml::core {
namespace {

// They decide what an engine is and not where it may run.
constexpr const char* options = "builder options";
constexpr const char* calibration = "calibration";

// As Python's json.dumps writes it, with sorted keys.
std::string profile(const char* name, const AxisRange& axis) {
  return std::string("\"") + name + "\": {\"max\": " + std::to_string(axis.max) +
         ", \"min\": " + std::to_string(axis.min) + ", \"opt\": " + std::to_string(axis.opt) + "}";
}

const std::string* find(const Fields& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? nullptr : &found->second;
}

bool agree(const std::string& name, const std::string* there, const std::string* here) {
  if (there == nullptr || here == nullptr) return there == here;
  // Python states the build number of TensorRT too, as the fourth part of its version.
  return *there == *here || (name == "back end version" && there->rfind(*here + ".", 0) == 0);
}

}  // namespace

// The recipes have the names that they have in Python; the conformance files hold both to the same.
const BackendRow tensorrt_row{"tensorrt",        "workspace_mib=1024 optimization_level=default",
                              "fp32-plain/1",    "fp16-computed/3",
                              "int8-qdq-fp16/2", true};
const BackendRow openvino_row{"openvino",        "performance_hint=latency num_streams=1",
                              "fp32/1",          "fp16-half/1",
                              "int8-qdq-half/1", false};

Fields built_for_here(const Bundle& bundle, const std::string& precision, const BackendRow& row,
                      const BuiltFor& device) {
  const Manifest& manifest = bundle.manifest;
  Fields fields(device.begin(), device.end());
  fields["schema"] = std::to_string(engine_schema);
  fields["back end"] = row.name;
  fields["system"] = system_name();
  fields["precision recipe"] = precision == "fp32"   ? row.fp32
                               : precision == "fp16" ? row.fp16
                                                     : row.int8;
  fields["shape profiles"] = "{" + profile("batch", manifest.batch) + ", " +
                             profile("frames", manifest.frames) + ", " +
                             profile("tokens", manifest.tokens) + "}";
  for (const auto& engine : manifest.engines) {
    fields["source of " + engine.name] = manifest.file(engine.file)->sha256;
  }
  if (row.converts &&
      precision != "fp32") {  // the golden inputs show which nodes come near FP16's limit
    for (const auto& set : manifest.engine_sets) {
      fields["golden of " + set.name] = manifest.file(set.golden)->sha256;
    }
  }
  if (precision == "int8") {
    try {
      fields[calibration] =
          sha256_hex(read_record(bundle.folder / "calibration" / "calibration.json"));
    } catch (const std::system_error&) {  // a bundle without one takes engines of any
    }
  }
  return fields;
}

std::vector<std::string> misfits(const EngineFolder& engines, const Bundle& bundle,
                                 const Fields& expected) {
  const Fields stated(engines.built_for.begin(), engines.built_for.end());
  std::set<std::string> names;
  for (const auto& [name, value] : stated) names.insert(name);
  for (const auto& [name, value] : expected) names.insert(name);
  std::vector<std::string> problems;
  for (const auto& name : names) {
    const std::string *there = find(stated, name), *here = find(expected, name);
    if (name == options || (name == calibration && here == nullptr)) continue;
    if (agree(name, there, here)) continue;
    const auto shown_value = [](const std::string* value) {
      return value == nullptr ? "None" : repr(*value);
    };
    problems.push_back(name + " is " + shown_value(there) + " there, " + shown_value(here) +
                       " here");
  }
  std::set<std::string> missing;
  for (const auto& engine : bundle.manifest.engines) missing.insert(engine.name);
  for (const auto& [name, entry] : engines.files) missing.erase(name);
  for (const auto& name : missing) problems.push_back(name + " is not among its engines");
  return problems;
}

EngineFolder one_of(const Bundle& bundle, std::vector<EngineFolder> fitting, const BackendRow& row,
                    const Fields& expected) {
  std::set<std::string> calibrations, names;
  for (auto& engines : fitting) {
    const Fields stated(engines.built_for.begin(), engines.built_for.end());
    const std::string *made_with = find(stated, calibration), *set = find(stated, options);
    const bool same_calibration = agree(calibration, made_with, find(expected, calibration));
    if (same_calibration && set != nullptr && *set == row.options) return std::move(engines);
    calibrations.insert(made_with == nullptr ? "" : *made_with);
    names.insert(engines.folder.filename().string());
  }
  if (calibrations.size() > 1) {
    refuse(bundle.folder.string() + ": " + std::to_string(fitting.size()) +
               " engine folders fit alike",
           {join({names.begin(), names.end()}, ", "),
            "keep those of one calibration, or put it into the bundle"});
  }
  return std::move(fitting.front());
}

}  // namespace trml::core
