// Engines compiled for one device: engines/<key>/ of a bundle, which `trml-rt build` writes.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/folder.hpp"

namespace trml::core {

struct EngineFolder {
  std::filesystem::path folder;
  std::string backend, precision;
  BuiltFor built_for;
  std::vector<std::pair<std::string, FileEntry>> files;  // by engine
  std::vector<std::string> verified;                     // the tensors that the build compared

  std::filesystem::path path(const std::string& engine) const;
  std::string read(const std::string& engine) const;

 private:
  const FileEntry& entry(const std::string& engine) const;
};

// Read an engine folder's manifest and look at its files, without hashing them (E3).
EngineFolder open_engine_folder(const std::filesystem::path& folder);

// The TensorRT engines of a bundle that were built from its graphs on a device of which `here` is
// true; of `precision`, or of any where that is empty, FP16 first. Raises ArtefactMismatch where
// there are none, naming what differs.
EngineFolder find_engines(const Bundle& bundle, const std::string& precision, const BuiltFor& here);

}  // namespace trml::core
