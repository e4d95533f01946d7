#include "bundle/manifest.hpp"

#include <algorithm>
#include <cmath>

#include "bundle/manifest_rules.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

using Problems = std::vector<std::string>;

constexpr std::pair<const char*, Axis> axis_names[] = {
    {"batch", Axis::batch}, {"tokens", Axis::tokens}, {"frames", Axis::frames}};
constexpr std::pair<const char*, Type> type_names[] = {{"int32", Type::int32},
                                                       {"uint8", Type::uint8},
                                                       {"float32", Type::float32},
                                                       {"bool", Type::boolean}};

Dimension read_dimension(const Json& value, const std::string& where, Problems& problems) {
  for (const auto& [name, axis] : axis_names) {
    if (value == name) return {axis, 0};
  }
  if (value.is_number_integer() && value.get<std::int64_t>() > 0) {
    return {Axis::none, value.get<std::int64_t>()};
  }
  note_expected(where, "a positive size or batch, tokens, frames", value, problems);
  return {};
}

std::vector<TensorSpec> read_tensors(Record& engine, const char* side) {
  std::vector<TensorSpec> tensors;
  const Json* items = engine.list(side);
  for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
    const auto where = engine.at(side) + "." + std::to_string(i);
    Record record((*items)[i], where, engine.problems());
    TensorSpec tensor;
    tensor.name = record.text("name");
    const auto type = record.choice("dtype", {"int32", "uint8", "float32", "bool"});
    for (const auto& [name, value] : type_names) {
      if (type == name) tensor.type = value;
    }
    if (const Json* shape = record.list("shape")) {
      for (std::size_t d = 0; d < shape->size(); ++d) {
        tensor.shape.push_back(
            read_dimension((*shape)[d], where + ".shape." + std::to_string(d), engine.problems()));
      }
    }
    record.finish();
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

EngineSpec read_engine(const std::string& name, const Json& value, Problems& problems) {
  Record record(value, "engines." + name, problems);
  EngineSpec engine;
  engine.name = name;
  engine.file = record.text("file");
  engine.inputs = read_tensors(record, "inputs");
  engine.outputs = read_tensors(record, "outputs");
  record.choice("weights", {"fp32", "fp16"});
  record.choice("compute", {"fp32"});
  record.finish();
  return engine;
}

EngineSet read_set(std::size_t number, const Json& value, Problems& problems) {
  Record record(value, "engine_sets." + std::to_string(number), problems);
  EngineSet set;
  set.modalities = record.texts("modalities", true, {"text", "video"});
  for (const auto& modality : set.modalities) {
    set.present |= modality == "text" ? TRML_RT_TEXT : TRML_RT_VIDEO;
  }
  set.name = set.present == TRML_RT_TEXT    ? "text"
             : set.present == TRML_RT_VIDEO ? "video"
                                            : "text_video";
  set.engines = record.texts("engines", true);
  set.inputs = record.texts("inputs");
  set.outputs = record.texts("outputs");
  set.golden = record.text("golden");
  record.finish();
  return set;
}

AxisRange read_axis(Record& axes, const char* name) {
  AxisRange range;
  if (const Json* value = axes.object(name)) {
    Record record(*value, axes.at(name), axes.problems());
    range.min = record.size("min");
    range.opt = record.size("opt");
    range.max = record.size("max");
    record.finish();
  }
  return range;
}

void read_inputs(Record& top, Manifest& manifest) {
  if (const Json* value = top.object("text")) {
    Record record(*value, "text", top.problems());
    manifest.text.tokenizer = record.text("tokenizer");
    manifest.text.context = record.size("context");
    manifest.text.pad_id = record.integer("pad_id", 0, std::int64_t(1) << 31);
    manifest.text.cut = record.boolean("cut");
    record.finish();
  }
  if (const Json* value = top.object("video")) {
    Record record(*value, "video", top.problems());
    manifest.video.frames = record.size("frames");
    manifest.video.height = record.size("height");
    manifest.video.width = record.size("width");
    manifest.video.resize = record.choice("resize", {"shortest", "longest", "squash"});
    manifest.video.interpolation = record.choice("interpolation", {"bicubic", "bilinear"});
    constexpr auto none = std::numeric_limits<std::int64_t>::max();
    manifest.video.fill = record.integer("fill", 0, none, 255);
    record.finish();
  }
  if (const Json* value = top.object("axes")) {
    Record record(*value, "axes", top.problems());
    manifest.batch = read_axis(record, "batch");
    manifest.tokens = read_axis(record, "tokens");
    manifest.frames = read_axis(record, "frames");
    record.finish();
  }
}

// `has_range` and `has_thresholds`: the key is there and not null.
void read_task(Record& top, Task& task, bool& has_range, bool& has_thresholds) {
  const Json* value = top.object("task");
  if (value == nullptr) return;
  Record record(*value, "task", top.problems());
  task.regression = record.choice("kind", {"regression", "classification"}) == "regression";
  task.labels = record.texts("labels", true);
  task.range = record.numbers("range", has_range);
  task.thresholds = record.numbers("thresholds", has_thresholds);
  record.finish();
}

template <typename Range>
auto* find_named(Range& range, std::string_view name) {
  const auto found =
      std::find_if(range.begin(), range.end(), [&](const auto& item) { return item.name == name; });
  return found == range.end() ? nullptr : &*found;
}

}  // namespace

