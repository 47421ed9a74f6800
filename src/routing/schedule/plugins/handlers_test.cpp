#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::load;
using testing::make;
using testing::Pod;
using testing::problem;

const Mono kNow = ManualClock().now();
std::string disagg(std::string_view parameters, std::string_view more = "") {
  return "plugins: [{type: disagg-profile-handler, parameters: " + std::string(parameters) +
         "}, {type: prefill-filter}, {type: decode-filter}, {type: encode-filter}, {type: "
         "always-disagg-pd-decider}, {type: always-disagg-multimodal-decider}, {type: "
         "prefix-based-pd-decider, parameters: {nonCachedTokens: 100, promptTokens: 120}}, {name: "
         "all, type: max-score-picker, parameters: {maxNumOfEndpoints: 8}}, {type: "
         "max-score-picker}" +
         std::string(more) +
         "]\nschedulingProfiles:\n"
         "- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: "
         "max-score-picker}]}\n"
         "- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}]}\n"
         "- {name: encode, plugins: [{pluginRef: encode-filter}, {pluginRef: all}]}\n";
}

struct Fixture {
  explicit Fixture(Scheduler with, const std::vector<Pod>& pods)
      : scheduler(std::move(with)), snapshot(testing::snapshot(pods)) {}
  Decision run() {
    auto decision = scheduler.schedule(request, snapshot, kNow, random);
    EXPECT_TRUE(decision) << decision.error().message();
    return decision ? *decision : Decision{};
  }
  Scheduler scheduler;
  Snapshot snapshot;
  Request request = {};
  SeededRandom random{3};
};

const std::vector<Pod> kPool = {
    {"p", "prefill", {}}, {"d", "decode", {}}, {"e", "encode", {}}, {"e2", "encode", {}}};

TEST(DisaggHandler, RunsTheStagesThatItsDecidersAskFor) {
  // epp:D005
  Fixture f(make(disagg("{deciders: {prefill: always-disagg-pd-decider, encode: "
                        "always-disagg-multimodal-decider}}")),
            kPool);
  auto decision = f.run();
  EXPECT_EQ(decision.primary, 1);
  EXPECT_EQ(decision.prefill, 0);
  EXPECT_EQ(decision.stages(), "prefill-decode");
  f.request.multimodal = true;
  decision = f.run();
  EXPECT_THAT(decision.encode, ::testing::UnorderedElementsAre(2, 3));
  EXPECT_EQ(decision.stages(), "encode-prefill-decode");

  // The encode stage fails: prefill is still asked.
  f.snapshot = testing::snapshot({{"p", "prefill"}, {"d", "decode"}});
  decision = f.run();
  EXPECT_THAT(decision.encode, IsEmpty());
  EXPECT_EQ(decision.prefill, 0);

  Fixture none(make(disagg("{}")), kPool);
  none.request.multimodal = true;
  EXPECT_EQ(none.run().stages(), "decode-only");
}

TEST(DisaggHandler, WithoutADecodeEndpointNothingElseIsAsked) {  // epp:D002
  const auto text = disagg("{deciders: {prefill: always-disagg-pd-decider}}");
  Fixture f(make(text), {{"p", "prefill", {}}, {"e", "encode", {}}});
  Decision decision;
  EXPECT_FALSE(f.scheduler.schedule(f.request, f.snapshot, kNow, f.random, decision));
  for (const auto& run : decision.runs) EXPECT_EQ(run.profile, "decode");

  Fixture both(make(text), kPool);
  const auto whole = both.run();  // decode, then prefill, then no more
  ASSERT_EQ(whole.runs.size(), 2U);
  EXPECT_EQ(whole.runs[0].profile, "decode");
  EXPECT_EQ(whole.runs[1].profile, "prefill");
}

TEST(DisaggHandler, PrefillFirstTakesNoPrefillDecider) {
  // epp:D008
  Fixture f(make(disagg("{stageOrder: prefill-first}")), kPool);
  EXPECT_EQ(f.run().prefill, 0);
  EXPECT_THAT(problem(disagg("{stageOrder: prefill-first, deciders: {prefill: "
                             "always-disagg-pd-decider}}")),
              HasSubstr("prefill-first always prefills"));
  EXPECT_THAT(problem(disagg("{stageOrder: decode-frist}")),
              HasSubstr("did you mean 'decode-first'"));
}

