#include "base/text/yaml.hpp"

#include <gtest/gtest.h>

namespace baton::text::yaml {
namespace {

std::string as_json(std::string_view text) {
  const auto value = parse(text, "t.yaml");
  return value ? json::dump(*value) : value.error().message();
}

TEST(Yaml, ResolvesScalarsAsKubernetesToolsDo) {
  EXPECT_EQ(
      as_json("a: yes\nb: 'yes'\nc: 010\nd: 1_000\ne: 1e3\nf: ~\ng: 1.5\nh: 0x1f\ni: v1\nj: \"4\""),
      R"({"a":true,"b":"yes","c":8,"d":1000,"e":1000.0,"f":null,"g":1.5,"h":31,"i":"v1","j":"4"})");
}

TEST(Yaml, NamesLineAndColumnOfASyntaxError) {
  const auto bad = parse("a: 1\nb: [1, 2\nc: 3\n", "m.yaml");

  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), Code::kInvalid);
  EXPECT_TRUE(bad.error().message().starts_with("m.yaml:")) << bad.error().message();
}

TEST(Yaml, RefusesDuplicateKeys) { EXPECT_FALSE(parse("a: 1\na: 2\n", "m.yaml")); }

TEST(Yaml, ReadsSeveralDocumentsAndSkipsEmptyOnes) {
  const auto all = parse_all("---\na: 1\n---\n# nothing\n---\nb: 2\n", "m.yaml");

  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].line, 2);
  EXPECT_EQ((*all)[1].line, 6);
}

TEST(Yaml, TellsTheLineThatAPointerNamesInItsDocument) {
  constexpr std::string_view kText =
      "a: 1\n"
      "---\n"
      "# the second\n"
      "spec:\n"
      "  list:\n"
      "  - name: x\n"
      "    port: 1\n"
      "  - {name: y,\n"
      "     port: 2}\n"
      "  a/b: 1\n"
      "  a~b: 2\n";

  EXPECT_EQ(line_of(kText, 4, ""), 4);
  EXPECT_EQ(line_of(kText, 4, "/spec/list"), 5);
  EXPECT_EQ(line_of(kText, 4, "/spec/list/0/port"), 7);
  EXPECT_EQ(line_of(kText, 4, "/spec/list/1"), 8);
  EXPECT_EQ(line_of(kText, 4, "/spec/list/1/port"), 9);
  EXPECT_EQ(line_of(kText, 4, "/spec/a~1b"), 10);
  EXPECT_EQ(line_of(kText, 4, "/spec/a~0b"), 11);
  // What is not there is told by the nearest around it.
  EXPECT_EQ(line_of(kText, 4, "/spec/list/7/port"), 5);
  EXPECT_EQ(line_of(kText, 4, "/spec/none"), 4);
  EXPECT_EQ(line_of(kText, 1, "/spec/list"), 1);
}

TEST(Yaml, MergeKeysGiveWayToOwnKeys) {
  EXPECT_EQ(as_json("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n"),
            R"({"base":{"x":1,"y":2},"use":{"y":3,"x":1}})");
}

TEST(Yaml, BoundsAliasExpansion) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j > 0 ? ",*a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }

  const auto refused = parse(bomb, "bomb.yaml");

  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().contains("alias")) << refused.error().message();
}

TEST(Yaml, WritesWhatItReads) {
  const auto value = json::parse(
      R"({"a":"yes","b":"plain","c":[1,{"x":"- y","z":[]},["n"]],"d":"l1\nl2\n","e":{},"f":"a: b","g":"","h":"4","i":"two\n\nthree","j":null,"k":" lead","l":{"m":{"n":true}}})");

  const auto again = parse(yaml::dump(*value), "d.yaml");

  ASSERT_TRUE(again) << again.error().message() << "\n" << yaml::dump(*value);
  EXPECT_EQ(json::dump(*again), json::dump(*value));
}

TEST(Yaml, WritesTextOfSeveralLinesWhereverItStands) {
  for (const std::string_view text :
       {R"("one\ntwo\n")", R"({"a\nb":"c"})", R"("... x")", R"(["..."])"}) {
    const auto value = json::parse(text);

    const auto again = parse(yaml::dump(*value), "d.yaml");

    ASSERT_TRUE(again) << again.error().message() << "\n" << yaml::dump(*value);
    EXPECT_EQ(json::dump(*again), text);
  }
}

TEST(Yaml, RefusesBytesThatAreNotUtf8) {
  EXPECT_EQ(as_json("a: 1\n%\xfd\x0b\xd4"), "t.yaml: not UTF-8");
}

TEST(Yaml, RefusesTextThatGoesOnAfterANulByte) {
  EXPECT_EQ(as_json(std::string_view("a: 1\nb: \0\nc: 2\n", 15)), "t.yaml:2: a NUL byte");
}

}  // namespace
}  // namespace baton::text::yaml
