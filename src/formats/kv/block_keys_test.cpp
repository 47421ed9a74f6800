#include "formats/kv/block_keys.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace baton::kv {
namespace {

std::vector<std::uint32_t> first_block() {
  std::vector<std::uint32_t> out(16);
  std::iota(out.begin(), out.end(), 1);
  return out;
}

struct Chain {
  BlockKey root, first, second;
  friend bool operator==(const Chain&, const Chain&) = default;
};

// Model "m"; tokens 1..16; then 1, 2, 300, 70000 with the extra "salt".
Chain chain(KeyHash hash, std::string_view seed) {
  const BlockKeys keys(hash, seed);
  const std::vector<std::uint32_t> second = {1, 2, 300, 70000};
  const std::vector<std::string> extras = {"salt"};
  Chain out{};
  out.root = keys.root("m");
  out.first = keys.next(out.root, first_block());
  out.second = keys.next(out.first, second, extras);
  return out;
}

// Made by an encoder and hashes written apart, in Python.
TEST(BlockKeys, AreThoseOfTheFormula) {  // epp:K013
  EXPECT_EQ(chain(KeyHash::kCborFnv, ""),
            (Chain{0x9ddb2db69f3f452c, 0xfccf55888d5ee3d5, 0x8fc3ad31f226a5c3}));
  EXPECT_EQ(chain(KeyHash::kCborFnv, "42"),
            (Chain{0xbdc1bd2ff312d827, 0x923b8e59683f3f17, 0x978397387676d8a9}));
  EXPECT_EQ(chain(KeyHash::kXxh64, ""),
            (Chain{0xc90cbf5421a4994b, 0xd51460f1ea958847, 0x757294209e73bc8e}));
}

TEST(BlockKeys, DependOnModelSeedParentAndExtras) {  // epp:K013
  for (const auto hash : {KeyHash::kCborFnv, KeyHash::kXxh64}) {
    const BlockKeys keys(hash, "a"), other(hash, "b");
    const auto block = first_block();
    const std::vector<std::string> salt = {"salt"}, split = {"sa", "lt"};
    const auto root = keys.root("m");
    const auto key = keys.next(root, block);

    EXPECT_EQ(key, keys.next(keys.root("m"), block));
    EXPECT_NE(root, keys.root("n"));
    EXPECT_NE(root, other.root("m"));
    EXPECT_NE(key, keys.next(key, block));
    EXPECT_NE(key, keys.next(root, block, salt));
    EXPECT_NE(keys.next(root, block, salt), keys.next(root, block, split));
  }
}

}  // namespace
}  // namespace baton::kv
