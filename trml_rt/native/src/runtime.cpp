#include "runtime.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>

#include "bundle/signature.hpp"
#include "engines/choose.hpp"
#include "error.hpp"

namespace trml::core {
namespace {

constexpr int most_threads = 256;

BackendSettings for_engines(const Options& options, bool compiled = true) {
  BackendSettings settings = options.settings;
  settings.compiled = compiled;
  return settings;
}

std::string named_bundle(const Options& options) {
  check_options(options);
  if (const auto folder = bundle_folder(options)) return *folder;
  throw UsageError("no bundle is named; set options.bundle or TRML_RT_BUNDLE");
}

}  // namespace

void check_options(const Options& options) {
  if (options.backend != "auto" && options.backend != "openvino" && options.backend != "tensorrt") {
    throw UsageError("no back end " + repr(options.backend) +
                     "; choose auto, openvino or tensorrt");
  }
  if (!options.precision.empty() && options.precision != "fp32" && options.precision != "fp16" &&
      options.precision != "int8") {
    throw UsageError("no precision " + repr(options.precision) + "; choose fp32, fp16 or int8");
  }
  if (options.settings.threads < 0 || options.settings.threads > most_threads) {
    throw UsageError("threads must be 1 to " + std::to_string(most_threads) + ", not " +
                     std::to_string(options.settings.threads));
  }
  if (options.settings.callers < 1 || options.settings.callers > most_threads) {
    throw UsageError("callers must be 1 to " + std::to_string(most_threads) + ", not " +
                     std::to_string(options.settings.callers));
  }
  if (options.settings.callers * options.settings.threads > most_threads) {
    throw UsageError("callers: " + std::to_string(options.settings.callers) + " with " +
                     std::to_string(options.settings.threads) + " threads each are more than " +
                     std::to_string(most_threads) + " threads; give fewer");
  }
}

std::optional<std::string> bundle_folder(const Options& options) {
  if (!options.bundle.empty()) return options.bundle;
  const char* named = std::getenv("TRML_RT_BUNDLE");
  return named != nullptr && *named != '\0' ? std::optional<std::string>(named) : std::nullopt;
}

Model::Model(const Options& options, const OpenBackend& tensorrt)
    : bundle(named_bundle(options)), log_(options.settings.log) {
  if (!options.signed_by.empty()) check_signature(bundle, options.signed_by);
  const std::string why_not = options.backend == "openvino" ? "" : use_tensorrt(options, tensorrt);
  if (options.backend == "auto") use_fastest(options, tensorrt);
  if (engines) return;
  // Whoever has built engines is told that none of them answers.
  if (log_ && options.backend == "auto") {
    if (there_unasked(bundle, options.precision)) {
      log_(TRML_RT_LOG_WARNING, "openvino answers, since no other engines can: " + why_not);
    } else {
      log_(TRML_RT_LOG_INFO, "not on TensorRT: " + why_not);
    }
  }
  // What is left is OpenVINO's: engines of the precision that is named, else the portable graphs.
  try {
    backend = make_openvino(for_engines(options, !options.precision.empty()));
  } catch (const EnvironmentUnfit& error) {
    if (why_not.empty()) throw;
    throw EnvironmentUnfit("no back end can answer: " + why_not + "; and " + error.what());
  }
  if (options.precision.empty()) {
    use_portable();
  } else {
    use(find_engines(bundle, options.precision, openvino_row, backend->here()));
  }
}

Model::Model(const std::string& folder, std::shared_ptr<Backend> given)
    : bundle(folder), backend(std::move(given)) {
  use_portable();
}

void Model::use_portable() {
  const auto& parity = bundle.manifest.parity;
  // The export writes down what it compared; a bundle made by hand has nothing there.
  for (const auto& set : bundle.manifest.engine_sets) {
    if (std::find(parity.begin(), parity.end(), set.name + "/prediction") != parity.end()) {
      passed.insert(set.name);
    }
  }
  engines = std::make_unique<Engines>([this](const EngineSpec& spec) {
    const auto start = std::chrono::steady_clock::now();
    auto engine = backend->load(spec, bundle.read(spec.file), bundle.path(spec.file));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (log_) {
      log_(TRML_RT_LOG_INFO, "loaded " + spec.file + " on " + backend->name() + " in " +
                                 std::to_string(took.count()) + " s");
    }
    return engine;
  });
}

void Model::use(EngineFolder folder) {
  auto found = std::make_shared<const EngineFolder>(std::move(folder));
  engines_name = found->folder.filename().string();
  passed.clear();
  for (const auto& set : found->passed_sets()) passed.insert(set);
  engines = std::make_unique<Engines>([this, found](const EngineSpec& spec) {
    auto engine = backend->load(spec, found->read(spec.name), found->path(spec.name));
    if (log_) log_(TRML_RT_LOG_INFO, "loaded " + spec.name + " of " + engines_name);
    return engine;
  });
}

std::string Model::use_tensorrt(const Options& options, const OpenBackend& tensorrt) {
  try {
    backend = tensorrt(for_engines(options));
    use(choose_engines(bundle, options.backend, options.precision, backend->here()));
  } catch (const Error& error) {
    // "auto" says why it does not take TensorRT; a back end that is named never changes.
    if (options.backend == "tensorrt" || (!options.precision.empty() && !TRML_RT_WITH_OPENVINO)) {
      throw;
    }
    return error.what();
  }
  return {};
}

void Model::use_fastest(const Options& options, const OpenBackend& tensorrt) {
  try {
    const auto recorded =
        find_fastest(bundle, options.precision, engines ? engines_name : std::string());
    if (!recorded) return;
    const auto open = &recorded->row == &openvino_row ? OpenBackend(make_openvino) : tensorrt;
    auto opened = open(for_engines(options));
    if (!fits_verified(bundle, *recorded, opened->here())) return;
    backend = std::move(opened);
    use(recorded->engines);
  } catch (const Error& error) {
    if (log_) log_(TRML_RT_LOG_WARNING, std::string("not what was fastest: ") + error.what());
  }
}

const Tokenizer& Model::tokenizer() {
  const std::lock_guard<std::mutex> lock(tokenizer_mutex_);
  if (tokenizer_) return *tokenizer_;
  const TextInput& settings = bundle.manifest.text;
  const auto path = bundle.path(settings.tokenizer).string();
  auto loaded = Tokenizer::read(bundle.read(settings.tokenizer), path);
  if (std::int64_t(loaded->context()) != settings.context) {
    throw ArtefactMismatch(path + ": cuts to " + std::to_string(loaded->context()) +
                           " tokens, the manifest says " + std::to_string(settings.context) +
                           "; export the bundle again");
  }
  tokenizer_ = std::move(loaded);
  return *tokenizer_;
}

bool Runtime::is_full(const std::vector<Row>& rows, const Row& next) const {
  const Manifest& manifest = model_->bundle.manifest;
  std::int64_t frames = next.frames;
  for (const auto& row : rows) frames += row.frames;
  return std::int64_t(rows.size()) + 1 > manifest.batch.max || frames > manifest.frames.max;
}

std::vector<Answer> Runtime::infer(const std::vector<Sample>& samples, bool degrade,
                                   bool numbered) {
  struct Group {
    std::vector<Row> rows;
    std::vector<std::size_t> numbers;
  };
  std::vector<Answer> answers(samples.size());
  // By presence and by where the frames lie; a stream belongs to one caller's frames.
  std::map<std::tuple<unsigned, bool, void*>, Group> groups;
  const auto flush = [&](Group& group) {
    if (group.rows.empty()) return;
    auto made = answer(group.rows);
    for (std::size_t i = 0; i < made.size(); ++i) {
      made[i].json = to_json(made[i]);
      answers[group.numbers[i]] = std::move(made[i]);
    }
    group = {};
  };
  const auto row_of = [&](std::size_t number) {
    try {
      return prepared(samples[number], degrade);
    } catch (const InputUnusable& error) {
      if (!numbered) throw;
      throw InputUnusable("sample " + std::to_string(number) + ": " + error.what(), error.reason);
    } catch (const Error& error) {
      if (!numbered) throw;
      throw Error(error.status(), "sample " + std::to_string(number) + ": " + error.what());
    }
  };
  for (std::size_t number = 0; number < samples.size(); ++number) {
    Row row = row_of(number);
    Group& group = groups[{row.present(), !row.device.empty(), row.stream}];
    if (is_full(group.rows, row)) flush(group);
    group.rows.push_back(std::move(row));
    group.numbers.push_back(number);
  }
  for (auto& [key, group] : groups) flush(group);
  return answers;
}

void Runtime::warm_up() {
  const Manifest& manifest = model_->bundle.manifest;
  const bool by_shape = model_->backend->works_by_shape();
  // Once all engines are loaded, their scratch memory stays; met again, a shape gets its CUDA
  // graph.
  for (int pass = 0; pass < (by_shape ? 2 : 1); ++pass) {
    for (const auto& set : manifest.engine_sets) {
      std::vector<std::int64_t> lengths{manifest.text.context};
      if (by_shape && manifest.text.cut && (set.present & TRML_RT_TEXT)) {
        lengths = few_lengths(manifest.text.context);
      }
      for (const auto length : lengths) {
        std::vector<Row> rows;
        rows.push_back(blank(manifest, set.present, length));
        Tensors tensors = stack(rows, manifest, by_shape);
        dispatcher_.run(set.present, tensors);
      }
    }
  }
}

Row Runtime::prepared(const Sample& sample, bool degrade) {
  return prepare(
      sample, model_->bundle.manifest, [this]() -> const Tokenizer& { return model_->tokenizer(); },
      scratch_, degrade, model_->backend->takes_device_memory());
}

std::vector<Answer> Runtime::answer(std::vector<Row>& rows, Tensors kept) {
  const Manifest& manifest = model_->bundle.manifest;
  const unsigned present = rows.front().present();
  const auto start = std::chrono::steady_clock::now();
  Tensors tensors = stack(rows, manifest, model_->backend->works_by_shape());
  tensors.merge(kept);
  const std::chrono::duration<double, std::milli> shaping =
      std::chrono::steady_clock::now() - start;
  const Milliseconds engines_ms = dispatcher_.run(present, tensors);
  const Tensor& prediction = tensors.at("prediction");
  const std::size_t width = manifest.task.regression ? 1 : manifest.task.labels.size();
  if (prediction.count() != rows.size() * width) {
    throw ArtefactMismatch("the engines gave " + std::to_string(prediction.count()) +
                           " values for " + std::to_string(rows.size()) +
                           " rows; export the bundle again");
  }
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Answer answer;
    read_prediction(prediction.as<float>() + i * width, manifest.task, answer);
    answer.text = rows[i].text;
    answer.video = rows[i].video;
    answer.engine_set = dispatcher_.select(present).name;
    answer.backend = model_->backend->name();
    answer.engines = model_->engines_name;
    answer.verified = model_->passed.count(answer.engine_set) > 0;
    answer.ms = {{"decode", 0.0}, {"preprocess", rows[i].preprocess_ms + shaping.count()}};
    answer.ms.insert(answer.ms.end(), rows[i].engines_ms.begin(), rows[i].engines_ms.end());
    answer.ms.insert(answer.ms.end(), engines_ms.begin(), engines_ms.end());
    double total = 0;
    for (const auto& [name, value] : answer.ms) total += value;
    answer.ms.emplace_back("total", total);
    answers.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace trml::core
