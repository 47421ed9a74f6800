#include "routing/epp/ext_proc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "routing/epp/testing/envoy.hpp"

namespace baton::epp {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using testing::Extra;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Kind = testing::Answer::Kind;

constexpr std::string_view kDefault = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]}
)";
constexpr std::string_view kPd = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: pd-profile-handler, parameters: {threshold: 100}}
- {type: prefill-header-handler}
- {type: prefill-filter}
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: load-aware-scorer}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: load-aware-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]}
)";

constexpr std::string_view kCompletion = R"({"model":"m","prompt":"once upon a time"})";

watch::Service service(std::string_view picker) {
  watch::Service made;
  made.ns = "llm";
  made.name = "pool";
  made.picker = picker;
  made.picker_source = "test";
  return made;
}

struct Pod {
  std::string name, host;
  float queue = 0, kv = 0;
  std::string role = {};
};

const std::vector<Pod> kThree = {
    {"a", "10.0.0.1", 3, 0.2F}, {"b", "10.0.0.2", 0, 0.1F}, {"c", "10.0.0.3", 10, 0.2F}};
const std::vector<Pod> kSplit = {{"d", "10.0.0.1", 0, 0, "decode"},
                                 {"p", "10.0.0.9", 0, 0, "prefill"}};

// A picker, and one stream to it at a time.
class ExtProcTest : public ::testing::Test {
 protected:
  void serve(const std::vector<Pod>& pods, std::string_view picker = kDefault,
             Desk::Config config = {}) {
    stream_.reset();
    desk_.reset();
    pool_ = std::make_unique<SharedPool>(service(picker));
    ASSERT_FALSE(pool_->broken()) << pool_->broken()->message();
    std::vector<schedule::Endpoint> endpoints;
    for (const auto& pod : pods) {
      schedule::Endpoint e;
      e.ns = "llm";
      e.name = pod.name;
      e.host = pod.host;
      e.port = 8000;
      if (!pod.role.empty()) e.labels.emplace(schedule::kRoleLabel, pod.role);
      endpoints.push_back(std::move(e));
    }
    pool_->update(endpoints);
    const auto snapshot = pool_->snapshot();
    for (std::size_t i = 0; i < pods.size(); ++i) {
      watch::Scraped scraped;
      scraped.waiting = pods[i].queue;
      scraped.running = 0;
      scraped.kv_usage = pods[i].kv;
      pool_->loaded((*snapshot.endpoints)[i], scraped, clock_.now());
    }
    desk_ = std::make_unique<Desk>(Desk::Deps{*pool_, metrics_, clock_}, config, 1);
    begin();
  }
  void begin() {
    stream_.reset();
    stream_ = std::make_unique<ExtProc>(*desk_);
  }
  std::vector<Answer> send(const std::string& message) {
    std::vector<Reply> replies;
    const auto next = stream_->on_message(message, replies);
    EXPECT_TRUE(next) << next.error().message();
    ended_ = next && *next == ExtProc::Next::kEnd;
    std::vector<Answer> out;
    for (const auto& reply : replies) {
      out.push_back(testing::read_answer(reply.head + std::string(reply.body)));
    }
    return out;
  }
  static testing::Fields head(std::string path = "/v1/completions") {
    return {{":method", "POST"}, {":path", std::move(path)}, {"x-request-id", "r1"}};
  }
  // A whole request as Envoy sends it; the answers to its last message.
  std::vector<Answer> ask(std::string_view body, testing::Fields fields = head(),
                          const Extra& extra = {}) {
    EXPECT_THAT(send(testing::headers(Side::kRequest, fields)), IsEmpty());
    return send(testing::body(Side::kRequest, body, true, extra));
  }
  static std::string text_of(const std::vector<Answer>& answers, Kind kind) {
    std::string out;
    for (const auto& a : answers) {
      if (a.kind == kind) out += a.streamed.value_or("");
    }
    return out;
  }
  double metric(const std::string& line) const {
    const auto text = registry_.expose();
    const auto at = text.find("\n" + line + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }
  static std::string series(std::string_view name, std::string_view model = "m",
                            std::string_view target = "m") {
    return "llm_d_epp_" + std::string(name) + "{model_name=\"" + std::string(model) +
           "\",target_model_name=\"" + std::string(target) +
           "\",fairness_id=\"default-flow\",priority=\"0\"}";
  }
  static std::string destination(const std::vector<Answer>& answers) {
    return answers.empty() ? "" : answers[0].header(std::string(kDestination)).value_or("");
  }

  ManualClock clock_;
  observe::Registry registry_;
  Metrics metrics_{registry_};
  std::unique_ptr<SharedPool> pool_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<ExtProc> stream_;
  bool ended_ = false;
};

TEST_F(ExtProcTest, SendsARequestToTheLeastLoadedPodInHeaderAndMetadata) {
  serve(kThree);
  const auto answers = ask(kCompletion);
  ASSERT_EQ(answers.size(), 2);
  EXPECT_EQ(answers[0].kind, Kind::kRequestHeaders);
  EXPECT_TRUE(answers[0].clear_route_cache);
  EXPECT_EQ(destination(answers), "10.0.0.2:8000");
  EXPECT_EQ(answers[0].header("content-length"), std::to_string(kCompletion.size()));
  EXPECT_EQ(answers[0].metadata, [] {
    std::string lb;
    proto::Writer(lb).message(1, [](proto::Writer& field) {
      field.bytes(1, "envoy.lb");
      field.message(2, [](proto::Writer& value) {
        value.message(5, [](proto::Writer& fields) {
          fields.message(1, [](proto::Writer& entry) {
            entry.bytes(1, kDestination);
            entry.message(2, [](proto::Writer& text) { text.bytes(3, "10.0.0.2:8000"); });
          });
        });
      });
    });
    return lb;
  }());
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), kCompletion);  // epp:X030
  EXPECT_TRUE(answers[1].end_of_stream);
}

