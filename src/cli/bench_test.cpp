#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "base/async/finish_by.hpp"
#include "cli/bench_run.hpp"
#include "net/http/server.hpp"

namespace baton::cli {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(BenchReport, PercentilesInterpolateAsNumpyDoes) {
  const std::vector<double> values = {1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(percentile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(percentile(values, 0.9), 6.8);
  EXPECT_DOUBLE_EQ(percentile(values, 1), 8);
  EXPECT_DOUBLE_EQ(percentile({5}, 0.99), 5);
}

TEST(BenchReport, SpreadsNeedNoOrder) {
  const Spread s = spread({8, 1, 4, 2});
  EXPECT_EQ(s.count, 4u);
  EXPECT_DOUBLE_EQ(s.mean, 3.75);
  EXPECT_DOUBLE_EQ(s.p50, 3);
  EXPECT_EQ(spread({}).count, 0u);
}

Outcome good(int first, std::vector<int> gaps, std::size_t tokens) {
  Outcome out;
  out.failure.clear();
  out.first = Millis(first);
  out.last = Millis(first);
  for (const int gap : gaps) {
    out.gaps.emplace_back(Millis(gap));
    out.last += Millis(gap);
  }
  out.prompt = 10;
  out.completion = tokens;
  return out;
}

TEST(BenchReport, MeasuresAsVllmBenchDefines) {
  // The second answer's four tokens came in three chunks: its TPOT knows, its ITL does not.
  const Report r =
      summarize({good(100, {10, 30}, 3), good(200, {60, 60}, 4)}, std::chrono::seconds(2));
  EXPECT_EQ(r.completed, 2u);
  EXPECT_DOUBLE_EQ(r.ttft.mean, 150);
  EXPECT_DOUBLE_EQ(r.tpot.mean, 30);  // (40 / 2 + 120 / 3) / 2
  EXPECT_EQ(r.itl.count, 4u);
  EXPECT_DOUBLE_EQ(r.itl.mean, 40);
  EXPECT_DOUBLE_EQ(r.e2e.mean, 230);
  const auto json = report_json(r);
  EXPECT_DOUBLE_EQ(*json.find("output_tokens_per_second")->if_double(), 3.5);
  EXPECT_DOUBLE_EQ(*json.find("total_tokens_per_second")->if_double(), 13.5);
}

TEST(BenchReport, FailedRequestsCountOnlyAsFailures) {
  Outcome failed = good(9'000, {9'000}, 2);
  failed.failure = "HTTP 503";
  failed.detail = "no pod";
  const Report r = summarize({good(100, {10}, 2), failed, failed}, std::chrono::seconds(1));
  EXPECT_EQ(r.requests, 3u);
  EXPECT_EQ(r.completed, 1u);
  EXPECT_DOUBLE_EQ(r.ttft.p99, 100);
  EXPECT_THAT(r.failures, ElementsAre(Pair("HTTP 503", 2u)));
  EXPECT_THAT(report_text(r), HasSubstr("failed: 2 × HTTP 503 (no pod)"));
}

TEST(BenchReport, SumsWhatProofHeadersTell) {
  Outcome moved = good(1, {1}, 2), kept = good(1, {1}, 2), silent = good(1, {1}, 2);
  moved.prefilled = true;
  moved.remote = 90;
  moved.computed = 10;
  kept.cached = 64;
  kept.computed = 36;
  const Report r = summarize({moved, kept, silent}, std::chrono::seconds(1));
  EXPECT_THAT(report_text(r), HasSubstr("1 of 2 through a prefill pod; prompt tokens: 90 from "
                                        "remote KV, 64 from own cache, 46 computed"));
  EXPECT_TRUE(report_json(summarize({silent}, Nanos(1))).find("proof")->is_null());
}

TEST(BenchLoad, ArrivesAsAPoissonProcessOfTheRate) {
  const auto asks = synthetic_load({.count = 4'000, .rate = 5, .seed = 7});
  std::vector<double> gaps;
  for (std::size_t i = 1; i < asks.size(); ++i) {
    ASSERT_GE(asks[i].at, asks[i - 1].at);
    gaps.push_back(seconds(asks[i].at - asks[i - 1].at));
  }
  EXPECT_EQ(asks[0].at, Nanos(0));
  const Spread s = spread(gaps);
  EXPECT_THAT(s.mean, DoubleNear(0.2, 0.01));               // 1 / rate
  EXPECT_THAT(s.p50, DoubleNear(0.2 * std::log(2), 0.01));  // of the exponential distribution
  EXPECT_THAT(s.p90, DoubleNear(0.2 * std::log(10), 0.025));
}

TEST(BenchLoad, IsTheSameForTheSameSeedAndAllAtOnceWithoutARate) {
  const SyntheticLoad load{.count = 20, .rate = 5, .seed = 7};
  const auto a = synthetic_load(load), b = synthetic_load(load);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].at, b[i].at);
    EXPECT_EQ(a[i].prompt, b[i].prompt);
  }
  EXPECT_EQ(synthetic_load({.count = 3}).back().at, Nanos(0));
}

TEST(BenchLoad, PromptsAreFreshAfterTheSharedPrefix) {
  std::set<std::string> texts, prefixes;
  for (const std::uint64_t seed : {1, 2}) {
    for (const Ask& ask :
         synthetic_load({.count = 50, .input = 40, .shared_prefix = 10, .seed = seed})) {
      texts.insert(prompt_text(ask.prompt, {}));
      prefixes.insert(prompt_text({ask.prompt[0]}, {}));
    }
  }
  EXPECT_EQ(texts.size(), 100u);
  EXPECT_EQ(prefixes.size(), 2u);
}

TEST(BenchLoad, WritesAsManyWordsAsTheTokenizerNeeds) {
  const auto words = [](const std::string& text) { return std::ranges::count(text, ' ') + 1; };
  const std::vector<Segment> prompt = {{1, 30}, {2, 70}};
  EXPECT_EQ(words(prompt_text(prompt, {1, 0})), 100);
  EXPECT_EQ(words(prompt_text(prompt, {2, 10})), 45);  // 15 + (70 - 10) / 2
  EXPECT_EQ(words(prompt_text({{1, 5}}, {1, 10})), 1);
}

constexpr std::string_view kMooncake =
    R"({"timestamp": 1000, "input_length": 700, "output_length": 50, "hash_ids": [0, 1]}
{"timestamp": 1000, "input_length": 600, "output_length": 3, "hash_ids": [0, 2]}
{"timestamp": 4000, "input_length": 512, "output_length": 8, "hash_ids": [3]}
)";

