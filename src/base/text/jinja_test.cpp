#include "base/text/jinja.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace baton::text::jinja {
namespace {

using testing::HasSubstr;

std::tm local(const std::string& iso) {
  std::tm out{};
  strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%S", &out);
  return out;
}

Result<std::string> render(std::string_view source, std::string_view context = "{}") {
  BATON_TRY_ASSIGN(const Template compiled, Template::compile(source));
  BATON_TRY_ASSIGN(const json::Value value, json::parse(context));
  return compiled.render(*value.if_object(), local("2026-01-05T09:07:03"));
}

std::string error(std::string_view source, std::string_view context = "{}") {
  const auto out = render(source, context);
  return out ? "rendered: " + *out : out.error().message();
}

json::Value load(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  auto value = json::parse(text.str());
  EXPECT_TRUE(value) << path;
  return value ? *value : json::Value();
}

// Filters and globals of jinja2 that no chat template needs: ours says it has none of that name.
bool outside(std::string_view source) {
  static constexpr std::array<std::string_view, 8> kAbsent = {
      "striptags", "urlencode", "wordwrap", "filesizeformat",
      "xmlattr",   "random",    "lipsum",   "self is"};
  return std::any_of(kAbsent.begin(), kAbsent.end(),
                     [&](std::string_view name) { return source.find(name) != source.npos; });
}

void expect_case(const json::Value& file, const json::Value& one) {
  const json::Value* source = one.find("template") ? one.find("template") : file.find("template");
  const json::Value* context = one.find("context") ? one.find("context") : file.find("context");
  if (outside(*source->if_string())) return;
  SCOPED_TRACE(source->if_string()->substr(0, 300));
  SCOPED_TRACE(one.string_at({"name"}));
  const auto compiled = Template::compile(*source->if_string());
  auto out = compiled ? compiled->render(*context->if_object(),
                                         local(std::string(file.string_at({"now"}))))
                      : Result<std::string>(compiled.error());
  if (const json::Value* expected = one.find("output")) {
    ASSERT_TRUE(out) << out.error().message();
    EXPECT_EQ(*out, *expected->if_string());
    return;
  }
  EXPECT_FALSE(out) << "rendered instead of failing with " << one.string_at({"error"});
  if (!out && one.string_at({"error_class"}) == "TemplateError")
    EXPECT_EQ(out.error().message(), one.string_at({"error"}));
}

TEST(Jinja, RendersAsJinja2DoesInTheEnvironmentOfTransformers) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(BATON_SOURCE_DIR "/tests/golden/template")) {
    if (entry.path().extension() != ".json") continue;
    ++files;
    SCOPED_TRACE(entry.path().filename().string());
    const json::Value file = load(entry.path());
    for (const json::Value& one : *file.find("cases")->if_array()) expect_case(file, one);
  }
  EXPECT_GE(files, 10);
}

TEST(Jinja, NamesTheLineOfAMistake) {
  EXPECT_EQ(error("a\nb {{ 1 + }}"), "line 2: expected an expression, got '}}'");
  EXPECT_EQ(error("{% if x %}\n\n{% for y in z %}"),
            "line 3: the 'for' of line 3 is never closed: no 'endfor'");
  EXPECT_EQ(error("\n\n{{ x.y }}"), "line 3: 'x' is undefined");
  EXPECT_EQ(error("{{ 'a' | uper }}"), "line 1: no filter named 'uper' (did you mean 'upper'?)");
  EXPECT_EQ(error("{% iff x %}{% endif %}"), "line 1: unknown tag 'iff' (did you mean 'if'?)");
}

TEST(Jinja, GivesTheTextOfRaiseExceptionAlone) {
  EXPECT_EQ(error("\n{{ raise_exception('no system turn') }}"), "no system turn");
}