TEST_F(ExtProcTest, RoutesThoughEveryPodIsBusy) {  // epp:X003
  serve({{"a", "10.0.0.1", 200, 0.97F}, {"b", "10.0.0.2", 100, 0.95F}});
  EXPECT_EQ(destination(ask(kCompletion)), "10.0.0.2:8000");
}

TEST_F(ExtProcTest, AnswersABodyThatCameInPiecesOnlyWhenItIsWhole) {  // epp:X004
  serve(kThree);
  send(testing::headers(Side::kRequest, head()));
  EXPECT_THAT(send(testing::body(Side::kRequest, kCompletion.substr(0, 29), false)), IsEmpty());
  const auto answers = send(testing::body(Side::kRequest, kCompletion.substr(29), true));
  ASSERT_EQ(answers.size(), 2);
  EXPECT_EQ(answers[0].kind, Kind::kRequestHeaders);
  EXPECT_EQ(answers[1].kind, Kind::kRequestBody);
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), kCompletion);
}

TEST_F(ExtProcTest, ARequestWithoutABodyGoesToAnyPod) {  // epp:X005
  serve({{"a", "10.0.0.1"}});
  const auto answers =
      send(testing::headers(Side::kRequest, {{":method", "GET"}, {":path", "/v1/models"}}, true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].kind, Kind::kRequestHeaders);
  EXPECT_EQ(destination(answers), "10.0.0.1:8000");
  EXPECT_THAT(answers[0].metadata, HasSubstr("10.0.0.1:8000"));
}

