#include "net/grpc/inbox.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace baton::grpc {
namespace {

std::string framed(std::string_view message) {
  std::string out;
  append_prefix(out, message.size());
  out += message;
  return out;
}

TEST(Inbox, FindsMessagesHoweverTheyAreCut) {
  const std::string bytes = framed("one") + framed("") + framed(std::string(70'000, 'x'));
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    Inbox inbox(1 << 20);
    std::vector<std::size_t> sizes;
    std::size_t credit = 0;
    std::string_view message;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      inbox.add(std::string_view(bytes).substr(at, step));
      while (inbox.next(message) == Inbox::State::kMessage) sizes.push_back(message.size());
      credit += inbox.take_credit();
    }
    EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 0, 70'000}));
    EXPECT_EQ(credit, bytes.size());
    EXPECT_TRUE(inbox.empty());
  }
}

TEST(Inbox, KeepsAMessageWhileMoreArrives) {
  Inbox inbox(100);
  inbox.add(framed("first"));
  std::string_view message;
  ASSERT_EQ(inbox.next(message), Inbox::State::kMessage);

  inbox.add(framed("second") + framed(std::string(90, 'y')));

  EXPECT_EQ(message, "first");
  ASSERT_EQ(inbox.next(message), Inbox::State::kMessage);
  EXPECT_EQ(message, "second");
}

TEST(Inbox, CreditsOnlyWhatIsAskedFor) {
  Inbox inbox(100);
  inbox.add(framed("abc") + framed("defgh"));
  std::string_view message;

  EXPECT_EQ(inbox.take_credit(), 0U);
  EXPECT_EQ(inbox.next(message), Inbox::State::kMessage);
  EXPECT_EQ(inbox.take_credit(), 8U);
  EXPECT_EQ(inbox.next(message), Inbox::State::kMessage);
  EXPECT_EQ(inbox.take_credit(), 10U);
}

TEST(Inbox, RefusesALongMessageByItsPrefix) {
  for (const char flag : {'\0', '\1'}) {
    Inbox inbox(10);
    inbox.add(std::string(1, flag) + std::string("\0\0\0\x0b", 4));
    std::string_view message;
    EXPECT_EQ(inbox.next(message), Inbox::State::kTooLong);
    EXPECT_EQ(inbox.claimed(), 11U);
  }
}

TEST(Inbox, TellsWhichMessagesAreCompressed) {
  Inbox inbox(10);
  inbox.add(std::string("\1\0\0\0\3abc", 8) + framed("d"));
  std::string_view message;
  EXPECT_EQ(inbox.next(message), Inbox::State::kCompressed);
  EXPECT_EQ(message, "abc");
  EXPECT_EQ(inbox.next(message), Inbox::State::kMessage);
  EXPECT_EQ(message, "d");
  EXPECT_EQ(inbox.take_credit(), 14U);
}

}  // namespace
}  // namespace baton::grpc
