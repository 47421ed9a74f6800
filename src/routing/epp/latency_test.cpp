// Predicted latency from a request's headers to what its answer teaches.

#include "routing/epp/testing/ext_proc_fixture.hpp"
#include "routing/epp/testing/scripted_predictor.hpp"
#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using schedule::Latencies;
using testing::Answer;
using testing::EppServerTest;
using testing::ExtProcTest;
using ::testing::HasSubstr;
using testing::kCompletion;
using ::testing::StartsWith;

constexpr std::string_view kHead = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
)";
std::string producer(std::string_view parameters, std::string_view more = "") {
  return std::string(kHead) + "plugins: [{type: latency-scorer}, {type: max-score-picker}, " +
         "{type: predicted-latency-producer, parameters: {" + std::string(parameters) + "}}" +
         std::string(more) + "]\n";
}

// The machine of a stream, with predictions by hand.
class Foretold : public ExtProcTest {
 protected:
  ~Foretold() override { stream_.reset(); }
  void foretell(const std::string& config, const std::vector<testing::Pod>& pods) {
    stream_.reset();
    book_.reset();
    picker_ = std::make_unique<testing::Picker>(clock_, registry_, config);
    ASSERT_FALSE(picker_->pool.broken()) << picker_->pool.broken()->message();
    picker_->serve(pods);
    book_.emplace(LatencyBook::Deps{picker_->pool, clock_, slos_, latency_metrics_, samples_});
    desk_.emplace(Desk::Deps{picker_->pool, picker_->metrics, clock_, picker_->rules, picker_->gate,
                             picker_->recorder, nullptr, &*book_},
                  Desk::Config{}, 1);
    begin_foretold();
  }
  void begin_foretold() {
    stream_.reset();
    stream_ = std::make_unique<ExtProc>(*desk_);
  }
  static testing::Fields asking(std::string ttft, std::string tpot, bool old = false) {
    auto fields = head();
    const std::string prefix = old ? "x-slo-" : "x-llm-d-slo-";
    fields.emplace_back(prefix + "ttft-ms", std::move(ttft));
    fields.emplace_back(prefix + "tpot-ms", std::move(tpot));
    return fields;
  }
  std::vector<Answer> predicted(const std::optional<std::vector<Latencies>>& made) {
    std::vector<Reply> replies;
    stream_->predicted(made, replies);
    return read(replies);
  }
  void answer_in(Millis first, Millis rest) {
    clock_.advance(first);
    send(testing::headers(Side::kResponse,
                          {{":status", "200"}, {"content-type", "text/event-stream"}}));
    send(testing::body(Side::kResponse, "data: {}\n\n", false));
    clock_.advance(rest);
    send(testing::body(Side::kResponse,
                       "data: {\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":5}}\n\n",
                       true));
  }

  TpotSlos slos_;
  LatencyMetrics latency_metrics_{registry_, "predicted-latency-producer"};
  Samples samples_{100, 1};
  std::optional<LatencyBook> book_;
  std::optional<Desk> desk_;
};

const std::vector<testing::Pod> kBusy = {{"a", "10.0.0.1", 1, 0.5F}, {"b", "10.0.0.2", 2, 0.6F}};

TEST_F(Foretold, ThePodThatIsPredictedToMeetTheClientsTimesIsChosen) {  // epp:K021
  for (const bool old : {false, true}) {
    foretell(producer("streamingMode: true"), kBusy);
    EXPECT_TRUE(ask(kCompletion, asking("100", "20", old)).empty());
    ASSERT_EQ(stream_->rows().size(), 2);
    EXPECT_EQ(stream_->rows()[0].waiting, 1);
    EXPECT_EQ(stream_->rows()[1].prompt_tokens, 4);
    EXPECT_EQ(destination(predicted({{{.ttft_ms = 150, .tpot_ms = 10}, {90, 10}}})),
              "10.0.0.2:8000");
    const auto record = text::json::dump(*picker_->recorder.find("r1"));
    EXPECT_THAT(record, HasSubstr("\"ttftHeadroomMs\":-50.0"));
    EXPECT_THAT(record, HasSubstr("\"ttftHeadroomMs\":10.0"));
  }
}

TEST_F(Foretold, WithoutPredictionsARequestGoesByLoad) {  // epp:K021
  foretell(producer(""), kBusy);
  ask(kCompletion, asking("100", "20"));
  EXPECT_EQ(destination(predicted(std::nullopt)), "10.0.0.1:8000");
}

TEST_F(Foretold, APodThatCameAfterThePredictionsHasNone) {
  foretell(producer(""), kBusy);
  ask(kCompletion, asking("100", "20"));
  picker_->serve({{"c", "10.0.0.3", 9, 0.9F}});
  EXPECT_EQ(destination(predicted({{{.ttft_ms = 150, .tpot_ms = 10}, {90, 10}}})), "10.0.0.3:8000");
}