TEST_F(ExtProcTest, ARequestWithoutABodyAndWithoutPodsIsAnError) {  // epp:X006
  serve({});
  const auto answers = send(testing::headers(Side::kRequest, head(), true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 500);
  EXPECT_EQ(answers[0].text, "inference error: Internal - no pods available in datastore");
}

TEST_F(ExtProcTest, ARequestWithoutPodsIsUnavailable) {  // epp:X007
  serve({});
  const auto answers = ask(kCompletion);
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 503);
  EXPECT_EQ(answers[0].text,
            "inference error: ServiceUnavailable - failed to find endpoint candidates for serving "
            "the request");
  EXPECT_EQ(answers[0].header("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
  EXPECT_EQ(metric("inference_objective_request_error_total{model_name=\"\",target_model_name=\"\","
                   "error_code=\"ServiceUnavailable\"}"),
            1);
}

TEST_F(ExtProcTest, ABodyThatIsNoJsonIsRefused) {  // epp:X008
  serve(kThree);
  const auto answers = ask("no healthy upstream");
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 400);
  EXPECT_THAT(answers[0].text,
              StartsWith("inference error: BadRequest - error unmarshaling request bodyMap"));
}

TEST_F(ExtProcTest, ABodyWithoutAModelIsRefused) {  // epp:X009
  serve(kThree);
  const auto answers = ask(R"({"prompt":"x"})");
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 400);
  EXPECT_EQ(answers[0].text, "inference error: BadRequest - model not found in request body");
}

TEST_F(ExtProcTest, ABodyWithoutAPromptIsRefused) {
  serve(kThree);
  EXPECT_EQ(ask(R"({"model":"m"})")[0].text,
            "inference error: BadRequest - invalid completions request: must have prompt field");
  begin();
  EXPECT_EQ(ask(R"({"model":"m","messages":[]})", head("/v1/chat/completions"))[0].text,
            "inference error: BadRequest - invalid chat completions request: must have valid "
            "messages field");
}

TEST_F(ExtProcTest, APathThatNobodyReadsIsRoutedWithItsBytesAsTheyAre) {
  serve(kThree);
  const std::string bytes("\0\x01\xff not json", 12);
  const auto answers = ask(bytes, head("/v1/audio/transcriptions"));
  ASSERT_EQ(answers.size(), 2);
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), bytes);
  EXPECT_EQ(metric(series("request_total", "", "")), 1);
}

TEST_F(ExtProcTest, TheModelIsReplacedWhereTheClientAsksForAnother) {  // epp:X012
  serve(kThree);
  auto fields = head();
  fields.emplace_back("x-gateway-model-name-rewrite", "old");
  fields.emplace_back("X-LLM-D-Model-Name-Rewrite", "m-lora");
  const auto answers = ask(kCompletion, fields);  // epp:X024
  const std::string wanted = R"({"model":"m-lora","prompt":"once upon a time"})";
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), wanted);
  EXPECT_EQ(answers[0].header("content-length"), std::to_string(wanted.size()));
  EXPECT_EQ(metric(series("request_total", "m", "m-lora")), 1);
  EXPECT_EQ(destination(answers), "10.0.0.2:8000");  // epp:X001
  EXPECT_THAT(answers[0].metadata, HasSubstr("10.0.0.2:8000"));
}

