// Answers that nobody waits for: order, room, cancelling, closing, and what is copied.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstring>
#include <set>
#include <thread>

#include "gate.hpp"
#include "queue.hpp"

using namespace support;

namespace {

constexpr std::int64_t as_long_as_it_takes = -1;

struct World : GatedHandle {
  explicit World(int capacity = 0) {
    REQUIRE(trml_rt_queue_open(rt, capacity, &queue) == TRML_RT_OK);
  }
  ~World() {
    gate.open();
    trml_rt_queue_close(queue);
  }

  std::uint64_t submit(const trml_rt_sample& sample, std::uint32_t flags = 0) {
    std::uint64_t number = 0;
    REQUIRE_MESSAGE(trml_rt_submit(queue, &sample, flags, &number) == TRML_RT_OK,
                    trml_rt_last_error());
    return number;
  }
  // The score of the next answer, whose number must be this.
  double next(std::uint64_t expected) {
    std::uint64_t number = 0;
    trml_rt_result* result = nullptr;
    REQUIRE_MESSAGE(trml_rt_poll(queue, as_long_as_it_takes, &number, &result) == TRML_RT_OK,
                    trml_rt_last_error());
    CHECK(number == expected);
    const double score = trml_rt_result_score(result);
    CHECK(trml_rt_result_free(result) == TRML_RT_OK);
    return score;
  }
  bool is_empty(std::int64_t timeout = 0) {
    std::uint64_t number = 9;
    trml_rt_result* result = nullptr;
    CHECK(trml_rt_poll(queue, timeout, &number, &result) == TRML_RT_OK);
    return number == 0 && result == nullptr;
  }
  // What infer answers.
  double expected(const trml_rt_sample& sample, std::uint32_t flags = 0) {
    trml_rt_result* result = nullptr;
    REQUIRE(trml_rt_infer(rt, &sample, flags, &result) == TRML_RT_OK);
    const double score = trml_rt_result_score(result);
    trml_rt_result_free(result);
    return score;
  }

  trml_rt_queue* queue = nullptr;
};

bool says(const char* words) {
  CAPTURE(trml_rt_last_error());
  return std::strstr(trml_rt_last_error(), words) != nullptr;
}

}  // namespace

TEST_CASE("answers come in the order of submission, and are those of infer") {
  World world(8);
  const char* texts[] = {"good", "what a good day", "a bad day", "bad"};
  for (const char* text : texts) world.submit(text_sample(text));
  std::uint64_t number = 0;
  for (const char* text : texts) CHECK(world.next(++number) == world.expected(text_sample(text)));
  CHECK(world.is_empty(as_long_as_it_takes));  // nothing is under way, so nothing is waited for
}

TEST_CASE("a full queue says so at once, and has room again once an answer is taken") {
  World world(2);
  world.gate.close();
  world.submit(text_sample("good"));
  world.submit(text_sample("bad"));
  const auto sample = text_sample("day");
  std::uint64_t number = 7;
  CHECK(trml_rt_submit(world.queue, &sample, 0, &number) == TRML_RT_BUSY);
  CHECK(says("the queue holds 2 samples; take an answer, and submit again"));
  CHECK(number == 0);
  CHECK(world.is_empty());
  CHECK(world.is_empty(1));
  world.gate.open();
  world.next(1);
  CHECK(world.submit(sample) == 3);
  world.next(2);
  world.next(3);
}

TEST_CASE("text and pixels are copied, so the caller may change them at once") {
  World world;
  world.gate.close();
  world.submit(text_sample("good"));  // it holds the thread, so that nothing else has begun
  std::string text = "what a bad day";
  struct Plane {
    const char* name;
    trml_rt_format format;
  };
  for (const Plane plane :
       {Plane{"rgb", TRML_RT_RGB}, Plane{"gray", TRML_RT_GRAY}, Plane{"nv12", TRML_RT_NV12}}) {
    CAPTURE(plane.name);
    World other;
    const int width = 16, height = 12;
    const auto packed = picture(width, height, 3, plane.name);
    // Wider rows than the picture has, and the last of them ends with the picture.
    const std::size_t row = plane.format == TRML_RT_RGB ? 48 : 16, stride = row + 5;
    const std::size_t rows = plane.format == TRML_RT_NV12 ? 18 : 12;
    std::vector<std::uint8_t> padded(stride * (rows - 1) + row, 99);
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(&padded[y * stride], &packed[y * row], row);
    }
    auto frame = frame_of(padded, width, height, plane.format);
    frame.stride = stride;
    auto sample = text_sample(text.c_str());
    const std::vector<trml_rt_frame> frames(9, frame);  // more than the model takes
    sample.frames = frames.data();
    sample.frame_count = frames.size();
    const double expected = other.expected(sample);
    other.gate.close();
    other.submit(sample);
    std::fill(padded.begin(), padded.end(), std::uint8_t(0));
    text = "good";
    other.gate.open();
    CHECK(other.next(1) == expected);
    text = "what a bad day";
  }
}

