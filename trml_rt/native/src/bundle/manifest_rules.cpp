#include "bundle/manifest_rules.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>

#include "error.hpp"

namespace trml::core {
namespace {

using Problems = std::vector<std::string>;

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

constexpr std::int64_t most_values = std::int64_t(1) << 31;  // of a tensor with one row or frame
constexpr std::int64_t most_clip = std::int64_t(1) << 30;    // bytes of the pixels of a clip
constexpr std::int64_t most_tokenizer = 64 << 20;            // bytes

bool has_more(const TensorSpec& tensor, std::int64_t most) {
  std::int64_t count = 1;
  for (const auto& dimension : tensor.shape) {
    if (dimension.axis != Axis::none) continue;
    if (dimension.size > most / count) return true;
    count *= dimension.size;
  }
  return false;
}

// What each size allows and all of them together do not (R18).
void check_sizes(const Manifest& manifest, Problems& problems) {
  const VideoInput& video = manifest.video;
  if (video.frames * video.height * video.width > most_clip / 3) {
    problems.push_back("video: a clip of these frames has more than " + std::to_string(most_clip) +
                       " bytes");
  }
  for (const auto& engine : manifest.engines) {
    for (const auto* side : {&engine.inputs, &engine.outputs}) {
      for (const auto& tensor : *side) {
        if (!has_more(tensor, most_values)) continue;
        problems.push_back("engine " + engine.name + ": " + repr(tensor.name) + " has more than " +
                           std::to_string(most_values) + " values");
      }
    }
  }
  const FileEntry* listed = manifest.file(manifest.text.tokenizer);
  if (listed != nullptr && listed->bytes > most_tokenizer) {
    problems.push_back("text.tokenizer: has more than " + std::to_string(most_tokenizer) +
                       " bytes");
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

}  // namespace

void check_rules(const Manifest& manifest, bool has_range, bool has_thresholds,
                 Problems& problems) {
  std::vector<std::string> named{manifest.text.tokenizer};
  for (const auto& engine : manifest.engines) named.push_back(engine.file);
  for (const auto& set : manifest.engine_sets) named.push_back(set.golden);
  check_files(manifest, named, problems);
  check_settings(manifest, has_range, has_thresholds, problems);
  check_sizes(manifest, problems);
  check_sets(manifest, problems);
  check_tensors(manifest, problems);
}

}  // namespace trml::core
