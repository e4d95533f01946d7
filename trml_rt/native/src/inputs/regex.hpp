// Regular expressions of a tokenizer.json, with ICU.
//
// A pattern is compiled once and shared; the state of a search belongs to a `Scratch`, of which
// every thread has its own.
#pragma once

#include <unicode/brkiter.h>
#include <unicode/regex.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trml::core {

// What one thread needs to encode: a matcher for each pattern that it has met, and an iterator over
// what a reader takes for one character.
struct Scratch {
  std::vector<std::unique_ptr<icu::RegexMatcher>> matchers;
  std::unique_ptr<icu::BreakIterator> graphemes;
};

struct Range {
  std::size_t begin, end;
};

class Regex {
 public:
  // `number` is the pattern's own place in every Scratch. Raises std::invalid_argument.
  Regex(std::u16string_view pattern, std::size_t number);

  // All matches in `text` from left to right, none empty. `text` must stay until the next call.
  // Raises InputUnusable where ICU gives up, on texts of megabytes that no model reads.
  void find_all(std::u16string_view text, Scratch& scratch, std::vector<Range>& found) const;

 private:
  std::shared_ptr<const icu::RegexPattern> pattern_;
  std::size_t number_;
};

}  // namespace trml::core
