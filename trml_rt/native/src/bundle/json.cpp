#include "bundle/json.hpp"

#include <unicode/uchar.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <vector>

#include "error.hpp"
#include "utf.hpp"

namespace trml::core {
namespace {

constexpr std::size_t most_depth = 500;

// A number that is too large, as messages show it.
std::string short_form(const std::string& number) {
  constexpr std::size_t shown = 30;
  if (number.size() <= shown) return number;
  return number.substr(0, shown) + "... (" + std::to_string(number.size()) + " characters)";
}

// Builds the value, and stops at the first thing that strict JSON forbids.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::string_view text) : text_(text) {}

  Json root;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override {
    if (value > std::uint64_t(std::numeric_limits<std::int64_t>::max())) {
      throw std::invalid_argument(std::to_string(value) + " is too large");
    }
    return add(std::int64_t(value));
  }
  bool number_float(double value, const std::string& token) override {
    // An integer beyond 64 bits. A decimal point would be the locale's, which may be a comma.
    if (token.find_first_not_of("-0123456789") == std::string::npos) {
      throw std::invalid_argument(short_form(token) + " is too large");
    }
    return add(value);
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    keys_.back().repeated |= !keys_.back().names.insert(name).second;
    key_ = std::move(name);
    return true;
  }
  bool end_object() override {
    // Only now, as Python's parser does: what is wrong inside the object is told first.
    if (keys_.back().repeated) throw std::invalid_argument("a key stands twice in one object");
    return close();
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const Json::exception& error) override {
    // The parser stops inside the words that Python's parser would read whole.
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      const std::size_t from = position > word.size() ? position - word.size() : 0;
      for (std::size_t at = from; at < std::min(position, text_.size()); ++at) {
        if (text_.substr(at, word.size()) == word) {
          throw std::invalid_argument(std::string(word) + " is not JSON");
        }
      }
    }
    // 406: a number that no double holds; the token is the number as written.
    if (std::string(error.what()).find("out_of_range") != std::string::npos) {
      throw std::invalid_argument(short_form(token) + " is too large");
    }
    throw std::invalid_argument("it breaks off or goes wrong at byte " + std::to_string(position));
  }

 private:
  bool add(Json value) {
    if (stack_.empty()) {
      root = std::move(value);
    } else if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(value));
    } else {
      append(std::move(value));
    }
    return true;
  }

  bool open(Json container) {
    if (stack_.size() >= most_depth) throw std::invalid_argument("it is nested too deeply");
    Json* place = &root;
    if (!stack_.empty() && stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(container));
      place = &stack_.back()->back();
    } else if (!stack_.empty()) {
      place = &append(std::move(container));
    } else {
      root = std::move(container);
    }
    stack_.push_back(place);
    keys_.emplace_back();
    return true;
  }

  // Straight to the end: an ordered object looks its keys up one by one, and `key` has done that.
  Json& append(Json value) {
    auto& members = stack_.back()->get_ref<Json::object_t&>();
    members.emplace_back(std::move(key_), std::move(value));
    return members.back().second;
  }

  bool close() {
    stack_.pop_back();
    keys_.pop_back();
    return true;
  }

  std::string_view text_;
  std::string key_;
  std::vector<Json*> stack_;  // a container's place cannot move while it is open
  struct Keys {
    std::set<std::string> names;
    bool repeated = false;
  };
  std::vector<Keys> keys_;
};

}  // namespace

Json parse_strict(std::string_view data) {
  if (const auto bad = invalid_utf8_at(data)) {
    throw std::invalid_argument("not UTF-8 at byte " + std::to_string(*bad));
  }
  if (data.substr(0, 3) == "\xef\xbb\xbf") {
    throw std::invalid_argument("it begins with a byte order mark");
  }
  // The parser takes a NUL for the end of the text.
  if (const auto nul = data.find('\0'); nul != data.npos) {
    throw std::invalid_argument("it goes wrong at byte " + std::to_string(nul));
  }
  Builder builder(data);
  Json::sax_parse(data.begin(), data.end(), &builder);
  return std::move(builder.root);
}

Json parse_object(std::string_view data, const std::string& source) {
  Json value;
  try {
    value = parse_strict(data);
  } catch (const std::invalid_argument& error) {
    throw ArtefactMismatch(source + ": not valid JSON: " + error.what());
  }
  if (!value.is_object()) throw ArtefactMismatch(source + ": not a JSON object");
  return value;
}

std::string repr(double number) {
  if (!std::isfinite(number)) return std::isnan(number) ? "nan" : number < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto written = [&](std::chars_format format) {
    return std::string(buffer,
                       std::to_chars(std::begin(buffer), std::end(buffer), number, format).ptr);
  };
  const std::string text = written(std::chars_format::scientific);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const std::string plain = written(std::chars_format::fixed);
  return plain.find('.') == plain.npos ? plain + ".0" : plain;
}

std::string repr(std::string_view text) {
  const bool double_quotes = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  char code[12];
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    const char32_t c = next_code_point(text, i);
    if (c == U'\\' || c == char32_t(quote)) {
      out += '\\';
      out += char(c);
    } else if (c == U'\n' || c == U'\r' || c == U'\t') {
      out += c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t";
    } else if (c == U' ' || (u_isprint(UChar32(c)) && !u_isUWhiteSpace(UChar32(c)))) {
      out += text.substr(start, i - start);
    } else {
      std::snprintf(code, sizeof code,
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    unsigned(c));
      out += code;
    }
  }
  return out + quote;
}

std::string shown(const Json& value) {
  if (value.is_string()) return repr(value.get_ref<const std::string&>());
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return value.is_number_float() ? repr(value.get<double>()) : value.dump();
}

}  // namespace trml::core
