#include "formats/openai/splice.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/core/random.hpp"
#include "formats/openai/special_bytes.hpp"
#include "formats/openai/splice_oracle.hpp"

namespace baton::openai {
namespace {

std::string edited(std::string_view body, const std::vector<Edit>& edits,
                   std::string_view nested = {}) {
  auto index = BodyIndex::scan(body, nested);
  return index ? index->splice(edits).join() : "error " + index.error().message();
}

TEST(Splice, LeavesWhatIsNotEditedAsItWas) {
  std::string_view body =
      " {\n \"seed\" : 9007199254740993, \"x\":1e0400, \"t\":\"a\\/\\u00e9\xc3\xa9\",\"n\":[ ] }\n";

  EXPECT_EQ(edited(body, {}), body);
  EXPECT_EQ(edited(body, {{"new", "[1]"}}),
            " {\n \"seed\" : 9007199254740993, \"x\":1e0400, \"t\":\"a\\/\\u00e9\xc3\xa9\",\"n\":[ "
            "] ,\"new\":[1]}\n");
  EXPECT_EQ(edited(body, {{"t", "null"}, {"seed", std::nullopt}}),
            " { \"x\":1e0400, \"t\":null,\"n\":[ ] }\n");
}

TEST(Splice, SetsRemovesAndAppends) {
  EXPECT_EQ(edited("{}", {{"a", "1"}, {"b", "2"}}), R"({"a":1,"b":2})");
  EXPECT_EQ(edited(R"({"a":1})", {{"a", std::nullopt}}), "{}");
  EXPECT_EQ(edited(R"({"a":1})", {{"a", std::nullopt}, {"b", "2"}}), R"({"b":2})");
  EXPECT_EQ(edited(R"({"a":1,"b":2,"c":3})", {{"a", std::nullopt}}), R"({"b":2,"c":3})");
  EXPECT_EQ(edited(R"({"a":1,"b":2,"c":3})", {{"b", std::nullopt}}), R"({"a":1,"c":3})");
  EXPECT_EQ(edited(R"({"a":1,"b":2,"c":3})", {{"c", std::nullopt}}), R"({"a":1,"b":2})");
  EXPECT_EQ(edited(R"({"a":1,"b":2})", {{"zz", std::nullopt}}), R"({"a":1,"b":2})");
}

TEST(Splice, KnowsAKeyInAnyEscapedSpelling) {
  std::string_view body = R"({"\u006dax_tokens":5,"max_tokens\u0000":6,"\ud83d\ude00\n":7})";

  EXPECT_EQ(edited(body, {{"max_tokens", "1"}}),
            R"({"\u006dax_tokens":1,"max_tokens\u0000":6,"\ud83d\ude00\n":7})");
  EXPECT_EQ(BodyIndex::scan(body)->find("\xf0\x9f\x98\x80\n"), "7");
}

TEST(Splice, HandlesEveryOccurrenceOfARepeatedKey) {
  std::string_view body = R"({"a":1,"b":2,"\u0061":3,"a":4})";

  EXPECT_EQ(BodyIndex::scan(body)->find("a"), "4");
  EXPECT_EQ(edited(body, {{"a", "9"}}), R"({"a":9,"b":2})");
  EXPECT_EQ(edited(body, {{"a", std::nullopt}}), R"({"b":2})");
}

TEST(Splice, EditsInsideOneNestedObject) {
  std::string_view body = R"({"p":{"n":1},"a":0, "p": {"m": 1, "n":2 } ,"z":1})";
  auto index = BodyIndex::scan(body, "p");

  EXPECT_EQ(index->find("n", Where::kNested), "2");
  EXPECT_EQ(edited(body, {{"n", "7", Where::kNested}, {"k", "8", Where::kNested}, {"z", "2"}}, "p"),
            R"({"a":0, "p": {"m": 1, "n":7 ,"k":8} ,"z":2})");
  EXPECT_EQ(edited(R"({"p":{"n":1}})", {{"n", std::nullopt, Where::kNested}}, "p"), R"({"p":{}})");
  EXPECT_FALSE(BodyIndex::scan(R"({"p":{"n":1},"p":3})", "p")->has_nested());
  EXPECT_FALSE(BodyIndex::scan(R"({"q":{"p":{}}})", "p")->has_nested());
}

TEST(Splice, SaysWhereTheTextIsWrong) {
  EXPECT_EQ(edited("", {}), "error at byte 0: expected an object");
  EXPECT_EQ(edited("[1]", {}), "error at byte 0: expected an object");
  EXPECT_EQ(edited(R"({"a" 1})", {}), "error at byte 5: expected ':'");
  EXPECT_EQ(edited(R"({"a":1,})", {}), "error at byte 7: expected a string");
  EXPECT_EQ(edited(R"({"a":1} x)", {}), "error at byte 8: expected the end of the text");
  EXPECT_EQ(edited(R"({"a":01})", {}), "error at byte 6: expected no digit after a leading zero");
  EXPECT_EQ(edited(R"({"a":1.})", {}), "error at byte 7: expected a digit");
  EXPECT_EQ(edited(R"({"a":+1})", {}), "error at byte 5: expected a value");
  EXPECT_EQ(edited(R"({"a":nul})", {}), "error at byte 5: expected a value");
  EXPECT_EQ(edited("{\"a\":\"\x01\"}", {}),
            "error at byte 6: expected no control byte in a string");
  EXPECT_EQ(edited("{\"a\":\"\xc0\xaf\"}", {}), "error at byte 6: expected valid UTF-8");
  EXPECT_EQ(edited("{\"a\":\"\xed\xa0\x80\"}", {}), "error at byte 6: expected valid UTF-8");
  EXPECT_EQ(edited(R"({"a":"\ud800"})", {}), "error at byte 12: expected a surrogate pair");
  EXPECT_EQ(edited(R"({"a":"\q"})", {}), "error at byte 6: expected a JSON escape");
  EXPECT_EQ(edited(R"({"a":"b)", {}), "error at byte 7: expected the end of a string");
  EXPECT_EQ(edited("{\"a\":" + std::string(200, '['), {}),
            "error at byte 132: expected no deeper nesting");
}

TEST(Splice, RefusesEveryPrefixOfABody) {
  std::string_view body = R"({"a":[1.5e-3,{"b":null}],"c":"x\u00e9\ud83d\ude00","d":{"e":true}})";
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(BodyIndex::scan(body.substr(0, size))) << size;
  }
}

TEST(Splice, SurvivesAMove) {
  auto index = BodyIndex::scan(R"({"a":1})");
  std::vector<Edit> edits = {{"a", "2"}};
  Spliced first = index->splice(edits);

  Spliced second = std::move(first);

  EXPECT_EQ(second.join(), R"({"a":2})");
}

TEST(CountElements, CountsTheOutermostOnly) {
  EXPECT_EQ(count_elements("[]"), 0U);
  EXPECT_EQ(count_elements("[ [1,2], \"a,b\" ]"), 2U);
  EXPECT_EQ(count_elements("\"a\""), std::nullopt);
  EXPECT_EQ(count_elements("[1,"), std::nullopt);
}

// Random JSON text, spelt in odd ways; values stay within what the JSON parser reads.
class Maker {
 public:
  explicit Maker(Random& random) : random_(random) {}