TEST(DisaggHandler, TakesTheFlatSpellings) {
  // epp:D009 with the parameters of pd-profile-handler in config_test
  Fixture f(make(disagg("{decodeProfile: decode, prefillProfile: prefill, encodeProfile: encode, "
                        "prefillDeciderPluginName: always-disagg-pd-decider}")),
            kPool);
  EXPECT_EQ(f.run().prefill, 0);
  Fixture older(make(disagg("{deciderPluginName: always-disagg-pd-decider}")), kPool);
  EXPECT_EQ(older.run().prefill, 0);
  EXPECT_THAT(problem(disagg("{deciders: {prefill: always-disagg-decider}}")),
              HasSubstr("no decider is named 'always-disagg-decider' (did you mean "
                        "'always-disagg-pd-decider'?)"));
  EXPECT_THAT(problem(disagg("{profiles: {decode: decod}}")),
              HasSubstr("there is no profile 'decod' (did you mean 'decode'?)"));
}

TEST(PrefixDecider, ComparesUncachedTokens) {
  // epp:D004
  Fixture f(make(disagg("{deciders: {prefill: prefix-based-pd-decider}}")), kPool);
  std::array<std::uint32_t, 4> matched = {};
  f.request.matched = matched;
  f.request.block_bytes = 40;  // ten tokens
  const auto prefills = [&](std::size_t tokens, std::uint32_t cached) {
    f.request.prompt_bytes = tokens * 4;
    matched[1] = cached;
    return f.run().prefill.has_value();
  };
  EXPECT_FALSE(prefills(119, 0));  // below promptTokens
  EXPECT_TRUE(prefills(120, 0));
  EXPECT_TRUE(prefills(200, 10));   // 100 uncached
  EXPECT_FALSE(prefills(200, 11));  // 90
  EXPECT_EQ(name(f.run().no_prefill), "below-threshold");
  f.request.matched = {};  // nobody knows what is cached
  EXPECT_FALSE(prefills(500, 0));

  const text::json::Value none;
  Fields fields(none, "");
  const auto zero = make_plugin("prefix-based-pd-decider", fields);
  f.request.matched = matched;
  const Context context{f.request, f.snapshot, kNow, f.random};
  EXPECT_FALSE(zero->decider->wants(context, Index{1}));  // 0: never
  const auto hundred = *text::json::parse(R"({"nonCachedTokens": 100})");
  Fields given(hundred, "");
  const auto decider = make_plugin("prefix-based-pd-decider", given);
  EXPECT_TRUE(decider->decider->wants(context, Index{1}));
  EXPECT_FALSE(decider->decider->wants(context, std::nullopt));
  const auto negative = *text::json::parse(R"({"nonCachedTokens": -1})");
  Fields wrong(negative, "");
  EXPECT_FALSE(make_plugin("prefix-based-pd-decider", wrong));
}

TEST(RoutingHeaders, CarryTheStages) {
  // epp:D006
  Fixture f(make(disagg("{deciders: {prefill: always-disagg-pd-decider, encode: "
                        "always-disagg-multimodal-decider}}")),
            kPool);
  auto endpoints = *f.snapshot.endpoints;
  for (auto& endpoint : endpoints) endpoint.port = 8000;
  endpoints[0].host = "fd00::7";
  endpoints[2].host = "10.0.0.2";
  endpoints[3].host = "10.0.0.3";
  f.snapshot.set_endpoints(std::make_shared<std::vector<Endpoint>>(endpoints));
  f.request.multimodal = true;
  auto headers = routing_headers(f.run(), f.snapshot);
  ASSERT_EQ(headers.set.size(), 2);
  EXPECT_EQ(headers.set[0],
            std::pair(std::string("x-prefiller-host-port"), std::string("[fd00::7]:8000")));
  EXPECT_THAT(headers.set[1].second,
              ::testing::AnyOf("10.0.0.2:8000,10.0.0.3:8000", "10.0.0.3:8000,10.0.0.2:8000"));
  EXPECT_THAT(headers.destinations, ElementsAre("127.0.0.1:8000"));

  Fixture none(make(disagg("{}")), kPool);
  headers = routing_headers(none.run(), none.snapshot);
  EXPECT_THAT(headers.set, IsEmpty());
  EXPECT_THAT(headers.remove, ::testing::IsSupersetOf({kPrefillHeader, kEncodeHeader}));
}

