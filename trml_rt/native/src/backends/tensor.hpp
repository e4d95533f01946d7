// Tensors by name, as they go from engine to engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/shaping.hpp"
#include "bundle/manifest.hpp"

namespace trml::core {

inline std::size_t type_size(Type type) {
  return type == Type::int32 || type == Type::float32 ? 4 : 1;
}

// A frame in CUDA memory, and how it becomes pixels; null where it is as the model takes it.
struct DeviceFrame {
  Frame frame;
  std::shared_ptr<const Shaping> shaping;
};

struct Tensor {
  Type type = Type::float32;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // row-major; empty where the data is on the device
  // Frames that the caller left in CUDA memory, and the stream that writes them.
  std::vector<DeviceFrame> device;
  void* stream = nullptr;

  Tensor() = default;
  Tensor(Type t, std::vector<std::int64_t> s) : type(t), shape(std::move(s)) {
    bytes.resize(count() * type_size(type));
  }

  std::size_t count() const {
    std::size_t n = 1;
    for (const auto size : shape) n *= std::size_t(size);
    return n;
  }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};

using Tensors = std::map<std::string, Tensor, std::less<>>;

}  // namespace trml::core