TEST(BenchTrace, SpreadsMooncakesArrivalsInsideItsGrid) {
  const auto asks = trace_load(kMooncake, {.scale = 2, .length_scale = 0.5});
  ASSERT_TRUE(asks) << asks.error().message();
  ASSERT_EQ(asks->size(), 3u);
  EXPECT_EQ((*asks)[0].at, Nanos(0));
  EXPECT_GT((*asks)[1].at, Nanos(0));
  EXPECT_LE((*asks)[2].at, Millis(1500));
  EXPECT_LT((*asks)[1].at, (*asks)[2].at);
  EXPECT_EQ((*asks)[0].output, 25u);
  EXPECT_EQ((*asks)[0].prompt[0].tokens, 256u);
  EXPECT_EQ((*asks)[0].prompt[1].tokens, 94u);
}

TEST(BenchTrace, EqualHashIdsAreEqualText) {
  const auto asks = trace_load(kMooncake, {});
  ASSERT_TRUE(asks) << asks.error().message();
  EXPECT_EQ((*asks)[0].prompt[0], (*asks)[1].prompt[0]);
  EXPECT_NE((*asks)[0].prompt[1], (*asks)[1].prompt[1]);
}

TEST(BenchTrace, ReplaysAzuresCsv) {
  const auto asks = trace_load(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 23:59:59.5000000,4808,10\r\n2023-11-17 00:00:01.0000000,34,0\r\n",
      {});
  ASSERT_TRUE(asks) << asks.error().message();
  EXPECT_THAT(millis((*asks)[1].at), DoubleNear(1500, 0.01));
  EXPECT_EQ((*asks)[0].prompt[0].tokens, 4808u);
  EXPECT_EQ((*asks)[1].output, 1u);  // nothing cannot be measured
}

