// The normalisers of a tokenizer.json: what becomes of a text before it is split.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bundle/json.hpp"
#include "inputs/regex.hpp"

namespace trml::core {

class Normalizer {
 public:
  // `config` is the file's "normalizer", null for none; `patterns` counts the regular expressions
  // of the whole file. Raises std::invalid_argument for what this library cannot do.
  Normalizer(const Json& config, std::size_t& patterns);

  void apply(std::u16string& text, Scratch& scratch) const;

 private:
  using Step = std::function<void(std::u16string&, Scratch&)>;
  void add(const Json& config, std::size_t& patterns);
  std::vector<Step> steps_;
};

}  // namespace trml::core
