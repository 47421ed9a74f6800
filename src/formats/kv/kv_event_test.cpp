#include "formats/kv/kv_event.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "formats/kv/msgpack.hpp"

namespace baton::kv {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;

std::vector<std::uint32_t> tokens(std::size_t count) {
  std::vector<std::uint32_t> out(count);
  std::iota(out.begin(), out.end(), 1);
  return out;
}

BlockStored first_block() {
  return {.hashes = {7536218907325174565ULL},
          .parent = {},
          .tokens = tokens(16),
          .block_size = 16,
          .lora_id = {},
          .medium = "gpu",
          .lora_name = {},
          .extra_keys = {},
          .spec_kind = {},
          .sliding_window = {}};
}

BlockStored full() {
  return {.hashes = {1, 2},
          .parent = 3,
          .tokens = tokens(8),
          .block_size = 4,
          .lora_id = 5,
          .medium = "cpu",
          .lora_name = "adapter",
          .extra_keys = {{"adapter", "salt"}, {}},
          .group = 1,
          .spec_kind = "full_attention",
          .sliding_window = 128};
}

EventBatch batch(KvEvent event) {
  return {.ts = 1700000000.5, .events = {std::move(event)}, .rank = 0};
}

const BlockStored& stored(const Result<EventBatch>& decoded) {
  return std::get<BlockStored>(decoded->events.at(0));
}

// The bytes of vllm-wire appendix C.
TEST(KvEvents, TheReferencesBytesAreWrittenAndRead) {  // epp:K014
  const std::string arrays =
      "\x93\xcb\x41\xd9\x54\xfc\x40\x20\x00\x00\x91"
      "\x97\xab"
      "BlockStored\x91\xcf\x68\x96\x07\x2a\xe8\xb3\x13\x25\xc0\xdc\x00\x10"
      "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x10\xc0\xa3GPU\x00"s;
  const std::string maps =
      "\x93\xcb\x41\xd9\x54\xfc\x40\x20\x00\x00\x91"
      "\x83\xa4type\xac"
      "BlockRemoved\xac"
      "block_hashes\x91\xcf\x68\x96\x07\x2a\xe8\xb3\x13\x25\xa6medium\xa3GPU\x00"s;
  const auto removed = batch(BlockRemoved{.hashes = {7536218907325174565ULL}, .medium = "gpu"});

  EXPECT_EQ(encode_events(batch(first_block()), EventShape::kArrays), arrays);
  EXPECT_EQ(encode_events(removed, EventShape::kMaps), maps);
  EXPECT_EQ(*decode_events(arrays), batch(first_block()));
  EXPECT_EQ(*decode_events(maps), removed);
}

TEST(KvEvents, EveryEventSurvivesARoundTripInBothShapes) {  // epp:K014
  EventBatch all = batch(full());
  all.events.emplace_back(first_block());
  all.events.emplace_back(BlockRemoved{.hashes = {1, ~0ULL}, .medium = "cpu", .group = 2});
  all.events.emplace_back(AllBlocksCleared{});
  all.rank = 3;
  for (const auto shape : {EventShape::kArrays, EventShape::kMaps}) {
    const auto back = decode_events(encode_events(all, shape));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, all);
  }
}

TEST(KvEvents, MissingAndUnknownTrailingPartsChangeNothing) {  // epp:K014
  const auto shortest = decode_events(
      "\x92\x01\x91\x95\xab"
      "BlockStored\x91\x07\xc0\x92\x01\x02\x02"s);
  ASSERT_TRUE(shortest);
  EXPECT_EQ(stored(shortest).medium, "gpu");
  EXPECT_FALSE(shortest->rank);

  const auto longer = decode_events(
      "\x94\x01\x91\x9e\xab"
      "BlockStored\x91\x07\xc0\x92\x01\x02\x02\xc0\xc0\xc0\xc0\xc0\xc0\xc0\x91\x90\x80\xc0\xa3new"s);
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->events, shortest->events);

  const auto map = decode_events(
      "\x83\xa2ts\x01\xa6"
      "events\x91\x81\xa4type\xb0"
      "AllBlocksCleared\xa3new\x91\x01"s);
  ASSERT_TRUE(map);
  EXPECT_TRUE(std::holds_alternative<AllBlocksCleared>(map->events.at(0)));
}

TEST(KvEvents, ATypeOfALaterVersionIsLeftOutAndCounted) {  // epp:K014
  const auto decoded = decode_events(
      "\x92\x01\x93\x92\xa3New\x91\xc0\x82\xa1x\x01\xa4type\xa3New\x91\xb0"
      "AllBlocksCleared"s);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->unknown, 2U);
  EXPECT_EQ(decoded->events.size(), 1U);
}

