#include "inputs/tokenizer.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>

#include "error.hpp"
#include "utf.hpp"

namespace trml::core {
namespace {

constexpr const char* next_step = "export the bundle again";

bool is_word_character(char32_t c) {
  const auto mask = U_MASK(u_charType(UChar32(c)));
  return u_isUAlphabetic(UChar32(c)) || (mask & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
         c == 0x200C || c == 0x200D;
}

bool starts_with_word(std::u16string_view text) {
  std::size_t i = 0;
  return !text.empty() && is_word_character(next_code_point(text, i));
}

bool ends_with_word(std::u16string_view text) {
  if (text.empty()) return false;
  std::size_t i = text.size() - 1;
  if (i > 0 && text[i] >= 0xDC00 && text[i] <= 0xDFFF) --i;
  return is_word_character(next_code_point(text, i));
}

}  // namespace

std::unique_ptr<const Tokenizer> Tokenizer::read(std::string_view data, const std::string& name) {
  try {
    return std::unique_ptr<const Tokenizer>(new Tokenizer(parse_strict(data)));
  } catch (const ArtefactMismatch& error) {
    throw ArtefactMismatch(name + ": " + error.what() + "; " + next_step);
  } catch (const std::invalid_argument& error) {
    throw ArtefactMismatch(name + ": not a tokenizer: " + error.what() + "; " + next_step);
  } catch (const Json::exception& error) {
    throw ArtefactMismatch(name + ": not a tokenizer: " + error.what() + "; " + next_step);
  }
}

Tokenizer::Tokenizer(const Json& file)
    : subwords_(make_subwords(file.at("model"))),
      normalizer_(file.value("normalizer", Json()), patterns_),
      splitter_(file.value("pre_tokenizer", Json()), patterns_) {
  read_added_tokens(file.value("added_tokens", Json::array()));
  read_template(file.value("post_processor", Json()));
  const Json truncation = file.value("truncation", Json());
  if (truncation.is_null() || truncation.value("direction", "Right") != "Right") {
    throw ArtefactMismatch("does not cut texts to a context");
  }
  context_ = truncation.at("max_length").get<std::size_t>();
  if (context_ <= before_.size() + after_.size()) {
    throw std::invalid_argument("a context that leaves no room for text");
  }
}

void Tokenizer::read_added_tokens(const Json& tokens) {
  Scratch scratch;
  for (const auto& token : tokens) {
    const auto content = token.at("content").get<std::string>();
    const auto known = subwords_->vocabulary().find(content);
    AddedToken added{to_utf16(content), known ? *known : token.at("id").get<std::int32_t>(),
                     token.value("single_word", false), token.value("lstrip", false),
                     token.value("rstrip", false)};
    const bool normalized = token.value("normalized", true);
    if (normalized) normalizer_.apply(added.content, scratch);
    if (!added.content.empty()) (normalized ? in_normalized_ : in_raw_).push_back(added);
  }
}

void Tokenizer::read_template(const Json& config) {
  if (config.is_null()) return;
  const auto type = config.at("type").get<std::string>();
  if (type == "TemplateProcessing") {
    const Json& special = config.at("special_tokens");
    bool seen = false;
    for (const auto& part : config.at("single")) {
      if (part.contains("Sequence")) {
        if (seen) throw std::invalid_argument("a template with the text in it twice");
        seen = true;
        continue;
      }
      const auto name = part.at("SpecialToken").at("id").get<std::string>();
      for (const auto& id : special.at(name).at("ids")) {
        (seen ? after_ : before_).push_back(id.get<std::int32_t>());
      }
    }
    if (!seen) throw std::invalid_argument("a template without the text");
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    before_.push_back(config.at("cls").at(1).get<std::int32_t>());
    after_.push_back(config.at("sep").at(1).get<std::int32_t>());
  } else if (type == "Sequence") {
    for (const auto& part : config.at("processors")) read_template(part);
  } else if (type != "ByteLevel") {  // that one moves offsets only
    throw std::invalid_argument("a post_processor " + repr(type) +
                                ", which this library does not know");
  }
}

std::vector<Tokenizer::Part> Tokenizer::find_added(std::u16string_view text,
                                                   const AddedTokens& tokens) {
  std::vector<Part> parts;
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size() && !tokens.empty();) {
    const AddedToken* longest = nullptr;
    for (const auto& token : tokens) {
      if (token.content[0] == text[i] &&
          text.compare(i, token.content.size(), token.content) == 0 &&
          (longest == nullptr || token.content.size() > longest->content.size())) {
        longest = &token;
      }
    }
    if (longest == nullptr) {
      ++i;
      continue;
    }
    std::size_t begin = i, end = i + longest->content.size();
    i = end;
    if (longest->single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    while (longest->skip_left && begin > from && u_isUWhiteSpace(text[begin - 1])) --begin;
    while (longest->skip_right && end < text.size() && u_isUWhiteSpace(text[end])) ++end;
    if (begin > from) parts.push_back({text.substr(from, begin - from), nullptr});
    parts.push_back({{}, longest});
    i = from = end;
  }
  if (from < text.size()) parts.push_back({text.substr(from), nullptr});
  return parts;
}

Tokens Tokenizer::encode(std::string_view text, Scratch& scratch) const {
  // Before it is read: a length that is wrong leads beyond the text.
  if (text.size() > most_text) {
    throw InputUnusable("the text is larger than 1 MB; pass one utterance", "undecodable");
  }
  if (const auto bad = invalid_utf8_at(text)) {
    throw InputUnusable(
        "the text is not valid Unicode at byte " + std::to_string(*bad) + "; pass UTF-8",
        "undecodable");
  }
  Tokens tokens{before_};
  const std::u16string whole = to_utf16(text);
  for (const auto& raw : find_added(whole, in_raw_)) {
    if (raw.token != nullptr) {
      tokens.ids.push_back(raw.token->id);
      continue;
    }
    std::u16string normalized(raw.text);
    normalizer_.apply(normalized, scratch);
    for (const auto& part : find_added(normalized, in_normalized_)) {
      if (part.token != nullptr) {
        tokens.ids.push_back(part.token->id);
      } else {
        encode_words(part.text, tokens.ids, scratch);
      }
    }
  }
  if (tokens.ids.size() == before_.size()) {
    throw InputUnusable("the text is empty; leave the text out", "empty_text");
  }
  const std::size_t room = context_ - after_.size();
  tokens.truncated = tokens.ids.size() > room;
  if (tokens.truncated) tokens.ids.resize(room);
  if (const auto unknown = subwords_->unknown()) {
    const auto own = tokens.ids.begin() + std::ptrdiff_t(before_.size());
    tokens.unknown = double(std::count(own, tokens.ids.end(), *unknown)) /
                     double(std::distance(own, tokens.ids.end()));
  }
  if (tokens.unknown == 1) {
    throw InputUnusable("the tokenizer knows no part of the text; write it in the model's language",
                        "unknown_text");
  }
  tokens.ids.insert(tokens.ids.end(), after_.begin(), after_.end());
  return tokens;
}

void Tokenizer::encode_words(std::u16string_view text, std::vector<std::int32_t>& ids,
                             Scratch& scratch) const {
  Pieces pieces{std::u16string(text)};
  splitter_.apply(pieces, scratch);
  std::string word;
  for (const auto& piece : pieces) {
    word.clear();
    append_utf8(word, piece);
    subwords_->encode(word, ids);
  }
}

}  // namespace trml::core
