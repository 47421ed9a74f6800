#include "routing/schedule/usage_expression.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace baton::schedule {
namespace {

using ::testing::HasSubstr;
using Type = UsageExpression::Type;

constexpr TokenCounts kCounts = {.prompt = 10, .completion = 4, .total = 14, .cached = 6};

std::optional<double> value(std::string_view text, const TokenCounts& counts = kCounts,
                            Type type = Type::kNumber) {
  const auto parsed = UsageExpression::parse(text, type);
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().message();
  return parsed ? parsed->of(counts) : std::nullopt;
}
std::optional<double> truth(std::string_view text, const TokenCounts& counts = kCounts) {
  return value(text, counts, Type::kBoolean);
}
std::string problem(std::string_view text, Type type = Type::kNumber) {
  const auto parsed = UsageExpression::parse(text, type);
  return parsed ? "" : parsed.error().message();
}

TEST(UsageExpression, ComputesWithTheCountsOfAnAnswer) {
  EXPECT_EQ(value("usage.prompt_tokens + usage.completion_tokens"), 14);
  EXPECT_EQ(value(" usage.total_tokens\n"), 14);
  EXPECT_EQ(value("usage['prompt_tokens'] - usage.prompt_tokens_details.cached_tokens"), 4);
  EXPECT_EQ(value(R"(usage["prompt_tokens_details"]["cached_tokens"])"), 6);
  EXPECT_EQ(value("2 + 3 * usage.completion_tokens - 6 / 4"), 12.5);
  EXPECT_EQ(value("(2 + 3) * 4 % 7"), 6);
  EXPECT_EQ(value("10 - 3 - 2"), 5);
  EXPECT_EQ(value("-usage.completion_tokens + - -1"), -3);
  EXPECT_EQ(value("int(usage.prompt_tokens / 4.0) + double(1) + uint(2u)"), 5);
  EXPECT_EQ(value(".5e1"), 5);
}

TEST(UsageExpression, ComparesAndChooses) {
  EXPECT_EQ(truth("usage.prompt_tokens >= 10 && usage.prompt_tokens <= 10"), 1);
  EXPECT_EQ(truth("usage.prompt_tokens > 10 || usage.prompt_tokens < 10"), 0);
  EXPECT_EQ(truth("!(1 == 2) != false"), 1);
  EXPECT_EQ(truth("!!true"), 1);
  EXPECT_EQ(value("usage.prompt_tokens > 5 ? 1 : 2"), 1);
  EXPECT_EQ(value("false ? 1 : true ? 2 : 3"), 2);
  EXPECT_EQ(truth("true || false && false"), 1);
}

TEST(UsageExpression, WhatWasNotToldHasNoValueUnlessItDoesNotMatter) {
  const TokenCounts little = {.prompt = 3, .completion = {}, .total = {}, .cached = {}};
  EXPECT_EQ(value("usage.completion_tokens + 1", little), std::nullopt);
  EXPECT_EQ(truth("has(usage.completion_tokens)", little), 0);
  EXPECT_EQ(truth("has(usage.prompt_tokens)", little), 1);
  EXPECT_EQ(value("has(usage.total_tokens) ? usage.total_tokens : 7", little), 7);
  EXPECT_EQ(truth("usage.total_tokens > 1 && false", little), 0);
  EXPECT_EQ(truth("true || usage.total_tokens > 1", little), 1);
  EXPECT_EQ(truth("usage.total_tokens > 1 || false", little), std::nullopt);
  EXPECT_EQ(value("usage.total_tokens > 1 ? 1 : 2", little), std::nullopt);
  EXPECT_EQ(value("1 / 0"), std::nullopt);
  EXPECT_EQ(value("0 % 0"), std::nullopt);
}

TEST(UsageExpression, ATextThatIsNoneIsRefusedAtItsPlace) {
  EXPECT_THAT(problem(""), HasSubstr("at character 1: a number or a field of usage is missing"));
  EXPECT_THAT(problem("1 +"), HasSubstr("is missing"));
  EXPECT_THAT(problem("1 2"), HasSubstr("at character 3: an operator is missing"));
  EXPECT_THAT(problem("(1"), HasSubstr("')' is missing"));
  EXPECT_THAT(problem("true ? 1"), HasSubstr("':' is missing"));
  EXPECT_THAT(problem("usage.promt_tokens"), HasSubstr("did you mean 'prompt_tokens'"));
  EXPECT_THAT(problem("usage"), HasSubstr("usage has no field ''"));
  EXPECT_THAT(problem("usage[1]"), HasSubstr("in quotes"));
  EXPECT_THAT(problem("usage['prompt_tokens'"), HasSubstr("']' is missing"));
  EXPECT_THAT(problem("request.size"), HasSubstr("'request' is not known here"));
  EXPECT_THAT(problem("has(1)"), HasSubstr("has() takes a field of usage"));
  EXPECT_THAT(problem("1 < 2"), HasSubstr("it must come to a number"));
  EXPECT_THAT(problem("1", Type::kBoolean), HasSubstr("it must come to true or false"));
  EXPECT_THAT(problem("1 + true"), HasSubstr("a number is expected"));
  EXPECT_THAT(problem("!1"), HasSubstr("true or false is expected"));
  EXPECT_THAT(problem("true ? 1 : false"), HasSubstr("of one type"));
  EXPECT_THAT(problem("1 == true ? 1 : 2"), HasSubstr("compared with true or false"));
}

TEST(UsageExpression, LengthAndNestingHaveBounds) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '(') + "1" +
           std::string(static_cast<std::size_t>(depth), ')');
  };
  EXPECT_EQ(value(nested(UsageExpression::kMostNested - 1)), 1);
  EXPECT_THAT(problem(nested(UsageExpression::kMostNested)), HasSubstr("nested too deeply"));
  std::string sum = "1";
  while (sum.size() + 2 <= UsageExpression::kMostBytes) sum += "+1";
  EXPECT_EQ(value(sum), (sum.size() + 1) / 2);
  EXPECT_THAT(problem(sum + "+1"), HasSubstr("longer than 4096 bytes"));
}

}  // namespace
}  // namespace baton::schedule
