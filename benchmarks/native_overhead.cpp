// Time of everything outside the engines in a text-only call of the native library.
//
//     native_overhead bundle/ > benchmarks/results/native_overhead.json
//
// The wall time of each call less the time of its engines, which the answer states. The text is
// that of samples/glad.txt. Prints JSON.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <trml_rt/trml_rt.hpp>
#include <vector>

namespace {

constexpr int warm_up = 50, calls = 500;
const std::string text =
    "We finally made it to the lake, the sun came out, and I could not stop "
    "laughing. What a lovely day!";

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

double percentile(const std::vector<double>& sorted, double p) {
  return sorted[std::size_t(std::lround(p * double(sorted.size() - 1)))];
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    trml::Options options;
    options.bundle = arguments[1];
    options.threads = 1;  // engines are not what is measured; theirs must not wait for each other
    trml::Runtime rt(options);
    trml::Sample sample;
    sample.text = text;
    std::vector<double> outside, preprocessing, engines;
    std::string label;
    for (int i = 0; i < warm_up + calls; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const auto result = rt.infer(sample);
      const std::chrono::duration<double, std::milli> wall =
          std::chrono::steady_clock::now() - start;
      label = result.label();
      if (i < warm_up) continue;
      engines.push_back(result.ms("text") + result.ms("fuse_text"));
      preprocessing.push_back(result.ms("preprocess"));
      outside.push_back(wall.count() - engines.back());
    }
    if (label != "positive") throw std::runtime_error("a glad text came out as " + label);
    for (auto* times : {&outside, &preprocessing, &engines})
      std::sort(times->begin(), times->end());
    const auto print = [](const char* name, const std::vector<double>& times, const char* end) {
      std::cout << "  \"" << name << "\": {\"p50\": " << percentile(times, 0.5)
                << ", \"p90\": " << percentile(times, 0.9)
                << ", \"p99\": " << percentile(times, 0.99) << "}" << end << "\n";
    };
    std::cout << "{\n  \"what\": \"text-only call of the native library, milliseconds\",\n"
              << "  \"cpu\": \"" << cpu_name()
              << "\",\n  \"cores\": " << std::thread::hardware_concurrency()
              << ",\n  \"version\": \"" << trml_rt_version() << "\",\n  \"calls\": " << calls
              << ",\n";
    print("outside_engines", outside, ",");
    print("of_which_preprocess", preprocessing, ",");
    print("engines", engines, "");
    std::cout << "}\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