TEST(Jinja, RefusesWhatWouldRunTooLong) {
  EXPECT_THAT(
      error("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
      HasSubstr("steps"));
  EXPECT_THAT(error("{{ 'x' * 99999999999 }}"), HasSubstr("steps"));
  EXPECT_THAT(error("{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = "
                    "ns.s + ns.s %}{% endfor %}"),
              HasSubstr("steps"));
  EXPECT_THAT(error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("deeper"));
  EXPECT_THAT(error("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] "
                    "%}{% endfor %}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error("{{ '%999999d' % 1 }}"), HasSubstr("width"));
}

TEST(Jinja, AnIndentedListCannotOutgrowTheMemory) {
  std::string zeros = "0";
  for (int i = 0; i < 200'000; ++i) zeros += ",0";  // 92 MB when indented
  const std::string context =
      R"({"tools":)" + std::string(115, '[') + zeros + std::string(115, ']') + "}";

  const auto out = render("{{ tools | tojson(indent=4) }}", context);

  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code(), Code::kExhausted);
  EXPECT_THAT(out.error().message(), HasSubstr("line 1: a text of more than the 67108864 bytes"));
}

// The start of a template that leaves so many steps to the rest, or some thousands more: each use
// of a long text counts as reading all of it.
std::string leaving(std::size_t steps) {
  const std::size_t times = (kMaxWork - 80'000 - steps) / 10'007;
  return "{% set t = 'x' * 80000 %}{% for i in range(" + std::to_string(times) +
         ") %}{% set u = t.startswith('y') %}{% endfor %}";
}

// A list that repeats one text is small; most of these would make 9 GB of it.
TEST(Jinja, ATextOfManyPiecesIsRefusedBeforeItIsMade) {
  const std::string little = "{% set s = 'x' %}{% set l = [s] %}";
  const std::string much =
      leaving(250'000) + "{% set s = 'x' * 1000 * 300 %}{% set l = [s] * 30000 %}";
  for (const std::string use : {
           "{{ l | join }}",
           "{{ ''.join(l) }}",
           "{{ l }}",
           "{{ l | string | length }}",
           "{{ l | upper | length }}",
           "{{ l ~ '' }}",
           "{{ l | tojson }}",
           "{{ {'a': l} | tojson }}",
           "{{ l | sort | length }}",
           "{{ l | unique | length }}",
           "{{ l | max }}",
           "{{ [l, l] | map('string') | list | length }}",
           "{{ '%s' % (l,) }}",
           "{{ '%r' % (l,) }}",
           "{{ '{}'.format(l) }}",
           "{{ ('%s' * 1000) % ((s,) * 1000) }}",
           "{{ ('{0}' * 1000).format(s) }}",
           "{{ s.replace('', s) }}",
           "{{ s | replace('x', s) }}",
           "{{ 'y' | replace('y', l) }}",
           "{{ l is lower }}",
           "{{ namespace(dict([[(s,) * 30000, 1]])) }}",
       }) {
    EXPECT_TRUE(render(little + use)) << use << ": " << error(little + use);
    const auto out = render(much + use);
    EXPECT_TRUE(!out && out.error().code() == Code::kExhausted) << use;
  }
}

TEST(Jinja, PuttingATextTogetherCostsWhatTheWholeIs) {
  std::string messages = R"("")";
  for (int i = 0; i < 1000; ++i) messages += ",\"" + std::string(200, 'x') + "\"";
  const std::string context = R"({"messages":[)" + messages + "]}";

  EXPECT_EQ(error("{% set ns = namespace(out='') %}{% for m in messages %}"
                  "{% set ns.out = ns.out ~ m %}{% endfor %}{{ ns.out | length }}",
                  context),
            "rendered: 200000");
  EXPECT_EQ(error(leaving(35'000) + "{% set u = messages | join %}", context), "rendered: ");
}

TEST(Jinja, WhatMacrosHavePrintedSoFarIsBoundedTogether) {
  std::string prints;
  for (int i = 0; i < 15; ++i) prints += "{{ s }}";  // 60 MB in each of 40 calls
  EXPECT_THAT(error("{% set s = 'x' * 4000000 %}{% macro f() %}" + prints +
                    "{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("steps"));
}

TEST(Jinja, ManySmallItemsCountForWhatTheyTake) {
  for (const std::string use : {
           "{{ (',' * 100000).split(',') | length }}",
           "{{ ('\n' * 100000).splitlines() | length }}",
           "{{ ('x' * 100000) | list | length }}",
       }) {
    EXPECT_TRUE(render(use)) << use;
    EXPECT_THAT(error(leaving(350'000) + use), HasSubstr("steps")) << use;
  }
}

std::string mapping(int keys) {
  std::string members = R"("x":0)";
  for (int i = 0; i < keys; ++i) members += ",\"" + std::to_string(i) + "\":0";
  return "{" + members + "}";
}

TEST(Jinja, LookingUpEveryKeyOfALargeMappingIsWork) {
  const std::string context = R"({"d":)" + mapping(2000) + "}";
  const std::string all = "{% for k in d %}{{ d[k] }}{% endfor %}";

  EXPECT_TRUE(render(all, context));
  EXPECT_THAT(error(leaving(100'000) + all, context), HasSubstr("steps"));
}

TEST(Jinja, ComparingLargeMappingsIsWork) {
  const std::string context = R"({"a":)" + mapping(2000) + R"(,"b":)" + mapping(2000) + "}";
  const std::string pairs = "{{ dict(a.items()) | length }}";

  EXPECT_EQ(*render("{{ a == b }} {{ dict(a) | length }} " + pairs, context), "True 2001 2001");
  EXPECT_EQ(*render(leaving(50'000) + "{{ dict(a) | length }}", context), "2001");
  for (const std::string use : {"{{ a == b }}", "{{ a is eq b }}", "{{ [a].index(b) }}",
                                "{{ b in [a] }}", "{{ [a, b] | unique | list | length }}"}) {
    EXPECT_THAT(error(leaving(100'000) + use, context), HasSubstr("steps")) << use;
  }
  EXPECT_THAT(error(leaving(100'000) + pairs, context), HasSubstr("steps"));
}

TEST(Jinja, ComparingAListThatHasOneListManyTimesOverIsWork) {
  const std::string nested =
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}"
      "{% endfor %}{% set l = ns.l %}";
  for (const std::string use : {
           "{{ l == l }}",
           "{{ l != l }}",
           "{{ l < l }}",
           "{{ l in [l] }}",
           "{{ l is ne l }}",
           "{{ l is le l }}",
           "{{ l is sameas l }}",
           "{{ [l].count(l) }}",
           "{{ {(l,): 1}[(l,)] }}",
           "{{ {'a': l} == {'a': l} }}",
           "{{ [l, l] | unique | list }}",
           "{{ [l, l] | max }}",
           "{{ [l, l] | sort }}",
           "{{ [{'a': l}, {'a': l}] | groupby('a') }}",
           "{% for i in [1, 2] %}{{ loop.changed(l) }}{% endfor %}",
       }) {
    EXPECT_THAT(error(leaving(200'000) + nested + use), HasSubstr("steps")) << use;
  }
}

TEST(Jinja, AnIntegerIsReadInTheBasesThereAre) {
  EXPECT_EQ(*render("{{ 'ff' | int(0, 16) }} {{ '0x1f' | int(0, 0) }} {{ 'z' | int(0, 36) }}"),
            "255 31 35");
  for (const std::string base : {"1", "-1", "37", "4294967312"}) {
    EXPECT_EQ(error("{{ '10' | int(0, " + base + ") }}"),
              "line 1: 'int' takes a base of 0 or 2 to 36, not " + base);
  }
}

TEST(Jinja, RefusesSourceThatIsTooLongOrNestedTooDeep) {
  EXPECT_THAT(error(std::string(kMaxTemplate + 1, 'x')), HasSubstr("over the limit"));
  EXPECT_THAT(error("{{ " + std::string(1000, '(') + "1" + std::string(1000, ')') + " }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error("{{ " + std::string(100'000, '-') + "1 }}"), HasSubstr("nested deeper"));
  std::string blocks;
  for (int i = 0; i < 100'000; ++i) blocks += "{% if x %}";
  EXPECT_THAT(error(blocks), HasSubstr("nested deeper"));
  std::string filters = "{{ x";
  for (int i = 0; i < 1000; ++i) filters += "|trim";
  EXPECT_THAT(error(filters + "}}"), HasSubstr("too long"));
}

TEST(Jinja, KeepsValuesUnchangeable) {
  EXPECT_THAT(error("{{ l.append(1) }}", R"({"l":[]})"), HasSubstr("would change"));
  EXPECT_THAT(error("{% set d.x = 1 %}", R"({"d":{}})"), HasSubstr("only a namespace"));
}

TEST(Jinja, RendersOneTemplateManyTimes) {
  const auto compiled = Template::compile("{% for m in messages %}{{ m }}{% endfor %}");
  ASSERT_TRUE(compiled);
  for (int i = 0; i < 3; ++i) {
    const auto out = compiled->render({{"messages", json::Array{"a", i}}}, {});
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, "a" + std::to_string(i));
  }
}

}  // namespace
}  // namespace baton::text::jinja
