// The C functions: structs of any age read, exceptions turned into a status and a sentence.
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "error.hpp"
#include "runtime.hpp"
#include "trml_rt/trml_rt.h"

struct trml_rt {
  explicit trml_rt(std::shared_ptr<trml::core::Model> model) : runtime(std::move(model)) {}
  trml::core::Runtime runtime;
  const pid_t process = getpid();
};

struct trml_rt_result {
  trml::core::Answer answer;
};

namespace {

thread_local std::string last_error, last_reason;

trml_rt_status fail(trml_rt_status status, const char* message, const std::string& reason = "") {
  try {
    last_error = message;
    last_reason = reason;
  } catch (...) {
    last_error.clear();  // no memory even for the sentence
  }
  return status;
}

template <typename Work>
trml_rt_status guarded(const Work& work) {
  try {
    work();
    return TRML_RT_OK;
  } catch (const trml::core::InputUnusable& error) {
    return fail(error.status(), error.what(), error.reason);
  } catch (const trml::core::Error& error) {
    return fail(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(TRML_RT_INTERNAL, "memory ran out");
  } catch (const std::exception& error) {
    return fail(TRML_RT_INTERNAL, error.what());
  } catch (...) {
    return fail(TRML_RT_INTERNAL, "an unknown exception");
  }
}

// Copy a caller's struct, whose size may be that of an older or a newer header.
template <typename Struct>
Struct copy_of(const void* given, std::size_t size, std::size_t least, const char* name) {
  if (given == nullptr) throw trml::core::UsageError(std::string(name) + " is NULL; pass a struct");
  if (size < least) {
    throw trml::core::UsageError(std::string(name) + ": set its size to that of the struct");
  }
  Struct copy{};
  std::memcpy(&copy, given, std::min(size, sizeof copy));
  return copy;
}

std::size_t size_at(const void* given) {
  std::size_t size = 0;
  if (given != nullptr) std::memcpy(&size, given, sizeof size);
  return size;
}

trml::core::Sample read_sample(const void* given) {
  const auto raw = copy_of<trml_rt_sample>(given, size_at(given),
                                           offsetof(trml_rt_sample, cuda_stream), "the sample");
  trml::core::Sample sample;
  if (raw.text != nullptr && raw.text_length != 0) {
    sample.text_length =
        raw.text_length == TRML_RT_TERMINATED ? std::strlen(raw.text) : raw.text_length;
    if (sample.text_length != 0) sample.text = raw.text;
  }
  const auto* frames = reinterpret_cast<const char*>(raw.frames);
  for (std::size_t i = 0; frames != nullptr && i < raw.frame_count; ++i) {
    sample.frames.push_back(copy_of<trml_rt_frame>(frames + i * raw.frame_size, raw.frame_size,
                                                   offsetof(trml_rt_frame, matrix),
                                                   "frames (frame_size)"));
  }
  sample.stream = raw.cuda_stream;
  return sample;
}

void check_process(const trml_rt& rt) {
  if (rt.process != getpid()) {
    throw trml::core::UsageError(
        "this handle was opened before a fork, and its threads stayed in the parent process; open "
        "the bundle in each process");
  }
}

void infer(trml_rt* rt, const trml_rt_sample* samples, std::size_t count, std::uint32_t flags,
           trml_rt_result** out, bool batch) {
  if (rt == nullptr || out == nullptr || (samples == nullptr && count != 0)) {
    throw trml::core::UsageError("the handle, the samples or out is NULL; pass all of them");
  }
  check_process(*rt);
  if (flags & ~TRML_RT_DEGRADE) {
    throw trml::core::UsageError("flags " + std::to_string(flags) + ": pass 0 or TRML_RT_DEGRADE");
  }
  std::fill_n(out, count, nullptr);
  std::vector<trml::core::Sample> rows;
  const std::size_t step = size_at(samples);
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back(read_sample(reinterpret_cast<const char*>(samples) + i * step));
  }
  auto answers = rt->runtime.infer(rows, flags & TRML_RT_DEGRADE, batch);
  std::vector<std::unique_ptr<trml_rt_result>> results;
  for (auto& answer : answers) {
    results.push_back(std::make_unique<trml_rt_result>(trml_rt_result{std::move(answer)}));
  }
  for (std::size_t i = 0; i < count; ++i) out[i] = results[i].release();
}

const trml::core::InputReport* report(const trml_rt_result* result, trml_rt_modality input) {
  if (result == nullptr) return nullptr;
  return input == TRML_RT_TEXT    ? &result->answer.text
         : input == TRML_RT_VIDEO ? &result->answer.video
                                  : nullptr;
}

}  // namespace

