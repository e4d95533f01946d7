#include "stream/words.hpp"

#include <algorithm>

namespace trml::core::stream {

void Words::add(std::shared_ptr<Spoken> spoken) {
  spoken->start += offset_;
  spoken->end += offset_;
  auto place = texts_.end();
  while (place != texts_.begin() && (*std::prev(place))->start > spoken->start) --place;
  texts_.insert(place, std::move(spoken));
}

std::shared_ptr<Spoken> Words::at(double now) {
  while (texts_.size() > 1 && texts_[1]->start <= now) texts_.pop_front();
  if (texts_.empty() || texts_.front()->start > now) return nullptr;
  began_ = true;
  return now <= texts_.front()->end + hold_ ? texts_.front() : nullptr;
}

std::shared_ptr<Spoken> Words::unanswered(double after) {
  while (texts_.size() > 1 && texts_.front()->answered) texts_.pop_front();
  for (const auto& spoken : texts_) {
    if (!spoken->answered && (spoken->stamped || spoken->start > after)) {
      began_ = true;
      return spoken;
    }
  }
  return nullptr;
}

TextState Words::state_at(double now) const {
  if (!began_) return {};
  if (ended && !(!texts_.empty() && now <= texts_.back()->end + hold_)) {
    return {TRML_RT_ENDED, "ended"};
  }
  return {TRML_RT_RUNNING, "stale"};
}

void Words::shift(double seconds) {
  for (const auto& spoken : texts_) {
    if (!spoken->stamped) continue;
    spoken->start += seconds;
    spoken->end += seconds;
  }
  std::stable_sort(texts_.begin(), texts_.end(),
                   [](const auto& a, const auto& b) { return a->start < b->start; });
}

}  // namespace trml::core::stream
