// The pre-tokenizers of a tokenizer.json: how a normalised text falls into words.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bundle/json.hpp"
#include "inputs/regex.hpp"

namespace trml::core {

using Pieces = std::vector<std::u16string>;

class Splitter {
 public:
  // `config` is the file's "pre_tokenizer", null for none. Raises std::invalid_argument.
  Splitter(const Json& config, std::size_t& patterns);

  void apply(Pieces& pieces, Scratch& scratch) const;

 private:
  using Step = std::function<void(const std::u16string&, Pieces& out, Scratch&)>;
  void add(const Json& config, std::size_t& patterns);
  void add_matches(const std::string& pattern, std::size_t& patterns);
  std::vector<Step> steps_;
};

}  // namespace trml::core