extern "C" {

uint32_t trml_rt_abi_version(void) { return TRML_RT_ABI_VERSION; }
const char* trml_rt_version(void) { return TRML_RT_VERSION; }
const char* trml_rt_last_error(void) { return last_error.c_str(); }
const char* trml_rt_last_reason(void) { return last_reason.c_str(); }

trml_rt_status trml_rt_open(const trml_rt_options* options, trml_rt** out) {
  return guarded([&] {
    if (out == nullptr) throw trml::core::UsageError("out is NULL; pass the address of a handle");
    *out = nullptr;
    const auto raw = copy_of<trml_rt_options>(options, size_at(options),
                                              offsetof(trml_rt_options, threads), "the options");
    trml::core::Options read;
    if (raw.bundle != nullptr) read.bundle = raw.bundle;
    if (raw.backend != nullptr) read.backend = raw.backend;
    if (raw.precision != nullptr) read.precision = raw.precision;
    if (raw.signed_by != nullptr) {
      if (*raw.signed_by == '\0') {
        throw trml::core::UsageError("signed_by is empty; name a file with a public key");
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
    *out = new trml_rt(std::make_shared<trml::core::Model>(read));
  });
}

trml_rt_status trml_rt_clone(const trml_rt* rt, trml_rt** out) {
  return guarded([&] {
    if (rt == nullptr || out == nullptr) {
      throw trml::core::UsageError("the handle or out is NULL; pass both");
    }
    *out = nullptr;
    check_process(*rt);
    *out = new trml_rt(rt->runtime.model());
  });
}

void trml_rt_close(trml_rt* rt) {
  // A forked child frees nothing: that would join threads that only the parent has.
  if (rt != nullptr && rt->process == getpid()) delete rt;
}

trml_rt_status trml_rt_get_info(const trml_rt* rt, trml_rt_info* info) {
  return guarded([&] {
    if (rt == nullptr || info == nullptr || info->struct_size < sizeof info->struct_size) {
      throw trml::core::UsageError("the handle or info is NULL, or info's struct_size is not set");
    }
    const auto& model = *rt->runtime.model();
    const auto& manifest = model.bundle.manifest;
    trml_rt_info full{};
    full.struct_size = info->struct_size;
    full.frames = int32_t(manifest.video.frames);
    full.height = int32_t(manifest.video.height);
    full.width = int32_t(manifest.video.width);
    full.context = int32_t(manifest.text.context);
    full.label_count = int32_t(manifest.task.labels.size());
    full.backend = model.backend->name();
    std::memcpy(info, &full, std::min(full.struct_size, sizeof full));
  });
}

trml_rt_status trml_rt_warm_up(trml_rt* rt) {
  return guarded([&] {
    if (rt == nullptr) throw trml::core::UsageError("the handle is NULL; pass one");
    check_process(*rt);
    rt->runtime.warm_up();
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
  return r ? r->answer.label.c_str() : nullptr;
}
double trml_rt_result_score(const trml_rt_result* r) { return r ? r->answer.score : 0; }

size_t trml_rt_result_probability_count(const trml_rt_result* r) {
  return r ? r->answer.probabilities.size() : 0;
}

const char* trml_rt_result_probability(const trml_rt_result* r, size_t index, double* probability) {
  if (r == nullptr || index >= r->answer.probabilities.size()) return nullptr;
  const auto& [label, value] = r->answer.probabilities[index];
  if (probability != nullptr) *probability = value;
  return label.c_str();
}

trml_rt_state trml_rt_result_state(const trml_rt_result* r, trml_rt_modality input) {
  const auto* found = report(r, input);
  if (found == nullptr) return trml_rt_state(0);
  return found->reason.empty() ? TRML_RT_REAL : TRML_RT_VIRTUAL;
}

const char* trml_rt_result_reason(const trml_rt_result* r, trml_rt_modality input) {
  const auto* found = report(r, input);
  return found && !found->reason.empty() ? found->reason.c_str() : nullptr;
}

double trml_rt_result_unknown(const trml_rt_result* r) { return r ? r->answer.text.unknown : 0; }
int32_t trml_rt_result_tokens(const trml_rt_result* r) {
  return r ? std::max(0, r->answer.text.tokens) : 0;
}
int32_t trml_rt_result_truncated(const trml_rt_result* r) { return r && r->answer.text.truncated; }
int32_t trml_rt_result_frames(const trml_rt_result* r) {
  return r ? std::max(0, r->answer.video.frames) : 0;
}
const char* trml_rt_result_engine_set(const trml_rt_result* r) {
  return r ? r->answer.engine_set.c_str() : nullptr;
}
const char* trml_rt_result_backend(const trml_rt_result* r) {
  return r ? r->answer.backend.c_str() : nullptr;
}
const char* trml_rt_result_engines(const trml_rt_result* r) {
  return r ? r->answer.engines.c_str() : nullptr;
}
int32_t trml_rt_result_verified(const trml_rt_result* r) { return r && r->answer.verified; }

double trml_rt_result_ms(const trml_rt_result* r, const char* name) {
  if (r != nullptr && name != nullptr) {
    for (const auto& [stage, value] : r->answer.ms) {
      if (stage == name) return value;
    }
  }
  return -1;
}

const char* trml_rt_result_json(const trml_rt_result* r) {
  return r ? r->answer.json.c_str() : nullptr;
}

void trml_rt_result_free(trml_rt_result* result) { delete result; }

}  // extern "C"
