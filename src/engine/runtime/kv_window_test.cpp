#include "engine/runtime/kv_window.hpp"

#include <gtest/gtest.h>

namespace baton::runtime {
namespace {

using model::BlockIndex;

constexpr model::KvShape kShape{.layers = 2, .kv_heads = 1, .head_dim = 4};
constexpr std::uint32_t kBlocks = 8, kBlockSize = 4;
const kv::Shared kWhere{.generation = 1, .blocks = kBlocks, .block_size = kBlockSize, .table = {}};

tensor::Pages shared() {
  return tensor::Pages::to_share(model::KvMemory::bytes(kShape, kBlocks, kBlockSize));
}

TEST(KvWindows, ShowWhatTheOtherEngineWrites) {
  model::KvMemory ours(kShape, kBlocks, kBlockSize, shared());
  KvWindows windows;
  const auto theirs = windows.open(ours.pages().descriptor(), kWhere, kShape, Mono{});
  ASSERT_TRUE(theirs) << theirs.error().message();

  *ours.row(1, BlockIndex{5}, 3) = std::byte{9};

  EXPECT_EQ(*(*theirs)->row(1, BlockIndex{5}, 3), std::byte{9});
}

TEST(KvWindows, FindAMappingAgainUntilItIsIdle) {
  const auto a = shared(), b = shared();
  KvWindows windows;
  const auto first = windows.open(a.descriptor(), kWhere, kShape, Mono{});
  EXPECT_EQ(*windows.open(a.descriptor(), kWhere, kShape, Mono{} + KvWindows::kIdle / 2), *first);
  EXPECT_NE(*windows.open(b.descriptor(), kWhere, kShape, Mono{}), *first);
  EXPECT_EQ(windows.size(), 2U);

  windows.forget_idle(Mono{} + KvWindows::kIdle);

  EXPECT_EQ(windows.size(), 1U);
}

TEST(KvWindows, MapOnlySoManyAndLetGoOfTheOldest) {
  KvWindows windows;
  std::vector<tensor::Pages> engines;
  for (std::size_t i = 0; i <= KvWindows::kMost; ++i) {
    engines.push_back(shared());
    ASSERT_TRUE(windows.open(engines[i].descriptor(), kWhere, kShape, Mono{} + Nanos(i)));
  }
  EXPECT_EQ(windows.size(), KvWindows::kMost);
}

TEST(KvWindows, RefuseSizesThatCannotBe) {
  const auto pages = shared();
  KvWindows windows;
  const auto with = [&](std::uint32_t blocks, std::uint32_t block_size) {
    return windows.open(pages.descriptor(), {1, blocks, block_size, 0, {}}, kShape, Mono{});
  };
  EXPECT_FALSE(with(0, 16));
  EXPECT_FALSE(with(1 << 20, 16));  // more than is shared
  EXPECT_FALSE(with(0xffff'ffff, 0xffff'ffff));
}

}  // namespace
}  // namespace baton::runtime
