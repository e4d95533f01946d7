// The C functions of handles and results.
#include "api.hpp"

namespace trml::core {
namespace {

constexpr std::size_t most = std::size_t(1) << 20;  // samples of a batch, frames of a clip

thread_local std::string last_error, last_reason;

}  // namespace

trml_rt_status fail(trml_rt_status status, const char* message, const std::string& reason) {
  try {
    last_error = message;
    last_reason = reason;
  } catch (...) {
    last_error.clear();  // no memory even for the sentence
  }
  return status;
}

void check_process(pid_t process, const char* what) {
  if (process != getpid()) {
    throw UsageError("this " + std::string(what) +
                     " was opened before a fork, and its threads stayed in the parent process; "
                     "open the bundle in each process");
  }
}

std::shared_ptr<Opened> opened(const trml_rt* rt) {
  auto found = Models::get(rt, "this handle");
  check_process(found->process, "handle");
  return found;
}

Turn::Turn(const trml_rt* rt) : opened_(opened(rt)) {
  if (opened_->busy.exchange(true)) {
    throw UsageError(
        "another thread is in a call on this handle; give each thread a clone of its own");
  }
}

Options read_options(const trml_rt_options* given) {
  const auto raw = copy_of<trml_rt_options>(given, size_at(given),
                                            offsetof(trml_rt_options, threads), "the options");
  Options read;
  if (raw.bundle != nullptr) read.bundle = raw.bundle;
  if (raw.backend != nullptr) read.backend = raw.backend;
  if (raw.precision != nullptr) read.precision = raw.precision;
  if (raw.signed_by != nullptr) {
    if (*raw.signed_by == '\0') {
      throw UsageError("signed_by is empty; name a file with a public key");
    }
    read.signed_by = raw.signed_by;
  }
  read.settings.threads = raw.threads;
  read.settings.device = raw.device;
  read.settings.callers = raw.callers == 0 ? 1 : raw.callers;
  if (raw.log != nullptr) {
    read.settings.log = [log = raw.log, user = raw.log_user](trml_rt_log_level level,
                                                             const std::string& line) {
      log(user, level, line.c_str());
    };
  }
  return read;
}

Sample read_sample(const void* given) {
  const auto raw = copy_of<trml_rt_sample>(given, size_at(given),
                                           offsetof(trml_rt_sample, cuda_stream), "the sample");
  Sample sample;
  if (raw.text != nullptr && raw.text_length != 0) {
    sample.text_length =
        raw.text_length == TRML_RT_TERMINATED ? std::strlen(raw.text) : raw.text_length;
    if (sample.text_length != 0) sample.text = raw.text;
  }
  const auto* frames = reinterpret_cast<const char*>(raw.frames);
  if (frames != nullptr) check_count(raw.frame_count, "frames");
  for (std::size_t i = 0; frames != nullptr && i < raw.frame_count; ++i) {
    sample.frames.push_back(copy_of<trml_rt_frame>(frames + i * raw.frame_size, raw.frame_size,
                                                   offsetof(trml_rt_frame, matrix),
                                                   "frames (frame_size)"));
  }
  sample.stream = raw.cuda_stream;
  return sample;
}

void check_flags(std::uint32_t flags) {
  if (flags & ~TRML_RT_DEGRADE) {
    throw UsageError("flags " + std::to_string(flags) + ": pass 0 or TRML_RT_DEGRADE");
  }
}

void check_count(std::size_t count, const char* what) {
  if (count > most) {
    throw UsageError(std::to_string(count) + " " + what + ": pass their number, at most " +
                     std::to_string(most));
  }
}

}  // namespace trml::core

using namespace trml::core;

namespace {

void infer(trml_rt* rt, const trml_rt_sample* samples, std::size_t count, std::uint32_t flags,
           trml_rt_result** out, bool batch) {
  if (rt == nullptr || out == nullptr || (samples == nullptr && count != 0)) {
    throw UsageError("the handle, the samples or out is NULL; pass all of them");
  }
  check_count(count, "samples");
  std::fill_n(out, count, nullptr);
  const Turn turn(rt);
  check_flags(flags);
  std::vector<Sample> rows;
  const std::size_t step = size_at(samples);
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back(read_sample(reinterpret_cast<const char*>(samples) + i * step));
  }
  std::vector<std::shared_ptr<Answer>> answers;
  for (auto& answer : turn.runtime().infer(rows, flags & TRML_RT_DEGRADE, batch)) {
    answers.push_back(std::make_shared<Answer>(std::move(answer)));
  }
  const auto results = Results::add(std::move(answers));
  std::copy(results.begin(), results.end(), out);
}

const InputReport* report(const std::shared_ptr<Answer>& answer, trml_rt_modality input) {
  if (answer == nullptr) return nullptr;
  return input == TRML_RT_TEXT ? &answer->text : input == TRML_RT_VIDEO ? &answer->video : nullptr;
}

}  // namespace

