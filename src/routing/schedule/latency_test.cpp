#include "routing/schedule/latency.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::load;

const Mono kNow = ManualClock().now();
const LatencyRow kRow = {.kv_usage = 0.25,
                         .prompt_tokens = 100,
                         .waiting = 2,
                         .in_flight = 3,
                         .prefix_share = 0.5,
                         .prefill_tokens = 7,
                         .pod_type = ""};

TEST(Latency, TheBodiesAreThoseOfThePredictor) {
  PredictionBody body;
  body.add(kRow);
  auto prefill = kRow;
  prefill.pod_type = "prefill";
  body.add(prefill);
  EXPECT_EQ(body.rows(), 2);
  EXPECT_EQ(body.finish(),
            R"({"requests":[{"kv_cache_percentage":0.25,"input_token_length":100,)"
            R"("num_request_waiting":2,"num_request_running":3,"num_tokens_generated":1,)"
            R"("prefix_cache_score":0.5,"encoder_input_size":0,"encoder_matched_size":0,)"
            R"("prefill_tokens_in_flight":7,"decode_tokens_in_flight":0},)"
            R"({"kv_cache_percentage":0.25,"input_token_length":100,"num_request_waiting":2,)"
            R"("num_request_running":3,"num_tokens_generated":1,"prefix_cache_score":0.5,)"
            R"("encoder_input_size":0,"encoder_matched_size":0,"pod_type":"prefill",)"
            R"("prefill_tokens_in_flight":7,"decode_tokens_in_flight":0}]})");
  EXPECT_EQ(body.finish(), R"({"requests":[]})");
  const LatencySample sample = {
      .row = kRow, .took = {.ttft_ms = 12.5, .tpot_ms = 0}, .at = Wall(Millis(1'700'000'000'123))};
  EXPECT_EQ(training_body(std::array{sample}),
            R"({"entries":[{"kv_cache_percentage":0.25,"input_token_length":100,)"
            R"("num_request_waiting":2,"num_request_running":3,"num_tokens_generated":0,)"
            R"("prefix_cache_score":0.5,"encoder_input_size":0,"encoder_matched_size":0,)"
            R"("prefill_tokens_in_flight":7,"decode_tokens_in_flight":0,"actual_ttft_ms":12.5,)"
            R"("actual_tpot_ms":0,"timestamp":"2023-11-14T22:13:20.123Z"}]})");
}

TEST(Latency, AnAnswerHasANumberForEveryRow) {
  const auto made =
      read_predictions(R"({"predictions":[{"ttft_ms":1.5,"tpot_ms":2,"model_type":"xgboost"},)"
                       R"({"ttft_ms":3,"tpot_ms":4}],"total_requests":2})",
                       2);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_THAT(*made, ElementsAre(Latencies{1.5, 2}, Latencies{3, 4}));
  for (const auto* wrong :
       {"", "[]", R"({"predictions":[]})", R"({"predictions":[{"ttft_ms":1}]})",
        R"({"predictions":[{"ttft_ms":1,"tpot_ms":"2"}]})", R"({"predictions":[null]})",
        R"({"predictions":[{"ttft_ms":1,"tpot_ms":1},{"ttft_ms":1,"tpot_ms":1}]})"}) {
    EXPECT_FALSE(read_predictions(wrong, 1)) << wrong;
  }
}

TEST(Latency, RowsTellWhatARequestFinds) {
  auto snapshot = testing::snapshot({{"a", "decode", load(2, 5, 1.5F, kNow)}, {"b"}});
  snapshot.reservations->add(0, 3);
  snapshot.reservations->add_tokens(0, 40);
  const std::array<std::uint32_t, 2> matched = {3, 0};
  const Request request = {.prompt_bytes = 400, .prompt_blocks = 4, .matched = matched};
  const auto rows = latency_rows(request, snapshot, {.role_label = std::string(kRoleLabel)});
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0], (LatencyRow{.kv_usage = 1,
                                 .prompt_tokens = 100,
                                 .waiting = 2,
                                 .in_flight = 3,
                                 .prefix_share = 0.75,
                                 .prefill_tokens = 40,
                                 .pod_type = "decode"}));
  EXPECT_EQ(rows[1], (LatencyRow{.prompt_tokens = 100, .pod_type = ""}));
}

TEST(Latency, HeadroomIsWhatIsAskedForLessWhatIsPredicted) {  // epp:K021
  const Latencies made = {.ttft_ms = 300, .tpot_ms = 40};
  const LatencyParameters streaming = {.slo_buffer = 0.9, .streaming = true, .role_label = ""};
  const auto fits = judge(made, kRow, {.ttft_ms = 500, .tpot_ms = 50}, 0, false, streaming);
  EXPECT_EQ(fits.ttft_headroom, 200);
  EXPECT_EQ(fits.tpot_headroom, 5);
  EXPECT_TRUE(fits.known && fits.meets);
  EXPECT_FALSE(fits.idle);
  // The hardest of the requests that run there counts, too.
  const auto shared = judge(made, kRow, {.ttft_ms = 500, .tpot_ms = 50}, 40, false, streaming);
  EXPECT_EQ(shared.tpot_headroom, -4);
  EXPECT_FALSE(shared.meets);
  // Who prefills makes no further tokens, and without streaming nobody knows their time.
  EXPECT_EQ(judge(made, kRow, {.ttft_ms = 500, .tpot_ms = 10}, 0, true, streaming).tpot_headroom,
            0);
  EXPECT_TRUE(judge(made, kRow, {.ttft_ms = 500, .tpot_ms = 10}, 0, false, {}).meets);
  // Nothing asked for: below, by what it takes.
  const auto free = judge(made, {}, {}, 0, false, {});
  EXPECT_EQ(free.ttft_headroom, -300);
  EXPECT_TRUE(free.idle);
}

TEST(Latency, OnlyWhatNobodyCanDoIsTurnedAway) {  // epp:F019
  const auto slow = judge({.ttft_ms = 300}, kRow, {.ttft_ms = 100}, 0, false, {});
  std::array<Prediction, 2> predictions = {slow, slow};
  auto snapshot =
      testing::snapshot({{"a", "", load(0, 1, 0.5F, kNow)}, {"b", "", load(0, 1, 0.5F, kNow)}});
  Request request = {.predictions = predictions, .priority = -1};
  const Slo slo = {.ttft_ms = 100};
  EXPECT_FALSE(admits(slo, request, snapshot));
  EXPECT_FALSE(admits({.tpot_ms = 1}, request, snapshot));
  EXPECT_TRUE(admits({}, request, snapshot)) << "nothing is asked for";
  request.priority = 0;
  EXPECT_TRUE(admits(slo, request, snapshot));
  request.priority = -1;
  predictions[1].meets = true;
  EXPECT_TRUE(admits(slo, request, snapshot));
  predictions[1].meets = false;
  snapshot.loads[1].running = 0;
  EXPECT_TRUE(admits(slo, request, snapshot)) << "one is idle";
  snapshot.loads[1] = load(0, 1, 0.019F, kNow);
  EXPECT_TRUE(admits(slo, request, snapshot)) << "one is cold";
  snapshot.loads[1] = load(0, 1, 0.02F, kNow);
  EXPECT_FALSE(admits(slo, request, snapshot));
  request.predictions = {};
  EXPECT_TRUE(admits(slo, request, snapshot)) << "nothing is predicted";
}

}  // namespace
}  // namespace baton::schedule
