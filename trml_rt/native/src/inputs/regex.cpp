#include "inputs/regex.hpp"

#include <limits>
#include <stdexcept>

#include "error.hpp"

namespace trml::core {
namespace {

constexpr std::int32_t time_limit = 2000;  // about milliseconds

}  // namespace

Regex::Regex(std::u16string_view pattern, std::size_t number) : number_(number) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError where;
  const icu::UnicodeString text(false, pattern.data(), std::int32_t(pattern.size()));
  pattern_.reset(icu::RegexPattern::compile(text, 0, where, status));
  if (U_FAILURE(status)) {
    throw std::invalid_argument(std::string("a pattern that ICU refuses: ") + u_errorName(status));
  }
}

void Regex::find_all(std::u16string_view text, Scratch& scratch, std::vector<Range>& found) const {
  found.clear();
  UErrorCode status = U_ZERO_ERROR;
  if (scratch.matchers.size() <= number_) scratch.matchers.resize(number_ + 1);
  auto& matcher = scratch.matchers[number_];
  if (!matcher) {
    matcher.reset(pattern_->matcher(status));
    // A pattern of a hostile file may try for ever; one of a real file needs no thousandth of this.
    if (U_SUCCESS(status)) matcher->setTimeLimit(time_limit, status);
  }
  const icu::UnicodeString alias(false, text.data(), std::int32_t(text.size()));
  if (U_SUCCESS(status)) {
    matcher->reset(alias);
    while (matcher->find(status)) {
      const auto begin = std::size_t(matcher->start(status)),
                 end = std::size_t(matcher->end(status));
      if (begin < end) found.push_back({begin, end});
    }
    matcher->reset();
  }
  if (U_FAILURE(status)) {
    throw InputUnusable("the text cannot be split into words; pass one utterance", "undecodable");
  }
}

}  // namespace trml::core
