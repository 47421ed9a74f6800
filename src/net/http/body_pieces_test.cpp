// Request bodies that are read and sent piece by piece.

#include <gmock/gmock.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <deque>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"

namespace baton::http {
namespace {

using testing::eventually;
using ::testing::HasSubstr;
using testing::Raw;

const SystemClock kClock;
constexpr std::size_t kLimit = 40 << 20;
constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: x\r\n";
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

// Says how the request was framed and what its body was.
struct Reader {
  std::atomic<std::size_t> seen = 0;
  std::atomic<std::size_t> calls = 0;
  std::atomic<bool> go_on = true;

  Task<void> handle(Exchange& exchange) {
    ++calls;
    std::string body;
    for (;;) {
      while (!go_on) co_await async::sleep_until(kClock.now() + Millis(1));
      Result<std::string_view> piece = co_await exchange.read_some(kLimit);
      if (!piece) {
        const int status = body_error_status(piece.error());
        (void)co_await exchange.respond({status, {}}, piece.error().message());
        co_return;
      }
      if (piece->empty()) break;
      body += *piece;
      seen = body.size();
    }
    ResponseHead head{200, {}};
    for (const char* name : {"Content-Length", "Transfer-Encoding"}) {
      head.headers.set(std::string("x-") + name,
                       exchange.head().headers.get(name).value_or("none"));
    }
    (void)co_await exchange.respond(std::move(head), body);
  }
};

class BodyPieces : public ::testing::Test {
 protected:
  Endpoint serve(ServerLimits limits = {}) {
    server_ = std::make_unique<Server>(loop_, kClock, Server::Config{limits, "test"},
                                       [this](Exchange& x) { return reader_.handle(x); });
    return testing::start(*server_, loop_);
  }

  Reader reader_;
  async::Loop loop_{"http"};
  Client client_{kClock, {}};
  std::unique_ptr<Server> server_;
};

// Gives the pieces one after the other, then fails if it shall.
struct Pieces final : BodySource {
  std::deque<std::string> left;
  bool breaks = false;
  std::string now{};

  Task<Result<std::string_view>> next() override {
    if (left.empty() && breaks) co_return invalid("the source is broken");
    now = left.empty() ? "" : std::exchange(left.front(), "");
    if (!left.empty()) left.pop_front();
    co_return std::string_view(now);
  }
};

struct Got {
  int status = 0;
  Headers headers;
  std::string body;
};

Task<Got> post(Client* client, Endpoint to, Pieces body, std::optional<std::uint64_t> length) {
  const RequestHead head{"POST", "/", {}};
  auto answer = co_await client->send(to, head, body, length, soon());
  if (!answer)
    co_return Got{-static_cast<int>(answer.error().kind), {}, answer.error().error.message()};
  auto rest = co_await answer->read_all(kLimit, soon());
  co_return Got{answer->head().status, answer->head().headers, rest ? *rest : "broken"};
}

std::string noise(std::size_t size) {
  std::string out(size, '\0');
  std::uint64_t x = 1;
  for (char& c : out) {
    x = x * 6364136223846793005 + 1442695040888963407;
    c = static_cast<char>(x >> 56);
  }
  return out;
}

TEST_F(BodyPieces, GoThroughByteByByteWithALengthAndAsChunks) {
  const Endpoint at = serve();
  const std::string body = noise(3'000'000);
  Pieces pieces;
  for (std::size_t begin = 0, size = 1; begin < body.size(); begin += size, size = size * 3 + 1) {
    pieces.left.push_back(body.substr(begin, size));
  }

  const Got sized = async::blocking_run(loop_, post(&client_, at, pieces, body.size()));
  const Got chunked = async::blocking_run(loop_, post(&client_, at, pieces, std::nullopt));

  EXPECT_TRUE(sized.body == body);
  EXPECT_EQ(sized.headers.get("x-Content-Length"), std::to_string(body.size()));
  EXPECT_TRUE(chunked.body == body);
  EXPECT_EQ(chunked.headers.get("x-Transfer-Encoding"), "chunked");
  EXPECT_EQ(chunked.headers.get("x-Content-Length"), "none");
}

TEST_F(BodyPieces, AreReadFromChunksCutAnywhere) {
  Raw client(serve());
  ASSERT_TRUE(client.send(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nab"));
  ASSERT_TRUE(eventually([&] { return reader_.seen == 2; }));
  for (const char c : std::string_view("cd\r\n1\r\ne\r\n0\r\nx: y\r\n\r\n")) client.send({&c, 1});
  EXPECT_THAT(client.read_until("abcde"), HasSubstr("abcde"));
  client.send(std::string(kHead) + "Content-Length: 2\r\n\r\nok");  // the connection goes on
  EXPECT_THAT(client.read_until("\r\n\r\nok"), HasSubstr("x-Content-Length: 2"));
}

TEST_F(BodyPieces, AreAskedForWhenTheClientWaitsToBe) {
  Raw client(serve());
  client.send(std::string(kHead) + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("100 Continue"));
  client.send("ok");
  EXPECT_THAT(client.read_until("\r\n\r\nok"), HasSubstr("200 OK"));
}

// What the kernel's buffers hold goes; the rest of the body waits at the client.
TEST_F(BodyPieces, HoldAClientBackThatIsFasterThanTheirReader) {
  reader_.go_on = false;
  Raw client(serve());
  const std::string body(kLimit, 'b');
  client.send(std::string(kHead) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return reader_.calls == 1; }));

  const std::size_t taken = client.send_what_goes(body, Millis(300));

  EXPECT_LT(taken, kLimit / 2);
  reader_.go_on = true;
  EXPECT_TRUE(client.send(std::string_view(body).substr(taken)));
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("200 OK"));
}

TEST_F(BodyPieces, HaveTheBodysTime) {
  Raw slow(serve({.body_timeout = Millis(50)}));
  slow.send(std::string(kHead) + "Content-Length: 2\r\n\r\na");
  EXPECT_THAT(slow.read_all(), HasSubstr("408 "));
}

TEST_F(BodyPieces, HaveTheBodysLimits) {
  const Endpoint at = serve();
  Raw sized(at);
  sized.send(std::string(kHead) + "Content-Length: " + std::to_string(kLimit + 1) + "\r\n\r\n");
  EXPECT_THAT(sized.read_all(), HasSubstr("413 "));
  Raw broken(at);
  broken.send(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\nno\r\n");
  EXPECT_THAT(broken.read_all(), HasSubstr("400 "));
  Pieces pieces;
  for (std::size_t i = 0; i <= kLimit >> 20; ++i) pieces.left.emplace_back(1 << 20, 'c');
  EXPECT_EQ(async::blocking_run(loop_, post(&client_, at, pieces, std::nullopt)).status, 413);
}

TEST_F(BodyPieces, ThatEndEarlyCloseTheConnection) {
  const Endpoint at = serve();
  Pieces broken;
  broken.left = {"some"};
  broken.breaks = true;

  const Got got = async::blocking_run(loop_, post(&client_, at, std::move(broken), std::nullopt));

  EXPECT_EQ(got.status, -static_cast<int>(Failure::Kind::kLost));
  EXPECT_EQ(got.body, "the source is broken");
  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

}  // namespace
}  // namespace baton::http
