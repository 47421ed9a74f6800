// Sessions that stay with their endpoint: the scorer, the filter, and where session ids come from.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/base64.hpp"
#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::Pod;
using testing::problem;

std::string affinity(std::string_view what, std::string_view parameters = "{}",
                     std::string_view more = "") {
  return "plugins: [{type: session-affinity-" + std::string(what) +
         ", parameters: " + std::string(parameters) + "}" + std::string(more) + "]";
}
constexpr std::string_view kById = "{strategy: session_id}";

struct Fixture {
  explicit Fixture(std::string_view text, std::vector<Pod> pods = {{"a"}, {"b"}, {"c"}})
      : scheduler(testing::make(text)), snapshot(testing::snapshot(pods)) {}

  // As a request comes: decided, and sent there.
  Decision route(std::vector<Header> with) {
    headers = std::move(with);
    request.headers = headers;
    auto decision = scheduler.schedule(request, snapshot, clock.now(), random);
    EXPECT_TRUE(decision) << decision.error().message();
    if (!decision) return {};
    scheduler.routed(request, snapshot, clock.now(), random, *decision);
    return *decision;
  }
  std::string to(std::vector<Header> with) {
    return (*snapshot.endpoints)[route(std::move(with)).primary].name;
  }
  // So often that chance would tell.
  std::vector<std::string> often(const std::vector<Header>& with) {
    std::vector<std::string> out;
    for (int i = 0; i < 32; ++i) {
      auto name = to(with);
      if (std::ranges::find(out, name) == out.end()) out.push_back(std::move(name));
    }
    std::ranges::sort(out);
    return out;
  }
  // Where one session's requests go, that far apart.
  std::vector<std::string> every(Nanos pause) {
    std::vector<std::string> out;
    for (int i = 0; i < 32; ++i) {
      clock.advance(pause);
      out.push_back(to({{"x-session-id", "s"}}));
    }
    return out;
  }
  void without(std::size_t index) { request.excluded = static_cast<Index>(index); }

  ManualClock clock;
  Scheduler scheduler;
  Snapshot snapshot;
  Request request;
  std::vector<Header> headers;
  SeededRandom random{5};
};

TEST(SessionAffinity, ATokenNamesTheEndpoint) {
  // epp:S016, epp:S017
  for (const auto* what : {"scorer", "filter"}) {
    Fixture f(affinity(what));
    const auto token = text::base64("llm/b");
    EXPECT_THAT(f.often({{"x-session-token", token}}), ElementsAre("b")) << what;
    EXPECT_THAT(f.often({}), ElementsAre("a", "b", "c")) << what;
    EXPECT_THAT(f.often({{"x-session-token", "?"}}), ElementsAre("a", "b", "c")) << what;
    EXPECT_THAT(f.often({{"x-session-token", text::base64("llm/gone")}}),
                ElementsAre("a", "b", "c"))
        << what;
    f.without(1);
    EXPECT_THAT(f.often({{"x-session-token", token}}), ElementsAre("a", "c")) << what;
  }
  EXPECT_THAT(Fixture(affinity("scorer"))
                  .route({{"x-session-token", text::base64("llm/b")}})
                  .runs.at(0)
                  .scores,
              ElementsAre(0, 1, 0));
}

TEST(SessionAffinity, ATokensHeaderCanBeNamed) {
  // epp:S016
  Fixture f(affinity("scorer", "{encodedEndpointHeaderConfig: {header: X-Sticky}}"));
  EXPECT_THAT(f.often({{"x-sticky", text::base64("llm/c")}}), ElementsAre("c"));
  EXPECT_THAT(f.often({{"x-session-token", text::base64("llm/c")}}), ElementsAre("a", "b", "c"));
}

TEST(SessionAffinity, AScorerPrefersAndAFilterInsists) {
  // epp:S016, epp:S017
  const std::vector<Pod> pods = {{"a", "", testing::load(0, 0, 0, ManualClock().now())},
                                 {"b", "", testing::load(9, 0, 0, ManualClock().now())}};
  const auto with_queue = [&](const std::string& what) {
    return Fixture(affinity(what, "{}", ", {type: queue-scorer}") +
                       "\nschedulingProfiles: [{name: default, plugins: [{pluginRef: "
                       "session-affinity-" +
                       what + "}, {pluginRef: queue-scorer, weight: 2}]}]",
                   pods);
  };
  const std::vector<Header> token = {{"x-session-token", "bGxtL2I="}};  // llm/b
  EXPECT_THAT(with_queue("scorer").often(token), ElementsAre("a"));
  EXPECT_THAT(with_queue("filter").often(token), ElementsAre("b"));
}

