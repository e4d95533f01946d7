#include "inputs/splitter.hpp"

#include <unicode/uchar.h>

#include <array>
#include <stdexcept>

#include "utf.hpp"

namespace trml::core {
namespace {

// Words of a text without added tokens, as GPT-2 has them.
constexpr const char* gpt2_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool is_blank(char32_t c) { return u_isUWhiteSpace(UChar32(c)) != 0; }

bool is_punctuation(char32_t c) {
  if (c < 128) return c > 32 && c < 127 && !u_isalnum(UChar32(c));  // "$" and "+" too
  return (U_MASK(bert_category(c)) & U_GC_P_MASK) != 0;
}

// Split where `alone` holds: such characters stand by themselves, or are dropped.
template <typename Alone>
void split(const std::u16string& piece, Pieces& out, Alone alone, bool keep) {
  std::size_t from = 0;
  for (std::size_t i = 0; i < piece.size();) {
    const std::size_t start = i;
    if (!alone(next_code_point(std::u16string_view(piece), i))) continue;
    if (start > from) out.push_back(piece.substr(from, start - from));
    if (keep) out.push_back(piece.substr(start, i - start));
    from = i;
  }
  if (from < piece.size()) out.push_back(piece.substr(from));
}

// The character that stands for each byte: itself where it can be printed, else one past U+00FF.
std::array<char16_t, 256> byte_characters() {
  std::array<char16_t, 256> table{};
  char16_t next = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printed = (b > 32 && b < 127) || (b > 160 && b != 173);
    table[b] = printed ? char16_t(b) : next++;
  }
  return table;
}

void to_byte_characters(const std::u16string& piece, Pieces& out, bool prefix) {
  static const auto table = byte_characters();
  const std::string bytes = (prefix && piece.front() != u' ' ? " " : "") + to_utf8(piece);
  std::u16string mapped;
  for (const char b : bytes) mapped += table[std::uint8_t(b)];
  out.push_back(std::move(mapped));
}

}  // namespace

Splitter::Splitter(const Json& config, std::size_t& patterns) {
  if (!config.is_null()) add(config, patterns);
}

void Splitter::add_matches(const std::string& pattern, std::size_t& patterns) {
  const Regex regex(to_utf16(pattern), patterns++);
  steps_.emplace_back([=](const std::u16string& piece, Pieces& out, Scratch& scratch) {
    std::vector<Range> found;
    regex.find_all(piece, scratch, found);
    for (const auto& [begin, end] : found) out.push_back(piece.substr(begin, end - begin));
  });
}

void Splitter::add(const Json& config, std::size_t& patterns) {
  const auto type = config.at("type").get<std::string>();
  if (type == "Sequence") {
    for (const auto& part : config.at("pretokenizers")) add(part, patterns);
  } else if (type == "BertPreTokenizer") {
    steps_.emplace_back([](const std::u16string& piece, Pieces& out, Scratch&) {
      split(piece, out, is_blank, false);
    });
    steps_.emplace_back([](const std::u16string& piece, Pieces& out, Scratch&) {
      split(piece, out, is_punctuation, true);
    });
  } else if (type == "Whitespace") {
    add_matches(R"(\w+|[^\w\s]+)", patterns);
  } else if (type == "WhitespaceSplit") {
    steps_.emplace_back([](const std::u16string& piece, Pieces& out, Scratch&) {
      split(piece, out, is_blank, false);
    });
  } else if (type == "Split") {
    const auto behavior = config.at("behavior").get<std::string>();
    const auto pattern = config.at("pattern").value("Regex", std::string());
    const bool invert = config.at("invert");
    if (pattern.empty() || behavior != "Removed" || !invert) {
      throw std::invalid_argument(
          "a Split other than by a Regex that keeps its matches, which "
          "this library does not know");
    }
    add_matches(pattern, patterns);
  } else if (type == "ByteLevel") {
    const bool prefix = config.at("add_prefix_space");
    if (config.value("use_regex", true)) {
      if (prefix) {
        throw std::invalid_argument(
            "a ByteLevel with a prefix and a pattern, which this library "
            "does not know");
      }
      add_matches(gpt2_words, patterns);
    }
    steps_.emplace_back([prefix](const std::u16string& piece, Pieces& out, Scratch&) {
      to_byte_characters(piece, out, prefix);
    });
  } else {
    throw std::invalid_argument("a pre_tokenizer " + repr(type) +
                                ", which this library does not know");
  }
}

void Splitter::apply(Pieces& pieces, Scratch& scratch) const {
  for (const auto& step : steps_) {
    Pieces next;
    for (const auto& piece : pieces) step(piece, next, scratch);
    pieces = std::move(next);
  }
}

}  // namespace trml::core
