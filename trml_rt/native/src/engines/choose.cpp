#include "engines/choose.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "engines/fastest.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

// A path as a shell takes it for one argument, and no command for an option.
std::string shell_word(const std::string& path) {
  const std::string text = path.rfind("-", 0) == 0 ? "./" + path : path;
  const auto plain = [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || std::strchr("_@%+=:,./-", c) != nullptr);
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return quoted + "'";
}

std::string command(const std::string& verb, const Bundle& bundle, const std::string& precision,
                    const BackendRow& row) {
  return "trml-rt " + verb + " --bundle " + shell_word(bundle.folder.string()) + " --precision " +
         precision + " --backend " + row.name;
}

// INT8 of a bundle without a calibration takes one command before the build.
std::string build_command(const Bundle& bundle, const std::string& precision,
                          const BackendRow& row) {
  const std::string build = command("build", bundle, precision, row);
  std::error_code unknown;
  if (precision != "int8" ||
      std::filesystem::exists(bundle.folder / "calibration" / "calibration.json", unknown)) {
    return build;
  }
  return "trml-rt calibrate " + shell_word(bundle.folder.string()) + " --data rows.jsonl, then " +
         build;
}

// Those of `order` in which there are TensorRT engines, fitting or not.
std::vector<std::string> built(const Bundle& bundle, const std::vector<std::string>& order) {
  std::vector<std::string> there, found;
  for (const auto& folder : engine_folders(bundle)) {
    try {
      const EngineFolder engines = open_engine_folder(folder);
      if (engines.backend == tensorrt_row.name) there.push_back(engines.precision);
    } catch (const ArtefactMismatch&) {  // whoever names damaged engines is told of the damage
    }
  }
  for (const auto& precision : order) {
    if (std::find(there.begin(), there.end(), precision) != there.end()) found.push_back(precision);
  }
  return found;
}

// What "auto" takes, best first. INT8 must show on the device that it is faster, so it is named.
std::vector<std::string> unasked(const std::string& precision) {
  return precision.empty() ? std::vector<std::string>{"fp16", "fp32"} : std::vector{precision};
}

// The engines of one precision, if every engine set of theirs was compared and passed.
EngineFolder find_verified(const Bundle& bundle, const std::string& precision,
                           const BackendRow& row, const BuiltFor& here) {
  EngineFolder engines = find_engines(bundle, precision, row, here);
  const auto passed = engines.passed_sets();
  for (const auto& set : bundle.manifest.engine_sets) {
    if (std::find(passed.begin(), passed.end(), set.name) == passed.end()) {
      throw ArtefactMismatch(engines.folder.string() + ": not verified; verify it: " +
                             command("verify", bundle, precision, row));
    }
  }
  return engines;
}

}  // namespace

EngineFolder find_engines(const Bundle& bundle, const std::string& precision, const BackendRow& row,
                          const BuiltFor& here) {
  const Fields expected = built_for_here(bundle, precision, row, here);
  std::vector<std::string> others;
  std::vector<EngineFolder> fitting;
  for (const auto& folder : engine_folders(bundle)) {
    try {
      EngineFolder engines = open_engine_folder(folder);
      if (engines.backend != row.name || engines.precision != precision) continue;
      if (const auto problems = misfits(engines, bundle, expected); problems.empty()) {
        fitting.push_back(std::move(engines));
      } else {
        others.push_back(folder.filename().string() + ": " + join(problems, ", "));
      }
    } catch (const ArtefactMismatch& error) {
      others.emplace_back(error.what());
    }
  }
  if (!fitting.empty()) return one_of(bundle, std::move(fitting), row, expected);
  const std::string build = "build them: " + build_command(bundle, precision, row);
  if (others.empty()) {
    throw ArtefactMismatch(bundle.folder.string() + ": no " + precision + " " + row.name +
                           " engines yet; " + build);
  }
  others.push_back(build);
  refuse(bundle.folder.string() + ": no " + precision + " engines fit", others);
}

bool there_unasked(const Bundle& bundle, const std::string& precision) {
  return !built(bundle, unasked(precision)).empty();
}

EngineFolder choose_engines(const Bundle& bundle, const std::string& backend,
                            const std::string& precision, const BuiltFor& here) {
  const BackendRow& row = tensorrt_row;
  const bool named = backend == row.name;
  std::vector<std::string> order = unasked(precision);
  if (precision.empty() && named) order.emplace_back("int8");
  auto candidates = precision.empty() ? built(bundle, order) : order;
  if (candidates.empty()) candidates.push_back(order.front());
  std::vector<std::string> problems;
  for (const auto& candidate : candidates) {
    try {
      return (named ? find_engines : find_verified)(bundle, candidate, row, here);
    } catch (const ArtefactMismatch& error) {
      problems.emplace_back(error.what());
    }
  }
  // A back end that was named speaks of the last one, as the Python reader does.
  throw ArtefactMismatch(named ? problems.back() : join(problems, "; "));
}

std::optional<Recorded> find_fastest(const Bundle& bundle, const std::string& precision,
                                     const std::string& unasked) {
  const auto record = read_fastest(bundle);
  // Engines that took no part, because they were built since, are not known to be slower.
  if (!record || (!unasked.empty() && record->compared.count(unasked) == 0)) return std::nullopt;
  for (const auto& folder : engine_folders(bundle)) {
    if (folder.filename() != record->engines) continue;
    EngineFolder engines = open_engine_folder(folder);
    if (!precision.empty() && engines.precision != precision) return std::nullopt;
    for (const BackendRow* row : {&tensorrt_row, &openvino_row}) {
      if (engines.backend == row->name) return Recorded{std::move(engines), *row};
    }
  }
  return std::nullopt;
}

bool fits_verified(const Bundle& bundle, const Recorded& recorded, const BuiltFor& here) {
  const EngineFolder& engines = recorded.engines;
  return find_verified(bundle, engines.precision, recorded.row, here).folder == engines.folder;
}

}  // namespace trml::core
