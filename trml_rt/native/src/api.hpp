// What the files of C functions share: handles, structs of any age, exceptions turned into a status
// and a sentence.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "error.hpp"
#include "handles.hpp"
#include "runtime.hpp"
#include "trml_rt/trml_rt.h"

namespace trml::core {

// What a `trml_rt` stands for.
struct Opened {
  explicit Opened(std::shared_ptr<Model> model) : runtime(std::move(model)) {}
  Runtime runtime;
  const pid_t process = getpid();
  std::atomic<bool> busy{false};
};
using Models = Handles<trml_rt, Opened, Kind::model>;
using Results = Handles<trml_rt_result, Answer, Kind::result>;

// Raise UsageError where `what`, a handle or a queue, belongs to a parent process.
void check_process(pid_t process, const char* what);

// The handle's model, for a call that reads it. Raises UsageError where it is not open, or was
// opened before a fork.
std::shared_ptr<Opened> opened(const trml_rt* rt);

// The handle's model for a call that works on it, which one thread at a time may. Raises UsageError
// where another thread is in such a call.
class Turn {
 public:
  explicit Turn(const trml_rt* rt);
  ~Turn() { opened_->busy = false; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Runtime& runtime() const { return opened_->runtime; }

 private:
  std::shared_ptr<Opened> opened_;
};

// Keep what a call of this thread failed with, and return its status.
trml_rt_status fail(trml_rt_status status, const char* message, const std::string& reason = "");

template <typename Work>
trml_rt_status guarded(const Work& work) {
  try {
    work();
    return TRML_RT_OK;
  } catch (const InputUnusable& error) {
    return fail(error.status(), error.what(), error.reason);
  } catch (const Error& error) {
    return fail(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(TRML_RT_INTERNAL, "memory ran out");
  } catch (const std::exception& error) {
    return fail(TRML_RT_INTERNAL, error.what());
  } catch (...) {
    return fail(TRML_RT_INTERNAL, "an unknown exception");
  }
}

// No struct of any version is larger, so a larger size was never set.
constexpr std::size_t largest_struct = 1024;

// Copy a caller's struct, whose size may be that of an older or a newer header.
template <typename Struct>
Struct copy_of(const void* given, std::size_t size, std::size_t least, const char* name) {
  if (given == nullptr) throw UsageError(std::string(name) + " is NULL; pass a struct");
  if (size < least || size > largest_struct) {
    throw UsageError(std::string(name) + ": set its size to that of the struct");
  }
  Struct copy{};
  std::memcpy(&copy, given, std::min(size, sizeof copy));
  return copy;
}

// The struct_size that a caller's struct begins with.
inline std::size_t size_at(const void* given) {
  std::size_t size = 0;
  if (given != nullptr) std::memcpy(&size, given, sizeof size);
  return size;
}

Options read_options(const trml_rt_options* given);
Sample read_sample(const void* given);
void check_flags(std::uint32_t flags);
// A number that was never set, or counts bytes, is refused before anything is read.
void check_count(std::size_t count, const char* what);

}  // namespace trml::core
