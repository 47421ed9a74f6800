// Trace context on the wire, who is sampled, what spans tell, and the bounded queue they end in.

#include "base/observe/span.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <set>
#include <thread>

#include "base/observe/span_queue.hpp"

namespace {
thread_local std::size_t allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* at = std::malloc(size)) return at;
  throw std::bad_alloc();
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t /*size*/) noexcept { std::free(at); }

namespace baton::observe {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kUnsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

TEST(TraceContext, ReadsAndWritesTheExampleOfTheStandard) {
  const auto read = parse_traceparent(kParent);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->trace_high, 0x4bf92f3577b34da6U);
  EXPECT_EQ(read->trace_low, 0xa3ce929d0e0e4736U);
  EXPECT_EQ(read->span, 0x00f067aa0ba902b7U);
  EXPECT_TRUE(read->sampled);
  EXPECT_EQ(to_traceparent(*read), kParent);
  EXPECT_FALSE(parse_traceparent(kUnsampled)->sampled);
}

TEST(TraceContext, TakesLaterVersionsAsFarAsTheFirstGoes) {
  const std::string later = "cc" + std::string(kParent.substr(2)) + "-what-the-future-brings";
  EXPECT_EQ(parse_traceparent(later), parse_traceparent(kParent));
  EXPECT_FALSE(parse_traceparent("cc" + std::string(kParent.substr(2)) + ".x"));
}

TEST(TraceContext, RefusesWhatTheStandardCallsInvalid) {
  for (const std::string_view text : {
           "",
           "00",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
           "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
       }) {
    EXPECT_FALSE(parse_traceparent(text)) << text;
  }
}

TEST(TraceContext, KeepsATracestateWithinItsBounds) {
  EXPECT_TRUE(is_tracestate("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
  EXPECT_TRUE(is_tracestate("a=1, ,b=2"));
  EXPECT_FALSE(is_tracestate(""));
  EXPECT_FALSE(is_tracestate("no-value"));
  EXPECT_FALSE(is_tracestate("=1"));
  EXPECT_FALSE(is_tracestate("a=\x01"));
  EXPECT_FALSE(is_tracestate("a=" + std::string(kMaxTracestate, 'x')));
  std::string many;
  for (std::size_t i = 0; i <= kMaxStates; ++i) many += "k=v,";
  EXPECT_FALSE(is_tracestate(many));
}

TEST(Sampling, FollowsTheParentWhateverTheRatio) {
  const TraceContext yes{1, 2, 3, true};
  const TraceContext no{1, 2, 3, false};
  EXPECT_TRUE((Sampler{0, true}.sample(7, &yes)));
  EXPECT_FALSE((Sampler{1, true}.sample(7, &no)));
  EXPECT_TRUE((Sampler{1, false}.sample(7, &no)));
  EXPECT_FALSE((Sampler{0, false}.sample(7, &yes)));
}

TEST(Sampling, TakesAShareOfTracesByTheirIds) {
  const Sampler quarter{.ratio = 0.25};
  EXPECT_TRUE(quarter.sample(0, nullptr));
  EXPECT_TRUE(quarter.sample((std::uint64_t{1} << 62) - 1, nullptr));
  EXPECT_FALSE(quarter.sample(std::uint64_t{1} << 62, nullptr));
  EXPECT_FALSE(quarter.sample(~std::uint64_t{0}, nullptr));
  EXPECT_TRUE((Sampler{.ratio = 1}.sample(~std::uint64_t{0}, nullptr)));
  EXPECT_FALSE((Sampler{.ratio = 0}.sample(0, nullptr)));
}

class SpanTest : public ::testing::Test {
 protected:
  std::vector<std::unique_ptr<SpanRecord>> ended() {
    std::vector<std::unique_ptr<SpanRecord>> out;
    while (auto span = queue.pop()) out.push_back(std::move(span));
    return out;
  }

  ManualClock clock;
  Counter dropped;
  SpanQueue queue{64, dropped};
  Tracer tracer{clock, queue, {}, 1};
};

TEST_F(SpanTest, TellsWhatHappenedWhenAndBelowWhom) {
  const Mono arrived = clock.now();
  clock.advance(Millis(5));
  {
    Span request = tracer.start("request", SpanKind::kServer, {kParent, "congo=1"}, arrived);
    request.set("tokens", 7U);
    request.set("tokens", 8U);
    request.set("model", "storyteller");
    request.set("share", 0.5);
    request.set("cached", true);
    Span leg = request.child("leg", SpanKind::kClient);
    clock.advance(Millis(10));
    leg.fail("the engine answered 503");
  }
  const auto spans = ended();
  ASSERT_EQ(spans.size(), 2U);
  const SpanRecord &leg = *spans[0], &request = *spans[1];
  EXPECT_EQ(request.name, "request");
  EXPECT_EQ(request.context.trace_low, parse_traceparent(kParent)->trace_low);
  EXPECT_EQ(request.parent, parse_traceparent(kParent)->span);
  EXPECT_EQ(request.trace_state, "congo=1");
  EXPECT_EQ(request.end - request.start, Millis(15));
  EXPECT_EQ(request.end, clock.wall());
  EXPECT_THAT(
      request.attributes,
      ElementsAre(Pair("tokens", SpanRecord::Value(std::int64_t{8})),
                  Pair("model", SpanRecord::Value(std::string("storyteller"))),
                  Pair("share", SpanRecord::Value(0.5)), Pair("cached", SpanRecord::Value(true))));
  EXPECT_FALSE(request.failed);
  EXPECT_EQ(leg.parent, request.context.span);
  EXPECT_EQ(leg.context.trace_high, request.context.trace_high);
  EXPECT_NE(leg.context.span, request.context.span);
  EXPECT_EQ(leg.end - leg.start, Millis(10));
  EXPECT_TRUE(leg.failed);
  EXPECT_EQ(leg.error, "the engine answered 503");
}

TEST_F(SpanTest, BeginsATraceOfItsOwnWithoutAValidParent) {
  std::set<std::uint64_t> traces;
  for (int i = 0; i < 10; ++i) {
    const Span span = tracer.start("root", SpanKind::kServer, {"nonsense", "a=1"}, clock.now());
    EXPECT_TRUE(span.context().valid());
    EXPECT_FALSE(span.keeps_tracestate());  // it belongs to no trace
    traces.insert(span.context().trace_low);
  }
  EXPECT_EQ(traces.size(), 10U);
  for (const auto& span : ended()) {
    EXPECT_EQ(span->parent, 0U);
    EXPECT_EQ(span->trace_state, "");
  }
}

TEST_F(SpanTest, CutsAttributesAtTheirBoundsAndCountsThoseBeyond) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < kMaxAttributes + 3; ++i) out.push_back("a" + std::to_string(i));
    return out;
  }();
  {
    Span span = tracer.start("s", SpanKind::kServer, {}, clock.now());
    span.set(names[0], std::string(kMaxAttributeText - 1, 'x') + "ä");
    for (const auto& name : names) {
      if (name != names[0]) span.set(name, 1);
    }
  }
  const auto spans = ended();
  EXPECT_EQ(spans[0]->attributes.size(), kMaxAttributes);
  EXPECT_EQ(spans[0]->dropped_attributes, 3U);
  EXPECT_EQ(std::get<std::string>(spans[0]->attributes[0].second).size(), kMaxAttributeText - 1);
}

