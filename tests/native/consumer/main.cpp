// The C++ wrapper, every function of it, against an installed package.
#include <cstdlib>
#include <iostream>
#include <trml_rt/trml_rt.hpp>
#include <vector>

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << "not so: " << what << '\n';
  std::exit(1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    trml::Runtime rt{std::string(arguments[1])};
    trml::Runtime twin = rt.clone();
    rt.warm_up();
    const trml_rt_info info = rt.info();
    const std::vector<unsigned char> pixels(64 * 48 * 3, 200);
    trml::Sample text, both;
    text.text = both.text = "what a good day";
    both.frames.assign(3, trml::frame(pixels.data(), 64, 48));
    const auto alone = rt.infer(text);
    const auto batch = twin.infer_batch({text, both});
    require(alone.label() == batch[0].label(), "a row is answered as if alone");
    require(batch[1].engine_set() == "text_video", "both inputs give the set of both");
    require(batch[1].frames() == 3 && info.frames >= 3, "all frames of a short clip are used");
    require(alone.is_real(TRML_RT_TEXT), "the text is real");
    require(alone.reason(TRML_RT_VIDEO) == "not_given", "the video is virtual, and why");
    require(alone.tokens() > 2 && !alone.truncated(), "tokens are counted");
    require(alone.ms("total") > 0 && alone.ms("frame") < 0, "what did not run took no time");
    require(alone.probabilities().empty(), "a regression has no probabilities");
    std::cout << alone.json() << '\n';
    try {
      rt.infer({});
      require(false, "nothing given is an error");
    } catch (const trml::Error& error) {
      require(error.status() == TRML_RT_USAGE && error.reason().empty(), "and a usage error");
    }
  } catch (const trml::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
