// Frames become the pixels of the Python reader, byte for byte: tests/conformance/pixels.json.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstring>
#include <map>

#include "inputs/charsmap.hpp"
#include "inputs/image.hpp"
#include "inputs/resize.hpp"
#include "inputs/rows.hpp"
#include "kernels_on_host.hpp"
#include "support.hpp"

using namespace support;
using namespace trml::core;

namespace {

const std::map<std::string, trml_rt_format> formats{{"rgb", TRML_RT_RGB},   {"bgr", TRML_RT_BGR},
                                                    {"gray", TRML_RT_GRAY}, {"nv12", TRML_RT_NV12},
                                                    {"rgba", TRML_RT_RGBA}, {"bgra", TRML_RT_BGRA}};

// A frame of `row`, its rows `more` bytes apart, in exactly the memory that it needs.
struct Given {
  Given(const Json& row, std::size_t more) {
    const int width = row["width"], height = row["height"];
    const std::string format = row["format"];
    const auto packed = picture(width, height, 0, format);
    frame = support::frame_of(packed, width, height, formats.at(format));
    frame.matrix = row["matrix"] == "bt709" ? TRML_RT_BT709 : TRML_RT_BT601;
    const auto rows = std::size_t(height);
    const std::size_t uv_rows = format == "nv12" ? (rows + 1) / 2 : 0;
    const std::size_t uv_row = std::size_t(width + 1) / 2 * 2;
    const std::size_t line = (packed.size() - uv_rows * uv_row) / rows;
    data = spread(packed.data(), rows, line, line + more);
    frame.data = data.data();
    frame.stride = line + more;
    if (uv_rows == 0) return;
    uv = spread(packed.data() + rows * line, uv_rows, uv_row, uv_row + more);
    frame.uv = uv.data();
    frame.uv_stride = uv_row + more;
  }

  static std::vector<std::uint8_t> spread(const std::uint8_t* from, std::size_t rows,
                                          std::size_t line, std::size_t stride) {
    std::vector<std::uint8_t> spread((rows - 1) * stride + line, 0xEE);
    for (std::size_t y = 0; y < rows; ++y) std::memcpy(&spread[y * stride], from + y * line, line);
    return spread;
  }

  trml_rt_frame frame;
  std::vector<std::uint8_t> data, uv;
};

std::size_t different(const std::vector<std::uint8_t>& pixels, const std::string& expected) {
  REQUIRE(pixels.size() == expected.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < pixels.size(); ++i) count += pixels[i] != std::uint8_t(expected[i]);
  return count;
}

template <typename Work>
void check_pixels(const Work& work) {
  for (const Json& row : read_json(conformance / "pixels.json")) {
    CAPTURE(row["width"].dump());
    CAPTURE(row["height"].dump());
    CAPTURE(row["video"].dump());
    CAPTURE(row["format"].dump());
    const Json& v = row["video"];
    const VideoInput settings{1,           v["height"],        v["width"],
                              v["resize"], v["interpolation"], v["fill"]};
    const auto shaping = shaping_of(row["width"], row["height"], settings);
    for (const std::size_t more : {0, 5}) {
      const Given given(row, more);
      check_frame(given.frame);
      std::vector<std::uint8_t> pixels(std::size_t(settings.height * settings.width) * 3, 0xEE);
      work(trml::core::frame_of(given.frame), shaping, pixels.data());
      CHECK(different(pixels, from_base64(row["pixels"].get<std::string>())) == 0);
    }
  }
}

}  // namespace

TEST_CASE("pixels are those of the Python reader") {
  for (const Cpu cpu : {Cpu::this_one, Cpu::any}) {
    check_pixels([cpu](const Frame& frame, const Shaping& shaping, std::uint8_t* out) {
      resize(frame, shaping, out, cpu);
    });
  }
}

TEST_CASE("the kernels, compiled for the host, give these pixels") {
  check_pixels([](Frame frame, const Shaping& shaping, std::uint8_t* out) {
    const auto& one = shaping.down_first ? shaping.down : shaping.across;
    const auto& two = shaping.down_first ? shaping.across : shaping.down;
    const auto numbers = numbers_of(one), more = numbers_of(two);
    Places first = places_of(one, numbers.data()), second = places_of(two, more.data());
    int down_first = shaping.down_first, fill = shaping.fill, beside = second.stop - second.start;
    std::vector<std::uint8_t> between(std::size_t(first.size * beside) * 3);
    auto* to = between.data();
    void* of_first[] = {&frame, &first, &second, &down_first, &to};
    void* of_second[] = {&to, &first, &second, &down_first, &fill, &out};
    const auto launch = [](const char* name, int width, int height, void** arguments) {
      REQUIRE(kernels_on_host::launch(name, {width / 32 + 1, height / 8 + 1}, {32, 8}, arguments));
    };
    launch("trml_rt_first_pass", first.size, beside, of_first);
    launch("trml_rt_second_pass", shaping.across.length, shaping.down.length, of_second);
  });
}