extern "C" {

uint32_t trml_rt_abi_version(void) { return TRML_RT_ABI_VERSION; }
const char* trml_rt_version(void) { return TRML_RT_VERSION; }
const char* trml_rt_last_error(void) { return last_error.c_str(); }
const char* trml_rt_last_reason(void) { return last_reason.c_str(); }

trml_rt_status trml_rt_open(const trml_rt_options* options, trml_rt** out) {
  return guarded([&] {
    if (out == nullptr) throw UsageError("out is NULL; pass the address of a handle");
    *out = nullptr;
    *out = Models::add(std::make_shared<Opened>(std::make_shared<Model>(read_options(options))));
  });
}

trml_rt_status trml_rt_clone(const trml_rt* rt, trml_rt** out) {
  return guarded([&] {
    if (rt == nullptr || out == nullptr) {
      throw UsageError("the handle or out is NULL; pass both");
    }
    *out = nullptr;
    *out = Models::add(std::make_shared<Opened>(opened(rt)->runtime.model()));
  });
}

trml_rt_status trml_rt_close(trml_rt* rt) {
  return guarded([&] {
    // A forked child frees nothing: that would join threads that only the parent has.
    if (rt == nullptr || Models::get(rt, "this handle")->process != getpid()) return;
    Models::take(rt, "this handle");
  });
}

trml_rt_status trml_rt_get_info(const trml_rt* rt, trml_rt_info* info) {
  return guarded([&] {
    if (rt == nullptr || info == nullptr || info->struct_size < sizeof info->struct_size ||
        info->struct_size > largest_struct) {
      throw UsageError("the handle or info is NULL, or info's struct_size is not set");
    }
    const auto model = Models::get(rt, "this handle")->runtime.model();
    const auto& manifest = model->bundle.manifest;
    trml_rt_info full{};
    full.struct_size = info->struct_size;
    full.frames = int32_t(manifest.video.frames);
    full.height = int32_t(manifest.video.height);
    full.width = int32_t(manifest.video.width);
    full.context = int32_t(manifest.text.context);
    full.label_count = int32_t(manifest.task.labels.size());
    full.backend = model->backend->name();
    full.regression = manifest.task.regression;
    if (full.regression) {
      full.low = manifest.task.range[0];
      full.high = manifest.task.range[1];
    }
    std::memcpy(info, &full, std::min(full.struct_size, sizeof full));
  });
}

const char* trml_rt_get_label(const trml_rt* rt, size_t index) {
  const auto found = Models::find(rt);
  if (found == nullptr) return nullptr;
  const auto& labels = found->runtime.model()->bundle.manifest.task.labels;
  return index < labels.size() ? labels[index].c_str() : nullptr;
}

trml_rt_status trml_rt_warm_up(trml_rt* rt) {
  return guarded([&] {
    if (rt == nullptr) throw UsageError("the handle is NULL; pass one");
    Turn(rt).runtime().warm_up();
  });
}

trml_rt_status trml_rt_infer(trml_rt* rt, const trml_rt_sample* sample, uint32_t flags,
                             trml_rt_result** out) {
  return guarded([&] { infer(rt, sample, 1, flags, out, false); });
}

trml_rt_status trml_rt_infer_batch(trml_rt* rt, const trml_rt_sample* samples, size_t count,
                                   uint32_t flags, trml_rt_result** out) {
  return guarded([&] { infer(rt, samples, count, flags, out, true); });
}

const char* trml_rt_result_label(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->label.c_str() : nullptr;
}
double trml_rt_result_score(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->score : 0;
}

size_t trml_rt_result_probability_count(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->probabilities.size() : 0;
}

const char* trml_rt_result_probability(const trml_rt_result* r, size_t index, double* probability) {
  const auto answer = Results::find(r);
  if (answer == nullptr || index >= answer->probabilities.size()) return nullptr;
  const auto& [label, value] = answer->probabilities[index];
  if (probability != nullptr) *probability = value;
  return label.c_str();
}

trml_rt_state trml_rt_result_state(const trml_rt_result* r, trml_rt_modality input) {
  const auto answer = Results::find(r);
  const auto* found = report(answer, input);
  if (found == nullptr) return trml_rt_state(0);
  return found->reason.empty() ? TRML_RT_REAL : TRML_RT_VIRTUAL;
}

const char* trml_rt_result_reason(const trml_rt_result* r, trml_rt_modality input) {
  const auto answer = Results::find(r);
  const auto* found = report(answer, input);
  return found && !found->reason.empty() ? found->reason.c_str() : nullptr;
}

double trml_rt_result_unknown(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->text.unknown : 0;
}
int32_t trml_rt_result_tokens(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? std::max(0, answer->text.tokens) : 0;
}
int32_t trml_rt_result_truncated(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer && answer->text.truncated;
}
int32_t trml_rt_result_frames(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? std::max(0, answer->video.frames) : 0;
}
const char* trml_rt_result_engine_set(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->engine_set.c_str() : nullptr;
}
const char* trml_rt_result_backend(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->backend.c_str() : nullptr;
}
const char* trml_rt_result_engines(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->engines.c_str() : nullptr;
}
int32_t trml_rt_result_verified(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer && answer->verified;
}

double trml_rt_result_ms(const trml_rt_result* r, const char* name) {
  const auto answer = Results::find(r);
  if (answer != nullptr && name != nullptr) {
    for (const auto& [stage, value] : answer->ms) {
      if (stage == name) return value;
    }
  }
  return -1;
}

const char* trml_rt_result_json(const trml_rt_result* r) {
  const auto answer = Results::find(r);
  return answer ? answer->json.c_str() : nullptr;
}

trml_rt_status trml_rt_result_free(trml_rt_result* result) {
  return guarded([&] {
    if (result != nullptr) Results::take(result, "this result");
  });
}

}  // extern "C"
