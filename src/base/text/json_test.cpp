#include "base/text/json.hpp"

#include <gtest/gtest.h>

namespace baton::text::json {
namespace {

TEST(Json, KeepsIntegersExactAndDoublesShort) {
  const auto v = parse(R"({"a":9007199254740993,"b":18446744073709551615,"c":0.1,"d":2.0,"e":-7})");

  ASSERT_TRUE(v);
  EXPECT_EQ(dump(*v), R"({"a":9007199254740993,"b":18446744073709551615,"c":0.1,"d":2.0,"e":-7})");
}

TEST(Json, KeepsTheOrderOfMembers) {
  EXPECT_EQ(dump(*parse(R"({"z":1,"a":{"y":[],"b":null}})")), R"({"z":1,"a":{"y":[],"b":null}})");
}

TEST(Json, TheLastOfDuplicateKeysWinsUnlessTheyAreRejected) {
  EXPECT_EQ(dump(*parse(R"({"a":1,"b":2,"a":3})")), R"({"a":3,"b":2})");
  EXPECT_EQ(parse(R"({"a":1,"a":3})", Duplicates::kReject).error().message(), "duplicate key 'a'");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"", "{", "[1,]", "nul", "{\"a\":01}", "\"\xff\"", "1 2"}) {
    EXPECT_FALSE(parse(text)) << text;
  }
}

TEST(Json, RefusesNestingBeyondTheLimit) {
  EXPECT_TRUE(parse(std::string(100, '[') + std::string(100, ']')));
  EXPECT_FALSE(parse(std::string(200, '[') + std::string(200, ']')));
}

TEST(Json, EscapesWhatMustBeEscaped) {
  EXPECT_EQ(dump(Value("a\"\\\n\x01é")), "\"a\\\"\\\\\\n\\u0001é\"");
}

TEST(Json, NumbersCompareByValue) {
  EXPECT_EQ(Value(2), Value(2.0));
  EXPECT_NE(Value(2), Value("2"));
}

TEST(Json, ObjectsCompareWithoutOrder) {
  EXPECT_EQ(*parse(R"({"a":1,"b":2})"), *parse(R"({"b":2,"a":1})"));
}

TEST(Json, BuildsNestedValues) {
  Value v;
  v["metadata"]["name"] = "x";
  v["list"].push_back(1);

  EXPECT_EQ(dump(v), R"({"metadata":{"name":"x"},"list":[1]})");
  EXPECT_EQ(v.string_at({"metadata", "name"}), "x");
  EXPECT_EQ(v.string_at({"metadata", "none"}), "");
}

TEST(Json, PointersEscapeTheirTwoSpecialCharacters) {
  EXPECT_EQ(pointer("/a", "b/c~d"), "/a/b~1c~0d");
}

}  // namespace
}  // namespace baton::text::json
