#include "formats/kv/msgpack.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace baton::kv::msgpack {
namespace {

using namespace std::string_literals;

TEST(Msgpack, NumbersOfEveryWidthAreRead) {
  const std::string bytes =
      "\x7f\xff\xcc\x80\xcd\x01\x02\xce\x01\x02\x03\x04\xcf\x80\x00\x00\x00\x00\x00\x00\x01"
      "\xd0\x80\xd1\xff\xfe\xd2\xff\xff\xff\xfd\xd3\xff\xff\xff\xff\xff\xff\xff\xfc"s;
  Reader in(bytes);
  EXPECT_EQ(in.integer(), 127U);
  EXPECT_EQ(static_cast<std::int64_t>(in.integer()), -1);
  EXPECT_EQ(in.integer(), 128U);
  EXPECT_EQ(in.integer(), 258U);
  EXPECT_EQ(in.integer(), 0x01020304U);
  EXPECT_EQ(in.integer(), 0x8000'0000'0000'0001U);
  for (const int n : {-128, -2, -3, -4}) EXPECT_EQ(static_cast<std::int64_t>(in.integer()), n);
  EXPECT_TRUE(in.done());
}

TEST(Msgpack, WhatIsWrittenIsReadInItsShortestForm) {
  for (const std::uint64_t n : {0ULL, 127ULL, 128ULL, 255ULL, 256ULL, 65535ULL, 65536ULL,
                                0xffff'ffffULL, 0x1'0000'0000ULL, ~0ULL}) {
    Writer out;
    out.integer(n), out.number(0.5), out.text(std::string(n % 300, 'a')), out.nil();
    out.array(n % 20), out.map(0);
    std::string bytes = out.take();
    bytes += std::string(20, '\0');
    Reader in(bytes);
    EXPECT_EQ(in.integer(), n);
    EXPECT_EQ(in.number(), 0.5);
    EXPECT_EQ(in.text().size(), n % 300);
    EXPECT_TRUE(in.nil());
    EXPECT_EQ(in.array(), n % 20);
    EXPECT_EQ(in.map(), 0U);
    EXPECT_TRUE(in.ok());
  }
}

TEST(Msgpack, ALengthBeyondTheBytesFails) {
  for (const auto& bytes : {"\xdd\xff\xff\xff\xff"s, "\xdf\xff\xff\xff\xff"s, "\x93\x01"s,
                            "\xdb\xff\xff\xff\xff"s, "\xa5hell"s, "\xc4\x02\x01"s}) {
    Reader in(bytes);
    if (in.peek() == Kind::kArray) {
      EXPECT_EQ(in.array(), 0U);
    } else if (in.peek() == Kind::kMap) {
      EXPECT_EQ(in.map(), 0U);
    } else {
      EXPECT_EQ(in.text(), "");
    }
    EXPECT_FALSE(in.ok());
  }
}

TEST(Msgpack, AFailedReaderGivesNothingMore) {
  Reader in("\x01\xa1x\x05");
  in.text();
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.integer(), 0U);
  EXPECT_EQ(in.text(), "");
  EXPECT_FALSE(in.done());
}

TEST(Msgpack, SkipPassesOverNestedValuesUpToItsDepth) {
  const std::string nested =
      "\x82\xa1x\x93\x01\xc3\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00\xa1y\x90\x07"s;
  Reader in(nested);
  in.skip();
  EXPECT_EQ(in.integer(), 7U);
  EXPECT_TRUE(in.done());

  const std::string deepest = std::string(kMaxDepth, '\x91') + "\xc0";
  Reader allowed(deepest);
  allowed.skip();
  EXPECT_TRUE(allowed.done());
  const std::string deeper = "\x91" + deepest;
  Reader refused(deeper);
  refused.skip();
  EXPECT_FALSE(refused.ok());
}

TEST(Msgpack, SmallRefusesWhatDoesNotFit) {
  const std::string numbers =
      "\x05\xcd\x01\x00\xce\x00\x01\x00\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00"s;
  Reader in(numbers);
  EXPECT_EQ(in.small(), 5U);
  EXPECT_EQ(in.small(), 256U);
  EXPECT_EQ(in.small(), 65536U);
  EXPECT_EQ(in.small(), 0U);
  EXPECT_FALSE(in.ok());
  Reader negative("\xff");
  EXPECT_EQ(negative.small(), 0U);
  EXPECT_FALSE(negative.ok());
}

}  // namespace
}  // namespace baton::kv::msgpack