TEST(SessionAffinity, TheAnswerCarriesTheToken) {
  // epp:S018
  Fixture f(affinity("scorer"));
  const auto decision = f.route({});
  const auto& chosen = (*f.snapshot.endpoints)[decision.primary];
  EXPECT_THAT(decision.answer_headers,
              ElementsAre(Pair("x-session-token", text::base64("llm/" + chosen.name))));
  EXPECT_THAT(Fixture(affinity("scorer", kById)).route({{"x-session-id", "s"}}).answer_headers,
              IsEmpty());
}

TEST(SessionAffinity, ATokenCanBeThatOfTheProfileThatPrefills) {
  // epp:S018
  const auto config = [](std::string_view decider) {
    return affinity("scorer", "{profileName: prefill}",
                    ", {type: disagg-profile-handler, parameters: {deciders: {prefill: " +
                        std::string(decider) +
                        "}}}, {type: prefill-filter}, {type: decode-filter}, {type: "
                        "always-disagg-pd-decider}, {type: prefix-based-pd-decider}") +
           "\nschedulingProfiles: [{name: prefill, plugins: [{pluginRef: prefill-filter}, "
           "{pluginRef: session-affinity-scorer}]}, {name: decode, plugins: [{pluginRef: "
           "decode-filter}]}]";
  };
  const std::vector<Pod> pods = {{"d", "decode"}, {"p", "prefill"}, {"q", "prefill"}};
  Fixture f(config("always-disagg-pd-decider"), pods);
  const auto first = f.route({});
  ASSERT_TRUE(first.prefill);
  EXPECT_THAT(
      first.answer_headers,
      ElementsAre(Pair("x-session-token",
                       text::base64("llm/" + (*f.snapshot.endpoints)[*first.prefill].name))));
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(f.route({{"x-session-token", first.answer_headers[0].second}}).prefill,
              first.prefill);
  }
  Fixture decode_only(config("prefix-based-pd-decider"), pods);
  EXPECT_THAT(decode_only.route({}).answer_headers, IsEmpty());
}

TEST(SessionAffinity, ASessionStaysWhereItsFirstRequestWent) {
  // epp:S019
  for (const auto* what : {"scorer", "filter"}) {
    Fixture f(affinity(what, kById));
    const auto first = f.to({{"x-session-id", "one"}});
    EXPECT_THAT(f.often({{"x-session-id", "one"}}), ElementsAre(first)) << what;
    EXPECT_THAT(f.often({}), ElementsAre("a", "b", "c")) << what;
    EXPECT_THAT(f.often({{"x-session-id", "  "}}), ElementsAre("a", "b", "c")) << what;
  }
}

TEST(SessionAffinity, ASessionMovesOnlyWhenItsEndpointIsNoCandidate) {
  // epp:S019
  Fixture f(affinity("scorer", kById,
                     ", {type: "
                     "queue-scorer}") +
                "\nschedulingProfiles: [{name: default, plugins: [{pluginRef: "
                "session-affinity-scorer}, {pluginRef: queue-scorer, weight: 5}]}]",
            {{"a", "", testing::load(0, 0, 0, ManualClock().now())},
             {"b", "", testing::load(9, 0, 0, ManualClock().now())}});
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), "a");
  f.snapshot.loads[0].waiting = 20;
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), "b");  // outvoted: it is still a's
  f.snapshot.loads[0].waiting = 9;
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), "a");
  f.without(0);
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), "b");  // gone: it is b's from now on
  f.request.excluded.reset();
  EXPECT_THAT(f.often({{"x-session-id", "s"}}), ElementsAre("b"));
}

TEST(SessionAffinity, OfTwoFirstRequestsOneBindsTheSession) {
  // epp:S019
  Fixture f(affinity("scorer", kById));
  f.headers = {{"x-session-id", "s"}};
  f.request.headers = f.headers;
  const auto decide = [&](Index to) {
    Decision decision = *f.scheduler.schedule(f.request, f.snapshot, f.clock.now(), f.random);
    decision.primary = to;
    decision.runs[0].picked = to;
    return decision;
  };
  auto one = decide(0), other = decide(2);
  f.scheduler.routed(f.request, f.snapshot, f.clock.now(), f.random, one);
  f.scheduler.routed(f.request, f.snapshot, f.clock.now(), f.random, other);
  EXPECT_THAT(f.often({{"x-session-id", "s"}}), ElementsAre("a"));
}

TEST(SessionAffinity, ASessionIsForgottenWhenItIsNotUsedForItsTime) {
  // epp:S019
  Fixture f(
      affinity("filter", "{strategy: session_id, sessionIdConfig: {evictionTtlSeconds: 60}}"));
  const auto first = f.to({{"x-session-id", "s"}});
  f.clock.advance(std::chrono::seconds(59));
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), first);
  f.clock.advance(std::chrono::seconds(59));  // each use extends it
  EXPECT_EQ(f.to({{"x-session-id", "s"}}), first);
  EXPECT_THAT(f.every(std::chrono::seconds(61)), ::testing::Contains(::testing::Ne(first)));
}