TEST_CASE("what cannot be answered is told with its number") {
  World world;
  world.submit(text_sample("good"));
  world.submit(text_sample("a\xff"));
  auto empty = text_sample(" ");
  const std::vector<std::uint8_t> black(8 * 8 * 3, 0);
  const auto frame = frame_of(black, 8, 8);
  empty.frames = &frame;
  empty.frame_count = 1;
  world.submit(empty, TRML_RT_DEGRADE);
  world.next(1);
  std::uint64_t number = 0;
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_poll(world.queue, as_long_as_it_takes, &number, &result) == TRML_RT_INPUT);
  CHECK(number == 2);
  CHECK(result == nullptr);
  CHECK(trml_rt_last_reason() == std::string("undecodable"));
  CHECK(says("the text is not valid Unicode at byte 1"));
  CHECK(world.next(3) == world.expected(empty, TRML_RT_DEGRADE));
}

TEST_CASE("a sample that makes no sense is refused when it is submitted") {
  World world;
  std::uint64_t number = 0;
  auto sample = text_sample("");
  CHECK(trml_rt_submit(world.queue, &sample, 0, &number) == TRML_RT_USAGE);
  CHECK(says("neither text nor video is given; give at least one"));
  sample = text_sample("good");
  CHECK(trml_rt_submit(world.queue, &sample, 99, &number) == TRML_RT_USAGE);
  const std::vector<std::uint8_t> black(8 * 8 * 3, 0);
  auto frame = frame_of(black, 8, 8);
  frame.stride = 7;
  sample.frames = &frame;
  sample.frame_count = 1;
  CHECK(trml_rt_submit(world.queue, &sample, 0, &number) == TRML_RT_USAGE);
  CHECK(says("a stride of 7 bytes"));
  CHECK(world.is_empty(as_long_as_it_takes));
}

TEST_CASE("a text longer than any is never read") {
  World world;
  auto sample = text_sample("good");
  sample.text_length = std::size_t(1) << 40;
  world.submit(sample);
  std::uint64_t number = 0;
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_poll(world.queue, as_long_as_it_takes, &number, &result) == TRML_RT_INPUT);
  CHECK(says("the text is larger than 1 MB"));
}

TEST_CASE("what is cancelled never comes, whether it waits, runs or is done") {
  World world(8);
  world.submit(text_sample("good"));
  world.next(1);
  world.gate.close(2);  // `text` and `fuse_text` of one sample
  for (const char* text : {"good", "bad", "day", "good day"}) world.submit(text_sample(text));
  world.gate.arrived();  // 2 is done, 3 runs, 4 and 5 wait
  CHECK(trml_rt_cancel(world.queue, 2) == TRML_RT_OK);
  CHECK(trml_rt_cancel(world.queue, 4) == TRML_RT_OK);
  std::thread opener([&] { world.gate.open(); });
  const auto running = trml_rt_cancel(world.queue, 3);  // waits for the run to end
  opener.join();
  CHECK(running == TRML_RT_OK);
  CHECK(world.next(5) == world.expected(text_sample("good day")));
  CHECK(world.is_empty(as_long_as_it_takes));
  for (const std::uint64_t gone : {0, 1, 2, 3, 4, 5, 99}) {
    CHECK(trml_rt_cancel(world.queue, gone) == TRML_RT_USAGE);
    CHECK(says(("no sample " + std::to_string(gone) + " is under way").c_str()));
  }
}

TEST_CASE("an answer that nobody took can be cancelled, which makes room") {
  World world(1);
  world.submit(text_sample("good"));
  const auto sample = text_sample("bad");
  std::uint64_t number = 0;
  CHECK(trml_rt_submit(world.queue, &sample, 0, &number) == TRML_RT_BUSY);
  CHECK(trml_rt_cancel(world.queue, 1) == TRML_RT_OK);
  CHECK(world.submit(sample) == 2);
  world.next(2);
}

