// Answers that the caller does not wait for: samples are put into a bounded queue, and one thread
// answers them in turn.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "inputs/image.hpp"
#include "runtime.hpp"

namespace trml::core {

// A sample with a text and pixels of its own: of the frames those that will be used, packed. Frames
// in CUDA memory stay where they are.
class OwnSample {
 public:
  // Raises UsageError where a frame is none.
  OwnSample(const Sample& sample, const VideoInput& settings);
  // Points into this object, so it lives as long.
  Sample view() const;

 private:
  std::string text_;
  std::vector<FrameCopy> copies_;
  Sample given_;  // its text is not where it points
};

class Queue {
 public:
  static constexpr std::size_t default_capacity = 4;

  // `capacity`: samples that were put in and whose answers were not taken out.
  Queue(std::shared_ptr<Model> model, std::size_t capacity);
  // Waits for the sample that is being answered; those behind it are not answered.
  ~Queue() { stop(); }

  // Return the number by which the sample is known from now on, from 1. Raises UsageError where the
  // sample makes no sense, QueueFull where there is no room.
  std::uint64_t submit(const Sample& sample, bool degrade);

  struct Done {
    std::uint64_t number = 0;
    std::shared_ptr<Answer> answer;
    std::exception_ptr error;  // in its place
  };
  // Take out the next answer, in the order of submission. Nothing where none comes within
  // `timeout`, and where nothing is under way and there is no timeout.
  std::optional<Done> take(std::optional<std::chrono::milliseconds> timeout);

  // Forget a sample: its answer never comes, and once this returns nothing of it is in use. Raises
  // UsageError where it is not under way.
  void cancel(std::uint64_t number);

  // After this every call raises UsageError.
  void stop();

 private:
  struct Job {
    std::uint64_t number;
    OwnSample sample;
    bool degrade;
  };
  void work();
  std::size_t under_way() const { return waiting_.size() + done_.size() + (running_ != 0); }
  void check_open() const;

  Runtime runtime_;  // of the thread
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;
  std::vector<Done> done_;
  std::uint64_t last_ = 0, running_ = 0;  // 0: none
  bool forgotten_ = false;                // the running one was cancelled
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace trml::core
