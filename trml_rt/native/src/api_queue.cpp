// The C functions of answers that the caller does not wait for.
#include "api.hpp"
#include "queue.hpp"

using namespace trml::core;

namespace {

constexpr std::int32_t most_capacity = 1024;
constexpr std::int64_t longest_timeout = 1000ll * 60 * 60 * 24 * 365;  // ms; no clock overflows

struct OpenQueue {
  OpenQueue(std::shared_ptr<Model> model, std::size_t capacity)
      : queue(std::move(model), capacity) {}
  Queue queue;
  const pid_t process = getpid();
};
using Queues = Handles<trml_rt_queue, OpenQueue, Kind::queue>;

std::shared_ptr<OpenQueue> opened(const trml_rt_queue* queue) {
  auto found = Queues::get(queue, "this queue");
  check_process(found->process, "queue");
  return found;
}

}  // namespace

extern "C" {

trml_rt_status trml_rt_queue_open(const trml_rt* rt, int32_t capacity, trml_rt_queue** out) {
  return guarded([&] {
    if (rt == nullptr || out == nullptr) throw UsageError("the handle or out is NULL; pass both");
    *out = nullptr;
    if (capacity < 0 || capacity > most_capacity) {
      throw UsageError("capacity must be 1 to " + std::to_string(most_capacity) + ", not " +
                       std::to_string(capacity));
    }
    *out = Queues::add(std::make_shared<OpenQueue>(
        opened(rt)->runtime.model(),
        capacity == 0 ? Queue::default_capacity : std::size_t(capacity)));
  });
}

trml_rt_status trml_rt_submit(trml_rt_queue* queue, const trml_rt_sample* sample, uint32_t flags,
                              uint64_t* number) {
  return guarded([&] {
    if (queue == nullptr || sample == nullptr || number == nullptr) {
      throw UsageError("the queue, the sample or number is NULL; pass all of them");
    }
    *number = 0;
    const auto found = opened(queue);
    check_flags(flags);
    *number = found->queue.submit(read_sample(sample), flags & TRML_RT_DEGRADE);
  });
}

trml_rt_status trml_rt_poll(trml_rt_queue* queue, int64_t timeout_ms, uint64_t* number,
                            trml_rt_result** out) {
  return guarded([&] {
    if (queue == nullptr || number == nullptr || out == nullptr) {
      throw UsageError("the queue, number or out is NULL; pass all of them");
    }
    *number = 0;
    *out = nullptr;
    const auto found = opened(queue);
    std::optional<std::chrono::milliseconds> timeout;
    if (timeout_ms >= 0) timeout.emplace(std::min(timeout_ms, longest_timeout));
    const auto done = found->queue.take(timeout);
    if (!done) return;
    *number = done->number;
    if (done->error) std::rethrow_exception(done->error);
    *out = Results::add(done->answer);
  });
}

trml_rt_status trml_rt_cancel(trml_rt_queue* queue, uint64_t number) {
  return guarded([&] {
    if (queue == nullptr) throw UsageError("the queue is NULL; pass one");
    opened(queue)->queue.cancel(number);
  });
}

trml_rt_status trml_rt_queue_close(trml_rt_queue* queue) {
  return guarded([&] {
    // A forked child has not the thread that would be waited for.
    if (queue == nullptr || Queues::get(queue, "this queue")->process != getpid()) return;
    Queues::take(queue, "this queue")->queue.stop();
  });
}

}  // extern "C"
