// Load a bundle and answer on text and video, either of which may be absent.
//
// This file groups rows and shapes answers; what becomes of inputs is the business of `inputs`,
// which engines run that of the dispatcher, and how they run that of the back end.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bundle/engine_folder.hpp"
#include "bundle/folder.hpp"
#include "inputs/prepare.hpp"

namespace trml::core {

struct Options {
  std::string bundle, backend = "auto", precision;
  std::string signed_by;  // file of a public key; empty: any bundle is opened
  BackendSettings settings;
};

// Raises UsageError where an option makes no sense.
void check_options(const Options& options);

// The folder that the options name, else the environment's TRML_RT_BUNDLE; nothing where neither
// does.
std::optional<std::string> bundle_folder(const Options& options);

// What clones share: the bundle, the tokenizer and the engines.
class Model {
 public:
  // `tensorrt` opens that back end; a test hands over a stand-in.
  using OpenBackend = std::function<std::shared_ptr<Backend>(const BackendSettings&)>;
  explicit Model(const Options& options, const OpenBackend& tensorrt = make_tensorrt);
  // For tests: the bundle's portable graphs on a back end of the caller's.
  Model(const std::string& bundle, std::shared_ptr<Backend> backend);

  const Tokenizer& tokenizer();

  const Bundle bundle;
  std::shared_ptr<Backend> backend;
  std::string engines_name = "portable";
  std::set<std::string> passed;  // the engine sets that were compared with their references
  std::unique_ptr<Engines> engines;

 private:
  void use_portable();
  void use(EngineFolder engines);
  // Return why not, where they cannot be used and nobody named them.
  std::string use_tensorrt(const Options& options, const OpenBackend& tensorrt);
  void use_fastest(const Options& options, const OpenBackend& tensorrt);
  Log log_;
  std::mutex tokenizer_mutex_;
  std::unique_ptr<const Tokenizer> tokenizer_;
};

// One thread's handle on a model.
class Runtime {
 public:
  explicit Runtime(std::shared_ptr<Model> model)
      : model_(std::move(model)), dispatcher_(model_->bundle.manifest, *model_->engines) {}

  std::vector<Answer> infer(const std::vector<Sample>& samples, bool degrade, bool numbered);
  // Load every engine and run each engine set, so that no later call of this handle waits for it.
  void warm_up();
  const std::shared_ptr<Model>& model() const { return model_; }

  // What a stream asks for. Rows of one presence run together; what encoders made of them before
  // may be `kept`. An answer has no `json` as yet.
  Row prepared(const Sample& sample, bool degrade);
  std::vector<Answer> answer(std::vector<Row>& rows, Tensors kept = {});
  Dispatcher& dispatcher() { return dispatcher_; }

 private:
  bool is_full(const std::vector<Row>& rows, const Row& next) const;

  std::shared_ptr<Model> model_;
  Dispatcher dispatcher_;
  Scratch scratch_;
};

}  // namespace trml::core
