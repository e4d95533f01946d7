#include "bundle/folder.hpp"

#include <openssl/evp.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <system_error>

#include "bundle/graph.hpp"
#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

constexpr const char* copy_again = "copy the bundle again, or export it anew";

constexpr std::size_t record_limit = std::size_t(16) << 20;

// Why a file is not read where the system would read it.
class Refusals : public std::error_category {
 public:
  enum { not_regular = -1, too_large = -2 };
  const char* name() const noexcept override { return "trml_rt"; }
  std::string message(int reason) const override {
    if (reason == not_regular) return "not a regular file";
    return "larger than " + std::to_string(record_limit >> 20) + " MiB";
  }
};
const Refusals refusals;

}  // namespace

std::string read_bytes(const fs::path& path, std::size_t most) {
  const auto fail = [](int reason) {
    throw std::system_error(reason, reason < 0 ? refusals : std::generic_category());
  };
  const auto check = [&](int result, const struct stat& status) {
    if (result != 0) fail(errno);
    if (S_ISDIR(status.st_mode)) fail(EISDIR);
    if (!S_ISREG(status.st_mode)) fail(Refusals::not_regular);
    if (std::uintmax_t(status.st_size) > most) fail(Refusals::too_large);
  };
  struct stat status{};
  check(::stat(path.c_str(), &status), status);  // first: opening alone can block, or wind a tape
  const int handle = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (handle < 0) fail(errno);
  std::unique_ptr<const int, void (*)(const int*)> closes(&handle, [](auto h) { ::close(*h); });
  check(::fstat(handle, &status), status);  // it may have been replaced meanwhile
  std::string data(std::size_t(status.st_size), '\0');
  std::size_t size = 0;
  while (size < data.size()) {
    const auto got = ::read(handle, data.data() + size, data.size() - size);
    if (got < 0 && errno != EINTR) fail(errno);
    if (got == 0) break;
    if (got > 0) size += std::size_t(got);
  }
  data.resize(size);
  return data;
}

std::string read_record(const fs::path& path) { return read_bytes(path, record_limit); }

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
  // `trml-rt deploy` changes links to bundles; what was opened stays what it was.
  std::error_code unresolved;
  if (fs::is_symlink(folder, unresolved)) {
    const fs::path named = fs::canonical(folder, unresolved);
    if (!unresolved) folder = named;
  }
  try {
    data = read_record(folder / "model.json");
  } catch (const std::system_error& error) {
    throw ArtefactMismatch(folder.string() + ": not a bundle: model.json cannot be read (" +
                           error.code().message() + "); name a folder that `trml-rt export` made");
  }
  sha256 = sha256_hex(data);
  manifest = read_manifest(data, (folder / "model.json").string());
  check_files(folder, manifest.files, copy_again);
}

std::string Bundle::read(const std::string& name) const {
  auto data = read_checked(path(name), *manifest.file(name), copy_again);
  const auto& graphs = manifest.engines;
  const auto is_file = [&](const EngineSpec& engine) { return engine.file == name; };
  if (std::any_of(graphs.begin(), graphs.end(), is_file)) check_graph(data, path(name).string());
  return data;
}

}  // namespace trml::core
