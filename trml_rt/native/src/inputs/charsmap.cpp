#include "inputs/charsmap.hpp"

#include <openssl/evp.h>

#include <stdexcept>

#include "error.hpp"
#include "utf.hpp"

namespace trml::core {
namespace {

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | std::uint8_t(bytes[at + i]);
  return value;
}

}  // namespace

Charsmap::Charsmap(std::string packed) {
  if (packed.size() < 4) throw std::invalid_argument("a character map that is cut short");
  const std::size_t length = little_endian(packed, 0);
  if (length % 4 != 0 || length == 0 || length > packed.size() - 4) {
    throw std::invalid_argument("a character map whose trie does not fit");
  }
  for (std::size_t at = 4; at < 4 + length; at += 4) units_.push_back(little_endian(packed, at));
  replacements_ = packed.substr(4 + length);
  if (invalid_utf8_at(replacements_)) throw std::invalid_argument("a character map not in UTF-8");
  for (char c = 1; c > 0 && c < 127; ++c) ascii_[std::size_t(c)] = find(std::string_view(&c, 1));
  ascii_[127] = find("\x7f");
}

const char* Charsmap::find(std::string_view chunk) const {
  const auto offset = [](std::uint32_t unit) {
    return std::size_t(unit >> 10) << ((unit >> 9 & 1) * 8);
  };
  std::size_t node = offset(units_[0]);
  for (const char c : chunk) {
    const auto byte = std::uint8_t(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) return nullptr;
    const std::uint32_t unit = units_[node];
    if ((unit & 0x800000FFu) != byte) return nullptr;
    node ^= offset(unit);
    if (unit >> 8 & 1) {
      const std::size_t place = node < units_.size() ? units_[node] & 0x7FFFFFFFu : 0;
      return place < replacements_.size() ? replacements_.c_str() + place : nullptr;
    }
  }
  return nullptr;
}

void Charsmap::apply(std::u16string& text, Scratch& scratch) const {
  std::u16string out;
  out.reserve(text.size());
  const auto replace = [&out](const char* with) { out += to_utf16(with); };
  const icu::UnicodeString alias(false, text.data(), std::int32_t(text.size()));
  bool iterating = false;
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    const char16_t c = text[i];
    const bool last = i + 1 == text.size();
    // ASCII before ASCII is a grapheme of its own, apart from the one line end of two characters.
    if (c < 128 && (last || (text[i + 1] < 128 && !(c == u'\r' && text[i + 1] == u'\n')))) {
      if (const char* with = ascii_[c]) {
        replace(with);
      } else {
        out += c;
      }
      ++i;
      continue;
    }
    if (!iterating) {
      UErrorCode status = U_ZERO_ERROR;
      if (!scratch.graphemes) {
        scratch.graphemes.reset(
            icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
        if (U_FAILURE(status)) {
          scratch.graphemes.reset();
          throw EnvironmentUnfit("ICU has no rules for characters here; install its data");
        }
      }
      scratch.graphemes->setText(alias);
      iterating = true;
    }
    const auto end = std::size_t(scratch.graphemes->following(std::int32_t(i)));
    bytes.clear();
    append_utf8(bytes, std::u16string_view(text).substr(i, end - i));
    if (const char* with = bytes.size() < 6 ? find(bytes) : nullptr) {
      replace(with);
      i = end;
      continue;
    }
    while (i < end) {
      const std::size_t start = i;
      bytes.clear();
      append_utf8(bytes, next_code_point(std::u16string_view(text), i));
      if (const char* with = find(bytes)) {
        replace(with);
      } else {
        out.append(text, start, i - start);
      }
    }
  }
  if (iterating) scratch.graphemes->setText(icu::UnicodeString());
  text = std::move(out);
}

std::string from_base64(std::string_view text) {
  if (text.size() % 4 != 0) throw std::invalid_argument("base64 that is cut short");
  std::string out(text.size() / 4 * 3, '\0');
  const int got =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), int(text.size()));
  if (got < 0) throw std::invalid_argument("a character map that is not base64");
  out.resize(std::size_t(got));
  for (std::size_t i = text.size(); i > 0 && text[i - 1] == '=' && !out.empty(); --i)
    out.pop_back();
  return out;
}

}  // namespace trml::core
