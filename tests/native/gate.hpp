// Engines that wait until a test lets them go, so that what happens meanwhile can be tested.
#pragma once

#include <condition_variable>
#include <mutex>

#include "api.hpp"
#include "support.hpp"

namespace support {

// Closed, it holds every run of an engine but the first few. `arrived` waits until one is held.
class Gate {
 public:
  void close(int runs_first = 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    left_ = runs_first;
  }
  void open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    left_ = all;
    changed_.notify_all();
  }
  void arrived() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return held_ > 0; });
  }
  void pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (left_ == 0) {
      ++held_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return left_ > 0; });
      --held_;
    }
    if (left_ != all) --left_;
  }

 private:
  static constexpr int all = 1 << 30;
  std::mutex mutex_;
  std::condition_variable changed_;
  int left_ = all;
  int held_ = 0;
};

// The sums of SumBackend, behind a gate.
class GatedBackend : public SumBackend {
 public:
  explicit GatedBackend(Gate& gate) : gate_(gate) {}

  std::shared_ptr<trml::core::Engine> load(const trml::core::EngineSpec& spec, std::string data,
                                           const std::filesystem::path& path) override {
    struct Gated : trml::core::Session {
      std::unique_ptr<trml::core::Session> inner;
      Gate* gate = nullptr;
      std::vector<trml::core::Tensor> run(
          const std::vector<const trml::core::Tensor*>& inputs) override {
        gate->pass();
        return inner->run(inputs);
      }
    };
    struct Engine : trml::core::Engine {
      std::shared_ptr<trml::core::Engine> inner;
      Gate* gate = nullptr;
      std::unique_ptr<trml::core::Session> session(std::shared_ptr<void>& lane) override {
        auto made = std::make_unique<Gated>();
        made->inner = inner->session(lane);
        made->gate = gate;
        return made;
      }
    };
    auto engine = std::make_shared<Engine>();
    engine->inner = SumBackend::load(spec, std::move(data), path);
    engine->gate = &gate_;
    return engine;
  }

 private:
  Gate& gate_;
};

// A handle of the C functions on the tiny bundle, whose engines add numbers behind a gate.
struct GatedHandle {
  ~GatedHandle() { trml_rt_close(rt); }
  Gate gate;
  trml_rt* rt = trml::core::Models::add(std::make_shared<trml::core::Opened>(
      std::make_shared<trml::core::Model>(tiny.string(), std::make_shared<GatedBackend>(gate))));
};

inline trml_rt_sample text_sample(const char* text) {
  trml_rt_sample sample{};
  sample.struct_size = sizeof sample;
  sample.frame_size = sizeof(trml_rt_frame);
  sample.text = text;
  sample.text_length = TRML_RT_TERMINATED;
  return sample;
}

}  // namespace support
