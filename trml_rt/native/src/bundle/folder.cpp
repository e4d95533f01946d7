#include "bundle/folder.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>

#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

constexpr const char* copy_again = "copy the bundle again, or export it anew";

}  // namespace

std::string read_bytes(const fs::path& path) {
  const auto fail = [] { throw std::system_error(errno, std::generic_category()); };
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                       &std::fclose);
  if (!file) fail();
  std::string data;
  std::error_code unknown;
  if (const auto size = fs::file_size(path, unknown); !unknown) data.reserve(size);
  char piece[1 << 16];
  while (const std::size_t got = std::fread(piece, 1, sizeof piece, file.get())) {
    data.append(piece, got);
  }
  if (std::ferror(file.get())) fail();
  return data;
}

std::string sha256_hex(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &length, EVP_sha256(), nullptr) != 1) {
    throw EnvironmentUnfit("OpenSSL offers no SHA-256 here; check its configuration");
  }
  std::string hex;
  for (unsigned i = 0; i < length; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

void check_files(const fs::path& folder, const std::vector<FileEntry>& files,
                 const std::string& remedy) {
  std::vector<std::string> problems;
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  bool leads_out = false, whole = true;
  for (const auto& entry : files) {
    if (const auto problem = path_problem(entry.name); !problem.empty()) {
      problems.push_back(problem);
      continue;
    }
    const fs::path path = folder / entry.name;
    const auto status = fs::status(path, error);
    if (!fs::is_regular_file(status)) {
      const bool absent = !error || status.type() == fs::file_type::not_found ||
                          error == std::errc::too_many_symbolic_link_levels;
      whole = whole && !absent;
      problems.push_back(entry.name + (absent ? ": file is missing"
                                              : ": cannot be read (" + error.message() + ")"));
      continue;
    }
    const fs::path real = fs::canonical(path, error);
    const auto size = error ? 0 : fs::file_size(path, error);
    if (error) {
      problems.push_back(entry.name + ": cannot be read (" + error.message() + ")");
    } else if (std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first !=
               root.end()) {
      problems.push_back(entry.name + ": leads out of the folder through a link");
      leads_out = true;  // as in the cache of a model hub
    } else if (std::int64_t(size) != entry.bytes) {
      problems.push_back(entry.name + ": " + std::to_string(entry.bytes) + " bytes expected, " +
                         std::to_string(size) + " found");
      whole = false;
    }
  }
  if (leads_out) {
    problems.push_back("copy the folder with the files that its links lead to: cp -rL");
  }
  if (!whole) problems.push_back(remedy);
  if (!problems.empty()) refuse(folder.string(), problems);
}

std::string read_checked(const fs::path& path, const FileEntry& entry, const std::string& remedy) {
  std::string data;
  try {
    data = read_bytes(path);
  } catch (const std::system_error& error) {
    throw ArtefactMismatch(path.string() + ": cannot be read (" + error.code().message() + "); " +
                           remedy);
  }
  if (sha256_hex(data) != entry.sha256) {
    throw ArtefactMismatch(path.string() +
                           ": the content differs from its sha256 in the manifest; " + remedy);
  }
  return data;
}

Bundle::Bundle(const std::string& name) : folder(name) {
  std::string data;
  // As Python's pathlib prints it.
  if (folder.has_parent_path() && !folder.has_filename()) folder = folder.parent_path();
  try {
    data = read_bytes(folder / "model.json");
  } catch (const std::system_error& error) {
    throw ArtefactMismatch(folder.string() + ": not a bundle: model.json cannot be read (" +
                           error.code().message() + "); name a folder that `trml-rt export` made");
  }
  sha256 = sha256_hex(data);
  manifest = read_manifest(data, (folder / "model.json").string());
  check_files(folder, manifest.files, copy_again);
}

std::string Bundle::read(const std::string& name) const {
  return read_checked(path(name), *manifest.file(name), copy_again);
}

}  // namespace trml::core
