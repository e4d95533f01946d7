// Words to ids: byte-pair encoding and WordPiece, from the "model" of a tokenizer.json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bundle/json.hpp"

namespace trml::core {

class Vocabulary {
 public:
  explicit Vocabulary(const Json& words);  // raises std::invalid_argument
  std::optional<std::int32_t> find(std::string_view word) const;

 private:
  std::string text_;  // all words; the map's keys point into it
  std::unordered_map<std::string_view, std::int32_t> ids_;
};

class Subwords {
 public:
  virtual ~Subwords() = default;
  // Append the ids of one word in UTF-8.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // The token that stands for what is not known; byte-pair models know every byte.
  std::optional<std::int32_t> unknown() const { return unknown_; }

 protected:
  explicit Subwords(const Json& words) : vocabulary_(words) {}
  Vocabulary vocabulary_;
  std::optional<std::int32_t> unknown_;
};

// Raises std::invalid_argument for what this library cannot do.
std::unique_ptr<const Subwords> make_subwords(const Json& model);

}  // namespace trml::core