TEST_F(SpanTest, AllocatesNothingWithoutATracerOrASample) {
  const std::size_t before = allocations;
  {
    Span off = start_span(nullptr, "request", {kParent, "a=1"}, clock.now());
    off.set("model", "storyteller");
    off.fail("why");
    const Span child = off.child("leg");
    EXPECT_FALSE(off || child || off.context().valid());

    Span unsampled = start_span(&tracer, "request", {kUnsampled, "a=1"}, clock.now());
    unsampled.set("model", "storyteller");
    const Span leg = unsampled.child("leg");
    EXPECT_FALSE(unsampled || leg);
    EXPECT_EQ(leg.context(), *parse_traceparent(kUnsampled));  // the next ones must know
    EXPECT_TRUE(leg.keeps_tracestate());
  }
  EXPECT_EQ(allocations, before);
  EXPECT_TRUE(ended().empty());
}

TEST_F(SpanTest, TellsTheNextOnesThatATraceOfItsOwnIsNotSampled) {
  Tracer never(clock, queue, {.ratio = 0}, 1);
  const Span span = never.start("root", SpanKind::kServer, {}, clock.now());
  EXPECT_TRUE(span.context().valid());
  EXPECT_FALSE(span.context().sampled);
}

TEST_F(SpanTest, EndsOnceEvenWhenMoved) {
  {
    Span one = tracer.start("one", SpanKind::kServer, {}, clock.now());
    Span same = std::move(one);
    one = tracer.start("two", SpanKind::kServer, {}, clock.now());
    same.end();
    same.end();
  }
  EXPECT_EQ(ended().size(), 2U);
}

TEST(SpanQueueTest, DropsAndCountsWhatDoesNotFit) {
  Counter dropped;
  SpanQueue queue(4, dropped);
  int woken = 0;
  queue.wake_at(3, [&] { ++woken; });
  for (int i = 0; i < 10; ++i) queue.push(std::make_unique<SpanRecord>());
  EXPECT_EQ(queue.size(), 4U);
  EXPECT_EQ(dropped.value(), 6);
  EXPECT_EQ(woken, 1);
  ASSERT_NE(queue.pop(), nullptr);
  queue.push(std::make_unique<SpanRecord>());
  EXPECT_EQ(dropped.value(), 6);
  for (int i = 0; i < 4; ++i) EXPECT_NE(queue.pop(), nullptr);
  EXPECT_EQ(queue.pop(), nullptr);
}

TEST(SpanQueueTest, LosesNothingBetweenThreadsThatItDoesNotCount) {
  constexpr int kThreads = 4, kEach = 5000;
  Counter dropped;
  SpanQueue queue(256, dropped);
  std::atomic<int> running = kThreads;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&queue, &running, t] {
      for (int i = 0; i < kEach; ++i) {
        auto span = std::make_unique<SpanRecord>();
        span->parent = static_cast<std::uint64_t>(t) * std::uint64_t{kEach} +
                       static_cast<std::uint64_t>(i) + 1;
        queue.push(std::move(span));
      }
      --running;
    });
  }
  std::set<std::uint64_t> seen;
  std::size_t popped = 0;
  for (;;) {
    const bool last = running == 0;
    while (auto span = queue.pop()) {
      ++popped;
      seen.insert(span->parent);
    }
    if (last) break;
    std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(seen.size(), popped);
  EXPECT_EQ(static_cast<double>(popped) + dropped.value(), kThreads * kEach);
}

}  // namespace
}  // namespace baton::observe