TEST_F(ExtProcTest, OnlyPodsOfTheSubsetAreCandidates) {  // epp:X015
  serve(kThree);
  const auto hint = [](const std::vector<std::string>& strings, bool with_number = false) {
    return Extra{.metadata = testing::metadata("envoy.lb.subset_hint",
                                               "x-gateway-destination-endpoint-subset",
                                               testing::list_value(strings, with_number)),
                 .request = {},
                 .response = {}};
  };
  const auto chosen = [&](const Extra& extra) {
    begin();
    return ask(kCompletion, head(), extra);
  };
  EXPECT_EQ(destination(chosen(hint({"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}))), "10.0.0.2:8000");
  EXPECT_EQ(destination(chosen(hint({"10.0.0.3:80"}))), "10.0.0.3:8000");        // epp:X016
  EXPECT_EQ(destination(chosen(hint({"10.0.0.1:80"}, true))), "10.0.0.1:8000");  // epp:X019
  for (const auto& none : {hint({"10.9.9.9:80"}), hint({})}) {  // epp:X017 epp:X018
    const auto refused = chosen(none);
    EXPECT_EQ(refused[0].status, 503);
    EXPECT_EQ(refused[0].header("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
  }
  EXPECT_EQ(destination(chosen({})), "10.0.0.2:8000");  // epp:X021
}

TEST_F(ExtProcTest, SubsetsCanBeSwitchedOff) {  // epp:X020
  serve(kThree, kDefault, {.subset_hints = false});
  for (const auto& strings :
       {std::vector<std::string>{"10.0.0.3:80"}, std::vector<std::string>{}}) {
    begin();
    const auto answers = ask(kCompletion, head(),
                             {.metadata = testing::metadata("envoy.lb.subset_hint",
                                                            "x-gateway-destination-endpoint-subset",
                                                            testing::list_value(strings)),
                              .request = {},
                              .response = {}});
    EXPECT_EQ(destination(answers), "10.0.0.2:8000");
  }
}

TEST_F(ExtProcTest, RawValuesOfHeadersWinOverValues) {  // epp:X023
  serve(kThree);
  std::string message;
  proto::Writer(message).message(2, [](proto::Writer& out) {
    out.message(1, [](proto::Writer& map) {
      map.message(1, [](proto::Writer& header) {
        header.bytes(1, ":path");
        header.bytes(2, "/v1/completions");
        header.bytes(3, "/v1/chat/completions");
      });
    });
  });
  send(message);
  const auto answers = send(testing::body(Side::kRequest, kCompletion, true));
  EXPECT_THAT(answers[0].text, HasSubstr("messages"));
}

TEST_F(ExtProcTest, ARequestWithoutAnIdGetsOne) {  // epp:X026
  serve(kThree);
  const auto answers = ask(kCompletion, {{":path", "/v1/completions"}});
  EXPECT_EQ(answers[0].header("x-request-id").value_or("").size(), 36);
  begin();
  EXPECT_FALSE(ask(kCompletion)[0].header("x-request-id"));
}

TEST_F(ExtProcTest, ScoresAreToldOnRequest) {  // epp:X028
  serve(kThree, kDefault, {.emit_scores = true});
  EXPECT_THAT(ask(kCompletion)[0].metadata,
              AllOf(HasSubstr("x-gateway-destination-endpoint-scores"), HasSubstr("10.0.0.1:8000"),
                    HasSubstr("10.0.0.3:8000")));
  serve(kThree);
  EXPECT_THAT(ask(kCompletion)[0].metadata, Not(HasSubstr("endpoint-scores")));
  serve(kThree, R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: random-picker}]
)",
        {.emit_scores = true});
  EXPECT_THAT(ask(kCompletion)[0].metadata, Not(HasSubstr("endpoint-scores")));
}

TEST_F(ExtProcTest, ABodyIsSentBackInPieces) {  // epp:X029
  serve(kThree);
  for (const auto& [size, pieces] : {std::pair(62'000, 1), std::pair(62'001, 2), std::pair(0, 1)}) {
    begin();
    const std::string bytes(static_cast<std::size_t>(size), 'x');
    const auto answers = ask(bytes, head("/other"));
    ASSERT_EQ(answers.size(), 1 + pieces) << size;
    for (std::size_t i = 1; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].end_of_stream, i + 1 == answers.size());
    }
    EXPECT_EQ(text_of(answers, Kind::kRequestBody), bytes);
  }
}

TEST_F(ExtProcTest, AFilterThatLeavesNobodyGivesA429) {  // epp:X039
  serve({{"p", "10.0.0.9", 0, 0, "prefill"}}, kPd);
  const auto answers = ask(kCompletion);
  EXPECT_EQ(answers[0].status, 429);
  EXPECT_EQ(answers[0].text,
            "inference error: ResourceExhausted - no endpoints available for the given request");
  EXPECT_EQ(answers[0].header("x-llm-d-request-dropped-reason"), "rejected-saturated");
}

TEST_F(ExtProcTest, APromptThatNoDecodePodHoldsIsPrefilledElsewhereAndTheNextTurnIsNot) {
  serve(kSplit, kPd);
  const std::string prompt(400, 'x');
  const auto body = R"({"model":"m","prompt":")" + prompt + R"("})";
  const auto first = ask(body);
  EXPECT_EQ(destination(first), "10.0.0.1:8000");
  EXPECT_EQ(first[0].header("x-prefiller-host-port"), "10.0.0.9:8000");
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/json"}}));
  send(testing::body(Side::kResponse, R"({"choices":[{"text":"y"}]})", true));
  begin();
  const auto second = ask(body);
  EXPECT_EQ(destination(second), "10.0.0.1:8000");
  EXPECT_FALSE(second[0].header("x-prefiller-host-port"));
  EXPECT_EQ(metric("llm_d_epp_disagg_decision_total{decision_type=\"prefill-decode\"}"), 1);
}

TEST_F(ExtProcTest, RoutingThatAClientSentIsTakenOutAndCounted) {
  serve(kThree);
  auto fields = head();
  fields.emplace_back("X-Prefiller-Host-Port", "6.6.6.6:1");
  fields.emplace_back("x-gateway-destination-endpoint", "6.6.6.6:1");
  const auto answers =
      ask(R"({"model":"m","prompt":"x","kv_transfer_params":{"remote_host":"6.6.6.6"}})", fields);
  EXPECT_THAT(answers[0].removed, ElementsAre("x-prefiller-host-port"));
  EXPECT_EQ(destination(answers), "10.0.0.2:8000");
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), R"({"model":"m","prompt":"x"})");
  EXPECT_EQ(metric("baton_epp_removed_headers_total"), 2);
  EXPECT_EQ(metric("baton_epp_removed_transfer_params_total"), 1);
}

