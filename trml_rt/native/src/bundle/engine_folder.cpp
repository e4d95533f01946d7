#include "bundle/engine_folder.hpp"

#include <algorithm>
#include <system_error>

#include "bundle/records.hpp"
#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t engine_schema = 1;

// Why these engines may not run for `bundle` on a device of which `here` is true (E1). Fields that
// this library cannot know, such as the builder's options, are the build's own business.
std::vector<std::string> misfits(const EngineFolder& engines, const Bundle& bundle,
                                 const BuiltFor& here) {
  BuiltFor expected = here;
  for (const auto& engine : bundle.manifest.engines) {
    expected.emplace_back("source of " + engine.name, bundle.manifest.file(engine.file)->sha256);
  }
  std::vector<std::string> problems;
  for (const auto& [name, value] : expected) {
    const auto found =
        std::find_if(engines.built_for.begin(), engines.built_for.end(),
                     [&, key = name](const auto& field) { return field.first == key; });
    const std::string there = found == engines.built_for.end() ? "None" : repr(found->second);
    // Python states the build number of TensorRT too, as the fourth part of its version.
    const bool same_version = name == "back end version" && found != engines.built_for.end() &&
                              found->second.rfind(value + ".", 0) == 0;
    if (there != repr(value) && !same_version) {
      problems.push_back(name + " is " + there + " there, " + repr(value) + " here");
    }
  }
  for (const auto& engine : bundle.manifest.engines) {
    const auto named = [&](const auto& file) { return file.first == engine.name; };
    if (std::none_of(engines.files.begin(), engines.files.end(), named)) {
      problems.push_back(engine.name + " is not among its engines");
    }
  }
  return problems;
}

std::string rebuild_command(const Bundle& bundle, const std::string& precision) {
  return "trml-rt build --bundle " + bundle.folder.string() + " --precision " +
         (precision.empty() ? "fp16" : precision) + " --backend tensorrt";
}

std::vector<fs::path> engine_folders(const Bundle& bundle) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(bundle.folder / "engines", error)) {
    if (entry.is_directory(error) && entry.path().filename().string()[0] != '.') {
      folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

// Says whether `trml-rt verify` has compared the engines since, and they missed a gate.
// The engine sets that the record of the last verification passed, as "set/prediction".
std::vector<std::string> read_verified(const fs::path& record) {
  std::string data;
  try {
    data = read_bytes(record);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) return {};
    throw ArtefactMismatch(record.string() + ": cannot be read (" + error.code().message() + ")");
  }
  const Json content = parse_object(data, record.string());
  if (!content.contains("passed") || content["passed"] != true) return {};
  std::vector<std::string> verified;
  if (content.contains("engine_sets") && content["engine_sets"].is_object()) {
    for (const auto& [name, found] : content["engine_sets"].items()) {
      if (found.is_object()) verified.push_back(name + "/prediction");
    }
  }
  return verified;
}

}  // namespace

const FileEntry& EngineFolder::entry(const std::string& engine) const {
  return std::find_if(files.begin(), files.end(), [&](const auto& f) { return f.first == engine; })
      ->second;
}

fs::path EngineFolder::path(const std::string& engine) const { return folder / entry(engine).name; }

std::string EngineFolder::read(const std::string& engine) const {
  return read_checked(path(engine), entry(engine), "build it again: trml-rt build");
}

EngineFolder open_engine_folder(const fs::path& folder) {
  const auto source = folder / "manifest.json";
  std::string data;
  try {
    data = read_bytes(source);
  } catch (const std::system_error& error) {
    throw ArtefactMismatch(source.string() + ": cannot be read (" + error.code().message() + ")");
  }
  const Json content = parse_object(data, source.string());
  std::vector<std::string> problems;
  check_schema(content, engine_schema, source.string(), problems);
  EngineFolder engines;
  engines.folder = folder;
  Record record(content, "", problems);
  record.any("schema");
  engines.backend = record.text("backend");
  engines.precision = record.text("precision");
  record.choice("weights", {"fp32", "fp16", "int8"});
  record.choice("compute", {"fp32", "fp16", "int8"});
  if (const Json* fields = record.object("built_for")) {
    for (const auto& [name, value] : fields->items()) {
      if (value.is_string()) {
        engines.built_for.emplace_back(name, value.get<std::string>());
      } else {
        note_expected("built_for." + name, "a string", value, problems);
      }
    }
  }
  if (const Json* files = record.object("files")) {
    for (const auto& [name, value] : files->items()) {
      const auto where = "files." + name;
      Json rest = value;
      std::string file;
      if (value.is_object()) {
        if (value.contains("file") && value["file"].is_string()) {
          file = value["file"].get<std::string>();
          rest.erase("file");
        } else if (value.contains("file")) {
          note_expected(where + ".file", "a string", value["file"], problems);
          rest.erase("file");
        } else {
          problems.push_back(where + ".file: key is missing");
        }
        if (rest.contains("layers")) {  // the type that each layer computes in, for people
          if (!rest["layers"].is_object()) {
            note_expected(where + ".layers", "an object", rest["layers"], problems);
          }
          rest.erase("layers");
        }
      }
      engines.files.emplace_back(name, read_file_entry(file, rest, where, problems));
    }
  }
  if (const Json* verified = record.object("verified")) {
    for (const auto& [name, value] : verified->items()) {
      note_number(value, "verified." + name, problems);
    }
  }
  // What the build counted in the plans, for people; not every build writes it.
  for (const char* counts : {"products", "plan_layers", "islands"}) {
    if (content.contains(counts)) record.object(counts);
  }
  record.finish();
  if (!problems.empty()) refuse(source.string(), problems);
  std::vector<FileEntry> entries;
  for (const auto& [engine, entry] : engines.files) entries.push_back(entry);
  check_files(folder, entries);
  engines.verified = read_verified(folder / "verify.json");
  return engines;
}

EngineFolder find_engines(const Bundle& bundle, const std::string& precision,
                          const BuiltFor& here) {
  std::vector<std::string> others;
  std::vector<EngineFolder> fit;
  for (const auto& folder : engine_folders(bundle)) {
    try {
      EngineFolder engines = open_engine_folder(folder);
      if (engines.backend != "tensorrt") continue;
      if (!precision.empty() && engines.precision != precision) continue;
      const auto problems = misfits(engines, bundle, here);
      if (problems.empty()) {
        fit.push_back(std::move(engines));
      } else {
        others.push_back(folder.filename().string() + ": " + join(problems, ", "));
      }
    } catch (const ArtefactMismatch& error) {
      others.emplace_back(error.what());
    }
  }
  // INT8 has to show on the device that it is faster, so it is the last to be taken unnamed.
  for (const char* preferred : {"fp16", "fp32", "int8"}) {
    for (auto& engines : fit) {
      if (engines.precision == preferred) return std::move(engines);
    }
  }
  if (!fit.empty()) return std::move(fit.front());
  const std::string kind = precision.empty() ? "TensorRT" : precision + " TensorRT";
  const std::string build = rebuild_command(bundle, precision);
  if (others.empty()) {
    throw ArtefactMismatch(bundle.folder.string() + ": no " + kind +
                           " engines yet; build them: " + build);
  }
  others.push_back("build them: " + build);
  refuse(bundle.folder.string() + ": no " + kind + " engines fit", others);
}

}  // namespace trml::core