TEST(DataParallelHandler, SendsToOnePortAndNamesTheRank) {
  // epp:D010
  const auto headers_of = [](std::string_view parameters) {
    Fixture f(make("plugins: [{type: data-parallel-profile-handler, parameters: " +
                   std::string(parameters) +
                   "}, {type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}]\n"
                   "schedulingProfiles: [{name: a, plugins: [{pluginRef: max-score-picker}]}]"),
              {{"a"}, {"b"}});
    auto endpoints = *f.snapshot.endpoints;
    endpoints[0].port = 8001;
    endpoints[1].port = 8001;
    f.snapshot.set_endpoints(std::make_shared<std::vector<Endpoint>>(endpoints));
    return routing_headers(f.run(), f.snapshot);
  };
  const auto headers = headers_of("{}");
  EXPECT_THAT(headers.set, ElementsAre(std::pair(std::string("x-data-parallel-host-port"),
                                                 std::string("127.0.0.1:8001"))));
  EXPECT_THAT(headers.destinations, ElementsAre("127.0.0.1:8000", "127.0.0.1:8000"));
  EXPECT_THAT(headers_of("{primaryPort: 9}").destinations,
              ElementsAre("127.0.0.1:9", "127.0.0.1:9"));
  EXPECT_THAT(problem("plugins: [{type: data-parallel-profile-handler}]\n"
                      "schedulingProfiles: [{name: a}, {name: b}]"),
              HasSubstr("data-parallel-profile-handler needs exactly one profile, there are 2"));
}

TEST(Pairing, PrefillSharesTheRevisionOfDecode) {
  Fixture f(make(disagg("{deciders: {prefill: always-disagg-pd-decider}}")),
            {{"p1", "prefill", {}, {{"baton.dev/revision", "1"}}},
             {"p2", "prefill", {}, {{"baton.dev/revision", "2"}}},
             {"d", "decode", {}, {{"baton.dev/revision", "2"}}}});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(f.run().prefill, 1);

  f.snapshot = testing::snapshot({{"p1", "prefill", {}, {{"baton.dev/revision", "1"}}},
                                  {"d", "decode", {}, {{"baton.dev/revision", "2"}}}});
  const auto alone = f.run();
  EXPECT_FALSE(alone.prefill);
  EXPECT_EQ(name(alone.no_prefill), "no-prefill-pods");
  EXPECT_EQ(alone.runs[1].drained_by, "baton.dev/revision");

  f.snapshot =
      testing::snapshot({{"p1", "prefill", {}, {{"baton.dev/revision", "1"}}}, {"d", "decode"}});
  EXPECT_EQ(f.run().prefill, 0) << "decode has no revision: any will do";
}

TEST(Pairing, ListsPrefillCandidatesInOrder) {
  Fixture f(
      make("plugins: [{type: pd-profile-handler}, {type: prefill-header-handler}, {type: "
           "prefill-filter}, {type: decode-filter}, {type: queue-scorer}, {name: two, type: "
           "max-score-picker, parameters: {maxNumOfEndpoints: 2}}, {type: max-score-picker}]\n"
           "schedulingProfiles:\n"
           "- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: "
           "queue-scorer}, {pluginRef: two}]}\n"
           "- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: "
           "max-score-picker}]}\n"),
      {{"p1", "prefill", load(5, 0, 0, kNow)},
       {"p2", "prefill", load(1, 0, 0, kNow)},
       {"p3", "prefill", load(3, 0, 0, kNow)},
       {"d", "decode", load(0, 0, 0, kNow)}});
  const auto decision = f.run();
  EXPECT_THAT(decision.prefill_candidates, ElementsAre(1, 2));
  EXPECT_EQ(routing_headers(decision, f.snapshot).set[0].second, "127.0.0.1:0,127.0.0.1:0");
}

TEST(Scheduler, TellsFullFromNobody) {
  Fixture f(make("plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 1}}]\n"
                 "schedulingProfiles: [{name: a, plugins: [{pluginRef: concurrency-detector}]}]"),
            {{"a"}});
  EXPECT_TRUE(f.scheduler.schedule({}, f.snapshot, kNow, f.random));
  f.snapshot.reservations->add(0, 1);
  const auto full = f.scheduler.schedule({}, f.snapshot, kNow, f.random);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kExhausted);
  EXPECT_EQ(full.error().message(), "every pod is full (concurrency-detector)");
  const auto nobody = f.scheduler.schedule({}, testing::snapshot({}), kNow, f.random);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace baton::schedule
