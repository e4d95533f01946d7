// What is said of a GPU, CUDA and TensorRT, on stand-ins for them: the words of Python's doctor.
#include <doctest/doctest.h>

#include "backends/check.hpp"
#include "backends/tensorrt/doctor.hpp"
#include "tensorrt/stand_in.hpp"

using namespace trml::core;
using stand_in::world;

namespace {

Check named(const std::string& name, bool required = true) {
  for (auto& check : tensorrt_checks(required, 0)) {
    if (check.name == name) return check;
  }
  return {};
}

bool has(const Check& check, const std::string& words) {
  CAPTURE(check.found);
  return check.found.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("a GPU that can be used is described") {
  stand_in::reset();
  const Check cuda = named("CUDA");
  CHECK(cuda.ok);
  CHECK(has(cuda,
            "Stand-in, discrete, compute capability 8.7, 8 multiprocessors, 8.0 GiB (1.5 free), "
            "driver of CUDA 12.6, runtime 12.6 of "));
  CHECK(has(named("back end tensorrt"), "10.3.0 from "));
  CHECK(named("GPU for tensorrt").ok);
  CHECK(named("GPU for tensorrt").found == "compute capability 8.7; it takes 7.5 and later");
  CHECK(tensorrt_version() == "TensorRT 10.3.0, CUDA 12.6");
  world().integrated = true;
  CHECK(has(named("CUDA"), "Stand-in, integrated, "));
}

TEST_CASE("why CUDA cannot be used is said, and required only if it was named") {
  stand_in::reset();
  world().driver = 0;
  CHECK_FALSE(named("CUDA").ok);
  CHECK(named("CUDA").found == "no NVIDIA driver");
  CHECK(named("CUDA").remedy == "install NVIDIA's driver, or take the back end openvino");
  CHECK(named("CUDA", true).required);
  CHECK_FALSE(named("CUDA", false).required);
  CHECK(named("GPU for tensorrt").name.empty());
  world().driver = 12060;
  world().runtime = 13000;
  CHECK(has(named("CUDA"), "the driver is of CUDA 12, "));
  CHECK(has(named("CUDA"), " is newer"));
  stand_in::reset();
  world().has_gpu = false;
  CHECK(named("CUDA").found ==
        "no GPU can be used (CUDA cannot describe the device: no CUDA-capable device is detected)");
}

TEST_CASE("a GPU that is too old is told from one that is not") {
  for (const auto& [major, minor, takes] :
       {std::tuple{7, 2, false}, {7, 5, true}, {6, 9, false}, {12, 0, true}}) {
    stand_in::reset();
    world().compute[0] = major;
    world().compute[1] = minor;
    CHECK(named("GPU for tensorrt").ok == takes);
  }
}

TEST_CASE("the release of a Jetson is read as in Python") {
  using tensorrt::jetpack_of;
  const auto version = [](const char* text) {
    const auto found = jetpack_of(text);
    return found ? found->second : "none";
  };
  CHECK(version("# R36 (release), REVISION: 4.3, GCID: 38968081") == "6.2");
  CHECK(version("# R36 (release), REVISION: 4.0, GCID: 1") == "6.1");
  CHECK(version("# R36 (release), REVISION: 3.0, GCID: 1") == "6.0");
  CHECK(version("# R38 (release), REVISION: 2.0") == "7");
  CHECK(version("# R35 (release), REVISION: 4.1") == "5.1");
  CHECK(version("# R21 (release), REVISION: 5.0") == "older than 4");
  CHECK(version("nothing of that kind") == "none");
  const std::array<int, 3> l4t{36, 4, 3};
  CHECK(jetpack_of("# R36 (release), REVISION: 4.3, GCID: 38968081")->first == l4t);
}