TEST(KvEvents, HashesAreNumbersOrTheLastEightBytes) {  // epp:K015
  const auto hash = [](const std::string& bytes) {
    return decode_events("\x92\x01\x91\x92\xac"s + "BlockRemoved\x91" + bytes);
  };
  const auto value = [&](const std::string& bytes) {
    return std::get<BlockRemoved>(hash(bytes)->events.at(0)).hashes.at(0);
  };
  EXPECT_EQ(value("\xcf\xff\xff\xff\xff\xff\xff\xff\xfe"s), ~0ULL - 1);
  EXPECT_EQ(value("\xfe"), ~0ULL - 1);  // a negative int64
  EXPECT_EQ(value("\xc4\x0a\x09\x09\x01\x02\x03\x04\x05\x06\x07\x08"s), 0x0102030405060708ULL);
  EXPECT_EQ(value("\xa8\x01\x02\x03\x04\x05\x06\x07\x08"s), 0x0102030405060708ULL);
  EXPECT_FALSE(hash("\xc4\x00"s));
  EXPECT_FALSE(hash("\xc3"));
}

TEST(KvEvents, ExtraKeysKeepWhatTellsBlocksApart) {  // epp:K014
  // [["salt", 7], nil, [["image", 12], [[1], 2]]]
  const auto decoded = decode_events(
      "\x92\x01\x91\x99\xab"
      "BlockStored\x93\x01\x02\x03\xc0\x93\x01\x02\x03\x01\xc0\xc0\xc0"
      "\x93\x92\xa4salt\x07\xc0\x92\x92\xa5image\x0c\x92\x91\x01\x02"s);
  ASSERT_TRUE(decoded);
  EXPECT_THAT(stored(decoded).extra_keys,
              ElementsAre(ElementsAre("salt", "7"), ElementsAre(), ElementsAre("image")));
}

TEST(KvEvents, WhatIsNotABatchIsRefused) {  // epp:K014
  const std::string good = encode_events(batch(full()), EventShape::kArrays);
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(decode_events(std::string_view(good).substr(0, n))) << n;
  }
  EXPECT_FALSE(decode_events(good + "x"));
  EXPECT_FALSE(decode_events("\xc1"));
  EXPECT_FALSE(decode_events(std::string(kMaxEventBatch + 1, '\x01')));

  auto short_of_tokens = full();
  short_of_tokens.tokens.pop_back();
  auto without_hashes = full();
  without_hashes.hashes.clear(), without_hashes.tokens.clear(), without_hashes.extra_keys.clear();
  auto huge_blocks = full();
  huge_blocks.hashes = {1}, huge_blocks.block_size = kMaxEventBlock + 1,
  huge_blocks.extra_keys = {};
  huge_blocks.tokens = tokens(huge_blocks.block_size);
  for (const auto& wrong : {short_of_tokens, without_hashes, huge_blocks}) {
    EXPECT_FALSE(decode_events(encode_events(batch(wrong), EventShape::kMaps)));
  }
}

TEST(KvEvents, ExtraKeysOfAnotherNumberOfBlocksAreRefused) {  // epp:K013
  auto e = full();
  e.extra_keys.emplace_back();
  EXPECT_FALSE(decode_events(encode_events(batch(e), EventShape::kArrays)));
}

TEST(KvEvents, AMoveHasNoTokens) {
  auto move = full();
  move.tokens.clear(), move.block_size = 0;
  const auto decoded = decode_events(encode_events(batch(move), EventShape::kArrays));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(stored(decoded), move);
}

bool is_read(const EventBatch& all) {
  const auto decoded = decode_events(encode_events(all, EventShape::kArrays));
  return decoded || decoded.error().code() != Code::kInvalid;
}

TEST(KvEvents, ABatchOfMoreEventsThanFitIsRefused) {
  EventBatch all;
  all.events.assign(kMaxBatchEvents, AllBlocksCleared{});
  EXPECT_TRUE(is_read(all));

  all.events.emplace_back(AllBlocksCleared{});

  EXPECT_FALSE(is_read(all));
}

TEST(KvEvents, ABatchOfMoreBlocksThanFitIsRefusedHoweverTheyAreSpread) {
  const std::vector<EngineHash> half(kMaxBatchBlocks / 2, 1);
  EventBatch all;
  for (int i = 0; i < 2; ++i)
    all.events.emplace_back(BlockRemoved{.hashes = half, .medium = "gpu"});
  EXPECT_TRUE(is_read(all));

  all.events.emplace_back(BlockRemoved{.hashes = {1}, .medium = "gpu"});

  EXPECT_FALSE(is_read(all));
}

TEST(KvEvents, ABlockOfMoreExtraKeysThanFitIsRefused) {
  BlockStored crowded = full();
  crowded.extra_keys[0].assign(kMaxBlockKeys, "");
  EXPECT_TRUE(is_read(batch(crowded)));

  crowded.extra_keys[0].emplace_back("");

  EXPECT_FALSE(is_read(batch(crowded)));
}

TEST(KvEvents, ABatchOfMoreExtraKeysThanFitIsRefused) {
  constexpr std::size_t kBlocks = kMaxBatchKeys / kMaxBlockKeys;
  BlockStored crowded = full();
  crowded.hashes.assign(kBlocks, 1);
  crowded.tokens.clear();  // a move
  crowded.extra_keys.assign(kBlocks, std::vector<std::string>(kMaxBlockKeys));
  EXPECT_TRUE(is_read(batch(crowded)));

  crowded.hashes.push_back(1);
  crowded.extra_keys.push_back({""});

  EXPECT_FALSE(is_read(batch(crowded)));
}

}  // namespace
}  // namespace baton::kv