TEST(BenchTrace, TakesOnlyAsManyRequestsAsAskedFor) {
  const auto asks = trace_load(std::string(kMooncake) + "broken", {.count = 2});
  ASSERT_TRUE(asks);
  EXPECT_EQ(asks->size(), 2u);
}

TEST(BenchTrace, NamesTheLineThatIsWrong) {
  const auto error = [](std::string_view text) {
    const auto asks = trace_load(text, {});
    return asks ? "" : asks.error().message();
  };
  const std::string csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  EXPECT_THAT(error(std::string(kMooncake) + "{\"timestamp\": 1}"), HasSubstr("line 4: "));
  EXPECT_THAT(error(csv + "2023-11-16 18:17:03.9,x,10\n"), HasSubstr("line 2: expected YYYY"));
  EXPECT_THAT(error(csv + "2023-02-30 18:17:03.9,1,10\n"), HasSubstr("line 2: expected YYYY"));
  EXPECT_THAT(error(csv + "2023-02-20 18:17:03,1,10\n2023-02-20 18:17:01,1,10\n"),
              HasSubstr("line 3: earlier"));
  EXPECT_THAT(error("{\"timestamp\":0,\"input_length\":600,\"output_length\":1,\"hash_ids\":[4]}"),
              HasSubstr("do not cover 600 tokens"));
  EXPECT_THAT(error("hello"), HasSubstr("expected JSON lines"));
  EXPECT_THAT(error(csv), HasSubstr("no requests"));
}

// Answers as an engine does, two tokens a word and five around. Every third request that counts is
// refused, every fifth is cut short.
class FakeEngine {
 public:
  FakeEngine() : loop_("fake"), server_(loop_, clock_, {}, [this](auto& e) { return handle(e); }) {
    loop_.start();
    at_ = *server_.listen({"127.0.0.1", 0});
  }

  BenchTarget target(BenchEndpoint endpoint) const {
    return {.server = {at_, "/v1"}, .api_key = "k", .endpoint = endpoint};
  }
  std::atomic<bool> faulty = false;
  std::atomic<int> most = 0;

 private:
  Task<void> handle(http::Exchange& exchange) {
    auto body = co_await exchange.read_body(1 << 20);
    if (exchange.head().path() == "/v1/models") {
      (void)co_await exchange.respond({200, {}}, R"({"data":[{"id":"m"}]})");
      co_return;
    }
    const auto asked = text::json::parse(*body);
    const auto tokens = *asked->find("max_tokens")->if_uint();
    const bool counts = tokens > 1;
    const int number = counts ? ++asked_ : 1;
    if (faulty && number % 3 == 0) {
      (void)co_await exchange.respond({503, {{"x-baton-error-hop", "decode"}}},
                                      R"({"error":{"message":"full"}})");
      co_return;
    }
    most = std::max(most.load(), ++open_);
    (void)co_await stream(exchange, *asked, faulty && number % 5 == 0 ? tokens - 1 : tokens);
    --open_;
  }

  static std::string prompt_of(const text::json::Value& asked) {
    const auto* messages = asked.find("messages");
    if (messages == nullptr) return std::string(asked.string_at({"prompt"}));
    return std::string((*messages->if_array())[0].string_at({"content"}));
  }

  Task<Status> stream(http::Exchange& exchange, const text::json::Value& asked,
                      std::uint64_t tokens) {
    const std::string prompt = prompt_of(asked);
    const auto in = 2 * (std::ranges::count(prompt, ' ') + 1) + 5;
    http::ResponseHead head{200, {{"x-baton-prefill", "p-0 1.2.3.4:8000"}}};
    head.headers.add("x-baton-remote-tokens", std::to_string(in - 1));
    head.headers.add("x-baton-computed-tokens", "1");
    BATON_CO_TRY(co_await exchange.start(head));
    if (asked.find("messages") != nullptr) {
      BATON_CO_TRY(co_await exchange.write(
          "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"));
    }
    for (std::uint64_t i = 0; i < tokens; ++i) {
      co_await async::sleep_until(clock_.now() + Millis(2));
      BATON_CO_TRY(co_await exchange.write(
          "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"text\":\"x\"}]}\n\n"));
    }
    const std::string usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" + std::to_string(in) +
        ",\"completion_tokens\":" + std::to_string(tokens) + "}}\n\n";
    BATON_CO_TRY(co_await exchange.write(usage));
    BATON_CO_TRY(co_await exchange.write("data: [DONE]\n\n"));
    co_return co_await exchange.finish();
  }

