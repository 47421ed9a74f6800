#include "engine/runtime/cache_log.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "engine/runtime/scheduler.hpp"
#include "engine/runtime/testing/rig.hpp"

namespace baton::runtime {
namespace {

using ::testing::ElementsAre;

std::vector<TokenId> numbers(std::size_t n, TokenId first = 1) {
  std::vector<TokenId> out(n);
  std::iota(out.begin(), out.end(), first);
  return out;
}

std::string hex(const VllmHash::Bytes& bytes) {
  std::string out;
  for (const auto b : bytes) out += fmt::format("{:02x}", b);
  return out;
}

struct Vectors {
  std::string none, first, second;
  friend bool operator==(const Vectors&, const Vectors&) = default;
};

// Tokens 1..16, then 17..32.
Vectors vectors(HashForm form, std::string_view seed) {
  const VllmHash hash(form, seed);
  const auto first = hash.next(hash.none(), numbers(16));
  return {hex(hash.none()), hex(first), hex(hash.next(first, numbers(16, 17)))};
}

// The test vectors of vllm-wire 9, made by CPython and a hand-written CBOR encoder.
TEST(VllmHash, GivesTheNamesThatVllmGives) {
  EXPECT_EQ(vectors(HashForm::kPickle, "0"),
            (Vectors{"1973e23848344dc43a988a9b478663803cfffe1243480253f9a3cf004b14aa7c",
                     "bea72b7d33de03c1aa715efbb492d0e0d3801f00c1f985756896072ae8b31325",
                     "2744667f6645310ff670b0c5d7c64987ffa5940de5a549f17d92dcbb5b559e31"}));
  EXPECT_EQ(vectors(HashForm::kPickle, VllmHash::kNoSeed),
            (Vectors{"066b1e8987e027138e98701c46128929378935f9b6cd1549105ae6b4f0d71198",
                     "7b255da405e1d722823892e4fef187b4d8ac78215d7f0dd2137bb037547f4caf",
                     "8e717becdc2054b7a3223b7b844f462c0db0ac86287b752b16d077ad0843c577"}));
  EXPECT_EQ(vectors(HashForm::kCbor, "0"),
            (Vectors{"4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
                     "202da172482d928bbc42ab25b0151e2b895f13f41002e27b2ceabcfae6d332ea",
                     "4a0a393805c6d2f0ed831000d41bb65980336c4c04895d5e26470bbec927f5bf"}));
  const VllmHash hash(HashForm::kPickle, "0");
  EXPECT_EQ(VllmHash::number(hash.next(hash.none(), numbers(16))), 7536218907325174565ULL);
}

TEST(VllmHash, ASaltIsPartOfTheFirstBlocksName) {
  const auto salted = [](HashForm form, std::string_view salt) {
    const VllmHash hash(form, "0");
    return hex(hash.next(hash.none(), numbers(16), salt));
  };
  EXPECT_EQ(salted(HashForm::kPickle, "salt"),
            "c38a38700f0c2b0b08c0e1f21d62fdb19719d50555dcf0cdcc0cdd2dab39608a");
  EXPECT_EQ(salted(HashForm::kCbor, "salt"),
            "0222f5b704a8247ae4068ec648ea39b6a207f22cee65f086f86091a2d25fbd47");
  // Over 255 bytes a text has another form (CPython 3.11).
  EXPECT_EQ(salted(HashForm::kPickle, std::string(300, 'x')),
            "3ab329de9e42c60fbef26774b7a1ba51d3d00c155b9183c5c8c7b5746317a244");
}

// The pickle of tuples of one to three numbers has forms of its own; of numbers, three widths.
TEST(VllmHash, ShortBlocksAndWideNumbersArePickledAsPythonDoes) {
  const VllmHash hash(HashForm::kPickle, "0");
  const std::vector<TokenId> three = {1, 300, 70000};
  EXPECT_EQ(hex(hash.next(hash.none(), three)),
            "651e7bcf1c2e3c8641b1c4be689a0144b636f9ab6217eedfe7d22b4f12548b94");
}

// A scheduler over a small pool whose cache is followed.
struct Rig {
  CacheLog log{VllmHash(HashForm::kPickle)};
  BlockPool pool;
  Scheduler scheduler;