TEST_F(ExtProcTest, ABodyThatEndsWithTrailersIsPlacedToo) {
  serve(kThree);
  send(testing::headers(Side::kRequest, head()));
  EXPECT_THAT(send(testing::body(Side::kRequest, kCompletion, false)), IsEmpty());
  const auto answers = send(testing::trailers(Side::kRequest));
  ASSERT_EQ(answers.size(), 3);
  EXPECT_EQ(answers[0].kind, Kind::kRequestHeaders);
  EXPECT_FALSE(answers[1].end_of_stream);
  EXPECT_EQ(answers[2].kind, Kind::kRequestTrailers);
}

TEST_F(ExtProcTest, InBufferedModeTheRouteComesWithTheBody) {
  serve(kThree);
  const Extra buffered{
      .metadata = {}, .request = BodyMode::kBuffered, .response = BodyMode::kBuffered};
  const auto first = send(testing::headers(Side::kRequest, head(), false, buffered));
  ASSERT_EQ(first.size(), 1);
  EXPECT_EQ(first[0].kind, Kind::kRequestHeaders);
  EXPECT_THAT(first[0].set, IsEmpty());
  const auto second = send(testing::body(Side::kRequest, kCompletion, true));
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].kind, Kind::kRequestBody);
  EXPECT_EQ(destination(second), "10.0.0.2:8000");
  EXPECT_TRUE(second[0].clear_route_cache);
  EXPECT_FALSE(second[0].replaced);
  const auto head_back = send(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_EQ(head_back[0].kind, Kind::kResponseHeaders);
  const auto back = send(testing::body(Side::kResponse, R"({"usage":{"prompt_tokens":3}})", true));
  ASSERT_EQ(back.size(), 1);
  EXPECT_EQ(back[0].kind, Kind::kResponseBody);
  EXPECT_FALSE(back[0].streamed);
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 3);
  begin();
  send(testing::headers(Side::kRequest, head(), false, buffered));
  const auto cleaned = send(
      testing::body(Side::kRequest, R"({"model":"m","prompt":"x","kv_transfer_params":{}})", true));
  EXPECT_EQ(cleaned[0].replaced, R"({"model":"m","prompt":"x"})");
}

TEST_F(ExtProcTest, InStreamedModeTheRouteComesBeforeTheBodyWhichIsHeldBackUntilItIsWhole) {
  serve(kThree);
  const Extra streamed{
      .metadata = {}, .request = BodyMode::kStreamed, .response = BodyMode::kStreamed};
  const auto first = send(testing::headers(Side::kRequest, head(), false, streamed));
  ASSERT_EQ(first.size(), 1);
  EXPECT_EQ(destination(first), "10.0.0.2:8000");
  const auto second =
      send(testing::body(Side::kRequest, R"({"model":"m","kv_transfer_params":{},)", false));
  ASSERT_EQ(second.size(), 1);
  EXPECT_TRUE(second[0].cleared);
  const auto third = send(testing::body(Side::kRequest, R"("prompt":"x"})", true));
  ASSERT_EQ(third.size(), 1);
  EXPECT_EQ(third[0].replaced, R"({"model":"m","prompt":"x"})");
}

