// A pool that follows its engines' KV events, with real publishers on loopback addresses.

#include "routing/pick/precise_prefix.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/text/json.hpp"
#include "net/zmtp/publisher.hpp"
#include "routing/pick/service_pool.hpp"

namespace baton::pick {
namespace {

using ::testing::HasSubstr;
using zmtp::Publisher;

const SystemClock kClock;
const std::string kModel = std::string(BATON_SOURCE_DIR) + "/models/storyteller";

bool eventually(const std::function<bool()>& holds) {
  const auto until = kClock.now() + std::chrono::seconds(30);
  while (!holds()) {
    if (kClock.now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

// Of a configuration: further plugins, parameters of the producer, and what is scored where.
struct More {
  std::string_view plugins = "", producer = "";
  std::string_view profiles = "{name: default, plugins: [{pluginRef: prefix-cache-scorer}]}";
};

std::string picker(std::uint16_t port, std::uint16_t replay, const More& more = {}) {
  return "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n"
         "- {type: token-producer, parameters: {modelName: " +
         kModel +
         "}}\n"
         "- type: precise-prefix-cache-producer\n  parameters:\n    kvEventsConfig: "
         "{podDiscoveryConfig: {socketPort: " +
         std::to_string(port) + ", replaySocketPort: " + std::to_string(replay) + "}}\n" +
         std::string(more.producer) + std::string(more.plugins) +
         "- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: "
         "precise-prefix-cache-producer}}\nschedulingProfiles: [" +
         std::string(more.profiles) + "]\n";
}

std::string body_of(std::string_view prompt) {
  return text::json::dump(text::json::Object{{"model", "m"}, {"prompt", std::string(prompt)}});
}

std::string long_prompt(std::string_view word) {
  std::string out;
  for (int i = 0; i < 200; ++i) out += std::string(word) + " and then " + std::to_string(i) + ", ";
  return out;
}

// What an engine tells when it has cached the prompt.
std::string stored(const std::vector<token::TokenId>& tokens) {
  kv::BlockStored event;
  for (std::size_t at = 0; at + 16 <= tokens.size(); at += 16) event.hashes.push_back(at + 1);
  event.tokens.assign(tokens.begin(), tokens.begin() + static_cast<long>(event.hashes.size() * 16));
  event.block_size = 16;
  event.medium = "gpu";
  return kv::encode_events({.ts = 1, .events = {event}, .rank = 0}, kv::EventShape::kMaps);
}

std::unique_ptr<Publisher> publisher(const std::string& host, std::uint16_t port = 0,
                                     std::uint16_t replay = 0) {
  return *Publisher::start({.any = host,
                            .endpoint = "tcp://*:" + std::to_string(port),
                            .replay_endpoint = "tcp://*:" + std::to_string(replay)},
                           kClock);
}

watch::Service service(std::string picker) {
  watch::Service out;
  out.ns = "default", out.name = "pool", out.picker = std::move(picker), out.picker_source = "test";
  for (const auto* host : {"127.0.0.1", "127.0.0.2"}) {
    schedule::Endpoint e;
    e.ns = "default", e.name = std::string("p-") + host, e.host = host, e.port = 8000;
    out.endpoints.push_back(e);
  }
  return out;
}

struct Rig {
  More more;
  std::unique_ptr<Publisher> first = publisher("127.0.0.1");
  std::unique_ptr<Publisher> second =
      publisher("127.0.0.2", first->at().port, first->replay_at().port);
  observe::Registry registry;
  watch::Service about = service(picker(first->at().port, first->replay_at().port, more));
  std::unique_ptr<PrecisePrefix> precise;
  ServicePool pool{about, ServicePool::Owner::kPicker};
  SeededRandom random{1};

  explicit Rig(const More& with = {}) : more(with) {
    EXPECT_FALSE(pool.broken()) << pool.broken()->message();
    precise = *PrecisePrefix::open(*pool.setup().precise, {kClock, registry});
    pool.follow(*precise);
    pool.update(about);
  }
  ServicePool::Picked pick(const std::string& prompt) {
    const auto body = body_of(prompt);
    const auto keyed = precise->read({.api = openai::Api::kCompletion, .body = body, .model = "m"});
    auto chain = pool.chain("m");
    chain->append(prompt);
    return *pool.pick(
        {.chain = &*chain, .keyed = keyed ? &*keyed : nullptr, .prompt_bytes = prompt.size()},
        kClock.now(), random);
  }
  std::string pod(const std::string& prompt) { return pick(prompt).route.decode.host; }
  std::vector<token::TokenId> tokens(const std::string& prompt) {
    return *(*PromptTokens::load(kModel))
                ->read(openai::Api::kCompletion, body_of(prompt), std::tm{});
  }
  std::uint32_t held(schedule::Slot slot, const std::string& prompt, std::string_view salt = {}) {
    const auto body = body_of(prompt);
    const auto keyed =
        precise->read({.api = openai::Api::kCompletion, .body = body, .model = "m", .salt = salt});
    std::vector<std::uint32_t> blocks(schedule::kMaxEndpoints), weighted = blocks;
    precise->match(*keyed, blocks, weighted);
    return blocks[slot];
  }
  // What was published has been read.
  bool knows(schedule::Slot slot, const std::string& prompt) {
    return eventually([&] { return precise->in_sync(slot) && held(slot, prompt) > 0; });
  }
  bool synced() {
    return eventually([&] { return precise->in_sync(0) && precise->in_sync(1); });
  }
};

TEST(PrecisePrefix, ARequestGoesToTheEngineThatToldThatItHoldsThePrompt) {
  Rig rig;
  const auto one = long_prompt("once"), two = long_prompt("twice");
  rig.first->publish(stored(rig.tokens(one)));
  rig.second->publish(stored(rig.tokens(two)));
  ASSERT_TRUE(rig.knows(0, one) && rig.knows(1, two));

  const auto picked = rig.pick(one + " more");
  EXPECT_EQ(picked.route.decode.host, "127.0.0.1");
  EXPECT_EQ(rig.pod(two + " more"), "127.0.0.2");
  const auto whole = rig.tokens(one).size() / 16 * 16;
  EXPECT_EQ(picked.predicted, whole);
}

TEST(PrecisePrefix, WhatPromptsTellStandsBesideWhatEnginesTell) {
  Rig rig(More{.plugins = "- {type: approx-prefix-cache-producer}\n"});
  const auto prompt = long_prompt("once");
  rig.first->publish(stored(rig.tokens(prompt)));
  ASSERT_TRUE(rig.knows(0, prompt));

  const auto told = rig.pick(prompt);  // the scorer names the engines' word
  EXPECT_EQ(told.route.decode.host, "127.0.0.1");
  EXPECT_EQ(told.matched, 0U);
  ASSERT_EQ(told.matched_elsewhere.size(), 1U);
  EXPECT_EQ(told.matched_elsewhere[0], rig.tokens(prompt).size() / 16);
}

TEST(PrecisePrefix, BothEndpointsOfARoutedPromptAreExpectedToHoldIt) {  // epp:K020
  Rig rig(More{.plugins = "- {type: disagg-profile-handler, parameters: {deciders: {prefill: "
                          "always-disagg-pd-decider}}}\n- {type: always-disagg-pd-decider}\n"
                          "- {type: prefill-filter}\n- {type: decode-filter}\n",
               .producer = "    speculativeIndexing: true\n    speculativeTTL: 1h\n",
               .profiles =
                   "{name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: "
                   "prefix-cache-scorer}]}, {name: decode, plugins: [{pluginRef: decode-filter}, "
                   "{pluginRef: prefix-cache-scorer}]}"});
  rig.about.endpoints[0].labels.emplace(schedule::kRoleLabel, "prefill");
  rig.about.endpoints[1].labels.emplace(schedule::kRoleLabel, "decode");
  rig.pool.update(rig.about);
  ASSERT_TRUE(rig.synced());
  const auto prompt = long_prompt("once");
  const auto whole = rig.tokens(prompt).size() / 16;

  ASSERT_TRUE(rig.pick(prompt).route.prefill);

  EXPECT_TRUE(
      eventually([&] { return rig.held(0, prompt) == whole && rig.held(1, prompt) == whole; }));
}

TEST(PrecisePrefix, AnEngineThatIsNotInSyncIsEstimated) {
  Rig rig;
  const auto prompt = long_prompt("once");
  ASSERT_TRUE(rig.synced());
  rig.second.reset();
  ASSERT_TRUE(eventually([&] { return !rig.precise->in_sync(1); }));
  auto chain = rig.pool.chain("m");
  chain->append(prompt);
  rig.pool.remember(rig.pool.endpoints()[1], chain->blocks());

  const auto picked = rig.pick(prompt);
  EXPECT_EQ(picked.route.decode.host, "127.0.0.2");
  EXPECT_FALSE(picked.predicted);
}

TEST(PrecisePrefix, APromptWithASaltSharesNothingWithOneWithout) {
  Rig rig;
  const auto prompt = long_prompt("once");
  rig.first->publish(stored(rig.tokens(prompt)));
  ASSERT_TRUE(rig.knows(0, prompt));

  EXPECT_EQ(rig.held(0, prompt, "mine"), 0U);
}

TEST(PrecisePrefix, APromptOfTokenIdsNeedsNoTokenizer) {
  observe::Registry registry;
  const auto precise = *PrecisePrefix::open(schedule::PreciseParameters(), {kClock, registry});
  const std::vector<token::TokenId> ids(40, 7);
  const auto keyed =
      precise->read({.api = openai::Api::kGenerate, .body = "", .model = "m", .ids = ids});
  ASSERT_TRUE(keyed);
  EXPECT_EQ(keyed->keys.size(), 2U);
  EXPECT_EQ(keyed->tokens, 40U);
}

TEST(PrecisePrefix, WhatElseABodyAsksForDoesNotKeepItFromBeingTokenized) {
  const auto tokens = *PromptTokens::load(kModel);
  const auto plain = tokens->read(openai::Api::kChat,
                                  R"({"messages":[{"role":"user","content":"hello"}]})", std::tm{});
  const auto more = tokens->read(
      openai::Api::kChat,
      R"({"messages":[{"role":"user","content":"hello"}],"n":3,"tool_choice":"auto","response_format":{"type":"json_object"},"presence_penalty":1})",
      std::tm{});
  ASSERT_TRUE(plain);
  ASSERT_TRUE(more) << more.error().message();
  EXPECT_EQ(*plain, *more);
}

TEST(PrecisePrefix, WithoutATokenizerPromptsAreComparedByBytesAndCounted) {
  observe::Registry registry;
  const auto precise = *PrecisePrefix::open(schedule::PreciseParameters(), {kClock, registry});
  const auto body = body_of("x");
  EXPECT_FALSE(precise->read({.api = openai::Api::kCompletion, .body = body, .model = "m"}));
  EXPECT_THAT(registry.expose(), HasSubstr("\nbaton_epp_untokenized_prompts_total 1\n"));
}

TEST(PrecisePrefix, ThePredictionsErrorIsMeasured) {
  observe::Registry registry;
  const auto precise = *PrecisePrefix::open(schedule::PreciseParameters(), {kClock, registry});
  precise->reported(64, std::nullopt);  // no engine has reported anything yet
  precise->reported(32, 32), precise->reported(64, 32), precise->reported(0, 48);
  precise->reported(16, std::nullopt);  // vLLM leaves a 0 out
  const auto text = registry.expose();
  EXPECT_THAT(text, HasSubstr("\nbaton_epp_prefix_predictions_total 4\n"));
  EXPECT_THAT(text, HasSubstr("\nbaton_epp_prefix_predictions_exact_total 1\n"));
  EXPECT_THAT(text, HasSubstr("prefix_prediction_error_tokens_sum{direction=\"over\"} 48\n"));
  EXPECT_THAT(text, HasSubstr("prefix_prediction_error_tokens_sum{direction=\"under\"} 48\n"));
}

TEST(PrecisePrefix, AnOwnerThatCannotFollowRefusesTheConfiguration) {
  const ServicePool pool(service(picker(5557, 0)));
  ASSERT_TRUE(pool.broken());
  EXPECT_THAT(pool.broken()->message(), HasSubstr("only baton epp follows engines' KV events"));
}

}  // namespace
}  // namespace baton::pick
