// A client's and a server's session, bytes carried by hand.

#include "net/http2/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace baton::http2 {
namespace {

using ::testing::HasSubstr;

// Keeps what happened.
class Recorder final : public Events {
 public:
  void on_headers(Stream& stream, http::Headers fields, End end) override {
    last = &stream;
    heads.push_back(std::move(fields));
    ended = ended || end == End::kYes;
  }
  void on_data(Stream& stream, std::string_view bytes) override {
    last = &stream;
    data += bytes;
    unconsumed += bytes.size();
  }
  void on_end(Stream&) override { ended = true; }
  void on_closed(Stream&, Reset reason) override {
    last = nullptr;
    closed.push_back(reason);
  }
  void on_goaway() override { ++goaways; }

  Stream* last = nullptr;
  std::vector<http::Headers> heads;
  std::string data;
  std::size_t unconsumed = 0;
  std::vector<Reset> closed;
  bool ended = false;
  int goaways = 0;
};

const http::Headers kRequest{
    {":method", "POST"}, {":scheme", "http"}, {":path", "/a"}, {":authority", "x"}};
const http::Headers kOk{{":status", "200"}};

class SessionTest : public ::testing::Test {
 protected:
  explicit SessionTest(const Limits& limits = {})
      : server_(Role::kServer, limits, at_server_), client_(Role::kClient, limits, at_client_) {}

  // Until both are silent. False when one refuses.
  bool carry() {
    bool good = true;
    for (bool more = true; more;) {
      std::string there;
      std::string back;
      client_.pull(there, 1 << 20);
      good = static_cast<bool>(server_.receive(there)) && good;
      server_.pull(back, 1 << 20);
      good = static_cast<bool>(client_.receive(back)) && good;
      more = !there.empty() || !back.empty();
    }
    return good;
  }
  static void send(Session& session, Stream& stream, std::string_view bytes) {
    const std::array<std::string_view, 1> pieces = {bytes};
    session.send(stream, pieces);
  }

