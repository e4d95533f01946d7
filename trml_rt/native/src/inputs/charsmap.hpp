// The character map of a `Precompiled` normaliser, as sentencepiece packs it: a double-array trie
// whose leaves point at replacements. export/trml_export/to_bundle/tokenizer_cleaning.py describes
// the layout.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inputs/regex.hpp"

namespace trml::core {

class Charsmap {
 public:
  // `packed` is the map as it stands in the file, before base64. Raises std::invalid_argument.
  explicit Charsmap(std::string packed);

  // Replace graphemes of under six bytes whole where they begin with a key, else single characters.
  void apply(std::u16string& text, Scratch& scratch) const;

 private:
  // The replacement of the shortest key that `chunk` begins with, or nullptr.
  const char* find(std::string_view chunk) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;  // each ended by a zero byte, and so is the whole
  std::array<const char*, 128> ascii_{};
};

std::string from_base64(std::string_view text);  // raises std::invalid_argument

}  // namespace trml::core
