#include "bundle/records.hpp"

#include <algorithm>

namespace trml::core {

Record::Record(const Json& value, std::string where, std::vector<std::string>& problems)
    : object_(value.is_object() ? &value : nullptr), where_(std::move(where)), problems_(problems) {
  if (object_ == nullptr) {
    expected(where_, "an object", value);
  }
}

std::string Record::at(const std::string& key) const {
  return where_.empty() ? key : where_ + "." + key;
}

void Record::problem(const std::string& where, const std::string& words) {
  problems_.push_back(where + ": " + words);
}

void Record::expected(const std::string& where, const std::string& what, const Json& value) {
  note_expected(where, what, value, problems_);
}

const Json* Record::any(const char* key) {
  if (object_ == nullptr) return nullptr;
  known_.emplace_back(key);
  const auto found = object_->find(key);
  if (found == object_->end()) {
    problem(at(key), "key is missing");
    return nullptr;
  }
  return &*found;
}

std::string Record::text(const char* key) {
  const Json* value = any(key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  expected(at(key), "a string", *value);
  return {};
}

bool Record::boolean(const char* key) {
  const Json* value = any(key);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  expected(at(key), "true or false", *value);
  return false;
}

std::int64_t Record::integer(const char* key, std::int64_t at_least, std::int64_t below,
                             std::int64_t at_most) {
  const Json* value = any(key);
  if (value == nullptr) return 1;
  if (!value->is_number_integer()) {
    expected(at(key), "a whole number", *value);
    return 1;
  }
  const auto number = value->get<std::int64_t>();
  constexpr auto none = std::numeric_limits<std::int64_t>::max();
  if (number < at_least) {
    expected(at(key),
             at_least == 1 ? "a positive whole number" : "at least " + std::to_string(at_least),
             *value);
  } else if (below != none && number >= below) {
    expected(at(key), "less than " + std::to_string(below), *value);
  } else if (number > at_most) {
    expected(at(key), "at most " + std::to_string(at_most), *value);
  } else {
    return number;
  }
  return 1;
}

std::int64_t Record::size(const char* key) {
  return integer(key, 1, std::numeric_limits<std::int64_t>::max(), most_size);
}

std::string Record::choice(const char* key, const std::vector<std::string>& words) {
  const Json* value = any(key);
  if (value == nullptr) return words.front();
  if (value->is_string() &&
      std::find(words.begin(), words.end(), value->get<std::string>()) != words.end()) {
    return value->get<std::string>();
  }
  expected(at(key), either(words), *value);
  return words.front();
}

std::vector<std::string> Record::texts(const char* key, bool some,
                                       const std::vector<std::string>& words) {
  std::vector<std::string> found;
  const Json* items = list(key, some);
  if (items == nullptr) return found;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Json& item = (*items)[i];
    const auto where = at(key) + "." + std::to_string(i);
    if (!words.empty() &&
        (!item.is_string() ||
         std::find(words.begin(), words.end(), item.get<std::string>()) == words.end())) {
      expected(where, either(words), item);
    } else if (!item.is_string()) {
      expected(where, "a string", item);
    } else {
      found.push_back(item.get<std::string>());
    }
  }
  return found;
}

std::vector<double> Record::numbers(const char* key, bool& given) {
  std::vector<double> found;
  given = false;
  if (object_ == nullptr || !object_->contains(key)) {
    known_.emplace_back(key);
    return found;
  }
  const Json* value = any(key);
  if (value->is_null()) return found;
  given = true;
  if (!value->is_array()) {
    expected(at(key), "a list", *value);
    return found;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    note_number((*value)[i], at(key) + "." + std::to_string(i), problems_);
    found.push_back((*value)[i].is_number() ? (*value)[i].get<double>() : 0.0);
  }
  return found;
}

const Json* Record::object(const char* key) {
  const Json* value = any(key);
  if (value == nullptr || value->is_object()) return value;
  expected(at(key), "an object", *value);
  return nullptr;
}

const Json* Record::optional_object(const char* key) {
  if (object_ != nullptr && object_->contains(key)) return object(key);
  known_.emplace_back(key);
  return nullptr;
}

const Json* Record::list(const char* key, bool some) {
  const Json* value = any(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    expected(at(key), "a list", *value);
    return nullptr;
  }
  if (some && value->empty()) {
    problem(at(key), "at least 1 item expected, 0 found");
    return nullptr;
  }
  return value;
}

void Record::finish() {
  if (object_ == nullptr) return;
  for (const auto& [key, value] : object_->items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      problem(at(key), "unknown key");
    }
  }
}

std::string either(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    text += "'" + words[i] + "'";
  }
  return text;
}

void note_text(const Json& value, const std::string& where, std::vector<std::string>& problems) {
  if (!value.is_string()) note_expected(where, "a string", value, problems);
}

void note_whole(const Json& value, const std::string& where, std::vector<std::string>& problems) {
  if (!value.is_number_integer()) note_expected(where, "a whole number", value, problems);
}

void note_choice(const Json& value, const std::vector<std::string>& words, const std::string& where,
                 std::vector<std::string>& problems) {
  if (!value.is_string() ||
      std::find(words.begin(), words.end(), value.get<std::string>()) == words.end()) {
    note_expected(where, either(words), value, problems);
  }
}

void note_number(const Json& value, const std::string& where, std::vector<std::string>& problems) {
  if (!value.is_number()) note_expected(where, "a number", value, problems);
}

void note_expected(const std::string& where, const std::string& what, const Json& value,
                   std::vector<std::string>& problems) {
  problems.push_back(where + ": " + what + " expected, " + shown(value) + " found");
}

}  // namespace trml::core
