#include "net/grpc/proto.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace baton::proto {
namespace {

using namespace std::string_view_literals;

std::vector<Field> fields_of(std::string_view message) {
  std::vector<Field> fields;
  Reader reader(message);
  for (Field field; reader.next(field);) fields.push_back(field);
  EXPECT_TRUE(reader.status()) << reader.status().error().message();
  return fields;
}

std::string complaint(std::string_view message) {
  Reader reader(message);
  for (Field field; reader.next(field);) {
  }
  const Status status = reader.status();
  return status ? "none" : status.error().message();
}

// Bytes of the examples in the encoding guide.
TEST(Proto, WritesAndReadsTheGuidesExamples) {
  std::string out;
  Writer writer(out);
  writer.varint(1, 150);
  writer.bytes(2, "testing");

  EXPECT_EQ(out, "\x08\x96\x01\x12\x07testing"sv);
  const auto fields = fields_of(out);
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[0].number_value, 150U);
  EXPECT_EQ(fields[1].bytes, "testing");
}

TEST(Proto, CarriesEveryKindOfValue) {
  std::string out;
  Writer writer(out);
  writer.varint(1, std::numeric_limits<std::uint64_t>::max());
  writer.flag(2, true);
  writer.real(3, -0.5);
  writer.fixed32(536'870'911, 7);
  writer.varint(4, 3);  // zigzag of -2

  const auto fields = fields_of(out);

  EXPECT_EQ(fields[0].signed_value(), -1);
  EXPECT_TRUE(fields[1].flag());
  EXPECT_EQ(fields[2].real(), -0.5);
  EXPECT_EQ(fields[3].number, 536'870'911U);
  EXPECT_EQ(fields[3].number_value, 7U);
  EXPECT_EQ(fields[4].zigzag(), -2);
}

TEST(Proto, NestsMessagesOfAnyLength) {
  for (const std::size_t size : {0UL, 100UL, 125UL, 126UL, 127UL, 128UL, 20'000UL, 3'000'000UL}) {
    const std::string text(size, 'x');
    std::string out;
    Writer(out).message(
        9, [&](Writer& outer) { outer.message(8, [&](Writer& inner) { inner.bytes(7, text); }); });

    const auto outer = fields_of(out);
    ASSERT_EQ(outer.size(), 1U);
    const auto inner = fields_of(outer[0].bytes);
    ASSERT_EQ(inner.size(), 1U);
    EXPECT_EQ(fields_of(inner[0].bytes)[0].bytes.size(), size);
  }
}

TEST(Proto, KeepsFieldsThatAreNotKnown) {
  const std::string_view message = "\x08\x01\x13\x08\x05\x14\x1d\x01\x02\x03\x04\x22\x01z"sv;
  std::string copy;
  Reader reader(message);

  for (Field field; reader.next(field);) Writer(copy).raw(field.raw);

  EXPECT_TRUE(reader.status());
  EXPECT_EQ(copy, message);  // a group in it, too
}

TEST(Proto, SaysWhereAMessageIsBroken) {
  EXPECT_EQ(complaint("\x08"sv), "protobuf: a number is cut off at byte 1");
  EXPECT_EQ(complaint("\x08\x01\x12\x05"sv
                      "abc"),
            "protobuf: a field is longer than its message at byte 4");
  EXPECT_EQ(complaint("\x0d\x01\x02"sv), "protobuf: a field is cut off at byte 1");
  EXPECT_EQ(complaint("\x09\x01\x02"sv), "protobuf: a field is cut off at byte 1");
  EXPECT_EQ(complaint("\x00\x01"sv), "protobuf: a field number out of range at byte 1");
  EXPECT_EQ(complaint("\x0f"sv), "protobuf: an unknown wire type at byte 1");
  EXPECT_EQ(complaint("\x0c"sv), "protobuf: an unknown wire type at byte 1");
  EXPECT_EQ(complaint("\x0b\x14"sv), "protobuf: a group ends that did not begin at byte 2");
  EXPECT_EQ(complaint("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"sv),
            "protobuf: a number has over 64 bits at byte 1");
  EXPECT_EQ(complaint(std::string(100, '\x0b')), "protobuf: groups are nested too deep at byte 33");
}

}  // namespace
}  // namespace baton::proto
