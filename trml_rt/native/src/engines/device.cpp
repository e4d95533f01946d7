#include "engines/device.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>

namespace trml::core {
namespace {

// Those of trml_rt/backends/cpu.py; the conformance files hold both to the same.
constexpr const char* known[] = {"sse4_1",   "avx",         "avx2",        "f16c",     "fma",
                                 "avx512f",  "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
                                 "amx_bf16", "asimd",       "asimddp",     "asimdhp",  "i8mm",
                                 "bf16",     "sve"};

std::string strip(const std::string& text) {
  constexpr const char* space = " \t\n\v\f\r";
  const auto first = text.find_first_not_of(space);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

// The value of the first line that has one of these names.
std::optional<std::string> line(const std::string& text, std::initializer_list<const char*> names) {
  std::istringstream lines(text);
  for (std::string each; std::getline(lines, each);) {
    const auto colon = each.find(':');
    const auto name = strip(each.substr(0, colon));
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    return colon == each.npos ? std::string() : strip(each.substr(colon + 1));
  }
  return std::nullopt;
}

}  // namespace

Cpu read_cpu(const std::string& text) {
  Cpu cpu{line(text, {"model name", "CPU part"}).value_or(""), "unknown", "none"};
  if (cpu.name.empty()) cpu.name = "unknown";
  const auto flags = line(text, {"flags", "Features"});
  if (!flags) return cpu;
  std::istringstream words(*flags);
  const std::set<std::string> there{std::istream_iterator<std::string>(words), {}};
  cpu.features.clear();
  for (const char* name : known) {
    if (there.count(name) > 0)
      cpu.features += (cpu.features.empty() ? "" : " ") + std::string(name);
  }
  if (there.count("avx512_bf16") + there.count("amx_bf16") > 0) {
    cpu.half_precision = "bf16";
  } else if (there.count("asimdhp") > 0) {
    cpu.half_precision = "f16";
  }
  return cpu;
}

Cpu this_cpu() {
  std::ifstream file("/proc/cpuinfo", std::ios::binary);
  return read_cpu({std::istreambuf_iterator<char>(file), {}});
}

std::string system_name() {
  utsname found{};
  ::uname(&found);
  std::string name = std::string(found.sysname) + " " + found.machine;
  const auto lower = [](char c) { return char(std::tolower(static_cast<unsigned char>(c))); };
  std::transform(name.begin(), name.begin() + std::ptrdiff_t(name.find(' ')), name.begin(), lower);
  return name;
}

Fields describe_device() {
  const Cpu cpu = this_cpu();
  return {{"CPU", cpu.name},
          {"CPU features", cpu.features},
          {"CPUs", std::to_string(::sysconf(_SC_NPROCESSORS_ONLN))},
          {"system", system_name()}};
}

}  // namespace trml::core
