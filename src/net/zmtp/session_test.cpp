#include "net/zmtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::zmtp {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Carries bytes both ways, in pieces, until nothing moves; what `to` received.
std::vector<Message> exchange(Session& from, Session& to, std::size_t step) {
  std::vector<Message> got;
  const auto carry = [&](Session& a, Session& b, std::vector<Message>* into) {
    const auto bytes = std::exchange(a.out(), {});
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      b.feed(std::string_view(bytes).substr(at, step));
      for (auto m = b.next(); m && *m; m = b.next()) {
        if (into != nullptr) into->push_back(**m);
      }
    }
    return !bytes.empty();
  };
  while (carry(from, to, &got) || carry(to, from, nullptr)) {
  }
  return got;
}

std::string error_of(const std::string& bytes, Role role = Role::kPub) {
  Session session(role);
  session.feed(bytes);
  while (true) {
    const auto got = session.next();
    if (!got) return got.error().message();
    if (!*got) return "";
  }
}

std::string greeting_of(Role role) { return Session(role).out(); }

// Greeting and READY of a peer.
std::string hello(Role role) {
  Session session(role);
  session.feed(greeting_of(role));
  (void)session.next();
  return session.out();
}

TEST(ZmtpSession, TheGreetingHasTheSpecifiedBytes) {
  const auto bytes = greeting_of(Role::kSub);

  EXPECT_EQ(bytes.substr(0, 16), "\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL"s);
  EXPECT_EQ(bytes.size(), kGreeting);
  EXPECT_EQ(hello(Role::kSub).substr(kGreeting), "\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"s);
}

TEST(ZmtpSession, MessagesArriveHoweverTheBytesAreCut) {
  const Message small = {"topic", "", "payload"}, wide = {std::string(300, 'x'), "y"};
  for (const std::size_t step : {1, 2, 7, 64, 1000}) {
    Session dealer(Role::kDealer), router(Role::kRouter);
    exchange(dealer, router, step);
    ASSERT_TRUE(dealer.ready() && router.ready());
    dealer.send(small), dealer.send(wide);

    EXPECT_THAT(exchange(dealer, router, step), ElementsAre(small, wide)) << step;
  }
}

TEST(ZmtpSession, WhatIsSentEarlyWaitsForTheHandshake) {
  Session dealer(Role::kDealer), router(Role::kRouter);
  dealer.send({"early"});

  EXPECT_THAT(exchange(dealer, router, 5), ElementsAre(Message{"early"}));
}

TEST(ZmtpSession, WishesOfBothVersionsAreGivenAlike) {
  Session pub(Role::kPub);
  pub.feed(hello(Role::kSub) + "\x00\x04\x01kv@"s + "\x04\x0d\x09SUBSCRIBEkv@" + "\x04\x0a\x06" +
           "CANCELkv@");
  for (const char wish : {'\1', '\1', '\0'}) {
    const auto got = pub.next();
    ASSERT_TRUE(got && *got);
    EXPECT_THAT(**got, ElementsAre(std::string(1, wish) + "kv@"));
  }
}

TEST(ZmtpSession, APingIsAnswered) {
  Session pub(Role::kPub);
  pub.feed(hello(Role::kSub));
  (void)pub.next();
  pub.out().clear();
  pub.feed(
      "\x04\x0a\x04PING\0\x10"
      "abc"s);
  EXPECT_TRUE(pub.next());
  EXPECT_EQ(pub.out(), "\x04\x08\x04PONGabc");
}

TEST(ZmtpSession, WhoDoesNotFitIsRefusedWithTheReason) {
  auto old = greeting_of(Role::kSub);
  old[10] = 1;
  auto curve = greeting_of(Role::kSub);
  curve.replace(12, 5, "CURVE");

  EXPECT_THAT(error_of("GET / HTTP/1.1\r\n" + std::string(60, ' ')), HasSubstr("signature"));
  EXPECT_THAT(error_of(old), HasSubstr("version 1"));
  EXPECT_THAT(error_of(curve), HasSubstr("'CURVE'"));
  EXPECT_THAT(error_of(hello(Role::kDealer)), HasSubstr("'DEALER' socket"));
  EXPECT_THAT(error_of(greeting_of(Role::kSub) + "\x04\x06\x05READY"), HasSubstr("without socket"));
  EXPECT_THAT(error_of(greeting_of(Role::kSub) + "\x00\x01x"s), HasSubstr("before READY"));
  EXPECT_THAT(error_of(greeting_of(Role::kSub) + "\x04\x09\x05"
                                                 "ERROR\x02no"),
              HasSubstr("refuses: no"));
}

TEST(ZmtpSession, LimitsHold) {
  const auto ready = hello(Role::kSub);
  const auto huge = "\x02\xff\xff\xff\xff\xff\xff\xff\xff"s;

  EXPECT_THAT(error_of(ready + huge), HasSubstr("a frame of 18446744073709551615 bytes"));
  EXPECT_THAT(error_of(ready + "\x06\x00\x00\x00\x00\x00\x00\x10\x01"s), HasSubstr("4096 allowed"));
  EXPECT_THAT(error_of(ready + "\x08\x00"s), HasSubstr("flags"));
  std::string frames;
  for (std::size_t i = 0; i < kMaxFrames; ++i) frames += "\x01\x00"s;
  EXPECT_EQ(error_of(ready + frames), "");
  EXPECT_THAT(error_of(ready + frames + "\x00\x00"s), HasSubstr("more than 8 frames"));

  Session tight(Role::kPub, {.message = 10});
  tight.feed(ready + "\x01\x06"s + "123456" + "\x00\x05"s + "12345");
  EXPECT_FALSE(tight.next());  // 11 bytes in two frames
}

}  // namespace
}  // namespace baton::zmtp