TEST_CASE("closing ends a poll that waits, drops what waits, and is refused a second time") {
  World world;
  world.gate.close();
  world.submit(text_sample("good"));
  world.submit(text_sample("bad"));
  trml_rt_status status = TRML_RT_OK;
  std::thread poller([&] {
    std::uint64_t number = 0;
    trml_rt_result* result = nullptr;
    status = trml_rt_poll(world.queue, as_long_as_it_takes, &number, &result);
  });
  world.gate.arrived();
  std::thread opener([&] { world.gate.open(); });
  const auto closed = trml_rt_queue_close(world.queue);
  opener.join();
  poller.join();
  CHECK(closed == TRML_RT_OK);
  // The poll either took the first answer before the queue was closed, or was told.
  CHECK((status == TRML_RT_USAGE || status == TRML_RT_OK));
  CHECK(trml_rt_queue_close(world.queue) == TRML_RT_USAGE);
  CHECK(says("this queue is not open: it was closed before"));
  std::uint64_t number = 0;
  const auto sample = text_sample("good");
  CHECK(trml_rt_submit(world.queue, &sample, 0, &number) == TRML_RT_USAGE);
  CHECK(trml_rt_cancel(world.queue, 1) == TRML_RT_USAGE);
}

TEST_CASE("a queue outlives the handle that it was opened on") {
  auto handle = std::make_unique<GatedHandle>();
  trml_rt* twin = nullptr;
  REQUIRE(trml_rt_clone(handle->rt, &twin) == TRML_RT_OK);
  trml_rt_queue* queue = nullptr;
  REQUIRE(trml_rt_queue_open(twin, 0, &queue) == TRML_RT_OK);
  REQUIRE(trml_rt_close(twin) == TRML_RT_OK);
  const auto sample = text_sample("good");
  std::uint64_t number = 0;
  REQUIRE(trml_rt_submit(queue, &sample, 0, &number) == TRML_RT_OK);
  trml_rt_result* result = nullptr;
  CHECK(trml_rt_poll(queue, as_long_as_it_takes, &number, &result) == TRML_RT_OK);
  CHECK(trml_rt_result_label(result) != nullptr);
  trml_rt_result_free(result);
  trml_rt_queue_close(queue);
}

TEST_CASE("wrong arguments are refused") {
  GatedHandle handle;
  trml_rt_queue* queue = nullptr;
  for (const int capacity : {-1, 1025}) {
    CHECK(trml_rt_queue_open(handle.rt, capacity, &queue) == TRML_RT_USAGE);
    CHECK(says("capacity must be 1 to 1024, not"));
  }
  CHECK(trml_rt_queue_open(nullptr, 0, &queue) == TRML_RT_USAGE);
  CHECK(trml_rt_queue_open(handle.rt, 0, nullptr) == TRML_RT_USAGE);
  CHECK(trml_rt_queue_close(nullptr) == TRML_RT_OK);
}

TEST_CASE("several threads may submit, take and cancel at once, and nothing is lost or doubled") {
  World world(3);
  constexpr int submitters = 3, each = 40;
  std::mutex mutex;
  std::set<std::uint64_t> given, taken, cancelled;
  bool doubled = false;
  std::atomic<int> left{submitters};
  std::vector<std::thread> threads;
  for (int i = 0; i < submitters; ++i) {
    threads.emplace_back([&, i] {
      const auto sample = text_sample(i % 2 ? "a good day" : "bad");
      for (int n = 0; n < each;) {
        std::uint64_t number = 0;
        const auto status = trml_rt_submit(world.queue, &sample, 0, &number);
        if (status == TRML_RT_BUSY) {
          std::this_thread::yield();
          continue;
        }
        ++n;
        const bool forget = n % 8 == 0 && trml_rt_cancel(world.queue, number) == TRML_RT_OK;
        const std::lock_guard<std::mutex> lock(mutex);
        given.insert(number);
        if (forget) cancelled.insert(number);
      }
      --left;
    });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (true) {
        const bool last = left == 0;
        std::uint64_t number = 0;
        trml_rt_result* result = nullptr;
        if (trml_rt_poll(world.queue, last ? as_long_as_it_takes : 1, &number, &result) != 0) break;
        if (number == 0 && last) break;
        if (number == 0) continue;
        trml_rt_result_free(result);
        const std::lock_guard<std::mutex> lock(mutex);
        doubled |= !taken.insert(number).second;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(doubled);
  CHECK(given.size() == submitters * each);
  taken.insert(cancelled.begin(), cancelled.end());
  CHECK(taken == given);
}
