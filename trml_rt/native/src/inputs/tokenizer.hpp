// Turn text into token ids with the tokenizer.json of a bundle.
//
// Cleaning, splitting, special tokens and truncation are all in the file, so that this reader and
// the Python one have nothing of their own to disagree about; the conformance files hold them
// equal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "inputs/normalizer.hpp"
#include "inputs/splitter.hpp"
#include "inputs/subwords.hpp"

namespace trml::core {

// A text of more bytes is refused.
constexpr std::size_t most_text = 1'000'000;

// The ids of one text, special tokens included and padding not.
struct Tokens {
  std::vector<std::int32_t> ids;
  bool truncated = false;
  double unknown = 0;  // share of the text's own tokens that stand for what is not known
};

class Tokenizer {
 public:
  // Read the bytes of a tokenizer.json; `name` is what an error calls it. Raises ArtefactMismatch.
  static std::unique_ptr<const Tokenizer> read(std::string_view data, const std::string& name);

  // The tokens of `text`, cut to the context. Threads share a Tokenizer, each with its own Scratch.
  // Raises InputUnusable: "undecodable" for what is not UTF-8, "empty_text" for a text without any
  // token of its own, "unknown_text" for one of unknown tokens alone.
  Tokens encode(std::string_view text, Scratch& scratch) const;

  // The largest number of tokens of a text, special tokens included.
  std::size_t context() const { return context_; }

 private:
  // A token that is looked for in the text itself, before or after it is normalised.
  struct AddedToken {
    std::u16string content;
    std::int32_t id;
    bool single_word, skip_left, skip_right;
  };
  using AddedTokens = std::vector<AddedToken>;
  struct Part {
    std::u16string_view text;
    const AddedToken* token;  // nullptr: ordinary text
  };

  explicit Tokenizer(const Json& file);
  void read_added_tokens(const Json& tokens);
  void read_template(const Json& config);
  static std::vector<Part> find_added(std::u16string_view text, const AddedTokens& tokens);
  void encode_words(std::u16string_view text, std::vector<std::int32_t>& ids,
                    Scratch& scratch) const;

  std::size_t patterns_ = 0;
  std::unique_ptr<const Subwords> subwords_;
  Normalizer normalizer_;
  Splitter splitter_;
  AddedTokens in_raw_, in_normalized_;
  std::vector<std::int32_t> before_, after_;  // special tokens around a text
  std::size_t context_ = 0;
};

}  // namespace trml::core
