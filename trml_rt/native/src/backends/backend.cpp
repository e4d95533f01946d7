#include "backends/backend.hpp"

#include <algorithm>
#include <set>

#include "backends/check.hpp"
#include "bundle/json.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

std::string found_shape(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const auto size : shape) {
    text += (text.empty() ? "" : ", ") + (size > 0 ? std::to_string(size) : std::string("?"));
  }
  return "[" + text + "]";
}

bool agree(const Shape& stated, const std::vector<std::int64_t>& found) {
  if (stated.size() != found.size()) return false;
  for (std::size_t i = 0; i < stated.size(); ++i) {
    const bool open = found[i] <= 0;
    if (!open && (stated[i].axis != Axis::none || stated[i].size != found[i])) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> differences(const char* side, const std::vector<TensorSpec>& stated,
                                     const std::vector<FoundTensor>& found) {
  std::set<std::string> names;
  for (const auto& tensor : stated) names.insert(tensor.name);
  for (const auto& tensor : found) names.insert(tensor.name);
  std::vector<std::string> problems;
  for (const auto& name : names) {
    const auto named = [&](const auto& tensor) { return tensor.name == name; };
    const auto want = std::find_if(stated.begin(), stated.end(), named);
    const auto have = std::find_if(found.begin(), found.end(), named);
    const std::string type = want == stated.end() ? "nothing" : type_name(want->type);
    const std::string given = have == found.end() ? "nothing" : have->type;
    const auto where = std::string(side) + " " + repr(name) + ": ";
    if (type != given) {
      problems.push_back(where + type + " stated, " + given + " found");
    } else if (!agree(want->shape, have->shape)) {
      problems.push_back(where + "shape " + shape_text(want->shape) + " stated, " +
                         found_shape(have->shape) + " found");
    }
  }
  return problems;
}

#if !TRML_RT_WITH_OPENVINO
namespace {
constexpr const char* no_openvino =
    "this libtrml_rt was built without OpenVINO; configure it with -DTRML_RT_OPENVINO=ON, or pass "
    "another back end";
}  // namespace

std::shared_ptr<Backend> make_openvino(const BackendSettings&) {
  throw EnvironmentUnfit(no_openvino);
}
std::string openvino_version() { return {}; }
std::vector<Check> openvino_checks(bool required) {
  return {{"back end openvino", false, no_openvino, required, {}}};
}
#endif
#if !TRML_RT_WITH_TENSORRT
namespace {
constexpr const char* no_tensorrt =
    "this libtrml_rt was built without TensorRT; configure it with -DTRML_RT_TENSORRT=ON, or pass "
    "another back end";
}  // namespace

std::shared_ptr<Backend> make_tensorrt(const BackendSettings&) {
  throw EnvironmentUnfit(no_tensorrt);
}
std::string tensorrt_version() { return {}; }
std::vector<Check> tensorrt_checks(bool required, int) {
  return {{"back end tensorrt", false, no_tensorrt, required, {}}};
}
#endif

}  // namespace trml::core
