#include "dispatch.hpp"

#include <algorithm>
#include <chrono>

#include "error.hpp"

namespace trml::core {

std::shared_ptr<Engine> Engines::get(const EngineSpec& spec) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto& engine = loaded_[spec.name];
  if (!engine) engine = load_(spec);
  return engine;
}

const EngineSet& Dispatcher::select(unsigned present) const {
  std::vector<std::string> served;
  for (const auto& set : manifest_.engine_sets) {
    if (set.present == present) return set;
    served.push_back(modalities_text(set.present));
  }
  throw UsageError("this bundle does not serve " + modalities_text(present) +
                   "; it serves: " + join(served, ", "));
}

Session& Dispatcher::session(const EngineSpec& spec) {
  auto& session = sessions_[spec.name];
  if (!session) session = engines_.get(spec)->session(lane_);
  return *session;
}

bool Dispatcher::serves(unsigned present) const {
  return std::any_of(manifest_.engine_sets.begin(), manifest_.engine_sets.end(),
                     [&](const EngineSet& set) { return set.present == present; });
}

Milliseconds Dispatcher::run(unsigned present, Tensors& tensors) {
  Milliseconds times;
  for (const auto& name : select(present).engines) {
    const EngineSpec& spec = *manifest_.engine(name);
    const bool made =
        std::all_of(spec.outputs.begin(), spec.outputs.end(),
                    [&](const TensorSpec& output) { return tensors.count(output.name) > 0; });
    if (!made) run_engine(spec, tensors, times);
  }
  return times;
}

const EngineSpec* Dispatcher::encoder(std::string_view source) const {
  const Axis axis = source == "ids" ? Axis::batch : Axis::frames;
  for (const auto& spec : manifest_.engines) {
    const bool alone = spec.inputs.size() == 1 && spec.inputs[0].name == source;
    if (alone && std::all_of(spec.outputs.begin(), spec.outputs.end(), [&](const auto& output) {
          return !output.shape.empty() && output.shape[0].axis == axis;
        })) {
      return &spec;
    }
  }
  return nullptr;
}

Tensors Dispatcher::encode(const EngineSpec& encoder, Tensors inputs, Milliseconds& times) {
  run_engine(encoder, inputs, times);
  Tensors made;
  for (const auto& output : encoder.outputs) {
    Tensor& tensor = inputs.at(output.name);
    if (tensor.shape.empty() || tensor.shape[0] != 1) {
      throw ArtefactMismatch(encoder.name + ": gave other than one row of " + output.name +
                             " for one; build the engines again, or export the bundle again");
    }
    made[output.name] = std::move(tensor);
  }
  return made;
}

void Dispatcher::run_engine(const EngineSpec& spec, Tensors& tensors, Milliseconds& times) {
  Session& engine = session(spec);
  std::vector<Tensor> laid_out;
  laid_out.reserve(spec.inputs.size());  // pointers into it stay good
  std::vector<const Tensor*> inputs;
  for (const auto& input : spec.inputs) {
    const Tensor& tensor = tensors.at(input.name);  // reading the manifest proved it there (R8)
    if (tensor.shape.size() == input.shape.size()) {
      inputs.push_back(&tensor);
    } else {
      laid_out.push_back(lay_out(tensor, tensors.at("frame_mask")));
      inputs.push_back(&laid_out.back());
    }
  }
  const auto start = std::chrono::steady_clock::now();
  auto outputs = engine.run(inputs);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  times.emplace_back(spec.name, took.count());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    tensors[spec.outputs[i].name] = std::move(outputs[i]);
  }
}

Tensor lay_out(const Tensor& vectors, const Tensor& mask) {
  std::vector<std::int64_t> shape = mask.shape;
  shape.insert(shape.end(), vectors.shape.begin() + 1, vectors.shape.end());
  Tensor out(vectors.type, shape);
  const auto places = mask.count();
  const auto row = places == 0 ? 0 : out.bytes.size() / places;
  const auto wanted = std::size_t(std::count_if(mask.bytes.begin(), mask.bytes.end(),
                                                [](std::uint8_t there) { return there != 0; }));
  if (wanted * row != vectors.bytes.size()) {
    throw ArtefactMismatch("an engine gave " + std::to_string(vectors.shape[0]) +
                           " frame vectors for " + std::to_string(wanted) +
                           " frames; export the bundle again");
  }
  std::size_t taken = 0;
  for (std::size_t place = 0; place < places; ++place) {
    if (mask.bytes[place] == 0) continue;
    std::copy_n(vectors.bytes.begin() + std::ptrdiff_t(taken++ * row), row,
                out.bytes.begin() + std::ptrdiff_t(place * row));
  }
  return out;
}

}  // namespace trml::core
