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

TEST(JsonParser, BuildsOnlyWhatIsKept) {
  const Keep keep = Keep::only({"metadata.name", "metadata.labels", "status.conditions.type",
                                "a\\.b", "metadata.labels.x", "spec.containers", "spec"});
  Parser parser;
  const auto kept = parser.parse(
      R"({"metadata":{"name":"n","uid":"u","labels":{"x":"1","y":"2"}},
          "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"B"},7]},
          "a.b":1,"a":{"b":2},"spec":{"containers":[1],"node":"here"}})",
      &keep);
  ASSERT_TRUE(kept);
  EXPECT_EQ(dump(*kept), R"({"metadata":{"name":"n","labels":{"x":"1","y":"2"}},)"
                         R"("status":{"conditions":[{"type":"Ready"},{"type":"B"},7]},)"
                         R"("a.b":1,"spec":{"containers":[1],"node":"here"}})");
}

TEST(JsonParser, PassesOverWhatIsDropped) {
  const Keep drop = Keep::all_but({"metadata.managedFields", "items.secret"});
  Parser parser;
  const std::string text =
      R"({"metadata":{"name":"n","managedFields":[{"a":1}]},"items":[{"secret":1,"x":2}],"y":3})";
  EXPECT_EQ(dump(parser.parse(text, &drop).value_or(Value())),
            R"({"metadata":{"name":"n"},"items":[{"x":2}],"y":3})");

  const Keep only = Keep::only({"y"});
  const std::string around = R"({"type":"T","object":)" + text + "}";
  EXPECT_EQ(dump(parser.parse_around(around, "object", &drop).value_or(Value())),
            R"({"type":"T","object":{"metadata":{"name":"n"},"items":[{"x":2}],"y":3}})");
  EXPECT_EQ(dump(parser.parse_around(around, "object", &only).value_or(Value())),
            R"({"type":"T","object":{"y":3}})");
  EXPECT_EQ(dump(parser.parse_around("[1]", "object", &only).value_or(Value())), "[1]");
}

TEST(JsonParser, ReadsOneDocumentAfterAnotherOfAnySize) {
  Parser parser;
  for (const std::size_t size : {10, 100'000, 3, 50'000}) {
    const std::string text = "[\"" + std::string(size, 'x') + "\"]";
    const auto value = parser.parse(text, nullptr);
    ASSERT_TRUE(value);
    EXPECT_EQ(dump(*value), text);
  }
  EXPECT_FALSE(parser.parse("[1", nullptr));
  EXPECT_EQ(dump(parser.parse(R"({"a":1,"a":2})", nullptr).value_or(Value())), R"({"a":2})");
  EXPECT_FALSE(parser.parse(std::string(200, '[') + std::string(200, ']'), nullptr));
}

}  // namespace
}  // namespace baton::text::json
