// The C++ wrapper, every function of it, against an installed package.
#include <cstdlib>
#include <iostream>
#include <trml_rt/trml_rt.hpp>
#include <vector>

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::cerr << "not so: " << what << '\n';
  std::exit(1);
}

// A stream: two frames and a text, a camera that is lost, and an event that is told.
void watch(const trml::Runtime& rt) {
  const std::vector<unsigned char> pixels(64 * 48 * 3, 200);
  const trml_rt_frame frame = trml::frame(pixels.data(), 64, 48);
  std::vector<trml::Event> told;
  trml::StreamOptions options;
  options.policy = TRML_RT_EVERY;
  options.buffer = 2;
  options.on_event = [&told](const trml::Event& event) { told.push_back(event); };
  trml::Stream stream(rt, options);
  stream.warm_up();
  require(stream.push_text("what a good day", 0, 9), "a text is taken");
  require(stream.push_frame(frame, 0) && stream.push_frame(frame, 0.5), "frames are taken");
  require(!stream.push_frame(frame, 1), "one for which there is no room is not");
  const auto first = stream.poll(), second = stream.poll();
  require(first && second && !stream.poll(), "each frame gives one answer");
  require(second->seq() == 1 && second->epoch() == 0, "answers are counted");
  require(second->t0() == 0 && second->t1() == 0.5 && second->frames() == 2, "and have a window");
  require(second->spoken() == "what a good day" && second->age_ms() >= 0, "and a text");
  require(!second->early() && !second->late(), "and are final and in time");
  stream.push_state(TRML_RT_RETRYING, "the cable");
  require(!stream.poll(), "no frame, no answer");
  require(told.size() == 3 && told.back().state == TRML_RT_RETRYING, "events are told");
  require(told.back().reason == "lost" && told.back().message == "the cable", "with the reason");
  require(told.back().input == TRML_RT_VIDEO && told.back().epoch == 0 && !told.back().json.empty(),
          "and of which input");
  stream.end_texts();
  stream.end();
  require(!stream.poll(-1) && stream.finished(), "an end ends it");
  stream.close();
  const trml_rt_totals totals = stream.totals();
  require(totals.seen == 2 && totals.answered == 2 && totals.waiting == 0, "the sum is closed");

  options.on_event = [](const trml::Event&) { throw 7; };
  trml::Stream careless(rt, options);
  require(careless.push_frame(frame, 0), "a frame is taken");
  bool thrown = false;
  try {
    careless.poll();
  } catch (int) {
    thrown = true;
  }
  require(thrown, "an exception of on_event leaves the poll, and not the library");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    trml::Runtime rt{std::string(arguments[1])};
    trml::Runtime twin = rt.clone();
    rt.warm_up();
    const trml_rt_info info = rt.info();
    const std::vector<unsigned char> pixels(64 * 48 * 3, 200);
    trml::Sample text, both;
    text.text = both.text = "what a good day";
    both.frames.assign(3, trml::frame(pixels.data(), 64, 48));
    const auto alone = rt.infer(text);
    const auto batch = twin.infer_batch({text, both});
    require(alone.label() == batch[0].label(), "a row is answered as if alone");
    require(batch[1].engine_set() == "text_video", "both inputs give the set of both");
    require(batch[1].frames() == 3 && info.frames >= 3, "all frames of a short clip are used");
    require(alone.is_real(TRML_RT_TEXT), "the text is real");
    require(alone.reason(TRML_RT_VIDEO) == "not_given", "the video is virtual, and why");
    require(alone.tokens() > 2 && !alone.truncated(), "tokens are counted");
    require(alone.ms("total") > 0 && alone.ms("frame") < 0, "what did not run took no time");
    require(alone.probabilities().empty(), "a regression has no probabilities");
    trml::Queue queue(rt, 2);
    const auto number = queue.submit(text);
    const auto done = queue.poll(std::chrono::milliseconds(-1));
    require(done && done->number == number, "an answer comes later, with its number");
    require(done->get().label() == alone.label(), "and is the one of infer");
    queue.cancel(queue.submit(both));
    require(!queue.poll(std::chrono::milliseconds(-1)), "what is cancelled never comes");
    const trml::Report report = trml::probe();
    require(report.checks.size() > 2 && report.checks[0].name == "library", "the library is here");
    std::cout << alone.json() << '\n' << report.json << '\n';
    watch(rt);
    try {
      rt.infer({});
      require(false, "nothing given is an error");
    } catch (const trml::Error& error) {
      require(error.status() == TRML_RT_USAGE && error.reason().empty(), "and a usage error");
    }
  } catch (const trml::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
