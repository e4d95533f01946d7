// Ten thousand calls must not cost memory: the resident size after them is that after the first
// ones.
//
//     soak bundle/
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <trml_rt/trml_rt.hpp>

namespace {

constexpr int warm_up = 2000, calls = 10000;
constexpr long most_growth = 1 << 20;  // 100 bytes a call would show

long resident_bytes() {
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    trml::Options options;
    options.bundle = arguments[1];
    options.threads = 1;
    trml::Runtime rt(options);
    const std::vector<unsigned char> pixels(24 * 18 * 3, 90);
    trml::Sample text, clip, both;
    text.text = both.text = "what a good day, not bad";
    clip.frames =
        both.frames = {trml::frame(pixels.data(), 24, 18), trml::frame(pixels.data(), 18, 24)};
    long before = 0;
    for (int i = 0; i < warm_up + calls; ++i) {
      if (i == warm_up) before = resident_bytes();
      rt.infer(i % 3 == 0 ? text : i % 3 == 1 ? clip : both);
      if (i % 100 == 0) rt.clone().infer(text);
      if (i % 50 == 0) rt.infer_batch({text, clip, both});
      try {
        rt.infer({});
        return 1;
      } catch (const trml::Error&) {  // errors must not cost memory either
      }
    }
    const long growth = resident_bytes() - before;
    std::cout << calls << " calls grew the process by " << growth << " bytes\n";
    return growth > most_growth;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
