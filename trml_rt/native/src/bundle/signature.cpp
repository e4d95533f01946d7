#include "bundle/signature.hpp"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

#include "bundle/json.hpp"
#include "bundle/records.hpp"
#include "error.hpp"

namespace trml::core {
namespace fs = std::filesystem;
namespace {

constexpr const char* signature_name = "model.sig";
constexpr std::array<std::string_view, 5> left_out = {signature_name, ".git", ".gitattributes",
                                                      ".github", ".gitignore"};
constexpr const char* media_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr const char* payload_type = "application/vnd.in-toto+json";

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Digests = std::map<std::string, std::string>;

Key public_key(const std::string& name) {
  std::string data;
  try {
    data = read_record(name);
  } catch (const std::system_error& error) {
    throw UsageError(name + ": cannot be read (" + error.code().message() + "); name a key file");
  }
  const std::unique_ptr<BIO, decltype(&BIO_free)> bytes(
      BIO_new_mem_buf(data.data(), int(data.size())), &BIO_free);
  Key key(PEM_read_bio_PUBKEY(bytes.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (!key) throw UsageError(name + ": is not a public key in PEM");
  char curve[32] = "";
  if (EVP_PKEY_get_utf8_string_param(key.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve,
                                     nullptr) != 1 ||
      std::string_view(curve) != "prime256v1") {
    throw UsageError(name + ": is of another kind; an ECDSA public key on P-256 is needed");
  }
  return key;
}

// Strict base64, or nothing.
std::optional<std::string> from_base64(const std::string& text) {
  const std::size_t end = text.find_last_not_of('=') + 1;
  const auto digit = [](unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  };
  if (text.size() % 4 != 0 || text.size() - end > 2 ||
      !std::all_of(text.begin(), text.begin() + std::ptrdiff_t(end), digit)) {
    return std::nullopt;
  }
  std::string out(text.size() / 4 * 3, '\0');
  const int got =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), int(text.size()));
  if (got < 0) return std::nullopt;
  out.resize(std::size_t(got) - (text.size() - end));
  return out;
}

bool verifies(EVP_PKEY* key, const std::string& message, const std::string& signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const auto bytes = [](const std::string& data) {
    return reinterpret_cast<const unsigned char*>(data.data());
  };
  return context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(message),
                          message.size()) == 1;
}

// The bytes of the signature file, which somebody else may have put there.
std::string read_signature(const fs::path& file) {
  std::error_code ignored;
  if (fs::is_symlink(fs::symlink_status(file, ignored))) {
    throw ArtefactMismatch(file.string() + ": is a link, and a signature is a file");
  }
  try {
    return read_record(file);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) {
      throw ArtefactMismatch(
          file.parent_path().string() +
          ": is not signed; take a signed bundle, or sign it with `trml-rt sign`");
    }
    throw ArtefactMismatch(file.string() + ": cannot be read (" + error.code().message() + ")");
  }
}

// The statement in the signature file, if `key` has signed it.
Json open_envelope(const fs::path& file, EVP_PKEY* key) {
  const Json content = parse_object(read_signature(file), file.string());
  std::optional<std::string> payload, signature;
  try {
    const Json& envelope = content.at("dsseEnvelope");
    const Json& signatures = envelope.at("signatures");
    if (content.at("mediaType") == media_type && envelope.at("payloadType") == payload_type &&
        signatures.is_array() && signatures.size() == 1) {
      payload = from_base64(envelope.at("payload").get<std::string>());
      signature = from_base64(signatures.at(0).at("sig").get<std::string>());
    }
  } catch (const Json::exception&) {
  }
  if (!payload || !signature) {
    throw ArtefactMismatch(file.string() + ": is not a signature of a model, or is damaged");
  }
  const std::string kind = payload_type;
  const std::string message = "DSSEv1 " + std::to_string(kind.size()) + " " + kind + " " +
                              std::to_string(payload->size()) + " " + *payload;
  if (!verifies(key, message, *signature)) {
    throw ArtefactMismatch(file.string() +
                           ": another key made it, or it was altered; name the public key of the "
                           "signer, or take the bundle from its signer again");
  }
  return parse_object(*payload, file.string());
}

std::optional<std::string> from_hex(const std::string& text) {
  std::string out;
  const auto value = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = value(text[i]), low = value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += char(high * 16 + low);
  }
  if (text.size() != 64) return std::nullopt;
  return out;
}

