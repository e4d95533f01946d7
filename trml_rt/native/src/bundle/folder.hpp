// Open a bundle: the manifest checked, every file present, each hashed when first opened.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "bundle/manifest.hpp"

namespace trml::core {

// The bytes of a regular file; raises std::system_error where it cannot be read, is a pipe, a
// device or a folder, or has more bytes than `most`.
std::string read_bytes(const std::filesystem::path& path,
                       std::size_t most = std::numeric_limits<std::size_t>::max());

// The same for a record, such as model.json, whose size is limited (R1).
std::string read_record(const std::filesystem::path& path);

std::string sha256_hex(std::string_view data);

// Refuse a folder in which a listed file is absent, outside, or of another size (R4, R6).
void check_files(const std::filesystem::path& folder, const std::vector<FileEntry>& files,
                 const std::string& remedy);

// The bytes of a listed file, if they are those that its entry states (R7): what was hashed is what
// is used, whatever happens to the file meanwhile.
std::string read_checked(const std::filesystem::path& path, const FileEntry& entry,
                         const std::string& remedy);

class Bundle {
 public:
  explicit Bundle(const std::string& folder);

  std::string read(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const { return folder / name; }

  std::filesystem::path folder;
  // Hash of the manifest, which holds all other hashes: names the whole bundle.
  std::string sha256;
  Manifest manifest;
};

}  // namespace trml::core
