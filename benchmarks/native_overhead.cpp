// Time of everything outside the engines in calls of the native library, and in its streams.
//
//     native_overhead bundle/ > benchmarks/results/native_overhead.json
//
// The wall time of each call less the time of its engines, which the answer states. The text is
// that of samples/glad.txt, frames are 640 x 360. A text goes through an infer call and through a
// stream (push and poll). A whole window with one new frame goes through a stream, and through an
// infer call, which encodes all of its frames. The two of each pair take turns. Prints JSON.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <trml_rt/trml_rt.hpp>
#include <vector>

namespace {

constexpr int warm_up = 50, calls = 500, windows = 200;
constexpr int width = 640, height = 360;
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

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[std::size_t(std::lround(p * double(values.size() - 1)))];
}

// Milliseconds of calls of one kind.
struct Kind {
  std::vector<double> wall, outside, preprocess, engines;

  template <typename Call>
  trml::Result time(bool counts, const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    trml::Result result = call();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (counts) {
      wall.push_back(took.count());
      preprocess.push_back(result.ms("preprocess"));
      engines.push_back(result.ms("total") - result.ms("preprocess") - result.ms("decode"));
      outside.push_back(took.count() - engines.back());
    }
    return result;
  }

  // As the members of a JSON object; `end` stands behind the last.
  void print(const char* indent, const char* end = "") const {
    const auto row = [&](const char* name, const std::vector<double>& times, const char* after) {
      std::cout << indent << "\"" << name << "\": {\"p50\": " << percentile(times, 0.5)
                << ", \"p90\": " << percentile(times, 0.9)
                << ", \"p99\": " << percentile(times, 0.99) << "}" << after << "\n";
    };
    row("outside_engines", outside, ",");
    row("of_which_preprocess", preprocess, ",");
    row("engines", engines, end);
  }
};

void require_same(const trml::Result& streamed, const trml::Result& offline) {
  if (streamed.label() == offline.label() && std::abs(streamed.score() - offline.score()) < 1e-4) {
    return;
  }
  throw std::runtime_error("a stream answers other than an infer call");
}

std::vector<unsigned char> noise(unsigned seed) {
  std::vector<unsigned char> pixels(std::size_t(width) * height * 3);
  for (auto& value : pixels) value = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
  return pixels;
}

void time_texts(trml::Runtime& rt, Kind& infer, Kind& stream) {
  trml::Stream texts(rt);
  trml::Sample sample;
  sample.text = text;
  for (int i = 0; i < warm_up + calls; ++i) {
    const bool counts = i >= warm_up;
    const auto offline = infer.time(counts, [&] { return rt.infer(sample); });
    const auto streamed = stream.time(counts, [&] {
      texts.push_text(text);
      return std::move(texts.poll().value());
    });
    require_same(streamed, offline);
    if (offline.label() != "positive")
      throw std::runtime_error("a glad text is " + offline.label());
  }
}

void time_windows(trml::Runtime& rt, Kind& infer, Kind& stream) {
  const int most = rt.info().frames;
  trml::StreamOptions options;
  options.policy = TRML_RT_EVERY;
  trml::Stream camera(rt, options);
  std::vector<std::vector<unsigned char>> pictures;
  for (int i = 0; i < most + 1; ++i) pictures.push_back(noise(unsigned(i)));
  trml::Sample sample;
  for (int i = 0; i < most + windows; ++i) {
    const bool counts = i >= most;
    const auto frame =
        trml::frame(pictures[std::size_t(i) % pictures.size()].data(), width, height);
    if (int(sample.frames.size()) == most) sample.frames.erase(sample.frames.begin());
    sample.frames.push_back(frame);
    const auto streamed = stream.time(counts, [&] {
      if (!camera.push_frame(frame, i * 0.04)) throw std::runtime_error("a frame was not taken");
      return std::move(camera.poll().value());
    });
    require_same(streamed, infer.time(counts, [&] { return rt.infer(sample); }));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    trml::Options options;
    options.bundle = arguments[1];
    options.threads = 1;  // engines are not what is measured; theirs must not wait for each other
    trml::Runtime rt(options);
    Kind text_infer, text_stream, window_infer, window_stream;
    time_texts(rt, text_infer, text_stream);
    time_windows(rt, window_infer, window_stream);
    std::cout << "{\n  \"what\": \"text-only call of the native library, milliseconds; then the "
                 "same in a stream, and windows of frames\",\n"
              << "  \"cpu\": \"" << cpu_name()
              << "\",\n  \"cores\": " << std::thread::hardware_concurrency()
              << ",\n  \"version\": \"" << trml_rt_version() << "\",\n  \"calls\": " << calls
              << ",\n";
    text_infer.print("  ", ",");
    std::cout << "  \"stream_text\": {\n";
    text_stream.print("    ");
    std::cout << "  },\n  \"window\": " << rt.info().frames << ",\n  \"windows\": " << windows
              << ",\n  \"one_new_frame\": {\n";
    window_stream.print("    ");
    std::cout << "  },\n  \"from_scratch\": {\n";
    window_infer.print("    ");
    std::cout << "  },\n  \"times_as_fast\": "
              << percentile(window_infer.wall, 0.5) / percentile(window_stream.wall, 0.5)
              << "\n}\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
