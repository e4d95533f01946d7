// This machine, as a build describes it: what decides which engines fit and which are fastest.
#pragma once

#include <map>
#include <string>

namespace trml::core {

using Fields = std::map<std::string, std::string>;

// What a text such as /proc/cpuinfo tells of a CPU; an empty text tells nothing.
struct Cpu {
  std::string name;            // the model, or "unknown"
  std::string features;        // the instruction sets that kernels choose between, or "unknown"
  std::string half_precision;  // what it has units for: "bf16", "f16" or "none"
};
Cpu read_cpu(const std::string& text);
Cpu this_cpu();

// "linux x86_64", as Python names it.
std::string system_name();

// What decides which of several engines is fastest here, beside the engines.
Fields describe_device();

}  // namespace trml::core
