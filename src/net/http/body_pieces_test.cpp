// Request bodies that are read and sent piece by piece.

#include <gmock/gmock.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <deque>

#include "base/async/blocking.hpp"
#include "base/async/event.hpp"
#include "base/async/finish_by.hpp"
#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/http/testing/raw_server.hpp"

namespace baton::http {
namespace {

using testing::eventually;
using ::testing::HasSubstr;
using testing::Raw;
using testing::RawServer;

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
  ~BodyPieces() override {
    server_.reset();
    loop_.stop();  // before its client
  }

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
  void stop() override {}
};

// Gives one piece, and has no other until it is stopped.
struct Waiting final : BodySource {
  explicit Waiting(async::Loop& loop) : stopped(loop.executor()) {}
  bool begun = false;
  bool wanted = true;
  async::Event stopped;

  Task<Result<std::string_view>> next() override {
    if (!std::exchange(begun, true)) co_return std::string_view("begun");
    while (wanted) co_await stopped.wait();
    co_return cancelled("stopped");
  }
  void stop() override {
    wanted = false;
    stopped.notify();
  }
};

struct Got {
  int status = 0;
  Headers headers;
  std::string body;
};

Task<Got> got(Sent<Response> answer) {
  if (!answer)
    co_return Got{-static_cast<int>(answer.error().kind), {}, answer.error().error.message()};
  auto rest = co_await answer->read_all(kLimit, soon());
  co_return Got{answer->head().status, answer->head().headers, rest ? *rest : "broken"};
}

Task<Got> post(Client* client, Endpoint to, BodySource& body, std::optional<std::uint64_t> length) {
  const RequestHead head{"POST", "/", {}};
  auto answer = co_await client->send(to, head, body, length, soon());
  co_return co_await got(std::move(answer));
}

Task<Got> post_whole(Client* client, Endpoint to, std::string_view body) {
  const RequestHead head{"POST", "/", {}};
  const std::array<std::string_view, 1> pieces = {body};
  auto answer = co_await client->send(to, head, pieces, soon());
  co_return co_await got(std::move(answer));
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

  Pieces again = pieces;

  const Got sized = async::blocking_run(loop_, post(&client_, at, pieces, body.size()));
  const Got chunked = async::blocking_run(loop_, post(&client_, at, again, std::nullopt));

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

  const Got seen = async::blocking_run(loop_, post(&client_, at, broken, std::nullopt));

  EXPECT_EQ(seen.status, -static_cast<int>(Failure::Kind::kLost));
  EXPECT_EQ(seen.body, "the source is broken");
  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

const std::string kBusy = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy";

// A peer that answers and then neither reads nor closes.
TEST_F(BodyPieces, ThatAPeerDoesNotTakeDoNotHoldItsAnswerBack) {
  const RawServer peer({{1, kBusy}});
  loop_.start();
  Pieces pieces;
  for (int i = 0; i < 64; ++i) pieces.left.emplace_back(1 << 20, 'b');

  const Got seen = async::blocking_run(loop_, post(&client_, peer.endpoint(), pieces, 64 << 20));

  EXPECT_EQ(seen.status, 429) << seen.body;
  EXPECT_EQ(seen.body, "busy");
  EXPECT_FALSE(pieces.left.empty());
}

TEST_F(BodyPieces, InOneStretchDoNotHoldAnAnswerBackEither) {
  const RawServer peer({{1, kBusy}});
  const std::string body(64 << 20, 'b');
  loop_.start();

  const Got seen = async::blocking_run(loop_, post_whole(&client_, peer.endpoint(), body));

  EXPECT_EQ(seen.status, 429) << seen.body;
  EXPECT_EQ(seen.body, "busy");
}

TEST_F(BodyPieces, ThatAreStillToComeDoNotHoldAnAnswerBack) {
  const RawServer peer({{1, kBusy}});
  loop_.start();
  Waiting body(loop_);

  const Got seen = async::blocking_run(loop_, post(&client_, peer.endpoint(), body, std::nullopt));

  EXPECT_EQ(seen.status, 429) << seen.body;
  EXPECT_FALSE(body.wanted);
}

// It answers as it reads.
TEST_F(BodyPieces, GoOnAfterAnAnswerThatHasBegunWell) {
  const RawServer peer({{1, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}, {64 << 20, "done"}});
  const std::string body(64 << 20, 'b');
  loop_.start();

  const Got seen = async::blocking_run(loop_, post_whole(&client_, peer.endpoint(), body));

  EXPECT_EQ(seen.status, 200) << seen.body;
  EXPECT_EQ(seen.body, "done");
}

TEST_F(BodyPieces, GoOnAfterAnInterimAnswer) {
  const RawServer peer({{1, "HTTP/1.1 103 Early Hints\r\n\r\n"}, {64 << 20, kBusy}});
  const std::string body(64 << 20, 'b');
  loop_.start();

  const Got seen = async::blocking_run(loop_, post_whole(&client_, peer.endpoint(), body));

  EXPECT_EQ(seen.status, 429) << seen.body;
}

}  // namespace
}  // namespace baton::http
