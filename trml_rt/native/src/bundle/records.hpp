// Check one JSON object key by key and note every problem, in the words that the Python reader
// gives (R3): nothing is converted, unknown and missing keys are named.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "bundle/json.hpp"

namespace trml::core {

constexpr std::int64_t most_size = 1 << 16;  // of what a manifest may state (R18)

class Record {
 public:
  // `where` is the path of the object in the file, "" at the top.
  Record(const Json& value, std::string where, std::vector<std::string>& problems);

  // Each reads one key. After a problem the value is a harmless default; the caller looks at
  // `problems` before it uses anything.
  std::string text(const char* key);
  bool boolean(const char* key);
  std::int64_t integer(const char* key, std::int64_t at_least = 1,
                       std::int64_t below = std::numeric_limits<std::int64_t>::max(),
                       std::int64_t at_most = std::numeric_limits<std::int64_t>::max());
  std::int64_t size(const char* key);  // 1 to `most_size`
  std::string choice(const char* key, const std::vector<std::string>& words);
  std::vector<std::string> texts(const char* key, bool some = false,
                                 const std::vector<std::string>& words = {});
  // Optional; `given` says whether it is there and not null.
  std::vector<double> numbers(const char* key, bool& given);
  // The member, or nullptr with the problem noted if it is absent or of the other kind.
  const Json* object(const char* key);
  const Json* list(const char* key, bool some = false);
  const Json* any(const char* key);
  // An object that may be left out; nullptr then, too.
  const Json* optional_object(const char* key);
  std::string at(const std::string& key) const;
  std::vector<std::string>& problems() { return problems_; }
  bool is_object() const { return object_ != nullptr; }

  // Name the keys that nothing has read. Call it last.
  void finish();

 private:
  void problem(const std::string& where, const std::string& words);
  void expected(const std::string& where, const std::string& what, const Json& value);
  const Json* object_;
  std::string where_;
  std::vector<std::string>& problems_;
  std::vector<std::string> known_;
};

// "'a', 'b' or 'c'", as a message lists choices.
std::string either(const std::vector<std::string>& words);
// Note that `what` was expected at `where`, and that `value` is there.
void note_expected(const std::string& where, const std::string& what, const Json& value,
                   std::vector<std::string>& problems);
// Note that another kind of value stands at `where` than a string, a number, a whole number, an
// object, or one of `words`.
void note_text(const Json& value, const std::string& where, std::vector<std::string>& problems);
void note_whole(const Json& value, const std::string& where, std::vector<std::string>& problems);
void note_choice(const Json& value, const std::vector<std::string>& words, const std::string& where,
                 std::vector<std::string>& problems);
void note_number(const Json& value, const std::string& where, std::vector<std::string>& problems);

}  // namespace trml::core
