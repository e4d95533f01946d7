#include "queue.hpp"

#include <algorithm>
#include <utility>

#include "error.hpp"
#include "inputs/clip.hpp"
#include "inputs/image.hpp"

namespace trml::core {
OwnSample::OwnSample(const Sample& sample, const VideoInput& settings) : given_(sample) {
  // A text that is too long is refused for its length, and never read.
  if (sample.text != nullptr && sample.text_length <= most_text) {
    text_.assign(sample.text, sample.text_length);
  }
  given_.frames.clear();
  if (sample.frames.empty()) return;
  for (const auto index : choose_indices(std::int64_t(sample.frames.size()), settings.frames)) {
    const trml_rt_frame& frame = sample.frames[std::size_t(index)];
    check_frame(frame);
    if (frame.memory == TRML_RT_HOST) copies_.emplace_back(frame);
    given_.frames.push_back(frame.memory == TRML_RT_HOST ? copies_.back().frame : frame);
  }
}

Sample OwnSample::view() const {
  Sample sample = given_;
  if (sample.text != nullptr) sample.text = text_.data();
  return sample;
}

Queue::Queue(std::shared_ptr<Model> model, std::size_t capacity)
    : runtime_(std::move(model)), capacity_(capacity) {
  done_.reserve(capacity);  // the thread has nobody to tell that memory ran out
  thread_ = std::thread([this] { work(); });
}

std::uint64_t Queue::submit(const Sample& sample, bool degrade) {
  if (sample.text == nullptr && sample.frames.empty()) {
    throw UsageError("neither text nor video is given; give at least one");
  }
  const auto check_room = [this] {
    check_open();
    if (under_way() < capacity_) return;
    throw QueueFull("the queue holds " + std::to_string(capacity_) +
                    " samples; take an answer, and submit again");
  };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    check_room();
  }
  OwnSample own(sample, runtime_.model()->bundle.manifest.video);  // copied without the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  check_room();
  waiting_.push_back({last_ + 1, std::move(own), degrade});
  changed_.notify_all();
  return ++last_;
}

std::optional<Queue::Done> Queue::take(std::optional<std::chrono::milliseconds> timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  check_open();
  const auto ready = [this] { return stopped_ || !done_.empty(); };
  if (timeout) {
    changed_.wait_for(lock, *timeout, ready);
  } else {
    changed_.wait(lock, [&] { return ready() || under_way() == 0; });
  }
  check_open();
  if (done_.empty()) return std::nullopt;
  Done next = std::move(done_.front());
  done_.erase(done_.begin());
  changed_.notify_all();
  return next;
}

void Queue::cancel(std::uint64_t number) {
  std::unique_lock<std::mutex> lock(mutex_);
  check_open();
  const auto is_it = [number](const auto& each) { return each.number == number; };
  const auto waits = std::find_if(waiting_.begin(), waiting_.end(), is_it);
  const auto is_done = std::find_if(done_.begin(), done_.end(), is_it);
  if (waits != waiting_.end()) {
    waiting_.erase(waits);
  } else if (is_done != done_.end()) {
    done_.erase(is_done);
  } else if (number != 0 && number == running_ && !forgotten_) {
    forgotten_ = true;
    changed_.wait(lock, [&] { return running_ != number; });
  } else {
    throw UsageError("no sample " + std::to_string(number) +
                     " is under way: its answer was taken, or it was cancelled before");
  }
  changed_.notify_all();
}

void Queue::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Queue::check_open() const {
  if (stopped_) throw UsageError("this queue is closed; open one");
}

void Queue::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    {
      const Job job = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = job.number;
      lock.unlock();
      Done done{job.number, nullptr, nullptr};
      try {
        auto answers = runtime_.infer({job.sample.view()}, job.degrade, false);
        done.answer = std::make_shared<Answer>(std::move(answers.front()));
      } catch (...) {  // whoever takes the answer out is told
        done.error = std::current_exception();
      }
      lock.lock();
      if (!forgotten_) done_.push_back(std::move(done));
    }
    running_ = 0;
    forgotten_ = false;
    changed_.notify_all();
  }
}

}  // namespace trml::core
