// How frames of one size become the pixels that a model takes, on the CPU and on a GPU alike.
#pragma once

#include <cstdint>
#include <vector>

namespace trml::core {

#include "frames.cu"  // Frame and Places, which the kernels take

// What `Places` points at.
struct Weights {
  std::vector<int> first, count, weights;
  int widest = 0;
  int start = 0, stop = 0;
  int begin = 0, length = 0;

  int size() const { return int(first.size()); }
};

// The numbers of an axis, one after the other, and where the kernels find them.
inline std::vector<int> numbers_of(const Weights& axis) {
  std::vector<int> numbers(axis.first);
  numbers.insert(numbers.end(), axis.count.begin(), axis.count.end());
  numbers.insert(numbers.end(), axis.weights.begin(), axis.weights.end());
  return numbers;
}
inline Places places_of(const Weights& axis, const int* numbers) {
  const int size = axis.size();
  return {numbers,   numbers + size, numbers + 2 * size, axis.widest, axis.start,
          axis.stop, size,           axis.begin,         axis.length};
}

struct Shaping {
  Weights across, down;
  bool down_first = false;  // which direction is resized first
  int fill = 0;             // grey level of the padding
};

}  // namespace trml::core
