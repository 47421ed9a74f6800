#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <set>

#include "base/core/clock.hpp"
#include "base/core/nearest.hpp"
#include "base/core/open_files.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/core/utf8.hpp"

namespace baton {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return invalid("odd");
  return n / 2;
}

Result<int> quarter(int n) {
  BATON_TRY_ASSIGN(const int h, half(n));
  return half(h).with("second half");
}

TEST(Result, PassesErrorsUpWithTheirContext) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message(), "second half: odd");
  EXPECT_EQ(quarter(3).error().message(), "odd");
}

TEST(Result, EveryCodeHasAStatusAndAnExitCode) {
  EXPECT_EQ(http_status(Code::kExhausted), 429);
  EXPECT_EQ(exit_code(Code::kCancelled), 130);
  EXPECT_EQ(name(Code::kInternal), "internal");
}

TEST(Nearest, NamesTheRightSpelling) {
  constexpr std::array<std::string_view, 3> names{"replicas", "template", "prefill"};

  EXPECT_EQ(nearest("repilcas", names), "replicas");
  EXPECT_EQ(nearest("prefil", names), "prefill");
  EXPECT_EQ(nearest("zebra", names), "");
}

TEST(Random, BelowIsUniformEnoughAndInRange) {
  SeededRandom random(7);
  std::array<int, 5> seen{};

  for (int i = 0; i < 50'000; ++i) ++seen[random.below(5)];

  for (const int count : seen) EXPECT_NEAR(count, 10'000, 400);
}

TEST(Random, UuidsAreVersionFourAndDiffer) {
  SystemRandom random;
  std::set<std::string> seen;

  for (int i = 0; i < 100; ++i) {
    const std::string id = uuid4(random);
    EXPECT_EQ(id.size(), 36U);
    EXPECT_EQ(id[14], '4');
    seen.insert(id);
  }

  EXPECT_EQ(seen.size(), 100U);
}

TEST(Deadline, LeavesNothingOnceItHasPassed) {
  ManualClock clock;
  const Deadline deadline = Deadline::in(clock, Millis(5));

  clock.advance(Millis(6));

  EXPECT_TRUE(deadline.passed(clock.now()));
  EXPECT_EQ(deadline.left(clock.now()), Nanos(0));
}

TEST(Utf8, TellsTheLengthOfTheCharacterAtTheFront) {
  for (const std::string_view one :
       {"a", "\x7f", "é", "€", "😀", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(utf8_length(std::string(one) + "b"), one.size()) << one;
  }
  for (const std::string_view bad :
       {"", "\x80", "\xC1\xBF", "\xC3", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_EQ(utf8_length(bad), 0U) << bad.size();
  }
}

TEST(Utf8, EachCharacterIsTextWhateverTheBytes) {
  std::string out;
  each_character(std::string_view("a\0é\xE2\x82z", 7), [&](std::string_view c) { out += c; });
  EXPECT_EQ(out, "a\uFFFDé\uFFFD\uFFFDz");
}

TEST(OpenFiles, AreAllThatTheSystemLetsTheProcessHave) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);

  raise_open_files();

  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
}

}  // namespace
}  // namespace baton
