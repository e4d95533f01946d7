// UTF-8 and UTF-16: files and callers speak the one, ICU the other.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace trml::core {

// Where `text` stops being UTF-8 (surrogates, overlong forms and cut sequences count), or nothing.
std::optional<std::size_t> invalid_utf8_at(std::string_view text);

// The code point at `position` of valid UTF-8; moves `position` past it.
char32_t next_code_point(std::string_view text, std::size_t& position);

// The code point at `position` of valid UTF-16; moves `position` past it.
inline char32_t next_code_point(std::u16string_view text, std::size_t& position) {
  const char32_t lead = text[position++];
  if (lead < 0xD800 || lead > 0xDBFF || position == text.size()) return lead;
  return 0x10000 + ((lead - 0xD800) << 10) + (char32_t(text[position++]) - 0xDC00);
}

void append_utf8(std::string& out, char32_t c);
void append_utf16(std::u16string& out, char32_t c);
std::u16string to_utf16(std::string_view text);
std::string to_utf8(std::u16string_view text);
void append_utf8(std::string& out, std::u16string_view text);

// The general category (UCharCategory) by which BERT's steps tell punctuation, marks and controls:
// the `tokenizers` package asks tables of Unicode 8 there, to which later characters are
// unassigned.
int bert_category(char32_t c);

}  // namespace trml::core
