#include "bundle/engine_folder.hpp"

#include <algorithm>
#include <system_error>

#include "bundle/records.hpp"
#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t engine_schema = 1;

}  // namespace

const FileEntry& EngineFolder::entry(const std::string& engine) const {
  return std::find_if(files.begin(), files.end(), [&](const auto& f) { return f.first == engine; })
      ->second;
}

fs::path EngineFolder::path(const std::string& engine) const { return folder / entry(engine).name; }

std::string EngineFolder::read(const std::string& engine) const {
  return read_checked(path(engine), entry(engine), "build it again: trml-rt build");
}

std::vector<std::string> EngineFolder::passed_sets() const {
  const auto record = folder / "verify.json";
  std::string data;
  try {
    data = read_bytes(record);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) return {};
    throw ArtefactMismatch(record.string() + ": cannot be read (" + error.code().message() + ")");
  }
  const Json content = parse_object(data, record.string());
  std::vector<std::string> passed;
  if (content.value("passed", Json()) != true) return passed;
  const Json sets = content.value("engine_sets", Json());
  if (!sets.is_object()) return passed;
  for (const auto& [name, measured] : sets.items()) passed.push_back(name);
  return passed;
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
  return engines;
}

std::vector<fs::path> engine_folders(const Bundle& bundle) {
  std::vector<fs::path> folders;
  std::error_code error, unknown;
  const auto engines = bundle.folder / "engines";
  for (const auto& entry : fs::directory_iterator(engines, error)) {
    if (entry.is_directory(unknown) && entry.path().filename().string()[0] != '.') {
      folders.push_back(entry.path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory &&
      error != std::errc::not_a_directory) {
    throw ArtefactMismatch(engines.string() + ": cannot be read (" + error.message() + ")");
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace trml::core
