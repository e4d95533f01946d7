// Engines compiled for one device: a folder with the name of their key, which `trml-rt build`
// writes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/folder.hpp"

namespace trml::core {

// The newest schemas that this library reads.
constexpr std::int64_t engine_schema = 1;        // of manifest.json
constexpr std::int64_t verification_schema = 2;  // of verify.json

struct EngineFolder {
  std::filesystem::path folder;
  std::string backend, precision;
  BuiltFor built_for;
  std::vector<std::pair<std::string, FileEntry>> files;  // by engine

  std::filesystem::path path(const std::string& engine) const;
  std::string read(const std::string& engine) const;
  // The engine sets that a verification of these very engines has passed, as verify.json says.
  // Raises ArtefactMismatch where the record is damaged.
  std::vector<std::string> passed_sets() const;

 private:
  const FileEntry& entry(const std::string& engine) const;
};

// What the bytes of a manifest.json say, without a folder; refused with every problem found.
EngineFolder read_engine_manifest(std::string_view data, const std::string& source);

// Read an engine folder's manifest and look at its files, without hashing them (E3).
EngineFolder open_engine_folder(const std::filesystem::path& folder);

// The engine folders of a bundle, by name, each key once (E5), without what killed builds left.
std::vector<std::filesystem::path> engine_folders(const Bundle& bundle);

}  // namespace trml::core