// The digests of a statement, by file.
Digests signed_files(const Json& statement, const std::string& source) {
  Digests digests;
  std::string joined, unsigned_paths;
  bool known = false;
  try {
    const Json& predicate = statement.at("predicate");
    const Json& how = predicate.at("serialization");
    known = statement.at("_type") == "https://in-toto.io/Statement/v1" &&
            statement.at("predicateType") == "https://model_signing/signature/v1.0" &&
            how.at("method") == "files" && how.at("hash_type") == "sha256" &&
            how.at("allow_symlinks") == false && statement.at("subject").size() == 1;
    for (const Json& each : predicate.at("resources")) {
      const auto digest = each.at("digest").get<std::string>();
      const auto bytes = from_hex(digest);
      known = known && each.at("algorithm") == "sha256" && bytes;
      joined += bytes.value_or("");
      digests[each.at("name").get<std::string>()] = digest;
    }
    known = known && statement.at("subject").at(0).at("digest").at("sha256") == sha256_hex(joined);
    if (how.contains("ignore_paths")) {
      for (const Json& path : how.at("ignore_paths")) {
        const auto name = path.get<std::string>();
        if (std::find(left_out.begin(), left_out.end(), name) == left_out.end()) {
          unsigned_paths += (unsigned_paths.empty() ? "" : ", ") + name;
        }
      }
    }
  } catch (const Json::exception&) {
    known = false;
  }
  if (!known) {
    throw ArtefactMismatch(source +
                           ": is signed in another way than is read here: OpenSSF Model Signing "
                           "v1.0 over files, by sha256, without links");
  }
  if (!unsigned_paths.empty()) {
    throw ArtefactMismatch(source + ": leaves " + unsigned_paths +
                           " unsigned; sign the whole folder");
  }
  return digests;
}

// The digests of what lies in a folder, by file; nothing is followed.
Digests found_files(const fs::path& folder) {
  Digests digests;
  std::vector<std::string> others;
  try {
    for (fs::recursive_directory_iterator entry(folder), end; entry != end; ++entry) {
      const fs::path relative = entry->path().lexically_relative(folder);
      const std::string top = relative.begin()->string();
      const auto status = entry->symlink_status();
      if (std::find(left_out.begin(), left_out.end(), top) != left_out.end()) {
        if (fs::is_directory(status)) entry.disable_recursion_pending();
      } else if (fs::is_regular_file(status)) {
        digests[relative.generic_string()] = sha256_hex(read_bytes(entry->path()));
      } else if (!fs::is_directory(status)) {
        others.push_back(relative.generic_string() + ": is a link, or no regular file");
      }
    }
  } catch (const fs::filesystem_error& error) {
    refuse(folder.string(),
           {error.path1().string() + ": cannot be read (" + error.code().message() + ")"});
  } catch (const std::system_error& error) {
    refuse(folder.string(), {"a file cannot be read (" + error.code().message() + ")"});
  }
  if (!others.empty()) {
    std::sort(others.begin(), others.end());
    others.push_back("a signed folder holds regular files alone");
    refuse(folder.string(), others);
  }
  return digests;
}

}  // namespace

void check_signature(const Bundle& bundle, const std::string& key) {
  const Key owner = public_key(key);
  const fs::path file = bundle.folder / signature_name;
  const Digests wanted = signed_files(open_envelope(file, owner.get()), file.string());
  const Digests found = found_files(bundle.folder);
  std::vector<std::string> problems;
  for (const auto& [name, digest] : wanted) {
    if (found.count(name) == 0) problems.push_back(name + ": is missing");
  }
  for (const auto& [name, digest] : found) {
    if (wanted.count(name) == 0) problems.push_back(name + ": is not signed");
  }
  for (const auto& [name, digest] : wanted) {
    const auto here = found.find(name);
    if (here != found.end() && here->second != digest) {
      problems.push_back(name + ": differs from what was signed");
    }
  }
  const auto manifest = wanted.find("model.json");
  if (problems.empty() && (manifest == wanted.end() || manifest->second != bundle.sha256)) {
    problems.push_back("model.json: differs from what was signed");
  }
  if (!problems.empty()) {
    problems.push_back("take the bundle from its signer again");
    refuse(bundle.folder.string(), problems);
  }
}

}  // namespace trml::core
