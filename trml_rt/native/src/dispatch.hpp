// Pick the engines for the modalities that are present, and run them.
//
// The rule itself is data: the manifest lists, for each combination of modalities, which engines
// run and in which order. This file looks the combination up, loads each engine once, and hands
// tensors along by name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/backend.hpp"
#include "bundle/manifest.hpp"

namespace trml::core {

using Milliseconds = std::vector<std::pair<std::string, double>>;

// The engines of one model; clones of a handle share it.
class Engines {
 public:
  using Load = std::function<std::shared_ptr<Engine>(const EngineSpec&)>;

  // `load` loads an engine on first need, under the lock.
  explicit Engines(Load load) : load_(std::move(load)) {}
  std::shared_ptr<Engine> get(const EngineSpec& spec);

 private:
  Load load_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Engine>> loaded_;
};

// One thread's way through the engine sets.
class Dispatcher {
 public:
  Dispatcher(const Manifest& manifest, Engines& engines) : manifest_(manifest), engines_(engines) {}

  // The set that serves exactly `present`. There is no quiet step down to fewer modalities: leaving
  // out an input that the caller sent would change the answer without a word. Raises UsageError.
  const EngineSet& select(unsigned present) const;

  bool serves(unsigned present) const;

  // Run the set for `present`; adds every tensor on the way to `tensors`, which holds the set's
  // inputs. It may hold what engines would make, kept from an earlier run: an engine all of whose
  // outputs are there does not run. Returns the time of each that ran; loading is no part of it.
  Milliseconds run(unsigned present, Tensors& tensors);

  // The engine that reads `source`, "ids" or "frames", alone, and makes something of each row or
  // frame; nullptr if no engine of the bundle does, so that nothing of one row can be kept.
  const EngineSpec* encoder(std::string_view source) const;
  // Run such an engine on one row or one frame; returns what it makes, for later calls of `run`,
  // and adds its time to `times`.
  Tensors encode(const EngineSpec& encoder, Tensors inputs, Milliseconds& times);

 private:
  void run_engine(const EngineSpec& spec, Tensors& tensors, Milliseconds& times);
  Session& session(const EngineSpec& spec);
  const Manifest& manifest_;
  Engines& engines_;
  std::shared_ptr<void> lane_;  // what the back end shares between the sessions
  std::map<std::string, std::unique_ptr<Session>> sessions_;
};

// Spread the vectors of all rows' real frames, (frames, d), to (batch, n, d): the i-th true place
// of `mask`, row by row, takes the i-th vector; the others hold zero.
Tensor lay_out(const Tensor& vectors, const Tensor& mask);

}  // namespace trml::core
