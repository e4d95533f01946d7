#include "manifest.hpp"

#include <algorithm>

#include "error.hpp"
#include "record.hpp"

namespace trml_core {
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
    range.min = record.integer("min");
    range.opt = record.integer("opt");
    range.max = record.integer("max");
    record.finish();
  }
  return range;
}

void read_inputs(Record& top, Manifest& manifest) {
  if (const Json* value = top.object("text")) {
    Record record(*value, "text", top.problems());
    manifest.text.tokenizer = record.text("tokenizer");
    manifest.text.context = record.integer("context");
    manifest.text.pad_id = record.integer("pad_id", 0, std::int64_t(1) << 31);
    manifest.text.cut = record.boolean("cut");
    record.finish();
  }
  if (const Json* value = top.object("video")) {
    Record record(*value, "video", top.problems());
    manifest.video.frames = record.integer("frames");
    manifest.video.height = record.integer("height");
    manifest.video.width = record.integer("width");
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

void check_files(const Manifest& manifest, const std::vector<std::string>& named,
                 Problems& problems) {
  std::vector<std::string> paths;
  for (const auto& file : manifest.files) paths.push_back(file.name);
  for (const auto& path : named) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  for (const auto& path : paths) {
    if (auto problem = path_problem(path); !problem.empty()) problems.push_back(problem);
  }
  for (const auto& path : named) {
    if (manifest.file(path) == nullptr) {
      problems.push_back(repr(path) + ": named, but not listed in files");
    }
  }
}

void check_settings(const Manifest& manifest, bool has_range, bool has_thresholds,
                    Problems& problems) {
  const Task& task = manifest.task;
  auto labels = task.labels;
  std::sort(labels.begin(), labels.end());
  if (std::adjacent_find(labels.begin(), labels.end()) != labels.end()) {
    problems.emplace_back("task.labels: a label stands twice");
  }
  if (task.regression) {
    std::vector<double> ascending;
    if (task.range.size() == 2) {
      ascending.push_back(task.range[0]);
      ascending.insert(ascending.end(), task.thresholds.begin(), task.thresholds.end());
      ascending.push_back(task.range[1]);
    }
    if (task.range.size() != 2 || !(task.range[0] < task.range[1])) {
      problems.emplace_back("task.range: [low, high] expected");
    } else if (!has_thresholds || task.thresholds.size() + 1 != task.labels.size()) {
      problems.emplace_back("task.thresholds: one less than labels expected");
    } else if (std::adjacent_find(ascending.begin(), ascending.end(), std::greater_equal<>()) !=
               ascending.end()) {
      problems.emplace_back("task.thresholds: must ascend inside range");
    }
  } else if (has_range || has_thresholds) {
    problems.emplace_back("task: range and thresholds belong to regression only");
  }
  const std::pair<const char*, const AxisRange*> axes[] = {
      {"batch", &manifest.batch}, {"tokens", &manifest.tokens}, {"frames", &manifest.frames}};
  for (const auto& [name, axis] : axes) {
    if (!(axis->min <= axis->opt && axis->opt <= axis->max)) {
      problems.push_back(std::string("axes.") + name + ": min <= opt <= max expected");
    }
  }
  if (manifest.tokens.max != manifest.text.context) {
    problems.emplace_back("axes.tokens.max: must equal text.context");
  }
  if (manifest.frames.max < manifest.video.frames) {
    problems.emplace_back("axes.frames.max: must reach video.frames");
  }
}

// Whether two ends of a tensor differ; frames may be laid out by frame_mask in between.
bool disagree(const TensorSpec& produced, const TensorSpec& consumed) {
  Shape shape = produced.shape;
  if (!shape.empty() && shape[0].axis == Axis::frames &&
      consumed.shape.size() == shape.size() + 1) {
    shape[0] = {Axis::batch, 0};
    shape.insert(shape.begin() + 1, consumed.shape[1]);
  }
  return produced.type != consumed.type || shape != consumed.shape;
}

std::string set_text(const EngineSet& set) { return "engine set " + join(set.modalities, " + "); }

void check_sets(const Manifest& manifest, Problems& problems) {
  unsigned seen = 0;  // one bit for each value of `present`
  for (const auto& set : manifest.engine_sets) {
    const auto where = set_text(set);
    if (seen >> set.present & 1u) problems.push_back(where + ": stands twice");
    seen |= 1u << set.present;
    // Every tensor so far with its maker; the set's own inputs have none.
    std::vector<std::pair<std::string, const TensorSpec*>> made;
    const auto find = [&made](const std::string& name) {
      return std::find_if(made.begin(), made.end(), [&](const auto& m) { return m.first == name; });
    };
    for (const auto& name : set.inputs) {
      if (find(name) == made.end()) made.emplace_back(name, nullptr);
    }
    for (const auto& name : set.engines) {
      const EngineSpec* engine = manifest.engine(name);
      if (engine == nullptr) {
        problems.push_back(where + ": no engine " + repr(name));
        continue;
      }
      for (const auto& tensor : engine->inputs) {
        const auto maker = find(tensor.name);
        if (maker == made.end()) {
          problems.push_back(where + ": " + name + " needs " + repr(tensor.name) +
                             ", which nothing before it gives");
        } else if (maker->second != nullptr && disagree(*maker->second, tensor)) {
          problems.push_back(where + ": " + name + ": " + repr(tensor.name) +
                             " is not what an earlier engine gives");
        }
      }
      for (const auto& tensor : engine->outputs) {
        const auto place = find(tensor.name);
        if (place == made.end()) {
          made.emplace_back(tensor.name, &tensor);
        } else {
          place->second = &tensor;
        }
      }
    }
    for (const auto& output : set.outputs) {
      const auto maker = find(output);
      if (maker == made.end() || maker->second == nullptr) {
        problems.push_back(where + ": no engine gives the output " + repr(output));
      }
    }
  }
}

// The tensors whose rows are vectors of the aligned space.
constexpr std::string_view vector_names[] = {"text_vector", "frame_vectors", "virtual_text",
                                             "virtual_video"};

// Compare the tensors that the library itself makes and reads with the format's (R15, R16).
void check_tensors(const Manifest& manifest, Problems& problems) {
  const auto& [text, video, task] = std::tie(manifest.text, manifest.video, manifest.task);
  const Dimension batch{Axis::batch, 0}, frames{Axis::frames, 0};
  const Dimension tokens =
      text.cut ? Dimension{Axis::tokens, 0} : Dimension{Axis::none, text.context};
  const auto size = [](std::int64_t n) { return Dimension{Axis::none, n}; };
  const TensorSpec expected[] = {
      {"ids", Type::int32, {batch, tokens}},
      {"frames", Type::uint8, {frames, size(video.height), size(video.width), size(3)}},
      {"frame_mask", Type::boolean, {batch, size(video.frames)}},
      {"prediction",
       Type::float32,
       {batch, size(task.regression ? 1 : std::int64_t(task.labels.size()))}}};
  for (const auto& engine : manifest.engines) {
    for (const auto* side : {&engine.inputs, &engine.outputs}) {
      for (const auto& tensor : *side) {
        for (const auto& want : expected) {
          if (tensor.name == want.name &&
              (tensor.type != want.type || tensor.shape != want.shape)) {
            problems.push_back("engine " + engine.name + ": " + repr(tensor.name) + " must be " +
                               type_name(want.type) + " " + shape_text(want.shape));
          }
        }
        const bool vectors = std::find(std::begin(vector_names), std::end(vector_names),
                                       tensor.name) != std::end(vector_names);
        if (vectors && (tensor.shape.empty() || tensor.shape.back() != size(manifest.embedding))) {
          problems.push_back("engine " + engine.name + ": the last size of " + repr(tensor.name) +
                             " must be embedding_dim, " + std::to_string(manifest.embedding));
        }
      }
    }
  }
  for (const auto& set : manifest.engine_sets) {
    std::vector<std::string> given;
    for (const auto& modality : set.modalities) {
      if (modality == "text") given.emplace_back("ids");
      if (modality == "video") given.insert(given.end(), {"frames", "frame_mask"});
    }
    auto wanted = given, stated = set.inputs;
    std::sort(wanted.begin(), wanted.end());
    std::sort(stated.begin(), stated.end());
    if (wanted != stated) {
      problems.push_back(set_text(set) + ": its inputs must be " + join(given, ", "));
    }
    if (std::find(set.outputs.begin(), set.outputs.end(), "prediction") == set.outputs.end()) {
      problems.push_back(set_text(set) + ": 'prediction' is not among its outputs");
    }
  }
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

FileEntry read_file_entry(const std::string& name, const Json& value, const std::string& where,
                          Problems& problems) {
  Record record(value, where, problems);
  FileEntry entry;
  entry.name = name;
  const auto before = problems.size();
  entry.sha256 = record.text("sha256");
  const bool digits = std::all_of(entry.sha256.begin(), entry.sha256.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (problems.size() == before && value.is_object() && (!digits || entry.sha256.size() != 64)) {
    note_expected(record.at("sha256"), "a sha256 of 64 lower-case hex digits", value["sha256"],
                  problems);
  }
  entry.bytes = record.integer("bytes", 0);
  record.finish();
  return entry;
}

Manifest read_manifest(std::string_view data, const std::string& source) {
  const Json content = parse_object(data, source);
  Problems problems;
  check_schema(content, schema, source, problems);
  Manifest manifest;
  bool has_range = false, has_thresholds = false;
  std::vector<std::string> named;

  Record top(content, "", problems);
  top.any("schema");
  manifest.name = top.text("name");
  top.text("created_by");
  manifest.embedding = top.integer("embedding_dim");
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
      manifest.parity.push_back(name);
    }
  }
  top.object("training");
  if (const Json* files = top.object("files")) {
    for (const auto& [name, value] : files->items()) {
      manifest.files.push_back(read_file_entry(name, value, "files." + name, problems));
    }
  }
  top.finish();
  if (!problems.empty()) refuse(source, problems);

  named.push_back(manifest.text.tokenizer);
  for (const auto& engine : manifest.engines) named.push_back(engine.file);
  for (const auto& set : manifest.engine_sets) named.push_back(set.golden);
  check_files(manifest, named, problems);
  check_settings(manifest, has_range, has_thresholds, problems);
  check_sets(manifest, problems);
  check_tensors(manifest, problems);
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

}  // namespace trml_core