TEST(SessionAffinity, SourcesAreAskedInTheirOrder) {
  // epp:S019, epp:K012
  const auto config = affinity(
      "scorer",
      "{strategy: session_id, sessionIdConfig: {sources: [{header: x-first}, {attribute: "
      "SessionIDDataKey, producer: cookies}, {attribute: agent-identity}]}}",
      ", {name: cookies, type: session-id-producer, parameters: {cookieName: sid}}, {type: "
      "agent-identity, parameters: {additionalSessionHeaders: [X-Mine]}}");
  const std::vector<std::vector<Header>> same = {
      {{"x-first", " s "}, {"cookie", "sid=other"}},
      {{"x-first", " "}, {"cookie", "theme=dark; junk; sid= s ; sidx=no"}},
      {{"cookie", "theme=dark"}, {"cookie", "sid=s"}},
      {{"cookie", "sid"}, {"x-mine", "s"}, {"session-id", "other"}},
      {{"x-claude-code-session-id", "s"}},
      {{"session_id", "s"}},
  };
  for (const auto& headers : same) {
    Fixture f(config);
    const auto first = f.to({{"x-first", "s"}});
    EXPECT_THAT(f.often(headers), ElementsAre(first)) << headers[0].name;
  }
  Fixture none(config);
  none.to({{"x-first", "s"}});
  EXPECT_THAT(none.often({{"cookie", "sidx=s"}}), ElementsAre("a", "b", "c"));
}

TEST(SessionIdProducer, ReadsAHeaderOrACookie) {
  // epp:K012
  const auto producer = [](std::string_view parameters) {
    return problem("plugins: [{type: session-id-producer, parameters: " + std::string(parameters) +
                   "}]");
  };
  EXPECT_EQ(producer("{headerName: X-Session}"), "");
  EXPECT_EQ(producer("{cookieName: sid}"), "");
  EXPECT_THAT(producer("{}"), HasSubstr("give headerName or cookieName, one of them"));
  EXPECT_THAT(producer("{headerName: a, cookieName: b}"), HasSubstr("one of them"));
  EXPECT_THAT(producer("{headerName: 'a b'}"), HasSubstr("'a b' is no header's name"));
}

TEST(SessionAffinity, WrongParametersFailTheStart) {
  // epp:S020
  const auto of = [](std::string_view parameters) {
    return problem(affinity("scorer", parameters));
  };
  EXPECT_THAT(of("{strategy: sticky}"), HasSubstr("/strategy: 'sticky' is none of"));
  EXPECT_THAT(of("{headerName: x}"), HasSubstr("/headerName: unknown field"));
  const auto source = [&](std::string_view one) {
    return of("{strategy: session_id, sessionIdConfig: {sources: [" + std::string(one) + "]}}");
  };
  EXPECT_THAT(source("{}"), HasSubstr("/sources/0/header: give header or attribute, one of them"));
  EXPECT_THAT(source("{header: a, attribute: agent-identity}"), HasSubstr("one of them"));
  EXPECT_THAT(source("{attribute: agent-identity}"), HasSubstr("list agent-identity"));
  EXPECT_THAT(source("{attribute: SessionIDDataKey, producer: nobody}"),
              HasSubstr("no session-id-producer is named 'nobody'"));
  EXPECT_THAT(source("{attribute: other}"), HasSubstr("/attribute: 'other' is none of"));
  const auto times = [&](std::string_view given) {
    return of("{strategy: session_id, sessionIdConfig: {" + std::string(given) + "}}");
  };
  EXPECT_THAT(times("evictionTtlSeconds: -1"), HasSubstr("/evictionTtlSeconds: -1 is outside"));
  EXPECT_THAT(times("evictionSweepSeconds: -1"), HasSubstr("/evictionSweepSeconds: from 0 on"));
  EXPECT_EQ(times("evictionTtlSeconds: 0, evictionSweepSeconds: 0"), "");
}

TEST(SessionAffinity, ZeroForgetsAfterTheDefaultTime) {
  // epp:S020
  Fixture f(affinity("filter", "{strategy: session_id, sessionIdConfig: {evictionTtlSeconds: 0}}"));
  const auto first = f.to({{"x-session-id", "s"}});
  f.clock.advance(std::chrono::seconds(299));
  EXPECT_THAT(f.often({{"x-session-id", "s"}}), ElementsAre(first));
  EXPECT_THAT(f.every(std::chrono::seconds(301)), ::testing::Contains(::testing::Ne(first)));
}

}  // namespace
}  // namespace baton::schedule
