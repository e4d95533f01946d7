// Resize as Pillow does: antialiased, rows first, in fixed point, and only what the result keeps.
#pragma once

#include <cstdint>

#include "backends/shaping.hpp"

namespace trml::core {

enum class Filter { bilinear, bicubic };

// One direction: `from` pixels are resized to `to`, of which those from `offset` on are kept, up to
// `length`. A negative offset pads. The weights are those of Pillow.
Weights weigh(int from, int to, int offset, int length, Filter filter);

// Whose instructions are used: those of any CPU of this architecture is for tests.
enum class Cpu { this_one, any };

// Write the RGB pixels of a frame in host memory, (height, width, 3), to `out`.
void resize(const Frame& frame, const Shaping& shaping, std::uint8_t* out, Cpu cpu = Cpu::this_one);

}  // namespace trml::core
