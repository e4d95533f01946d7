// Where the compiler brings no fuzzing engine (GCC): change the seeds at random, a fixed time long.
//
//     fuzz_readers SECONDS SEED_FILE...
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "bundle/folder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

const std::vector<std::string> words = {
    "null",      "true",       "-1",         "0",        "1e999",   "99999999999999999999",
    "\"\"",      "[]",         "{}",         "[[[[",     "}",       ",",
    "\"type\"",  "\"Regex\"",  "\"String\"", "(",        "[",       "\\\\",
    "*",         "+?",         "\xff",       "\xf0\x9f", "\\ud800", "AAAA",
    "\"vocab\"", "\"merges\"", "\"batch\"",  "\0"};

std::string changed(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return std::size_t(random()) % n; };
  for (std::size_t count = 1 + below(4); count > 0; --count) {
    const std::size_t at = below(text.size() + 1), length = below(below(2) ? 8 : 200) + 1;
    switch (below(6)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, words[below(words.size())]);
        break;
      case 2:
        text.replace(at, std::min(length, text.size() - at), words[below(words.size())]);
        break;
      case 3:
        if (at < text.size()) text[at] = char(random());
        break;
      case 4:
        text.insert(at, text.substr(below(text.size() + 1), length));
        break;
      default:
        if (at < text.size()) text[at] = char(text[at] ^ (1 << below(8)));
    }
  }
  return text;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  std::vector<std::string> seeds;
  for (int i = 2; i < count; ++i) seeds.push_back(trml::core::read_bytes(arguments[i]));
  std::mt19937 random(1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(arguments[1]));
  std::size_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const std::string input = changed(seeds[runs % seeds.size()], random);
    try {
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    } catch (const std::exception& error) {
      std::cerr << "not an Error of ours: " << error.what()
                << "\nthe input is in fuzz_finding.bin\n";
      if (std::FILE* file = std::fopen("fuzz_finding.bin", "wb")) {
        std::fwrite(input.data(), 1, input.size(), file);
        std::fclose(file);
      }
      return 1;
    }
  }
  std::cout << runs << " inputs\n";
  return runs < 100;
}
