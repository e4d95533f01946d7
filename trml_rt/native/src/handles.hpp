// What a caller holds is no address. It is the number of a place in a table and of the generation
// that the place is in, so one that was closed is told from one that is open, whatever was opened
// since.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "error.hpp"

namespace trml::core {

// What a handle stands for; one of one kind is never taken for one of another.
enum class Kind : unsigned { model = 1, result, queue, report, stream };

namespace handles {

// Put objects into the table, all of them or none. Raises bad_alloc.
std::vector<void*> add(Kind kind, const std::vector<std::shared_ptr<void>>& objects);

// What a handle stands for; nothing where it is not open.
std::shared_ptr<void> find(Kind kind, const void* handle);

// Close a handle, and return what it stood for; nothing where it is not open. A call of another
// thread that has found it before keeps it alive.
std::shared_ptr<void> take(Kind kind, const void* handle);

}  // namespace handles

// The handles of one kind: `Handle` is the type that the C functions name, which has no members.
template <typename Handle, typename Object, Kind kind>
class Handles {
 public:
  static std::vector<Handle*> add(std::vector<std::shared_ptr<Object>> objects) {
    std::vector<Handle*> added;
    added.reserve(objects.size());
    for (void* each : handles::add(kind, {objects.begin(), objects.end()})) {
      added.push_back(static_cast<Handle*>(each));
    }
    return added;
  }
  static Handle* add(std::shared_ptr<Object> object) {
    return add(std::vector<std::shared_ptr<Object>>{std::move(object)}).front();
  }
  static std::shared_ptr<Object> find(const Handle* handle) {
    return std::static_pointer_cast<Object>(handles::find(kind, handle));
  }
  // Raises UsageError where the handle is not open; `what` is what it should be, "this handle".
  static std::shared_ptr<Object> get(const Handle* handle, const char* what) {
    auto object = find(handle);
    if (!object) throw not_open(what);
    return object;
  }
  static std::shared_ptr<Object> take(const Handle* handle, const char* what) {
    auto object = std::static_pointer_cast<Object>(handles::take(kind, handle));
    if (!object) throw not_open(what);
    return object;
  }

 private:
  static UsageError not_open(const char* what) {
    return UsageError(std::string(what) +
                      " is not open: it was closed before, or never came from this library");
  }
};

}  // namespace trml::core
