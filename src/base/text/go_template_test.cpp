#include "base/text/go_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::text::go_template {
namespace {

using json::Value;
using ::testing::HasSubstr;

Value data() {
  return *json::parse(R"j({
    "name": "storyteller",
    "spec": {"model": {"name": "a \"quoted\" name", "uri": null}, "prefill": null,
             "parallelism": {"tensor": 4, "data": null, "expert": false},
             "items": ["x", "y"], "labels": {"b": "2", "a": "1"}}})j");
}

std::string rendered(std::string_view text, const Options& options = {}) {
  auto result = render(text, data(), options);
  return result ? *result : "ERROR " + result.error().message();
}

TEST(GoTemplate, LeavesTextWithoutActionsAlone) { EXPECT_EQ(rendered("a } } {b}"), "a } } {b}"); }

TEST(GoTemplate, FollowsFieldPathsWhateverTheCaseOfTheFirstLetter) {
  EXPECT_EQ(rendered("{{ .Name }}/{{.Spec.Parallelism.Tensor}}"), "storyteller/4");
}

TEST(GoTemplate, DoesNotParseOrEscapeSubstitutedValues) {
  EXPECT_EQ(rendered("<{{ .Spec.Model.Name }}>"), "<a \"quoted\" name>");
}

TEST(GoTemplate, TakesIfElseAndElseIfByGoTruth) {
  EXPECT_EQ(rendered("{{ if .Spec.Prefill }}p{{ else if .Spec.Parallelism.Expert }}e{{ else }}n"
                     "{{ end }}"),
            "n");
  EXPECT_EQ(rendered("{{ if and .Spec.Prefill .Spec.Prefill.Parallelism }}p{{ end }}|"), "|");
  EXPECT_EQ(rendered("{{ or .Spec.Parallelism.Data 1 }}"), "1");
}

TEST(GoTemplate, TakesRawAndQuotedStringsAndParentheses) {
  const Options options{.functions = {{"Join", [](std::span<const Value> args) -> Result<Value> {
                                         return Value(*args[0].if_string() + *args[1].if_string());
                                       }}}};

  EXPECT_EQ(rendered("{{ Join (Join .Name `-a\\b`) \"-\\\"c\" }}", options),
            "storyteller-a\\b-\"c");
}

TEST(GoTemplate, TrimsAllSpaceOrOnlyWithinTheLine) {
  const std::string_view text = "a \n {{- if true -}} \n b {{- end }}";

  EXPECT_EQ(rendered(text), "ab");
  EXPECT_EQ(rendered(text, {.functions = {}, .trim = Trim::kWithinLine}), "a \n\n b");
}

TEST(GoTemplate, DropsComments) {
  EXPECT_EQ(rendered("a{{/* x }} */}}b {{- /* y */ -}} c"), "abc");
}

TEST(GoTemplate, RangesOverListsAndMapsInKeyOrder) {
  EXPECT_EQ(rendered("{{ range $i, $v := .Spec.Items }}{{ $i }}{{ $v }}{{ . }},{{ end }}"),
            "0xx,1yy,");
  EXPECT_EQ(rendered("{{ range $k, $v := .Spec.Labels }}{{ $k }}={{ $v }} {{ end }}"), "a=1 b=2 ");
  EXPECT_EQ(rendered("{{ range .Spec.Prefill }}x{{ else }}none{{ end }}"), "none");
}

TEST(GoTemplate, NamesAWholeCharacterThatItDoesNotExpect) {
  EXPECT_EQ(rendered("{{ Ҭ }}"), "ERROR line 1, column 4: unexpected 'Ҭ' in an action");
}

TEST(GoTemplate, HasVariablesPipelinesWithAndTheUsualFunctions) {
  EXPECT_EQ(rendered("{{ $n := len .Spec.Items }}{{ $n = 3 }}{{ $n }}"), "3");
  EXPECT_EQ(rendered("{{ with .Spec.Model }}{{ $.Name }}{{ end }}"), "storyteller");
  EXPECT_EQ(rendered("{{ .Name | printf \"%s-%d\" `x` 1 }}"),
            "ERROR line 1, column 4: printf has too many arguments");
  EXPECT_EQ(rendered("{{ .Name | printf \"%d-%s\" 1 }}"), "1-storyteller");
  EXPECT_EQ(rendered("{{ index .Spec.Labels `a` }}{{ index .Spec.Items 1 }}"), "1y");
  EXPECT_EQ(
      rendered("{{ if and (eq .Name `storyteller`) (ne 1 2) (lt 1 2) (not false) }}y{{ end }}"),
      "y");
}