TEST_F(ExtProcTest, AModeThatHidesTheBodyIsRefusedWithAWordOnWhatToSet) {
  serve(kThree);
  const auto answers = send(
      testing::headers(Side::kRequest, head(), false,
                       {.metadata = {}, .request = BodyMode::kNone, .response = BodyMode::kNone}));
  EXPECT_EQ(answers[0].status, 500);
  EXPECT_THAT(answers[0].text, HasSubstr("set FULL_DUPLEX_STREAMED or BUFFERED"));
}

TEST_F(ExtProcTest, ABodyOverTheLimitIsRefused) {
  serve(kThree, kDefault, {.body_bytes = 100});
  send(testing::headers(Side::kRequest, head()));
  const auto answers = send(testing::body(Side::kRequest, std::string(101, 'x'), false));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 413);
  EXPECT_THAT(send(testing::body(Side::kRequest, "x", true)), IsEmpty());
}

TEST_F(ExtProcTest, AnAnswerInJsonPassesWholeAndUnchanged) {  // epp:X046
  serve(kThree);
  ask(kCompletion);
  const auto head_back = send(testing::headers(
      Side::kResponse, {{":status", "200"}, {"content-type", "application/json"}}));
  ASSERT_EQ(head_back.size(), 1);
  EXPECT_EQ(head_back[0].header("x-went-into-resp-headers"), "true");
  EXPECT_THAT(send(testing::body(Side::kResponse, R"({"usage":{"prompt_to)", false)), IsEmpty());
  const auto answers = send(testing::body(
      Side::kResponse,
      R"(kens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})", true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(
      answers[0].streamed,
      R"({"usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})");
  EXPECT_TRUE(answers[0].end_of_stream);
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 4);
  EXPECT_EQ(metric(series("request_output_tokens_sum")), 2);
  EXPECT_EQ(metric(series("request_cached_tokens_sum")), 3);
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 1);
}

TEST_F(ExtProcTest, AnAnswerThatIsNoJsonPassesUnchanged) {  // epp:X047
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/json"}}));
  const auto answers = send(testing::body(Side::kResponse, "{{ no json", true));
  EXPECT_EQ(text_of(answers, Kind::kResponseBody), "{{ no json");
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 1);
}

TEST_F(ExtProcTest, AnEmptyLastPieceEndsAnAnswerOnce) {  // epp:X048
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_THAT(send(testing::body(Side::kResponse, "{}", false)), IsEmpty());
  const auto answers = send(testing::body(Side::kResponse, "", true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].streamed, "{}");
  EXPECT_TRUE(answers[0].end_of_stream);
}

TEST_F(ExtProcTest, AStreamPassesPieceByPieceAndItsUsageIsCounted) {  // epp:X049 epp:X050
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "text/event-stream"}}));
  const std::vector<std::string> pieces = {
      "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\n",
      "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n", "data: [DONE]\n\n"};
  for (const auto& piece : pieces) {
    const auto answers = send(testing::body(Side::kResponse, piece, &piece == &pieces.back()));
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].streamed, piece);
    EXPECT_EQ(answers[0].end_of_stream, &piece == &pieces.back());
    clock_.advance(Millis(10));
  }
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 7);
  EXPECT_EQ(metric(series("request_streaming_itl_seconds_count")), 2);
  begin();
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "text/event-stream"}}));
  send(testing::body(Side::kResponse, "data: [DONE]\n\n", true));
  EXPECT_EQ(metric(series("request_input_tokens_count")), 1);
}

