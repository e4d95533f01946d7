// One thread's use of a plan: buffers, and a recorded graph for each shape.
#pragma once

#include <memory>

#include "backends/tensorrt/cuda.hpp"
#include "backends/tensorrt/library.hpp"

namespace trml::core::tensorrt {

std::unique_ptr<Session> make_session(std::shared_ptr<const Plan> plan, std::shared_ptr<Lane> lane,
                                      Log log);

}  // namespace trml::core::tensorrt