  Recorder at_server_;
  Recorder at_client_;
  Session server_;
  Session client_;
};

TEST_F(SessionTest, CarriesARequestAndAnAnswerWithTrailers) {
  Stream* request = client_.request(kRequest);
  send(client_, *request, "question");
  client_.finish(*request);
  ASSERT_TRUE(carry());
  EXPECT_EQ(at_server_.heads[0].get(":path"), "/a");
  EXPECT_EQ(at_server_.data, "question");
  EXPECT_TRUE(at_server_.ended);

  server_.respond(*at_server_.last, kOk);
  send(server_, *at_server_.last, "answer");
  server_.finish(*at_server_.last, {{"grpc-status", "0"}});
  ASSERT_TRUE(carry());

  EXPECT_EQ(at_client_.heads[0].get(":status"), "200");
  EXPECT_EQ(at_client_.data, "answer");
  EXPECT_EQ(at_client_.heads[1].get("grpc-status"), "0");
  EXPECT_EQ(at_client_.closed, std::vector{Reset::kNoError});
  EXPECT_EQ(server_.open_streams() + client_.open_streams(), 0U);
}

TEST_F(SessionTest, GoesOnWithAStreamThatHadNothingToSay) {
  Stream* request = client_.request(kRequest);
  ASSERT_TRUE(carry());
  for (const std::string_view word : {"one ", "two ", "three"}) {
    send(client_, *request, word);
    ASSERT_TRUE(carry());
  }

  EXPECT_EQ(at_server_.data, "one two three");
  EXPECT_EQ(request->queued(), 0U);
}

TEST_F(SessionTest, TellsTheClientToStopWhenTheAnswerIsComplete) {
  client_.request(kRequest);
  ASSERT_TRUE(carry());

  server_.respond_and_end(*at_server_.last, kOk);
  ASSERT_TRUE(carry());

  EXPECT_TRUE(at_client_.ended);
  EXPECT_EQ(at_client_.closed, std::vector{Reset::kNoError});
}

TEST_F(SessionTest, ReportsAResetToBothSides) {
  Stream* request = client_.request(kRequest);
  ASSERT_TRUE(carry());

  client_.reset(*request, Reset::kCancel);
  ASSERT_TRUE(carry());

  EXPECT_EQ(at_server_.closed, std::vector{Reset::kCancel});
  EXPECT_EQ(at_client_.closed, std::vector{Reset::kCancel});
}

class SmallWindowTest : public SessionTest {
 protected:
  SmallWindowTest() : SessionTest({.stream_window = 1000, .connection_window = 70'000}) {}
};

TEST_F(SmallWindowTest, HoldsBackWhatTheApplicationDoesNotConsume) {
  Stream* request = client_.request(kRequest);
  ASSERT_TRUE(carry());
  send(client_, *request, std::string(5000, 'x'));

  ASSERT_TRUE(carry());
  EXPECT_EQ(at_server_.data.size(), 1000U);
  EXPECT_EQ(request->queued(), 4000U);
  server_.consumed(*at_server_.last, 1000);
  ASSERT_TRUE(carry());

  EXPECT_EQ(at_server_.data.size(), 2000U);
}

TEST_F(SmallWindowTest, GivesTheConnectionsWindowBackWhenAStreamEndsUnread) {
  for (int i = 0; i < 100; ++i) {  // 100 KB through 70 KB
    Stream* request = client_.request(kRequest);
    ASSERT_TRUE(carry());
    send(client_, *request, std::string(1000, 'x'));
    ASSERT_TRUE(carry());
    client_.reset(*request, Reset::kCancel);
    ASSERT_TRUE(carry());
  }

  EXPECT_EQ(at_server_.data.size(), 100'000U);
}

class TightTest : public SessionTest {
 protected:
  TightTest()
      : SessionTest(
            {.streams = 2, .header_bytes = 1000, .reset_burst = 10, .resets_per_second = 1}) {}
};

TEST_F(TightTest, ResetsAStreamWithTooLongAHead) {
  http::Headers fields = kRequest;
  fields.add("x-long", std::string(2000, 'x'));

  client_.request(fields);
  ASSERT_TRUE(carry());

  EXPECT_EQ(at_server_.heads.size(), 0U);
  ASSERT_EQ(at_client_.closed.size(), 1U);
  EXPECT_NE(at_client_.closed[0], Reset::kNoError);
}

TEST_F(TightTest, EndsAConnectionThatResetsStreamsInAFlood) {
  for (int i = 0; i < 100 && at_client_.goaways == 0; ++i) {
    ASSERT_TRUE(carry());
    Stream* request = client_.request(kRequest);
    if (request == nullptr) break;
    carry();
    if (client_.open_streams() > 0) client_.reset(*request, Reset::kCancel);
    carry();
  }

  EXPECT_EQ(at_client_.goaways, 1);
  EXPECT_LE(at_server_.heads.size(), 12U);
}

TEST_F(SessionTest, DrainsWithoutLosingARequestInFlight) {
  Stream* first = client_.request(kRequest);
  ASSERT_TRUE(carry());
  server_.drain();
  Stream* crossing = client_.request(kRequest);  // before the client hears of it
  ASSERT_NE(crossing, nullptr);

  ASSERT_TRUE(carry());

  EXPECT_GE(at_client_.goaways, 1);
  EXPECT_EQ(at_server_.heads.size(), 2U);
  EXPECT_EQ(client_.request(kRequest), nullptr);
  client_.reset(*first, Reset::kCancel);
  client_.reset(*crossing, Reset::kCancel);
  ASSERT_TRUE(carry());
  EXPECT_TRUE(server_.done());
}

TEST_F(SessionTest, EndsAConnectionThatIsNotHttp2) {
  const Status status = server_.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string out;
  server_.pull(out, 1 << 20);

  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kInvalid);
  EXPECT_THAT(status.error().message(), HasSubstr("HTTP/2: "));
  EXPECT_TRUE(server_.done());
}

TEST_F(SessionTest, BoundsTheAcknowledgementsItOwes) {
  std::string hello;
  client_.pull(hello, 1 << 20);
  ASSERT_TRUE(server_.receive(hello));
  const std::string ping("\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
  std::string flood;
  for (int i = 0; i < 5000; ++i) flood += ping;

  EXPECT_FALSE(server_.receive(flood));
}

}  // namespace
}  // namespace baton::http2
