// What a pool counts and remembers beside prefixes, and what it refuses for a router alone.

#include "routing/pick/service_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>

#include "routing/pick/testing/seed.hpp"
#include "routing/schedule/testing/configured.hpp"

namespace baton::pick {
namespace {

using schedule::testing::kHead;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Rig {
  explicit Rig(std::string_view config, const std::vector<std::string>& pods = {"a", "b", "c"})
      : pool(testing::service(std::string(kHead) + std::string(config)),
             ServicePool::Owner::kPicker) {
    EXPECT_FALSE(pool.broken()) << pool.broken()->message();
    serve(pods);
  }
  void serve(const std::vector<std::string>& pods) {
    auto service = pool.service();
    service.endpoints.clear();
    for (const auto& pod : pods) {
      service.endpoints.push_back(testing::endpoint(pod, "", "10.0.0." + pod, 8000));
    }
    pool.update(service);
  }
  ServicePool::Picked pick(const ServicePool::Ask& ask) {
    auto picked = pool.pick(ask, clock.now(), random);
    EXPECT_TRUE(picked) << picked.error().message();
    return std::move(*picked);
  }
  ManualClock clock;
  SeededRandom random{11};
  ServicePool pool;
};

TEST(ServicePool, TokensToComeCountUntilTheAnswerEnds) {  // epp:K010
  Rig rig(
      "plugins: [{type: token-load-scorer}, {type: inflight-load-producer, parameters: "
      "{addEstimatedOutputTokens: true, outputRatio: 2, maxEstimatedOutputTokens: 500}}]",
      {"a"});
  const auto& snapshot = rig.pool.snapshot();
  {
    auto picked = rig.pick({.prompt_bytes = 400});
    EXPECT_EQ(snapshot.tokens(0), 100 + 200);
    picked.decode.release_tokens();
    EXPECT_EQ(snapshot.tokens(0), 200);
  }
  EXPECT_EQ(snapshot.tokens(0), 0);
  {
    const auto limited = rig.pick({.prompt_bytes = 400, .most_tokens = 30});
    EXPECT_EQ(snapshot.tokens(0), 100 + 30);
  }
  const auto longer = rig.pick({.prompt_tokens = 1000});
  EXPECT_EQ(snapshot.tokens(0), 1000 + 500);
}

// Room for two items of an endpoint.
constexpr std::string_view kMedia =
    "plugins: [{type: mm-embeddings-cache-scorer}, {type: mm-embeddings-cache-producer, "
    "parameters: {cacheSizeInMBPerServer: 4}}]";
constexpr std::array<std::uint64_t, 1> kCat = {7};
using Shares = std::map<std::string, float>;

// Sends the items; what share of them each endpoint had been sent before.
Shares sent(Rig& rig, std::span<const std::uint64_t> items) {
  schedule::Decision decision;
  (void)rig.pick({.media = items, .decision = &decision});
  const auto& run = decision.runs.at(0);
  Shares out;
  for (std::size_t c = 0; c < run.candidates.size(); ++c) {
    out[rig.pool.endpoints()[run.candidates[c]].name] = run.totals.at(c);
  }
  return out;
}

TEST(ServicePool, SendsItemsWhereTheyWereSentBefore) {  // epp:K011
  Rig rig(kMedia);
  const auto home = rig.pick({.media = kCat}).route.decode.name;
  for (int i = 0; i < 24; ++i) EXPECT_EQ(rig.pick({.media = kCat}).route.decode.name, home);
}

TEST(ServicePool, AnItemIsKnownOfEveryEndpointThatItWasSentTo) {  // epp:K011
  Rig rig(kMedia);
  const auto one = rig.pick({.media = kCat}).route.decode;
  const auto other = rig.pick({.refused = one, .media = kCat}).route.decode;
  Shares shares = {{"a", 0}, {"b", 0}, {"c", 0}};
  shares[one.name] = shares[other.name] = 1;
  EXPECT_EQ(sent(rig, kCat), shares);

  constexpr std::array<std::uint64_t, 2> kCatAndDog = {7, 8};
  shares[one.name] = shares[other.name] = 0.5F;
  EXPECT_EQ(sent(rig, kCatAndDog), shares);
}

TEST(ServicePool, AnEndpointThatComesBackWasSentNoItems) {  // epp:K011
  Rig rig(kMedia);
  const auto gone = rig.pick({.media = kCat}).route.decode;
  const auto other = rig.pick({.refused = gone, .media = kCat}).route.decode;
  std::vector<std::string> rest = {"a", "b", "c"};
  std::erase(rest, gone.name);
  rig.serve(rest);
  rig.serve({"a", "b", "c"});
  const auto back = std::ranges::find(rig.pool.endpoints(), gone.name, &schedule::Endpoint::name);
  ASSERT_EQ(back->slot, gone.slot);

  Shares shares = {{"a", 0}, {"b", 0}, {"c", 0}};
  shares[other.name] = 1;
  EXPECT_EQ(sent(rig, kCat), shares);
}

TEST(ServicePool, TheItemThatWasNotUsedForLongestIsForgotten) {  // epp:K011
  Rig rig(kMedia, {"a"});
  const auto share = [&](std::uint64_t item) { return sent(rig, std::span(&item, 1)).at("a"); };
  for (const std::uint64_t item : {1, 2, 1, 3}) (void)share(item);
  EXPECT_EQ(share(3), 1);
  EXPECT_EQ(share(1), 1);
  EXPECT_EQ(share(2), 0);
}

TEST(ServicePool, APromptMatchesItsLeadingBlocksWhereItsPodHoldsThem) {  // epp:K001 epp:K002
  Rig rig("plugins: [{type: prefix-cache-scorer}]");
  const auto chain = [&](std::string_view text, std::string_view model = "m",
                         std::string_view salt = "") {
    auto made = *rig.pool.chain(model, salt);
    made.append(text);
    return made;
  };
  const auto scores = [&](const index::PrefixChain& prompt) {
    schedule::Decision decision;
    (void)rig.pick({.chain = &prompt, .prompt_bytes = prompt.bytes(), .decision = &decision});
    return decision.runs.at(0).scores;
  };
  const std::string block(256, 'x');
  const std::string four = block + block + block + block;
  const auto prompt = chain(four);
  EXPECT_THAT(scores(prompt), ElementsAre(0, 0, 0));
  rig.pool.remember(rig.pool.endpoints()[1], prompt.blocks());

  EXPECT_THAT(scores(prompt), ElementsAre(0, 1, 0));
  EXPECT_EQ(rig.pick({.chain = &prompt, .prompt_bytes = prompt.bytes()}).matched,
            16U);  // of 64 bytes
  EXPECT_THAT(scores(chain(four + four)), ElementsAre(0, 0.5F, 0));
  EXPECT_THAT(scores(chain(block + std::string(768, 'y'))), ElementsAre(0, 0.25F, 0));
  EXPECT_THAT(scores(chain(four, "other")), ElementsAre(0, 0, 0));
  EXPECT_THAT(scores(chain(four, "m", "salt")), ElementsAre(0, 0, 0));
}

// A small cache and a large one behind it, as two producers.
constexpr std::string_view kTwoCaches =
    "plugins: [{name: gpu, type: approx-prefix-cache-producer, parameters: {autoTune: true, "
    "lruCapacityPerServer: 2}}, {name: cpu, type: approx-prefix-cache-producer, parameters: "
    "{autoTune: false, lruCapacityPerServer: 100}}, {name: g, type: prefix-cache-scorer, "
    "parameters: {prefixMatchInfoProducerName: gpu}}, {name: c, type: prefix-cache-scorer, "
    "parameters: {prefixMatchInfoProducerName: cpu}}]";

TEST(ServicePool, EachProducerOfMatchesRemembersAsMuchAsItIsSaidTo) {
  Rig rig(kTwoCaches, {"a"});
  const auto chain = [&](char letter) {
    auto made = *rig.pool.chain("m");
    made.append(std::string(5 * 256, letter));
    return made;
  };
  const auto one = chain('x'), two = chain('y');
  rig.pool.remember(rig.pool.endpoints()[0], one.blocks());
  rig.pool.remember(rig.pool.endpoints()[0], two.blocks());
  EXPECT_THAT(rig.pool.remembered(), ElementsAre(2U, 10U));
  schedule::Decision decision;
  const auto old = rig.pick({.chain = &one, .prompt_bytes = one.bytes(), .decision = &decision});
  EXPECT_EQ(old.matched, 0U);
  EXPECT_THAT(old.matched_elsewhere, ElementsAre(5U));
  EXPECT_THAT(decision.runs.at(0).scores, ElementsAre(0.0F, 1.0F));
  const auto fresh = rig.pick({.chain = &two, .prompt_bytes = two.bytes()});
  EXPECT_EQ(fresh.matched, 2U);
  EXPECT_THAT(fresh.matched_elsewhere, ElementsAre(5U));

  rig.serve({"b"});
  EXPECT_THAT(rig.pool.remembered(), ElementsAre(0U, 0U));
}

TEST(ServicePool, AnEnginesCacheSizesTheProducerThatTunesItself) {
  Rig rig(
      "plugins: [{name: gpu, type: approx-prefix-cache-producer}, {name: cpu, type: "
      "approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: 100}}]",
      {"a"});
  const auto& endpoint = rig.pool.endpoints()[0];
  rig.pool.loaded(
      endpoint,
      {.waiting = 0, .running = {}, .kv_usage = {}, .block_size = 16, .blocks = 3 * 64 / 16},
      rig.clock.now());
  auto chain = *rig.pool.chain("m");
  chain.append(std::string(5 * 256, 'x'));
  rig.pool.remember(endpoint, chain.blocks());
  EXPECT_THAT(rig.pool.remembered(), ElementsAre(3U, 5U));
}

TEST(ServicePool, AProducersCapOfAPromptIsItsOwn) {  // epp:K005
  Rig rig(
      "plugins: [{name: short, type: approx-prefix-cache-producer, parameters: "
      "{maxPrefixTokensToMatch: 128}}, {name: long, type: approx-prefix-cache-producer}]",
      {"a"});
  auto chain = *rig.pool.chain("m");
  chain.append(std::string(5 * 256, 'x'));
  rig.pool.remember(rig.pool.endpoints()[0], chain.blocks());
  const auto picked = rig.pick({.chain = &chain, .prompt_bytes = chain.bytes()});
  EXPECT_EQ(picked.matched, 2U);
  EXPECT_THAT(picked.matched_elsewhere, ElementsAre(5U));
}

TEST(ServicePool, ARouterAloneRefusesWhatOnlyAPickerDoes) {
  const auto problem = [](std::string_view config) {
    const ServicePool pool(testing::service(std::string(kHead) + std::string(config)));
    return pool.broken() ? pool.broken()->message() : "";
  };
  EXPECT_THAT(problem("plugins: [{type: mm-embeddings-cache-scorer}]"),
              HasSubstr("only baton epp compares pictures, sound and video"));
  EXPECT_THAT(problem("plugins: [{type: destination-endpoint-served-verifier}]"),
              HasSubstr("only baton epp reports of answers"));
  EXPECT_THAT(problem("plugins: [{type: inflight-load-producer, parameters: "
                      "{addEstimatedOutputTokens: true}}]"),
              HasSubstr("only baton epp counts tokens to come"));
  EXPECT_THAT(problem("plugins: [{type: models-data-source}, {type: models-data-extractor}]\n"
                      "dataLayer: {sources: [{pluginRef: models-data-source, extractors: "
                      "[{pluginRef: models-data-extractor}]}]}"),
              HasSubstr("only baton epp asks engines for their models"));
  EXPECT_EQ(problem("plugins: [{type: session-affinity-scorer}, {type: utilization-filter, "
                    "parameters: {conditions: [{metric: active-requests, maxValue: 3}]}}]"),
            "");
}

}  // namespace
}  // namespace baton::pick
