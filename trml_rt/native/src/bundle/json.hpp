// Strict JSON: no key twice, no NaN, nothing too large or too deep, UTF-8 (R1); and the way that
// Python writes a value in a message.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace trml::core {

using Json = nlohmann::ordered_json;

// Parse one strict JSON object, or raise ArtefactMismatch with `source` at the head of the message.
Json parse_object(std::string_view data, const std::string& source);

// The same for any JSON value; raises std::invalid_argument that says what is wrong.
Json parse_strict(std::string_view data);

// How Python's repr() writes a string, and a number: the fewest digits that give it back.
std::string repr(std::string_view text);
std::string repr(double number);
// A JSON value as messages show it; of a list or an object only the kind.
std::string shown(const Json& value);

}  // namespace trml::core
