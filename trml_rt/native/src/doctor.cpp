#include "doctor.hpp"

#include <openssl/crypto.h>
#include <sys/utsname.h>
#include <unicode/uchar.h>
#include <unicode/uversion.h>
#include <unistd.h>

#include <algorithm>

#include "bundle/json.hpp"
#include "engines/device.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

template <typename Fill>
std::string icu_version(Fill fill) {
  UVersionInfo version{};
  fill(version);
  char text[U_MAX_VERSION_STRING_LENGTH];
  u_versionToString(version, text);
  return text;
}

Check library() {
  std::vector<std::string> parts{
      TRML_RT_VERSION " with ABI " + std::to_string(TRML_RT_ABI_VERSION),
      "ICU " + icu_version(u_getVersion) + " with Unicode " + icu_version(u_getUnicodeVersion),
      std::string("OpenSSL ") + OpenSSL_version(OPENSSL_VERSION_STRING)};
  for (auto& version : {openvino_version(), tensorrt_version()}) {
    if (!version.empty()) parts.push_back(version);
  }
  return {"library", true, join(parts, ", "), true, {}};
}

Check system() {
  utsname told{};
  ::uname(&told);
  const std::string name = told.sysname;
  return {"system",
          name == "Linux",
          name + " " + told.machine + ", " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) +
              " CPUs, " + this_cpu().features,
          false,
          {}};
}

Check bundle_of(const std::string& folder) {
  try {
    const Bundle bundle(folder);
    for (const auto& file : bundle.manifest.files) bundle.read(file.name);
    return {"bundle", true, bundle.manifest.name + " at " + bundle.folder.string(), true, {}};
  } catch (const ArtefactMismatch& error) {
    return {"bundle", false, error.what(), true, "copy or export the bundle again"};
  }
}

// What a call would run on, with the warnings of whoever chooses.
Check engines_of(Options options, const Model::OpenBackend& tensorrt) {
  std::vector<std::string> told;
  options.settings.log = [&told](trml_rt_log_level level, const std::string& line) {
    if (level == TRML_RT_LOG_WARNING) told.push_back(line);
  };
  try {
    const Model model(options, tensorrt);
    const auto& sets = model.bundle.manifest.engine_sets;
    const bool verified = std::all_of(sets.begin(), sets.end(), [&](const auto& set) {
      return model.passed.count(set.name) > 0;
    });
    told.insert(told.begin(), model.engines_name + " engines on " + model.backend->name() +
                                  (verified ? "" : " (unverified)"));
    return {"engines", true, join(told, "; "), true, {}};
  } catch (const Error& error) {
    return {"engines", false, error.what(), true, {}};
  }
}

std::string to_json(const Diagnosis& diagnosis) {
  Json record{{"fit", diagnosis.fit}, {"checks", Json::array()}};
  for (const auto& check : diagnosis.checks) {
    record["checks"].push_back({{"name", check.name},
                                {"ok", check.ok},
                                {"found", check.found},
                                {"required", check.required},
                                {"remedy", check.remedy ? Json(*check.remedy) : Json()}});
  }
  // A path need not be UTF-8.
  return record.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Diagnosis diagnose(const Options& options, const Model::OpenBackend& tensorrt) {
  check_options(options);
  Diagnosis diagnosis;
  auto& checks = diagnosis.checks;
  checks = {library(), system()};
  const auto folder = bundle_folder(options);
  if (folder) checks.push_back(bundle_of(*folder));
  const auto add = [&](std::vector<Check> more) {
    for (auto& check : more) checks.push_back(std::move(check));
  };
  // One that is named must be there; where none is, the only one of this build must.
  const bool any = options.backend == "auto";
  if (any || options.backend == "openvino") add(openvino_checks(!any || !TRML_RT_WITH_TENSORRT));
  if (any || options.backend == "tensorrt") {
    add(tensorrt_checks(!any || !TRML_RT_WITH_OPENVINO, options.settings.device));
  }
  if (folder && checks[2].ok) checks.push_back(engines_of(options, tensorrt));
  diagnosis.fit = std::all_of(checks.begin(), checks.end(),
                              [](const Check& check) { return check.ok || !check.required; });
  diagnosis.json = to_json(diagnosis);
  return diagnosis;
}

}  // namespace trml::core