  explicit Rig(std::size_t blocks)
      : pool(blocks, 4, 1, &log),
        scheduler({.max_seqs = 4, .max_tokens = 100, .prefix_caching = true}, pool, &log) {}

  std::vector<kv::KvEvent> run(std::uint64_t serial, std::vector<TokenId> prompt,
                               std::string salt = {}) {
    auto s = std::make_unique<Sequence>();
    s->request.cache_salt = std::move(salt);
    s->serial = serial;
    s->request.id = fmt::format("r{}", serial);
    s->prompt = prompt.size();
    s->most = prompt.size() + 1;
    s->tokens = std::move(prompt);
    scheduler.add(std::move(s));
    const Plan plan = scheduler.plan();
    scheduler.apply(plan);
    for (const auto& [sequence, tokens] : plan.work) {
      scheduler.computed(*sequence, tokens);
      scheduler.finish(*sequence);
    }
    return log.take();
  }
};

const kv::BlockStored& stored(const kv::KvEvent& event) { return std::get<kv::BlockStored>(event); }

TEST(CacheLog, ARunOfNewBlocksIsOneEventThatContinuesWhatWasThere) {
  Rig rig(16);
  const auto first = rig.run(1, numbers(9));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(stored(first[0]).parent, std::nullopt);
  EXPECT_EQ(stored(first[0]).tokens, numbers(8));
  EXPECT_EQ(stored(first[0]).block_size, 4U);

  const auto second = rig.run(2, numbers(17));
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(stored(second[0]).parent, stored(first[0]).hashes.back());
  EXPECT_EQ(stored(second[0]).tokens, numbers(8, 9));
  EXPECT_EQ(stored(second[0]).hashes.size(), 2U);

  EXPECT_TRUE(rig.run(3, numbers(17)).empty());  // nothing new
}

TEST(CacheLog, TellsTheSaltOfAFirstBlock) {
  Rig rig(16);
  const auto plain = rig.run(1, numbers(9));
  const auto salted = rig.run(2, numbers(9), "mine");

  ASSERT_EQ(salted.size(), 1U);
  EXPECT_TRUE(stored(plain[0]).extra_keys.empty());
  EXPECT_EQ(stored(salted[0]).extra_keys, (std::vector<std::vector<std::string>>{{"mine"}, {}}));
  EXPECT_NE(stored(salted[0]).hashes, stored(plain[0]).hashes);
}

TEST(CacheLog, ARemovalStandsBeforeTheBlockThatTakesItsPlace) {
  Rig rig(4);
  const auto first = rig.run(1, numbers(13));
  const auto second = rig.run(2, numbers(9, 100));

  ASSERT_EQ(second.size(), 2U);
  const auto& gone = std::get<kv::BlockRemoved>(second[0]);
  EXPECT_THAT(gone.hashes, ElementsAre(stored(first[0]).hashes[2], stored(first[0]).hashes[1]));
  EXPECT_EQ(gone.medium, "gpu");
  EXPECT_EQ(stored(second[1]).tokens, numbers(8, 100));
}

class Kept final : public KvEventSink {
 public:
  void publish(std::vector<kv::KvEvent> events) override {
    const std::scoped_lock lock(mutex_);
    for (auto& e : events) events_.push_back(std::move(e));
    ++published_;
  }
  Counts counts() const override {
    const std::scoped_lock lock(mutex_);
    return {.published = published_};
  }
  std::vector<kv::KvEvent> events() const {
    const std::scoped_lock lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<kv::KvEvent> events_;
  std::uint64_t published_ = 0;
};

TEST(CacheLog, AnEngineTellsWhatItsCacheGains) {
  auto config = testing::small_config();
  const auto kept = std::make_shared<Kept>();
  config.kv_events = {kept, VllmHash(HashForm::kPickle)};
  testing::Rig rig(config);
  const auto answer = rig.generate(numbers(40), testing::greedy(2));

  ASSERT_TRUE(answer.finish);
  const auto events = kept->events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(stored(events[0]).tokens.front(), 1U);
  std::size_t blocks = 0;
  for (const auto& e : events) blocks += stored(e).hashes.size();
  EXPECT_EQ(blocks, 2U);  // of 16 tokens
  EXPECT_GT(rig.engine->stats().kv_events.published, 0U);
}

}  // namespace
}  // namespace baton::runtime
