#include "handles.hpp"

#include <pthread.h>

#include <cstdint>
#include <mutex>

namespace trml::core::handles {
namespace {

// From the lowest bit: a one, which no address of a struct has; the kind; the place; the
// generation.
constexpr unsigned kind_bits = 3, place_bits = 24;
constexpr unsigned place_shift = 1 + kind_bits, generation_shift = place_shift + place_bits;
constexpr std::size_t most_places = std::size_t(1) << place_bits;

struct Place {
  std::shared_ptr<void> object;
  std::uint64_t generation = 1;
  Kind kind{};
};

struct Table {
  std::mutex mutex;
  std::vector<Place> places;
  std::vector<std::size_t> free;

  void* handle(std::size_t number) const {
    const Place& place = places[number];
    const auto value = place.generation << generation_shift | std::uint64_t(number) << place_shift |
                       std::uint64_t(place.kind) << 1 | 1;
    return reinterpret_cast<void*>(std::uintptr_t(value));
  }
  Place* find(Kind kind, const void* given) {
    const auto number =
        std::size_t(reinterpret_cast<std::uintptr_t>(given) >> place_shift) & (most_places - 1);
    if (number >= places.size()) return nullptr;
    Place& place = places[number];
    return place.object && place.kind == kind && handle(number) == given ? &place : nullptr;
  }
};

// It is never destroyed: what is still open when the program ends is not torn down beside libraries
// that end meanwhile. A fork waits for the lock, so the child has it free.
Table& table() {
  static Table* const made = [] {
    auto* fresh = new Table;
    static Table* for_fork = fresh;
    pthread_atfork([] { for_fork->mutex.lock(); }, [] { for_fork->mutex.unlock(); },
                   [] { for_fork->mutex.unlock(); });
    return fresh;
  }();
  return *made;
}

}  // namespace

std::vector<void*> add(Kind kind, const std::vector<std::shared_ptr<void>>& objects) {
  Table& all = table();
  const std::lock_guard<std::mutex> lock(all.mutex);
  std::vector<void*> added;
  added.reserve(objects.size());
  if (all.free.size() < objects.size()) {  // whatever fails does so here, before any is added
    const std::size_t size = all.places.size() + objects.size() - all.free.size();
    if (size > most_places) throw std::bad_alloc();
    if (all.free.capacity() < size) all.free.reserve(2 * size);
    for (std::size_t number = all.places.size(); number < size; ++number) {
      all.places.emplace_back();
      all.free.push_back(number);
    }
  }
  for (const auto& object : objects) {
    const std::size_t number = all.free.back();
    all.free.pop_back();
    all.places[number].object = object;
    all.places[number].kind = kind;
    added.push_back(all.handle(number));
  }
  return added;
}

std::shared_ptr<void> find(Kind kind, const void* handle) {
  Table& all = table();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const Place* place = all.find(kind, handle);
  return place == nullptr ? nullptr : place->object;
}

std::shared_ptr<void> take(Kind kind, const void* handle) {
  Table& all = table();
  const std::lock_guard<std::mutex> lock(all.mutex);
  Place* place = all.find(kind, handle);
  if (place == nullptr) return nullptr;
  ++place->generation;
  all.free.push_back(std::size_t(place - all.places.data()));  // room was reserved with the place
  return std::move(place->object);
}

}  // namespace trml::core::handles
