#include "utf.hpp"

#include <unicode/uchar.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

namespace trml::core {

std::optional<std::size_t> invalid_utf8_at(std::string_view text) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data());
  // ICU counts in 32 bits, so a longer text is walked in pieces that start at a lead byte.
  for (std::size_t start = 0; start < text.size();) {
    std::int32_t i = 0;
    UChar32 c = 0;
    const auto length = std::int32_t(std::min<std::size_t>(text.size() - start, 8));
    U8_NEXT(data + start, i, length, c);
    if (c < 0) return start;
    start += std::size_t(i);
    while (start < text.size() && data[start] < 0x80) ++start;
  }
  return std::nullopt;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(text.data()) + position;
  std::int32_t i = 0;
  UChar32 c = 0;
  U8_NEXT_UNSAFE(data, i, c);
  position += std::size_t(i);
  return char32_t(c);
}

void append_utf8(std::string& out, char32_t c) {
  std::uint8_t bytes[4];
  std::int32_t i = 0;
  U8_APPEND_UNSAFE(bytes, i, UChar32(c));
  out.append(reinterpret_cast<const char*>(bytes), std::size_t(i));
}

void append_utf16(std::u16string& out, char32_t c) {
  if (c >= 0x10000) out += char16_t(U16_LEAD(c));
  out += c >= 0x10000 ? char16_t(U16_TRAIL(c)) : char16_t(c);
}

std::u16string to_utf16(std::string_view text) {
  std::u16string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) append_utf16(out, next_code_point(text, i));
  return out;
}

void append_utf8(std::string& out, std::u16string_view text) {
  for (std::size_t i = 0; i < text.size();) append_utf8(out, next_code_point(text, i));
}

std::string to_utf8(std::u16string_view text) {
  std::string out;
  out.reserve(text.size());
  append_utf8(out, text);
  return out;
}

int bert_category(char32_t c) {
  const int category = u_charType(UChar32(c));
  if (c < 0x370) return category;  // nothing there is newer
  switch (c) {                     // what was another category then
    case 0x166D:
    case 0x111C9:
      return U_OTHER_PUNCTUATION;
    case 0x1734:
      return U_NON_SPACING_MARK;
    case 0x1885:
    case 0x1886:
      return U_OTHER_LETTER;
    case 0xA9BD:
      return U_COMBINING_SPACING_MARK;
    default:
      break;
  }
  UVersionInfo age;
  u_charAge(UChar32(c), age);
  return age[0] > 8 ? int(U_UNASSIGNED) : category;
}

}  // namespace trml::core
