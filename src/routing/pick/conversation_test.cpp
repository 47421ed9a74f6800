// Turn two of a conversation is decode-only, whatever the lengths of what was said: from the bytes
// of the requests to the decision, without sockets.

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/answer_text.hpp"
#include "formats/openai/prompt_text.hpp"
#include "routing/pick/service_pool.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton::pick {
namespace {

using openai::Api;
using text::json::Value;

watch::Service service() {
  auto made = testing::service();
  for (const std::string_view name : {"d0", "d1", "p0"}) {
    made.endpoints.push_back(testing::endpoint(name, name[0] == 'd' ? "decode" : "prefill"));
  }
  return made;
}

// A text whose 64-byte blocks all differ.
std::string words(std::size_t length, std::string_view seed) {
  std::string text;
  for (int i = 0; text.size() < length; ++i) text += std::string(seed) + std::to_string(i) + " ";
  text.resize(length);
  return text;
}

Value message(std::string_view role, std::string content) {
  Value made;
  made["role"] = role;
  made["content"] = std::move(content);
  return made;
}

std::string chat(text::json::Array messages) {
  Value body;
  body["model"] = "m";
  body["messages"] = std::move(messages);
  return text::json::dump(body);
}

struct Asked {
  ServicePool::Picked picked;
  index::PrefixChain chain;
};

Asked ask(ServicePool& pool, std::string body, Api api, Random& random) {
  openai::PromptReader reader;
  const auto prompt = reader.read(body, api);
  auto chain = *pool.chain(prompt->model);
  chain.append(prompt->text);
  auto picked = pool.pick({.chain = &chain, .prompt_bytes = prompt->text.size(), .refused = {}},
                          ManualClock().now(), random);
  EXPECT_TRUE(picked) << picked.error().message();
  return {*std::move(picked), std::move(chain)};
}

// What the gateway does when the answer has passed by.
void answered(ServicePool& pool, Asked& asked, Api api, std::string_view answer) {
  const auto& route = asked.picked.route;
  pool.remember(route.decode, asked.chain.blocks());
  if (route.prefill) pool.remember(*route.prefill, asked.chain.blocks());
  asked.chain.append(openai::answer_mark(api));
  asked.chain.append(answer);
  pool.remember(route.decode, asked.chain.blocks());
}

// The seed's configuration with parameters for its scorer.
std::string seed_with(std::string_view parameters) {
  std::string config(testing::kSeedPd);
  constexpr std::string_view kScorer = "{type: prefix-cache-scorer}";
  return config.replace(
      config.find(kScorer), kScorer.size(),
      "{type: prefix-cache-scorer, parameters: {" + std::string(parameters) + "}}");
}

TEST(Conversation, TurnTwoIsDecodeOnlyForEveryLengthOfMessageAndAnswer) {
  const auto system = words(400, "system");
  SeededRandom random(1);
  for (std::size_t first = 0; first < 64; ++first) {
    for (std::size_t second = 0; second < 64; ++second) {
      ServicePool pool(service());
      pool.update(service());
      const auto question = words(100 + first, "question");
      const auto answer = words(300 + second, "answer");

      auto one = ask(pool, chat({message("system", system), message("user", question)}), Api::kChat,
                     random);
      ASSERT_TRUE(one.picked.route.prefill);
      answered(pool, one, Api::kChat, answer);
      const auto two = ask(pool,
                           chat({message("system", system), message("user", question),
                                 message("assistant", answer), message("user", "Continue")}),
                           Api::kChat, random);

      ASSERT_FALSE(two.picked.route.prefill) << first << " " << second;
      ASSERT_EQ(schedule::name(two.picked.route.no_prefill), "below-threshold");
      ASSERT_EQ(two.picked.route.decode.name, one.picked.route.decode.name);
    }
  }
}

TEST(Conversation, TurnTwoOfALongConversationIsDecodeOnlyToo) {
  ServicePool pool(service());
  pool.update(service());
  SeededRandom random(1);
  const auto question = words(220'000, "q");
  const auto answer = words(20'000, "a");
  auto one = ask(pool, chat({message("user", question)}), Api::kChat, random);
  answered(pool, one, Api::kChat, answer);

  const auto two = ask(
      pool,
      chat({message("user", question), message("assistant", answer), message("user", "Continue")}),
      Api::kChat, random);

  EXPECT_FALSE(two.picked.route.prefill);
}

// What every conversation begins with is held by all who had one; who had none yet is not left out
// for it, but a conversation stays where it is.
TEST(Conversation, APodThatNeverHadOneIsComparedAsTheOneThatHoldsLeast) {
  auto three = service();
  three.endpoints = {testing::endpoint("d0", "decode"), testing::endpoint("d1", "decode"),
                     testing::endpoint("d2", "decode")};
  ServicePool pool(three);
  pool.update(three);
  SeededRandom random(1);
  const auto system = words(400, "system");
  const auto with = [&](std::string_view seed) {
    return chat({message("system", system), message("user", words(900, seed))});
  };
  std::map<std::string, std::string> homes;  // by conversation
  std::vector<Asked> running;
  const auto begin = [&](const std::string& seed, std::optional<std::size_t> onto = {}) {
    auto asked = ask(pool, with(seed), Api::kChat, random);
    if (onto) asked.picked.route.decode = pool.endpoints()[*onto];
    answered(pool, asked, Api::kChat, "an answer");
    homes[seed] = asked.picked.route.decode.name;
    running.push_back(std::move(asked));
  };

  begin("one");
  begin("two");  // of a single pod it is not known what all hold
  EXPECT_EQ(homes["two"], homes["one"]);
  begin("three", homes["one"] == "d1" ? 0 : 1);
  running.clear();
  running.push_back(ask(pool, with("one"), Api::kChat, random));
  running.push_back(ask(pool, with("three"), Api::kChat, random));
  EXPECT_EQ(running[0].picked.route.decode.name, homes["one"]);
  EXPECT_EQ(running[1].picked.route.decode.name, homes["three"]);

  const auto fresh = ask(pool, with("four"), Api::kChat, random);
  EXPECT_NE(fresh.picked.route.decode.name, homes["one"]);
  EXPECT_NE(fresh.picked.route.decode.name, homes["three"]);
  EXPECT_EQ(fresh.picked.matched, 0) << "what it holds is not known, so its prompt is prefilled";
}

TEST(Conversation, AnEditedTurnGoesThroughPrefillAgain) {
  ServicePool pool(service());
  pool.update(service());
  SeededRandom random(1);
  auto one = ask(pool, chat({message("user", words(900, "a"))}), Api::kChat, random);
  answered(pool, one, Api::kChat, words(300, "b"));

  const auto two = ask(pool, chat({message("user", words(900, "c"))}), Api::kChat, random);
  EXPECT_TRUE(two.picked.route.prefill);
}

TEST(Conversation, WhatAPodHoldsOfALongPromptIsKnownToTheBlockWhereItEnds) {
  SeededRandom random(5);
  for (const std::size_t blocks : {255UL, 256UL, 257UL, 263UL, 264UL, 265UL, 1000UL, 3500UL}) {
    ServicePool pool(service());
    pool.update(service());
    const auto held = words(blocks * 64, "h");
    const auto body = [](const std::string& prompt) {
      return R"({"model":"m","prompt":")" + prompt + R"("})";
    };
    auto one = ask(pool, body(held), Api::kCompletion, random);
    answered(pool, one, Api::kCompletion, "");
    const auto two = ask(pool, body(held + words(640, "n")), Api::kCompletion, random);
    EXPECT_EQ(two.picked.matched, blocks);
    EXPECT_EQ(two.picked.route.decode.name, one.picked.route.decode.name);
  }
}

TEST(Conversation, LongPromptsThatPartWaysAreCountedInEightBlocks) {
  SeededRandom random(6);
  ServicePool pool(service());
  pool.update(service());
  const auto shared = words(1003 * 64, "s");
  const auto body = [&](std::string_view own) {
    return R"({"model":"m","prompt":")" + shared + words(6400, own) + R"("})";
  };
  auto one = ask(pool, body("a"), Api::kCompletion, random);
  answered(pool, one, Api::kCompletion, "");
  const auto two = ask(pool, body("b"), Api::kCompletion, random);
  EXPECT_EQ(two.picked.matched, 1000);
}

TEST(Conversation, APodRemembersAsManyBlocksAsItIsSaidTo) {
  auto limited = service();
  limited.picker = seed_with("lruCapacityPerServer: 2000");
  limited.endpoints = {testing::endpoint("d0", "decode"), testing::endpoint("p0", "prefill")};
  ServicePool pool(limited);
  ASSERT_FALSE(pool.broken()) << pool.broken()->message();
  pool.update(limited);
  SeededRandom random(7);
  const auto body = [&](std::string_view own) {
    return R"({"model":"m","prompt":")" + words(1500 * 64, own) + R"("})";
  };
  auto one = ask(pool, body("a"), Api::kCompletion, random);
  answered(pool, one, Api::kCompletion, "");
  for (const auto* own : {"b", "c", "d", "e"}) {
    auto other = ask(pool, body(own), Api::kCompletion, random);
    answered(pool, other, Api::kCompletion, "");
  }
  EXPECT_LT(ask(pool, body("a"), Api::kCompletion, random).picked.matched, 1000);
  EXPECT_EQ(ask(pool, body("e"), Api::kCompletion, random).picked.matched, 1500);
}

// The seed's configuration on a pair whose engines tell their caches' sizes.
class Remembering {
 public:
  explicit Remembering(std::string_view config = testing::kSeedPd) {
    auto made = testing::service(config);
    made.endpoints = {testing::endpoint("d0", "decode"), testing::endpoint("p0", "prefill")};
    pool_.emplace(made);
    pool_->update(made);
  }
  void tell(std::optional<std::uint32_t> block_size, std::optional<std::uint32_t> blocks) {
    for (const auto& endpoint : pool_->endpoints()) {
      pool_->loaded(
          endpoint,
          {.waiting = 0, .running = {}, .kv_usage = {}, .block_size = block_size, .blocks = blocks},
          ManualClock().now());
    }
  }
  // Blocks of 64 bytes of a prompt that are known again after so many others of 500 blocks.
  std::uint32_t known_after(int others) {
    const auto first = prompt();
    send(first);
    for (int i = 0; i < others; ++i) send(prompt());
    return ask(*pool_, first, Api::kCompletion, random_).picked.matched;
  }

 private:
  std::string prompt() {
    return R"({"model":"m","prompt":")" + words(500 * 64, std::to_string(++prompts_) + "-") +
           R"("})";
  }
  void send(const std::string& body) {
    auto asked = ask(*pool_, body, Api::kCompletion, random_);
    answered(*pool_, asked, Api::kCompletion, "");
  }