TEST_F(Foretold, AStreamTeachesItsFirstTokenAndTheFurtherOnes) {  // epp:K021
  foretell(producer("streamingMode: true"), kBusy);
  ask(kCompletion, asking("100", "20"));
  predicted({{{.ttft_ms = 50, .tpot_ms = 10}, {90, 10}}});
  EXPECT_EQ(slos_.least(0) + slos_.least(1), 20) << "it counts while it runs";
  answer_in(Millis(120), Millis(80));
  const auto taken = samples_.take().kept;
  ASSERT_EQ(taken.size(), 2);
  EXPECT_EQ(taken[0].took, (Latencies{.ttft_ms = 120, .tpot_ms = 0}));
  EXPECT_EQ(taken[1].took, (Latencies{.ttft_ms = 0, .tpot_ms = 20}));
  EXPECT_EQ(taken[0].row.prompt_tokens, 4);
  begin_foretold();
  EXPECT_EQ(slos_.least(0) + slos_.least(1), 0);
  const auto labels = std::string(
      "{plugin_name=\"predicted-latency-producer\",plugin_type=\"predicted-latency-producer\","
      "model_name=\"m\",target_model_name=\"m\"");
  EXPECT_EQ(metric("llm_d_epp_request_slo_violation_total" + labels + ",type=\"ttft\"}"), 1);
  EXPECT_EQ(metric("llm_d_epp_request_predicted_ttft_seconds_count" + labels + "}"), 1);
  EXPECT_EQ(metric("llm_d_epp_inference_request_metric" + labels + ",type=\"tpot\"}"), 0.02);
  EXPECT_EQ(metric("llm_d_epp_inference_request_metric" + labels + ",type=\"tpot_slo_violation\"}"),
            0);
}

TEST_F(Foretold, WithoutStreamingTheWholeAnswerCountsAsItsFirstToken) {
  foretell(producer("predictInProduce: false"), kBusy);
  EXPECT_EQ(destination(ask(kCompletion)), "10.0.0.1:8000") << "nothing is predicted";
  answer_in(Millis(120), Millis(80));
  const auto taken = samples_.take().kept;
  ASSERT_EQ(taken.size(), 1);
  EXPECT_EQ(taken[0].took, (Latencies{.ttft_ms = 200, .tpot_ms = 0}));
}

TEST_F(Foretold, AFailedAnswerAndOneThatBreaksTeachNothing) {
  foretell(producer("predictInProduce: false"), kBusy);
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "500"}}));
  send(testing::body(Side::kResponse, "{}", true));
  begin_foretold();
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  begin_foretold();
  EXPECT_TRUE(samples_.take().kept.empty());
}

TEST_F(Foretold, TimesBelowZeroAreNotAskedFor) {  // epp:K021
  foretell(producer("streamingMode: true", ", {type: latency-slo-admitter}"), kBusy);
  ask(kCompletion, asking("-1", "-1"));
  predicted({{{.ttft_ms = 50, .tpot_ms = 10}, {90, 10}}});
  EXPECT_EQ(slos_.least(0) + slos_.least(1), 0);
}

TEST_F(Foretold, WhatNobodyIsFastEnoughForIsRefusedWhenItMayBeShed) {  // epp:F019
  foretell(producer("", ", {type: latency-slo-admitter}"), kBusy);
  const auto endpoints = picker_->pool.snapshot().endpoints;
  for (const auto& endpoint : *endpoints) {
    watch::Scraped busy;
    busy.waiting = 0;
    busy.running = 1;
    busy.kv_usage = 0.5F;
    picker_->pool.loaded(endpoint, busy, clock_.now());
  }
  picker_->rules.set_objectives({*text::json::parse(
      R"({"metadata":{"name":"low"},"spec":{"poolRef":{"name":"pool"},"priority":-1}})")});
  auto fields = asking("100", "20");
  ask(kCompletion, fields);
  EXPECT_EQ(predicted({{{.ttft_ms = 150, .tpot_ms = 10}, {150, 10}}}).size(), 2U);
  begin_foretold();
  fields.emplace_back("x-llm-d-inference-objective", "low");
  ask(kCompletion, fields);
  const auto refused = predicted({{{.ttft_ms = 150, .tpot_ms = 10}, {150, 10}}});
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].status, 500);
  EXPECT_THAT(refused[0].text, StartsWith("inference error: Internal - request cannot be admitted: "
                                          "no valid endpoint available"));
}

TEST_F(EppServerTest, ThePredictorsServersAreAskedAndTaught) {  // epp:K021
  testing::ScriptedPredictor servers(testing::kClock);
  service_.picker = producer("streamingMode: true");
  config_.predictor = servers.config();
  start();
  server_->update(testing::one_endpoint());
  const auto answers = async::blocking_run(
      loop_, testing::talk(client(bound_.ext_proc, true),
                           {testing::headers(Side::kRequest, {{":path", "/v1/completions"}}),
                            testing::body(Side::kRequest, kCompletion, true),
                            testing::headers(Side::kResponse, {{":status", "200"}}),
                            testing::body(Side::kResponse, "{}", true)},
                           4));
  ASSERT_TRUE(answers) << answers.error().message();
  ASSERT_EQ(answers->size(), 4U);
  ASSERT_EQ(servers.predictions().size(), 1U);
  EXPECT_TRUE(tells("baton_epp_latency_samples_sent_total 1"));
  ASSERT_EQ(servers.entries().size(), 1U);
  EXPECT_GE(servers.entries()[0].find("actual_ttft_ms")->if_double().value_or(-1), 0);
}

}  // namespace
}  // namespace baton::epp
