#include "engines/fastest.hpp"

#include <system_error>
#include <vector>

#include "bundle/places.hpp"
#include "bundle/records.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

constexpr std::int64_t fastest_schema = 1;

Fastest read_record(const std::string& data, const std::string& source, const Fields& device) {
  const Json content = parse_object(data, source);
  std::vector<std::string> problems;
  check_schema(content, fastest_schema, source, problems);
  Fastest found;
  Fields stated;
  Record record(content, "", problems);
  record.any("schema");
  if (const Json* fields = record.object("device")) {
    for (const auto& [name, value] : fields->items()) {
      note_text(value, "device." + name, problems);
      if (value.is_string()) stated[name] = value.get<std::string>();
    }
  }
  found.engines = record.text("engines");
  if (const Json* compared = record.object("compared")) {
    for (const auto& [name, gains] : compared->items()) {
      found.compared.insert(name);
      if (!gains.is_object()) {
        note_expected("compared." + name, "an object", gains, problems);
        continue;
      }
      for (const auto& [set, gain] : gains.items()) {
        note_number(gain, "compared." + name + "." + set, problems);
      }
    }
  }
  record.finish();
  if (!problems.empty()) refuse(source, problems);
  if (stated != device) refuse(source, {"device: is not this one"});
  return found;
}

}  // namespace

std::optional<Fastest> read_fastest(const Bundle& bundle) {
  const Fields device = describe_device();
  for (const auto& place : engine_places(bundle)) {
    const auto path = place / fastest_name(device);
    std::string data;
    try {
      data = read_record(path);
    } catch (const std::system_error& error) {
      if (error.code() == std::errc::no_such_file_or_directory ||
          error.code() == std::errc::not_a_directory) {
        continue;
      }
      throw ArtefactMismatch(path.string() + ": cannot be read (" + error.code().message() + ")");
    }
    return read_record(data, path.string(), device);
  }
  return std::nullopt;
}

std::string fastest_name(const Fields& device) {
  std::string text;
  for (const auto& [name, value] : device) {
    text += name;
    text += "=" + value + "\n";
  }
  return ".fastest-" + sha256_hex(text).substr(0, 16) + ".json";
}

}  // namespace trml::core