  std::optional<ServicePool> pool_;
  SeededRandom random_{7};
  int prompts_ = 0;
};

TEST(Conversation, AsMuchIsRememberedAsThePodSaysThatItsCacheHolds) {
  Remembering pods;
  EXPECT_EQ(pods.known_after(40), 500);  // 20,500 of 31,250
  EXPECT_EQ(pods.known_after(80), 0);

  pods.tell(32, 32'000);  // 64,000 blocks of 16 tokens
  EXPECT_EQ(pods.known_after(80), 500);
  pods.tell({}, {});  // a page without the size changes nothing
  EXPECT_EQ(pods.known_after(80), 500);
  pods.tell(16, 0);
  EXPECT_EQ(pods.known_after(80), 500);
  EXPECT_EQ(pods.known_after(160), 0);

  pods.tell(16, 4'000);  // restarted, with less
  EXPECT_EQ(pods.known_after(3), 500);
  EXPECT_EQ(pods.known_after(20), 0);
}

TEST(Conversation, AConfiguredCapacityStandsWhateverThePodSays) {
  Remembering pods(seed_with("lruCapacityPerServer: 2000"));
  pods.tell(16, 64'000);
  EXPECT_EQ(pods.known_after(2), 500);
  EXPECT_EQ(pods.known_after(20), 0);

  Remembering other_parameters(seed_with("hashBlockSize: 64"));
  other_parameters.tell(16, 64'000);
  EXPECT_EQ(other_parameters.known_after(80), 500);
}

TEST(Conversation, WhatIsRememberedOfAPodHasABoundWhateverItSays) {
  Remembering pods;
  pods.tell(UINT32_MAX, UINT32_MAX);
  EXPECT_EQ(pods.known_after(600), 0);  // 300,500 blocks
}

TEST(Conversation, ACompletionIsContinuedWithoutAMark) {
  ServicePool pool(service());
  pool.update(service());
  SeededRandom random(1);
  const auto body = [](std::string prompt) {
    Value made;
    made["model"] = "m";
    made["prompt"] = std::move(prompt);
    return text::json::dump(made);
  };
  const auto prompt = words(333, "p"), answer = words(222, "a");
  auto one = ask(pool, body(prompt), Api::kCompletion, random);
  answered(pool, one, Api::kCompletion, answer);

  const auto two = ask(pool, body(prompt + answer + " more"), Api::kCompletion, random);
  EXPECT_FALSE(two.picked.route.prefill);
}

TEST(Conversation, ModelsDoNotShareWhatTheyHold) {
  ServicePool pool(service());
  pool.update(service());
  SeededRandom random(1);
  auto one = ask(pool, chat({message("user", words(900, "a"))}), Api::kChat, random);
  answered(pool, one, Api::kChat, "");

  auto other = chat({message("user", words(900, "a"))});
  other.replace(other.find("\"m\""), 3, "\"n\"");
  EXPECT_TRUE(ask(pool, other, Api::kChat, random).picked.route.prefill);
}

TEST(Conversation, APodThatLeftIsForgotten) {
  ServicePool pool(service());
  pool.update(service());
  SeededRandom random(1);
  const auto body = chat({message("user", words(900, "a"))});
  auto one = ask(pool, body, Api::kChat, random);
  answered(pool, one, Api::kChat, "");
  auto fewer = service();
  std::erase_if(fewer.endpoints,
                [&](const auto& e) { return e.name == one.picked.route.decode.name; });
  pool.update(fewer);
  answered(pool, one, Api::kChat, "late");  // the answer ends after its pod has left

  EXPECT_TRUE(ask(pool, body, Api::kChat, random).picked.route.prefill);
}

}  // namespace
}  // namespace baton::pick
