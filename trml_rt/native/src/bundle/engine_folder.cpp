#include "bundle/engine_folder.hpp"

#include <algorithm>
#include <map>
#include <system_error>

#include "bundle/places.hpp"
#include "bundle/records.hpp"
#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

using Problems = std::vector<std::string>;

constexpr const char* build_again = "build it again: trml-rt build";

const std::vector<std::string> precisions{"fp32", "fp16", "int8"};

FileEntry read_built_file(const Json& value, const std::string& where, Problems& problems) {
  Record record(value, where, problems);
  FileEntry entry = read_file_entry(record);
  entry.name = record.text("file");
  if (const Json* layers = record.optional_object("layers")) {
    for (const auto& [layer, type] : layers->items()) {
      note_choice(type, {"int8", "fp32"}, where + ".layers." + layer, problems);
    }
  }
  record.finish();
  return entry;
}

// What nothing here uses is checked all the same: one reader refuses what the other refuses (R3).
void check_what_people_read(Record& record) {
  Problems& problems = record.problems();
  if (const Json* verified = record.optional_object("verified")) {
    for (const auto& [name, value] : verified->items()) {
      note_number(value, "verified." + name, problems);
    }
  }
  for (const char* key : {"products", "plan_layers"}) {
    const Json* engines = record.optional_object(key);
    if (engines == nullptr) continue;
    for (const auto& [engine, counts] : engines->items()) {
      const auto where = record.at(key) + "." + engine;
      if (!counts.is_object()) {
        note_expected(where, "an object", counts, problems);
        continue;
      }
      for (const auto& [type, count] : counts.items()) {
        note_whole(count, where + "." + type, problems);
      }
    }
  }
  if (const Json* widened = record.optional_object("widened")) {
    for (const auto& [engine, problem] : widened->items()) {
      note_text(problem, "widened." + engine, problems);
    }
  }
  const Json* islands = record.optional_object("islands");
  if (islands == nullptr) return;
  for (const auto& [engine, nodes] : islands->items()) {
    const auto where = "islands." + engine;
    if (!nodes.is_array()) {
      note_expected(where, "a list", nodes, problems);
      continue;
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      note_text(nodes[i], where + "." + std::to_string(i), problems);
    }
  }
}

// Each file once, in the order of its first entry, as its last entry states it.
std::vector<FileEntry> distinct(const std::vector<std::pair<std::string, FileEntry>>& files) {
  std::vector<FileEntry> entries;
  for (const auto& [engine, entry] : files) {
    const auto same =
        std::find_if(entries.begin(), entries.end(),
                     [&, &given = entry](const auto& e) { return e.name == given.name; });
    if (same == entries.end()) {
      entries.push_back(entry);
    } else {
      *same = entry;
    }
  }
  return entries;
}

// What verify.json says that this library needs.
struct Verification {
  std::map<std::string, std::string> engines;  // the hash of each file that was compared
  std::vector<std::string> passed;             // the engine sets that have passed
};

Verification read_verification(std::string_view data, const std::string& source) {
  const Json content = parse_object(data, source);
  Problems problems;
  check_schema(content, verification_schema, source, problems);
  Verification found;
  Record record(content, "", problems);
  record.any("schema");
  record.choice("precision", precisions);
  record.text("reference");
  if (const Json* limits = record.object("limits")) {
    for (const auto& [name, value] : limits->items()) {
      note_number(value, "limits." + name, problems);
    }
  }
  if (const Json* engines = record.object("engines")) {
    for (const auto& [name, value] : engines->items()) {
      note_text(value, "engines." + name, problems);
      if (value.is_string()) found.engines[name] = value.get<std::string>();
    }
  }
  if (const Json* sets = record.object("engine_sets")) {
    for (const auto& [name, value] : sets->items()) {
      Record verdict(value, "engine_sets." + name, problems);
      if (verdict.boolean("passed")) found.passed.push_back(name);
      verdict.texts("problems");
      verdict.texts("warnings");
      verdict.choice("inputs", {"data", "golden files"});
      verdict.object("fp32");
      verdict.object("golden");
      verdict.finish();
    }
  }
  record.finish();
  if (!problems.empty()) refuse(source, problems);
  return found;
}

}  // namespace

const FileEntry& EngineFolder::entry(const std::string& engine) const {
  return std::find_if(files.begin(), files.end(), [&](const auto& f) { return f.first == engine; })
      ->second;
}

fs::path EngineFolder::path(const std::string& engine) const { return folder / entry(engine).name; }

std::string EngineFolder::read(const std::string& engine) const {
  return read_checked(path(engine), entry(engine), build_again);
}

std::vector<std::string> EngineFolder::passed_sets() const {
  const auto record = folder / "verify.json";
  std::string data;
  try {
    data = read_record(record);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) return {};
    throw ArtefactMismatch(record.string() + ": cannot be read (" + error.code().message() + ")");
  }
  const Verification found = read_verification(data, record.string());
  std::map<std::string, std::string> hashes;
  for (const auto& [engine, file] : files) hashes[engine] = file.sha256;
  // A record of other engines says nothing of these.
  return found.engines == hashes ? found.passed : std::vector<std::string>();
}

EngineFolder read_engine_manifest(std::string_view data, const std::string& source) {
  const Json content = parse_object(data, source);
  Problems problems;
  check_schema(content, engine_schema, source, problems);
  EngineFolder engines;
  Record record(content, "", problems);
  record.any("schema");
  engines.backend = record.text("backend");
  engines.precision = record.choice("precision", precisions);
  record.choice("weights", precisions);
  record.choice("compute", precisions);
  if (const Json* fields = record.object("built_for")) {
    for (const auto& [name, value] : fields->items()) {
      note_text(value, "built_for." + name, problems);
      if (value.is_string()) engines.built_for.emplace_back(name, value.get<std::string>());
    }
  }
  if (const Json* files = record.object("files")) {
    for (const auto& [name, value] : files->items()) {
      engines.files.emplace_back(name, read_built_file(value, "files." + name, problems));
    }
  }
  check_what_people_read(record);
  record.finish();
  if (!problems.empty()) refuse(source, problems);
  return engines;
}

EngineFolder open_engine_folder(const fs::path& folder) {
  const auto source = folder / "manifest.json";
  std::string data;
  try {
    data = read_record(source);
  } catch (const std::system_error& error) {
    throw ArtefactMismatch(source.string() + ": cannot be read (" + error.code().message() + ")");
  }
  EngineFolder engines = read_engine_manifest(data, source.string());
  engines.folder = folder;
  check_files(folder, distinct(engines.files), build_again);
  return engines;
}

std::vector<fs::path> engine_folders(const Bundle& bundle) {
  std::map<std::string, fs::path> found;
  for (const auto& place : engine_places(bundle)) {
    std::error_code error, unknown;
    for (const auto& entry : fs::directory_iterator(place, error)) {
      const auto name = entry.path().filename().string();
      // What is there already is of an earlier place, whose engines win.
      if (entry.is_directory(unknown) && name[0] != '.') found.emplace(name, entry.path());
    }
    if (error && error != std::errc::no_such_file_or_directory &&
        error != std::errc::not_a_directory) {
      throw ArtefactMismatch(place.string() + ": cannot be read (" + error.message() + ")");
    }
  }
  std::vector<fs::path> folders;
  for (const auto& [name, path] : found) folders.push_back(path);
  return folders;
}

}  // namespace trml::core
