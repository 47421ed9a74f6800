#include "formats/kv/kv_wire.hpp"

#include <gtest/gtest.h>

namespace baton::kv {
namespace {

LeaseKey key() { return {"engine", "cmpl-1", std::string(32, 'a'), 7}; }

std::vector<Message> one_of_each() {
  return {Pull{key(), {30, 3, 64, 2}, {1, 2}, {3, 4}, 100, 16, 99, true},
          Renew{key()},
          Release{key()},
          Accepted{7},
          Rows{7, 29, 16, 64, 0xffff'ffff'ffff'ffff},
          End{7},
          Done{},
          Failed{Code::kNotFound, "no such lease"},
          Shared{7, 1024, 16, 1, {5, 6, 1023}},
          Await{key(), {16, 48, 3}},
          Ready{7, {32, 48, 29}}};
}

TEST(KvWire, EveryMessageSurvivesARoundTrip) {
  for (const Message& message : one_of_each()) {
    const std::string bytes = encode(message);

    auto head = decode_head(bytes.substr(0, kFrameHead));
    ASSERT_TRUE(head);
    EXPECT_EQ(head->length, bytes.size() - kFrameHead);
    auto back = decode_body(head->kind, std::string_view(bytes).substr(kFrameHead));

    ASSERT_TRUE(back);
    EXPECT_EQ(*back, message);
  }
}

TEST(KvWire, ARowsHeadHasTheStatedSizeAndCountsItsPayload) {
  const std::string bytes = encode(Rows{}, 1000);

  EXPECT_EQ(bytes.size(), kFrameHead + kRowsHead);
  EXPECT_EQ(decode_head(bytes.substr(0, kFrameHead))->length, kRowsHead + 1000);
}

TEST(KvWire, TruncatedAndOverlongBodiesAreRefused) {
  for (const Message& message : one_of_each()) {
    const std::string bytes = encode(message);
    const auto kind = decode_head(bytes.substr(0, kFrameHead))->kind;
    const std::string body = bytes.substr(kFrameHead);

    for (std::size_t n = 0; n < body.size(); ++n)
      EXPECT_FALSE(decode_body(kind, std::string_view(body).substr(0, n)));
    EXPECT_FALSE(decode_body(kind, body + "x"));
  }
}

TEST(KvWire, AForeignMagicAnUnknownKindAndAHugeLengthAreRefused) {
  const std::string good = encode(Done{});
  auto with = [&](std::size_t at, char byte) {
    std::string bytes = good;
    bytes[at] = byte;
    return decode_head(bytes);
  };

  EXPECT_TRUE(decode_head(good));
  EXPECT_FALSE(with(3, '1'));
  EXPECT_FALSE(with(4, 0));
  EXPECT_FALSE(with(4, 12));
  EXPECT_FALSE(with(5, 1));
  EXPECT_FALSE(with(11, '\x7f'));
}

TEST(BlockHash, AChainDependsOnEveryTokenAndOnThePrefix) {
  const std::uint32_t a[] = {1, 2, 3}, b[] = {1, 2, 4};

  EXPECT_NE(chain({}, a, 0), chain({}, b, 0));
  EXPECT_NE(chain({}, a, 0), chain(chain({}, b, 0), a, 0));
  EXPECT_NE(chain({}, a, 0), chain({}, a, 1));
  EXPECT_NE(chain({1, 0}, a, 0), chain({0, 0}, a, 0));
  EXPECT_EQ(digest(std::span(a)), digest(std::span(a)));
}

}  // namespace
}  // namespace baton::kv