TEST_F(ExtProcTest, AnAnswerWithAnErrorStatusIsCountedOnceAsTheServers) {  // epp:X051
  serve(kThree);
  for (const auto* name : {"status", ":status"}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{name, "500"}}));
    send(testing::body(Side::kResponse, "{}", true));
  }
  EXPECT_EQ(metric("llm_d_epp_request_error_total{model_name=\"m\",target_model_name=\"m\","
                   "fairness_id=\"default-flow\",priority=\"0\",error_code=\"ModelServerError\"}"),
            2);
}

TEST_F(ExtProcTest, TheClientSeesTheModelThatItAskedFor) {  // epp:X052
  serve(kThree);
  auto fields = head();
  fields.emplace_back("x-llm-d-model-name-rewrite", "t");
  const auto answer = [&](std::string_view type, std::string_view bytes, bool rewritten = true) {
    begin();
    ask(kCompletion, rewritten ? fields : head());
    send(testing::headers(Side::kResponse,
                          {{":status", "200"}, {"content-type", std::string(type)}}));
    return text_of(send(testing::body(Side::kResponse, bytes, true)), Kind::kResponseBody);
  };
  EXPECT_EQ(answer("application/json", R"({"model":"t"})"), R"({"model":"m"})");
  EXPECT_EQ(answer("application/json", R"({"model": "t"})"), R"({"model": "m"})");
  EXPECT_EQ(answer("text/event-stream", "data: {\"model\":\"t\"}\n\n"),
            "data: {\"model\":\"m\"}\n\n");
  EXPECT_EQ(answer("text/event-stream", "data: [DONE]\n\n"), "data: [DONE]\n\n");
  EXPECT_EQ(answer("application/json", R"({"model":"t"})", false), R"({"model":"t"})");
}

TEST_F(ExtProcTest, ARequestForAStreamIsOneWhateverTheAnswersType) {  // epp:X053
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/json"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "{", false)), Kind::kResponseBody), "{");
}

TEST_F(ExtProcTest, AnAnswerThatIsAStreamIsOneWhateverWasAskedFor) {  // epp:X054
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":false})");
  send(testing::headers(
      Side::kResponse, {{":status", "200"}, {"content-type", "text/event-stream; charset=utf-8"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "data", false)), Kind::kResponseBody),
            "data");
}

TEST_F(ExtProcTest, AClientThatLeavesMidStreamEndsTheRequestOnce) {  // epp:X060
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "data", false));
  EXPECT_EQ(metric(series("request_running")), 1);
  const auto snapshot = pool_->snapshot();
  EXPECT_EQ(snapshot.reserved(1), 1);
  stream_.reset();
  EXPECT_EQ(metric(series("request_running")), 0);
  EXPECT_EQ(metric("baton_epp_client_gone_total"), 1);
  EXPECT_EQ(snapshot.reserved(1), 0);
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 0);
}

TEST_F(ExtProcTest, CountingTokensEndsTheStreamWithTheRequest) {  // epp:X062
  serve(kThree);
  const auto answers = ask(R"({"model":"m","messages":[]})", head("/v1/messages/count_tokens"));
  EXPECT_EQ(answers.size(), 2);
  EXPECT_TRUE(ended_);
  stream_.reset();
  EXPECT_EQ(metric("baton_epp_client_gone_total"), 0);
}

TEST_F(ExtProcTest, ResponseSizesAreSums) {  // epp:X066
  serve(kThree);
  for (const auto& pieces :
       {std::vector<std::string>{}, std::vector<std::string>{"abc"}, {"a", "bc", "def"}}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{":status", "200"}}, pieces.empty()));
    for (const auto& piece : pieces) {
      send(testing::body(Side::kResponse, piece, &piece == &pieces.back()));
    }
  }
  EXPECT_EQ(metric(series("response_size_bytes_sum")), 9);
  EXPECT_EQ(metric(series("response_size_bytes_count")), 3);
}