const EngineSpec* Manifest::engine(std::string_view wanted) const {
  return find_named(engines, wanted);
}

const FileEntry* Manifest::file(std::string_view wanted) const { return find_named(files, wanted); }

void check_schema(const Json& content, std::int64_t newest, const std::string& source,
                  Problems& problems) {
  const Json found = content.value("schema", Json());
  const bool integer = found.is_number_integer();
  if (integer && found.get<std::int64_t>() > newest) {
    throw ArtefactMismatch(source + ": schema " + found.dump() +
                           " is newer than this runtime reads (" + std::to_string(newest) +
                           "); upgrade trml-rt");
  }
  if (!integer || found.get<std::int64_t>() != newest) {
    problems.push_back("schema: " + std::to_string(newest) + " expected, " + shown(found) +
                       " found");
  }
}

FileEntry read_file_entry(Record& record) {
  FileEntry entry;
  const auto before = record.problems().size();
  entry.sha256 = record.text("sha256");
  const bool digits = std::all_of(entry.sha256.begin(), entry.sha256.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  const bool is_text = record.is_object() && record.problems().size() == before;
  if (is_text && (!digits || entry.sha256.size() != 64)) {
    note_expected(record.at("sha256"), "a sha256 of 64 lower-case hex digits", entry.sha256,
                  record.problems());
  }
  entry.bytes = record.integer("bytes", 0);
  return entry;
}

Manifest read_manifest(std::string_view data, const std::string& source) {
  const Json content = parse_object(data, source);
  Problems problems;
  check_schema(content, schema, source, problems);
  Manifest manifest;
  bool has_range = false, has_thresholds = false;

  Record top(content, "", problems);
  top.any("schema");
  manifest.name = top.text("name");
  top.text("created_by");
  manifest.embedding = top.size("embedding_dim");
  read_inputs(top, manifest);
  read_task(top, manifest.task, has_range, has_thresholds);
  if (const Json* engines = top.object("engines")) {
    for (const auto& [name, value] : engines->items()) {
      manifest.engines.push_back(read_engine(name, value, problems));
    }
  }
  if (const Json* sets = top.list("engine_sets", true)) {
    for (std::size_t i = 0; i < sets->size(); ++i) {
      manifest.engine_sets.push_back(read_set(i, (*sets)[i], problems));
    }
  }
  if (const Json* parity = top.object("parity")) {
    for (const auto& [name, value] : parity->items()) {
      note_number(value, "parity." + name, problems);
      if (value.is_number() && std::abs(value.get<double>()) <= most_parity) {
        manifest.parity.push_back(name);
      }
    }
  }
  top.object("training");
  if (const Json* files = top.object("files")) {
    for (const auto& [name, value] : files->items()) {
      Record record(value, "files." + name, problems);
      manifest.files.push_back(read_file_entry(record));
      manifest.files.back().name = name;
      record.finish();
    }
  }
  top.finish();
  if (!problems.empty()) refuse(source, problems);

  check_rules(manifest, has_range, has_thresholds, problems);
  if (!problems.empty()) refuse(source, problems);
  return manifest;
}

std::string path_problem(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.find_first_of(std::string("\\:\0", 3)) != path.npos) {
    return repr(path) + ": not a relative path with forward slashes";
  }
  for (std::size_t start = 0; start <= path.size();) {
    const auto end = std::min(path.find('/', start), path.size());
    const auto part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") {
      return repr(path) + ": leaves the folder, or is not in its simplest form";
    }
    start = end + 1;
  }
  return {};
}

std::string modalities_text(unsigned present) {
  std::vector<std::string> names;
  if (present & TRML_RT_TEXT) names.emplace_back("text");
  if (present & TRML_RT_VIDEO) names.emplace_back("video");
  return names.empty() ? "nothing" : join(names, " + ");
}

const char* type_name(Type type) {
  for (const auto& [name, value] : type_names) {
    if (value == type) return name;
  }
  return "nothing";
}

std::string shape_text(const Shape& shape) {
  std::vector<std::string> parts;
  for (const auto& dimension : shape) {
    std::string part = std::to_string(dimension.size);
    for (const auto& [name, axis] : axis_names) {
      if (dimension.axis == axis) part = std::string("'") + name + "'";
    }
    parts.push_back(part);
  }
  return "[" + join(parts, ", ") + "]";
}

}  // namespace trml::core
