#include "record.hpp"

#include <algorithm>

namespace trml_core {

Record::Record(const Json& value, std::string where, const char* model,
               std::vector<std::string>& problems)
    : object_(value.is_object() ? &value : nullptr), where_(std::move(where)), problems_(problems) {
  if (object_ == nullptr) {
    problem(where_, std::string("Input should be a valid dictionary or instance of ") + model);
  }
}

std::string Record::at(const std::string& key) const {
  return where_.empty() ? key : where_ + "." + key;
}

void Record::problem(const std::string& where, const std::string& words) {
  problems_.push_back(where + ": " + words);
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
  problem(at(key), "Input should be a valid string");
  return {};
}

bool Record::boolean(const char* key) {
  const Json* value = any(key);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  problem(at(key), "Input should be a valid boolean");
  return false;
}

std::int64_t Record::integer(const char* key, std::int64_t at_least, std::int64_t below,
                             std::int64_t at_most) {
  const Json* value = any(key);
  if (value == nullptr) return 1;
  if (!value->is_number_integer()) {
    problem(at(key), "Input should be a valid integer");
    return 1;
  }
  const auto number = value->get<std::int64_t>();
  constexpr auto none = std::numeric_limits<std::int64_t>::max();
  if (number < at_least) {
    problem(at(key), at_least == 1
                         ? "Input should be greater than 0"
                         : "Input should be greater than or equal to " + std::to_string(at_least));
  } else if (below != none && number >= below) {
    problem(at(key), "Input should be less than " + std::to_string(below));
  } else if (number > at_most) {
    problem(at(key), "Input should be less than or equal to " + std::to_string(at_most));
  } else {
    return number;
  }
  return 1;
}

std::string Record::choice(const char* key, const std::vector<std::string>& words) {
  const Json* value = any(key);
  if (value == nullptr) return words.front();
  if (value->is_string() &&
      std::find(words.begin(), words.end(), value->get<std::string>()) != words.end()) {
    return value->get<std::string>();
  }
  problem(at(key), "Input should be " + either(words));
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
      problem(where, "Input should be " + either(words));
    } else if (!item.is_string()) {
      problem(where, "Input should be a valid string");
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
    problem(at(key), "Input should be a valid list");
    return found;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    note_number((*value)[i], at(key) + "." + std::to_string(i), problems_);
    found.push_back((*value)[i].is_number() ? (*value)[i].get<double>() : 0.0);
  }
  return found;
}

const Json* Record::object(const char* key, const char* model) {
  const Json* value = any(key);
  if (value == nullptr || value->is_object()) return value;
  problem(at(key), std::string("Input should be a valid dictionary") +
                       (model ? std::string(" or instance of ") + model : ""));
  return nullptr;
}

const Json* Record::list(const char* key, bool some) {
  const Json* value = any(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    problem(at(key), "Input should be a valid list");
    return nullptr;
  }
  if (some && value->empty()) {
    problem(at(key), "List should have at least 1 item after validation, not 0");
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

void note_number(const Json& value, const std::string& where, std::vector<std::string>& problems) {
  if (!value.is_number()) problems.push_back(where + ": Input should be a valid number");
}

}  // namespace trml_core