// B22
TEST(GoTemplate, RefusesUnsetAndUnknownFieldsWithThePosition) {
  EXPECT_EQ(rendered("a\n {{ .Spec.Prefill.Replicas }}"),
            "ERROR line 2, column 5: .Spec.Prefill is not set, so it has no .Replicas (guard it "
            "with 'if')");
  EXPECT_EQ(rendered("{{ .Spec.Modle }}"),
            "ERROR line 1, column 4: no field .Spec.Modle (did you mean 'Model'?)");
  EXPECT_THAT(rendered("{{ .Spec.Model.Uri }}"), HasSubstr("the value is not set"));
  EXPECT_THAT(rendered("{{ ChildNmae 1 }}"), HasSubstr("no function 'ChildNmae'"));
}

TEST(GoTemplate, RefusesBadSyntax) {
  for (const std::string_view text :
       {"{{", "{{ .A", "{{ if }}x{{ end }}", "{{ if true }}", "{{ end }}", "{{ else }}", "{{ `a }}",
        "{{ \"a\\q\" }}", "{{ (1 }}", "{{ 1 ) }}", "{{ $x }}", "{{ @ }}", "{{/* a", "{{ }}",
        "{{ define `x` }}", "{{ 1x }}", "{{ .A | }}", "{{ $x = 1 }}", "{{ 1 2 }}"}) {
    EXPECT_THAT(rendered(text), HasSubstr("ERROR line 1, column ")) << text;
  }
}

TEST(GoTemplate, StopsAtItsLimits) {
  std::string deep;
  for (std::size_t i = 0; i < kMaxDepth + 2; ++i) deep += "{{ if true }}";
  EXPECT_THAT(rendered(deep), HasSubstr("nested too deep"));
  EXPECT_THAT(rendered("{{ " + std::string(kMaxDepth + 2, '(') + "}}"),
              HasSubstr("nested too deep"));
  EXPECT_THAT(rendered(std::string(kMaxText + 1, 'x')), HasSubstr("over the limit"));

  const Value many(json::Array(400, Value(json::Array(400, Value(1)))));
  const auto steps = render("{{ range . }}{{ range . }}{{ end }}{{ end }}", many);
  ASSERT_FALSE(steps);
  EXPECT_EQ(steps.error().code(), Code::kExhausted);

  const Value big(json::Array(3000, Value(std::string(2000, 'x'))));
  const auto output = render("{{ range . }}{{ . }}{{ end }}", big);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kExhausted);

  // Text that doubles without being written, and a large value that is looked at often.
  std::string doubling = "{{ $x := `0123456789` }}";
  for (int i = 0; i < 40; ++i) doubling += "{{ $x = print $x $x }}";
  EXPECT_THAT(rendered(doubling), HasSubstr("too many bytes"));
  std::string looks;
  for (int i = 0; i < 10; ++i) looks += "{{ if . }}{{ end }}";
  EXPECT_THAT(render(looks, big).error().message(), HasSubstr("too many bytes"));
}

TEST(GoTemplate, SharesABudgetWithOthers) {
  Budget budget{.steps = 10, .bytes = 1000};
  const Options options{.functions = {}, .budget = &budget};
  const Value data(std::string(300, 'x'));
  EXPECT_TRUE(render("{{ . }}", data, options));
  EXPECT_THAT(render("{{ . }}", data, options).error().message(), HasSubstr("too many bytes"));
  budget = {.steps = 3, .bytes = 1000};
  EXPECT_TRUE(render("{{ if true }}{{ end }}", data, options));
  EXPECT_THAT(render("{{ if true }}{{ end }}", data, options).error().message(),
              HasSubstr("too many steps"));
}

}  // namespace
}  // namespace baton::text::go_template