TEST_F(ExtProcTest, HeadersBodyAndTrailersKeepTheirOrder) {  // epp:X067
  serve(kThree);
  for (const bool stream_asked : {false, true}) {
    for (const bool event_type : {false, true}) {
      for (const bool with_trailers : {false, true}) {
        begin();
        const std::string asks = stream_asked ? R"({"model":"m","prompt":"x","stream":true})"
                                              : R"({"model":"m","prompt":"x"})";
        auto answers = ask(asks);
        const auto take = [&](const std::string& message) {
          for (auto& one : send(message)) answers.push_back(one);
        };
        take(testing::headers(Side::kResponse,
                              {{":status", "200"},
                               {"content-type", event_type ? "text/event-stream" : "text/plain"}}));
        take(testing::body(Side::kResponse, "one", false));
        take(testing::body(Side::kResponse, "two", !with_trailers));
        if (with_trailers) take(testing::trailers(Side::kResponse));
        const auto kinds = [&] {
          std::vector<Kind> out;
          for (const auto& a : answers) out.push_back(a.kind);
          return out;
        }();
        EXPECT_TRUE(std::ranges::is_sorted(kinds, {}, [](Kind k) {
          constexpr std::array kOrder = {Kind::kRequestHeaders, Kind::kRequestBody,
                                         Kind::kResponseHeaders, Kind::kResponseBody,
                                         Kind::kResponseTrailers};
          return std::ranges::find(kOrder, k) - kOrder.begin();
        }));
        EXPECT_EQ(text_of(answers, Kind::kResponseBody), "onetwo");
        EXPECT_EQ(kinds.back() == Kind::kResponseTrailers, with_trailers);
        EXPECT_EQ(answers.back().end_of_stream, !with_trailers);
        EXPECT_EQ(metric(series("request_running")), 1);  // until the stream ends
      }
    }
  }
}

TEST_F(ExtProcTest, ALongAnswerIsNotHeldBack) {
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  const std::string piece(kHeldAnswer / 2, 'x');
  EXPECT_THAT(send(testing::body(Side::kResponse, piece, false)), IsEmpty());
  EXPECT_THAT(send(testing::body(Side::kResponse, piece, false)), IsEmpty());
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "y", false)), Kind::kResponseBody).size(),
            2 * piece.size() + 1);
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "z", true)), Kind::kResponseBody), "z");
}

TEST_F(ExtProcTest, MessagesOutOfOrderAndBrokenOnesDoNoHarm) {
  serve(kThree);
  EXPECT_THAT(send(testing::body(Side::kRequest, "x", true)), IsEmpty());
  EXPECT_THAT(send(testing::body(Side::kResponse, "x", true)), IsEmpty());
  EXPECT_THAT(send(""), IsEmpty());
  EXPECT_EQ(destination(ask(kCompletion)), "10.0.0.2:8000");
  std::vector<Reply> replies;
  EXPECT_FALSE(stream_->on_message("\x0a\xff", replies));
}

TEST_F(ExtProcTest, AWatcherThatWantsNoAnswerGetsNone) {
  serve(kThree);
  auto message = testing::headers(Side::kRequest, head(), true);
  proto::Writer(message).flag(10, true);
  EXPECT_THAT(send(message), IsEmpty());
}

TEST_F(ExtProcTest, TwoStreamsOfOneRequestIdAreIndependent) {  // epp:X065
  serve(kThree);
  ExtProc other(*desk_);
  std::vector<Reply> replies;
  const auto feed = [&](const std::string& message) {
    replies.clear();
    EXPECT_TRUE(other.on_message(message, replies));
    std::string out;
    for (const auto& r : replies) {
      out += testing::read_answer(r.head + std::string(r.body)).streamed.value_or("");
    }
    return out;
  };
  const std::string asks = R"({"model":"m","prompt":"x","stream":true})";
  ask(asks);
  feed(testing::headers(Side::kRequest, head()));
  EXPECT_EQ(feed(testing::body(Side::kRequest, asks, true)), asks);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  feed(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "a1", false)), Kind::kResponseBody), "a1");
  EXPECT_EQ(feed(testing::body(Side::kResponse, "b1", false)), "b1");
  EXPECT_EQ(feed(testing::body(Side::kResponse, "b2", true)), "b2");
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "a2", true)), Kind::kResponseBody), "a2");
}

}  // namespace
}  // namespace baton::epp
