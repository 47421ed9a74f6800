// Requests over ext_proc: where they go and how they change.

#include <algorithm>
#include <array>

#include "routing/epp/testing/ext_proc_fixture.hpp"
#include "routing/ticket/testing/key_file.hpp"
#include "routing/ticket/verifier.hpp"

namespace baton::epp {
namespace {

using pick::testing::kSeedPd;
using testing::Answer;
using ::testing::ElementsAre;
using testing::ExtProcTest;
using testing::Extra;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCompletion;
using testing::kDefault;
using testing::Kind;
using testing::kSplit;
using testing::kThree;
using ::testing::Not;
using ::testing::StartsWith;
using ticket::testing::kKey;

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
  EXPECT_EQ(
      metric("inference_objective_request_error_total{model_name=\"m\",target_model_name=\"m\","
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

TEST_F(ExtProcTest, ARouteToAPrefillPodIsSignedWithTheKeyThatSidecarsShare) {
  Desk::Config config;
  config.ticket_key = ticket::testing::key_file(kKey, clock_.now());
  serve(kSplit, kSeedPd, config);
  auto fields = head();
  fields.emplace_back("x-baton-ticket", "mine");

  const auto answers = ask(R"({"model":"m","prompt":")" + std::string(400, 'x') + R"("})", fields);

  ticket::Verifier sidecar;
  const auto prefiller = answers[0].header("x-prefiller-host-port").value_or("");
  EXPECT_EQ(sidecar.verify(kKey, answers[0].header("x-baton-ticket").value_or(""),
                           {.request_id = "r1",
                            .endpoints = ticket::endpoints_text({.prefillers = prefiller})},
                           clock_.wall()),
            ticket::Verdict::kGood);

  // A route that names no prefill pod needs no ticket; the client's goes all the same.
  begin();
  const auto plain = ask(kCompletion, fields);
  EXPECT_FALSE(plain[0].header("x-baton-ticket"));
  EXPECT_THAT(plain[0].removed, ::testing::Contains("x-baton-ticket"));
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
  serve({{"p", "10.0.0.9", 0, 0, "prefill"}}, kSeedPd);
  const auto answers = ask(kCompletion);
  EXPECT_EQ(answers[0].status, 429);
  EXPECT_EQ(answers[0].text,
            "inference error: ResourceExhausted - no endpoints available for the given request");
  EXPECT_EQ(answers[0].header("x-llm-d-request-dropped-reason"), "rejected-saturated");
}

TEST_F(ExtProcTest, APromptThatNoDecodePodHoldsIsPrefilledElsewhereAndTheNextTurnIsNot) {
  // epp:X031
  serve(kSplit, kSeedPd);
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
  EXPECT_EQ(
      metric("llm_d_epp_disagg_decision_total{plugin_name=\"pd-profile-handler\",plugin_type=\"pd-"
             "profile-handler\",model_name=\"m\",decision_type=\"prefill-decode\"}"),
      1);
}

TEST_F(ExtProcTest, APrefixIsHeldByThePodThatAnsweredByItsModelAndSalt) {  // epp:K001 epp:K002
  serve(kThree);
  const std::string prompt(4000, 'x');
  const auto body = [&](std::string_view model, std::string_view more = "",
                        std::string_view rest = "") {
    return R"({"model":")" + std::string(model) + R"(","prompt":")" + prompt + std::string(more) +
           R"(")" + std::string(rest) + "}";
  };
  // Routed only where some of it is cached; "" when nowhere.
  const auto cached_at = [&](const std::string& bytes) {
    begin();
    auto fields = head();
    fields.emplace_back("prefer", "if-available");
    const auto answers = ask(bytes, fields);
    return answers[0].status == 412 ? std::string() : destination(answers);
  };
  EXPECT_EQ(cached_at(body("m")), "");
  begin();
  const auto home = destination(ask(body("m")));
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "{}", true));
  picker_->load({{"a", "", 0, 0}, {"b", "", 0, 0}, {"c", "", 0, 0}});

  EXPECT_EQ(cached_at(body("m")), home);
  EXPECT_EQ(cached_at(body("m", " and on it goes")), home);
  EXPECT_EQ(cached_at(body("other")), "");
  EXPECT_EQ(cached_at(body("m", "", R"(,"cache_salt":"mine")")), "");
}

TEST_F(ExtProcTest, DecisionsAreCountedByTheirStagesAndOutcome) {  // epp:D013 epp:S035
  const auto stages = [&](std::string_view model, std::string_view type) {
    return metric(R"(llm_d_epp_disagg_decision_total{plugin_name="pd-profile-handler",)"
                  R"(plugin_type="pd-profile-handler",model_name=")" +
                  std::string(model) + R"(",decision_type=")" + std::string(type) + R"("})");
  };
  serve(kSplit, kSeedPd);
  ask(R"({"model":"m","prompt":"short"})");
  EXPECT_EQ(stages("m", "decode-only"), 1);
  begin();
  ask(R"({"model":"m","prompt":")" + std::string(4000, 'x') + R"("})");
  EXPECT_EQ(stages("m", "prefill-decode"), 1);
  begin();
  ask("anything", head("/v1/audio/speech"));  // read by nobody: no model
  EXPECT_EQ(stages("unknown", "decode-only"), 1);

  const auto attempts = [&](std::string_view status, std::string_view endpoint, std::string_view ns,
                            std::string_view port) {
    return metric(R"(llm_d_epp_scheduler_attempts_total{status=")" + std::string(status) +
                  R"(",target_model_name="m",endpoint_name=")" + std::string(endpoint) +
                  R"(",namespace=")" + std::string(ns) + R"(",port=")" + std::string(port) +
                  R"("})");
  };
  EXPECT_EQ(attempts("success", "d", "llm", "8000"), 2);
  serve({}, kSeedPd);
  EXPECT_EQ(ask(kCompletion)[0].status, 503);
  EXPECT_EQ(attempts("failure", "", "", ""), 1);
}

TEST_F(ExtProcTest, WhatIsThePickersToSayIsNotEchoed) {  // epp:X025
  serve(kThree);
  auto fields = head();
  for (const auto* name :
       {"x-llm-d-inference-objective", "x-gateway-inference-objective",
        "x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite",
        "x-llm-d-inference-fairness-id", "x-llm-d-slo-ttft-ms", "x-llm-d-slo-tpot-ms",
        "x-gateway-destination-endpoint-served", "x-gateway-destination-endpoint-subset",
        "x-llm-d-request-dropped-reason"}) {
    fields.emplace_back(name, "1");
  }
  fields.emplace_back("content-length", "7");
  const auto answers = ask(kCompletion, fields);
  std::vector<std::string> set;
  for (const auto& [name, value] : answers[0].set) set.push_back(name);
  EXPECT_THAT(set,
              ::testing::UnorderedElementsAre("x-gateway-destination-endpoint", "content-length"));
  EXPECT_EQ(answers[0].header("content-length"),
            std::to_string(text_of(answers, Kind::kRequestBody).size()));
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

TEST_F(ExtProcTest, CountingTokensEndsTheStreamWithTheRequest) {  // epp:X062
  serve(kThree);
  const auto answers = ask(R"({"model":"m","messages":[]})", head("/v1/messages/count_tokens"));
  EXPECT_EQ(answers.size(), 2);
  EXPECT_TRUE(ended_);
  stream_.reset();
  EXPECT_EQ(metric("baton_epp_client_gone_total"), 0);
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

}  // namespace
}  // namespace baton::epp