  SystemClock clock_;
  std::atomic<int> asked_ = 0, open_ = 0;
  async::Loop loop_;
  http::Server server_;
  http::Endpoint at_;
};

TEST(BenchRun, MeasuresAServerThatAnswersWell) {
  for (const auto endpoint : {BenchEndpoint::kCompletions, BenchEndpoint::kChat}) {
    FakeEngine engine;
    const SystemClock clock;
    const auto asks = synthetic_load({.count = 12, .input = 105, .output = 4});
    std::vector<std::size_t> told;
    const auto run = send_load(engine.target(endpoint), asks, 3, clock,
                               [&](std::size_t requests) { told.push_back(requests); });
    ASSERT_TRUE(run) << run.error().message();
    EXPECT_THAT(told, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    EXPECT_DOUBLE_EQ(run->cost.tokens_per_word, 2);
    EXPECT_DOUBLE_EQ(run->cost.around, 5);
    const Report r = summarize(run->outcomes, run->took);
    EXPECT_EQ(r.completed, 12u);
    EXPECT_EQ(r.prompt_tokens, 12u * 105);
    EXPECT_EQ(r.output_tokens, 48u);
    EXPECT_EQ(r.itl.count, 36u);  // the chunk with the role is no answer
    EXPECT_GE(r.ttft.p50, 2);
    EXPECT_EQ(r.prefilled, 12u);
    EXPECT_EQ(r.remote, 12u * 104);
    EXPECT_LE(engine.most, 3);
  }
}

TEST(BenchRun, CountsAnswersThatAreNotAsAskedApart) {
  FakeEngine engine;
  engine.faulty = true;
  const SystemClock clock;
  const auto asks = synthetic_load({.count = 15, .input = 20, .output = 4});
  const auto run = send_load(engine.target(BenchEndpoint::kCompletions), asks, 1, clock);
  ASSERT_TRUE(run) << run.error().message();
  const Report r = summarize(run->outcomes, run->took);
  EXPECT_EQ(r.completed, 8u);
  EXPECT_THAT(r.failures, ElementsAre(Pair("HTTP 503", 5u), Pair("wrong length", 2u)));
  EXPECT_THAT(r.details.at("HTTP 503"), HasSubstr("full (at decode)"));
  EXPECT_THAT(r.details.at("wrong length"), HasSubstr("3 tokens, asked for 4"));
}

TEST(BenchRun, KeepsToTheSchedule) {
  FakeEngine engine;
  const SystemClock clock;
  auto asks = synthetic_load({.count = 3, .input = 20, .output = 2});
  asks[2].at = Millis(80);
  const auto run = send_load(engine.target(BenchEndpoint::kChat), asks, 3, clock);
  ASSERT_TRUE(run) << run.error().message();
  EXPECT_GE(run->took, Millis(84));
}

TEST(BenchRun, SaysThatNobodyIsThere) {
  const SystemClock clock;
  BenchTarget target{.server = {{"127.0.0.1", 1}, "/v1"}, .api_key = ""};
  const auto run = send_load(target, synthetic_load({.count = 1}), 1, clock);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code(), Code::kUnavailable);
}

TEST(BenchRun, SaysThatTheFirstRequestFailed) {
  const SystemClock clock;
  BenchTarget target{.server = {{"127.0.0.1", 1}, "/v1"}, .api_key = "", .model = "m"};
  const auto run = send_load(target, synthetic_load({.count = 1}), 1, clock);
  ASSERT_FALSE(run);
  EXPECT_THAT(run.error().message(), HasSubstr("a first short request: refused"));
}

}  // namespace
}  // namespace baton::cli