  std::string object(std::size_t depth) {
    std::string out = "{" + space();
    for (std::uint64_t n = random_.below(6), i = 0; i < n; ++i) {
      if (i > 0) out += "," + space();
      out += key() + space() + ":" + space() + value(depth) + space();
    }
    return out + "}";
  }

 private:
  std::string space() { return std::string(random_.below(3), " \n\t\r"[random_.below(4)]); }
  std::string key() {
    static constexpr std::array<std::string_view, 8> kKeys = {
        R"("a")", R"("\u0061")",     R"("b")",      R"("p")",
        R"("c")", R"("max_tokens")", R"("\u00e9")", R"("")"};
    return std::string(kKeys[random_.below(kKeys.size())]);
  }
  std::string value(std::size_t depth) {
    switch (random_.below(depth > 3 ? 5 : 7)) {
      case 0:
        return "null";
      case 1:
        return std::to_string(random_.next());
      case 2:
        return fmt::format("-{}.{}e{}", random_.below(9), random_.below(100), random_.below(9));
      case 3:
        return "\"" + std::string(random_.below(70), 'x') +
               R"(\n\"{,}\ud83d\ude00)"
               "\xc3\xa9\"";
      case 4:
        return random_.below(2) == 0 ? "true" : "\"\"";
      case 5:
        return "[" + space() + value(depth + 1) + "," + value(depth + 1) + "]";
      default:
        return object(depth + 1);
    }
  }
  Random& random_;
};

TEST(Splice, MeansTheSameAsParsingEditingAndPrinting) {
  SeededRandom random(20251125);
  Maker maker(random);
  for (int round = 0; round < 4000; ++round) {
    std::string body = maker.object(0);
    auto index = BodyIndex::scan(body, "p");
    ASSERT_TRUE(index) << body;
    std::vector<Edit> edits;
    for (std::string_view key : {"a", "b", "\xc3\xa9", "new"}) {
      if (random.below(2) == 0)
        edits.push_back(
            {key, random.below(2) == 0 ? std::nullopt : std::optional(maker.object(2))});
      if (index->has_nested() && random.below(2) == 0) {
        edits.push_back({key, "[1, 2]", Where::kNested});
      }
    }
    ASSERT_EQ(disagreement(body, "p", edits), "") << body;
  }
}

// Of all lengths and from all places, against a look at each byte.
TEST(SpecialBytes, AreFoundWhereverTheyStand) {
  for (int byte = 0; byte < 256; ++byte) {
    for (std::size_t at = 0; at < 140; ++at) {
      std::string text(140, 'a');
      text[at] = static_cast<char>(byte);
      text.back() = '\x01';
      const bool special = is_special(text[at]);
      SpecialBytes seen(text);
      ASSERT_EQ(seen.next(0), special ? at : 139) << byte << " at " << at;
      ASSERT_EQ(seen.next(at + 1), at + 1 < 140 ? 139 : 140) << byte << " at " << at;
      ASSERT_EQ(SpecialBytes(std::string_view(text).substr(0, at)).next(0), at);
    }
  }
}

TEST(SpecialBytes, AreFoundOneAfterTheOther) {
  SeededRandom random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text(random.below(400), 'a');
    for (char& c : text) {
      if (random.below(5) == 0) c = static_cast<char>(random.below(256));
    }
    SpecialBytes seen(text);
    for (std::size_t from = 0; from <= text.size(); ++from) {
      std::size_t expected = from;
      while (expected < text.size() && !is_special(text[expected])) ++expected;
      ASSERT_EQ(seen.next(from), expected) << round << " from " << from;
    }
  }
}

}  // namespace
}  // namespace baton::openai
