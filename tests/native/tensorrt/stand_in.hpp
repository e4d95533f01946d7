// TensorRT and CUDA for the tests, on host memory and strict about what they are asked for.
//
// It proves that our calls come in an order that the real ones allow, with memory of the right kind
// and size. It proves nothing about TensorRT and CUDA themselves; nothing here runs on a GPU.
//
// - Work waits in its stream until somebody waits for the stream.
// - Memory is device, pinned or mapped memory, and each copy must say so; new memory holds 0xFF.
// - During a capture nothing may be allocated, freed or waited for.
// - Scratch memory and tensors must be there, and large enough, when an engine runs.
// - Nothing may go while something alive needs it.
#pragma once

#include <string>
#include <vector>

#include "bundle/manifest.hpp"

namespace stand_in {

struct World {
  bool integrated = false;
  bool runs = true;                  // whether engines can be run
  bool capturable = true;            // whether engines can be captured
  int contexts_left = 1 << 20;       // before there is no room for another one
  std::size_t most_bytes = 1 << 30;  // of one allocation on the device
  bool compiles = true;              // whether NVRTC does
  int compilations = 0;
  int contexts = 0, launches = 0, captures = 0;
  int device = 0;                       // the current one of the thread
  int driver = 12060, runtime = 12060;  // the versions of CUDA; a driver of 0 is none
  int compute[2] = {8, 7};              // compute capability
  bool has_gpu = true;
  std::vector<std::string> faults;  // what a real device would not have allowed
  int alive = 0;                    // blocks, streams, events, graphs, contexts, engines, runtimes
};

// What has happened since the last `reset`.
World& world();
void reset();

// A plan whose engine gives, for each row, the sum of the row's inputs plus one.
std::string plan_of(const trml::core::EngineSpec& spec, const trml::core::Manifest& manifest,
                    int scratch);

}  // namespace stand_in
