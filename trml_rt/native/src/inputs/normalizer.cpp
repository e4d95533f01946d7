#include "inputs/normalizer.hpp"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <stdexcept>

#include "error.hpp"
#include "inputs/charsmap.hpp"
#include "utf.hpp"

namespace trml::core {
namespace {

bool is_ascii(std::u16string_view text) {
  for (const char16_t c : text) {
    if (c >= 128) return false;
  }
  return true;
}

void unicode_form(const icu::Normalizer2& form, std::u16string& text) {
  if (is_ascii(text)) return;
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString source(false, text.data(), std::int32_t(text.size()));
  if (form.isNormalized(source, status)) return;
  const icu::UnicodeString done = form.normalize(source, status);
  if (U_FAILURE(status)) throw InputUnusable("the text cannot be normalised", "undecodable");
  text.assign(done.getBuffer(), std::size_t(done.length()));
}

const icu::Normalizer2& form_named(const std::string& name) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = name == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                 : name == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
                                 : name == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFKDInstance(status);
  if (form == nullptr) throw std::invalid_argument("ICU has no data for " + name);
  return *form;
}

// Letter by letter, so that a capital sigma becomes the same small one everywhere in a word.
void lower(std::u16string& text) {
  std::u16string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(std::u16string_view(text), i);
    if (c == 0x130) {  // the one letter whose small form is two characters
      out += u"i\u0307";
    } else if (c < 128) {
      out += char16_t(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else {
      append_utf16(out, char32_t(u_tolower(UChar32(c))));
    }
  }
  text = std::move(out);
}

template <typename Keep>
void filter(std::u16string& text, Keep keep) {
  std::u16string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(std::u16string_view(text), i);
    keep(c, out);
  }
  text = std::move(out);
}

bool is_control(char32_t c) {
  if (c == U'\t' || c == U'\n' || c == U'\r') return false;
  constexpr auto control = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK;
  return (U_MASK(bert_category(c)) & control) != 0;
}

// The ideographs that BERT puts blanks around, by its own list of blocks.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void clean(std::u16string& text) {
  filter(text, [](char32_t c, std::u16string& out) {
    if (c == 0 || c == 0xFFFD || is_control(c)) return;
    append_utf16(out, u_isUWhiteSpace(UChar32(c)) ? U' ' : c);
  });
}

void space_ideographs(std::u16string& text) {
  filter(text, [](char32_t c, std::u16string& out) {
    const bool spaced = is_ideograph(c);
    if (spaced) out += u' ';
    append_utf16(out, c);
    if (spaced) out += u' ';
  });
}

void strip_accents(const icu::Normalizer2& nfd, std::u16string& text) {
  if (is_ascii(text)) return;
  unicode_form(nfd, text);
  filter(text, [](char32_t c, std::u16string& out) {
    if (bert_category(c) != U_NON_SPACING_MARK) append_utf16(out, c);
  });
}

void strip(std::u16string& text, bool left, bool right) {
  const auto blank = [](char16_t c) { return u_isUWhiteSpace(c) != 0; };  // all are below U+10000
  std::size_t begin = 0, end = text.size();
  while (left && begin < end && blank(text[begin])) ++begin;
  while (right && end > begin && blank(text[end - 1])) --end;
  text = text.substr(begin, end - begin);
}

void replace_all(std::u16string& text, const std::vector<Range>& found, std::u16string_view with) {
  if (found.empty()) return;
  std::u16string out;
  std::size_t from = 0;
  for (const auto& range : found) {
    out.append(text, from, range.begin - from).append(with);
    from = range.end;
  }
  text = out.append(text, from);
}

void find_literal(std::u16string_view text, std::u16string_view what, std::vector<Range>& found) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) {
    found.push_back({at, at + what.size()});
  }
}

}  // namespace

Normalizer::Normalizer(const Json& config, std::size_t& patterns) {
  if (!config.is_null()) add(config, patterns);
}

void Normalizer::add(const Json& config, std::size_t& patterns) {
  const auto type = config.at("type").get<std::string>();
  if (type == "Sequence") {
    for (const auto& part : config.at("normalizers")) add(part, patterns);
  } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    const auto* form = &form_named(type);
    steps_.emplace_back([form](std::u16string& text, Scratch&) { unicode_form(*form, text); });
  } else if (type == "Lowercase") {
    steps_.emplace_back([](std::u16string& text, Scratch&) { lower(text); });
  } else if (type == "Strip") {
    const bool left = config.at("strip_left"), right = config.at("strip_right");
    steps_.emplace_back([=](std::u16string& text, Scratch&) { strip(text, left, right); });
  } else if (type == "StripAccents") {
    steps_.emplace_back([](std::u16string& text, Scratch&) {
      filter(text, [](char32_t c, std::u16string& out) {
        const auto kind = u_charType(UChar32(c));
        if (!(U_MASK(kind) & U_GC_M_MASK)) append_utf16(out, c);
      });
    });
  } else if (type == "Replace") {
    const auto with = to_utf16(config.at("content").get<std::string>());
    const Json& pattern = config.at("pattern");
    if (pattern.contains("String")) {
      const auto what = to_utf16(pattern.at("String").get<std::string>());
      if (what.empty()) throw std::invalid_argument("a Replace of nothing");
      steps_.emplace_back([=](std::u16string& text, Scratch&) {
        if (text.find(what) == text.npos) return;
        std::vector<Range> found;
        find_literal(text, what, found);
        replace_all(text, found, with);
      });
    } else {
      const Regex regex(to_utf16(pattern.at("Regex").get<std::string>()), patterns++);
      steps_.emplace_back([=](std::u16string& text, Scratch& scratch) {
        std::vector<Range> found;
        regex.find_all(text, scratch, found);
        replace_all(text, found, with);
      });
    }
  } else if (type == "Precompiled") {
    const auto map = std::make_shared<const Charsmap>(
        from_base64(config.at("precompiled_charsmap").get<std::string>()));
    steps_.emplace_back([map](std::u16string& text, Scratch& s) { map->apply(text, s); });
  } else if (type == "BertNormalizer") {
    const bool lowercase = config.at("lowercase");
    const Json accents = config.value("strip_accents", Json());
    const bool stripped = accents.is_null() ? lowercase : accents.get<bool>();
    const bool cleaned = config.at("clean_text"), spaced = config.at("handle_chinese_chars");
    const auto* nfd = &form_named("NFD");
    steps_.emplace_back([=](std::u16string& text, Scratch&) {
      if (cleaned) clean(text);
      if (spaced && !is_ascii(text)) space_ideographs(text);
      if (stripped) strip_accents(*nfd, text);
      if (lowercase) lower(text);
    });
  } else {
    throw std::invalid_argument("a normalizer " + repr(type) +
                                ", which this library does not know");
  }
}

void Normalizer::apply(std::u16string& text, Scratch& scratch) const {
  for (const auto& step : steps_) step(text, scratch);
}

}  // namespace trml::core
