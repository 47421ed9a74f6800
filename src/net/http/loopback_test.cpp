// Server and client against each other and against raw sockets, on loopback.

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"

namespace baton::http {
namespace {

const SystemClock kClock;
using testing::eventually;
using testing::Raw;
using Tcp = asio::ip::tcp;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

struct Seen {
  std::atomic<int> calls = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<bool> release = false;
  std::atomic<std::size_t> written = 0;
};

// Counts a handler that ends by an exception.
struct Unwinding {
  Seen& seen;
  int before = std::uncaught_exceptions();
  ~Unwinding() {
    if (std::uncaught_exceptions() > before) ++seen.cancelled;
  }
};

Task<void> echo(Exchange& exchange) {
  Result<std::string> body = co_await exchange.read_body(1 << 20);
  if (!body) {
    int status = body_error_status(body.error());
    (void)co_await exchange.respond({status, {}}, plain_error_body(status, body.error().message()));
    co_return;
  }
  ResponseHead head{200, {{"X-Path", std::string(exchange.head().path())}}};
  (void)co_await exchange.respond(std::move(head), *body);
}

Task<void> stream(Exchange& exchange) {
  (void)co_await exchange.start({200, {{"Content-Type", "text/event-stream"}}});
  for (int i = 0; i < 3; ++i) {
    std::array<std::string_view, 2> pieces = {"data: ", "x\n\n"};
    (void)co_await exchange.write(pieces);
  }
  (void)co_await exchange.finish();
}

// Hangs until cancelled.
Task<void> hang(Exchange&, Seen* seen) {
  Unwinding mark{*seen};
  co_await async::sleep_until(Mono::max());
}

// Writes for as long as it is let.
Task<void> flood(Exchange& exchange, Seen* seen) {
  std::string block(64 << 10, 'x');
  (void)co_await exchange.start({200, {}});
  for (;;) {
    Status wrote = co_await exchange.write(block);
    if (!wrote) break;
    seen->written += block.size();
  }
  ++seen->cancelled;
}

// Answers when the test says so.
Task<void> wait_for_release(Exchange& exchange, Seen* seen) {
  Unwinding mark{*seen};
  while (!seen->release) {
    co_await async::sleep_until(kClock.now() + Millis(1));
  }
  (void)co_await exchange.respond({200, {}}, "done");
}

Task<void> half_an_answer(Exchange& exchange) {
  (void)co_await exchange.start({200, {}});
  (void)co_await exchange.write("half");
}

Task<void> no_answer(Exchange&) { co_return; }

class LoopbackTest : public ::testing::Test {
 protected:
  ~LoopbackTest() override {
    server_.reset();
    loop_.stop();  // before its client
  }

  Endpoint serve(ServerLimits limits = {}) {
    Handler handler = [this](Exchange& exchange) {
      ++seen_.calls;
      std::string_view path = exchange.head().path();
      if (path == "/stream") return stream(exchange);
      if (path == "/hang") return hang(exchange, &seen_);
      if (path == "/flood") return flood(exchange, &seen_);
      if (path == "/wait") return wait_for_release(exchange, &seen_);
      if (path == "/half") return half_an_answer(exchange);
      if (path == "/none") return no_answer(exchange);
      return echo(exchange);
    };
    server_ = std::make_unique<Server>(loop_, kClock, Server::Config{limits, "test"}, handler);
    return testing::start(*server_, loop_);
  }

  Sent<std::string> fetch(const Endpoint& to, RequestHead head, std::string body = "") {
    return async::blocking_run(
        loop_, testing::fetch(&client_, to, std::move(head), std::move(body), soon()));
  }

  Seen seen_;
  async::Loop loop_{"http"};
  Client client_{kClock, {}};
  std::unique_ptr<Server> server_;
};

using ServerTest = LoopbackTest;
using ClientTest = LoopbackTest;

TEST_F(ServerTest, EchoesBodiesOfEverySize) {
  Endpoint at = serve();

  for (std::size_t size : {0, 1, 4096, 70'000, 1 << 20}) {
    std::string body(size, 'b');
    Sent<std::string> answer = fetch(at, {"POST", "/echo", {}}, body);
    ASSERT_TRUE(answer) << answer.error().error.message();
    EXPECT_TRUE(*answer == "200 " + body)
        << size << " " << answer->size() << " " << answer->find('\0');
  }
  EXPECT_EQ(server_->open_connections(), 1U);  // kept alive
}

TEST_F(ServerTest, StreamsChunks) {
  Endpoint at = serve();

  Sent<std::string> answer = fetch(at, {"GET", "/stream", {}});

  ASSERT_TRUE(answer);
  EXPECT_EQ(*answer, "200 data: x\n\ndata: x\n\ndata: x\n\n");
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Raw raw(serve());

  raw.send(
      "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
      "POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"
      "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string got = raw.read_all();

  EXPECT_LT(got.find("X-Path: /1"), got.find("X-Path: /2"));
  EXPECT_LT(got.find("X-Path: /2"), got.find("X-Path: /3"));
  EXPECT_NE(got.find("Connection: close"), std::string::npos);
}

TEST_F(ServerTest, SpeaksHttp10) {
  Endpoint at = serve();
  Raw plain(at);
  Raw streamed(at);

  plain.send("GET /x HTTP/1.0\r\n\r\n");
  streamed.send("GET /stream HTTP/1.0\r\n\r\n");

  EXPECT_NE(plain.read_all().find("Connection: close"), std::string::npos);
  std::string got = streamed.read_all();
  EXPECT_TRUE(got.ends_with("\r\n\r\ndata: x\n\ndata: x\n\ndata: x\n\n")) << got;
  EXPECT_EQ(got.find("chunked"), std::string::npos);
}

TEST_F(ServerTest, SendsContinueWhenTheHandlerReads) {
  Raw raw(serve());

  raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(raw.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  raw.send("ok");

  EXPECT_TRUE(raw.read_until("ok").starts_with("HTTP/1.1 200"));
}

TEST_F(ServerTest, CancelsTheHandlerWhenTheClientLeaves) {
  Raw raw(serve());
  raw.send("POST /hang HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  raw.close();

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

TEST_F(ServerTest, SeesAnEndThatCameWithTheRequest) {
  Endpoint at = serve();
  Raw client(at);
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  ASSERT_NE(client.read_until("\r\n\r\n"), "");
  std::promise<void> arrived;
  loop_.post([gate = arrived.get_future().share()] { gate.wait(); });

  ASSERT_TRUE(client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"));
  client.close();
  arrived.set_value();

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
}

TEST_F(ServerTest, TimesOutASlowHead) {
  Raw raw(serve({.head_timeout = Millis(30)}));

  raw.send("GET / HTTP/1.1\r\nHos");

  EXPECT_TRUE(raw.read_all().starts_with("HTTP/1.1 408"));
}

TEST_F(ServerTest, TimesOutASlowBody) {
  Raw raw(serve({.body_timeout = Millis(30)}));

  raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");

  EXPECT_TRUE(raw.read_all().starts_with("HTTP/1.1 408"));
}

TEST_F(ServerTest, ClosesAnIdleConnectionSilently) {
  Raw raw(serve({.idle_timeout = Millis(30)}));

  EXPECT_EQ(raw.read_all(), "");
}

TEST_F(ServerTest, ClosesOnAClientThatNeverReads) {
  Raw raw(serve({.write_timeout = Millis(100)}), 4096);

  raw.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
  EXPECT_LT(seen_.written, 64U << 20);
  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

TEST_F(ServerTest, RefusesAHugeBodyWithoutReadingIt) {
  Raw raw(serve());

  raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n");

  std::string got = raw.read_all();
  EXPECT_TRUE(got.starts_with("HTTP/1.1 413")) << got;
  EXPECT_NE(got.find("Connection: close"), std::string::npos);
}

TEST_F(ServerTest, RefusesAHugeBodyOfAnEagerClient) {
  Raw raw(serve());

  raw.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  int sent = 0;
  while (sent < 1600 && raw.send(chunk)) ++sent;  // 100 MB, if it were let

  EXPECT_LT(sent, 1000);
  EXPECT_TRUE(raw.read_all().starts_with("HTTP/1.1 413"));
}

TEST_F(ServerTest, RefusesALongHeadAndBrokenSyntax) {
  Endpoint at = serve({.head_bytes = 1024});
  Raw large(at);
  Raw broken(at);

  large.send("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(2000, 'x') + "\r\n\r\n");
  broken.send("GET / HTTP/1.1\r\nHost : x\r\n\r\n");

  EXPECT_TRUE(large.read_all().starts_with("HTTP/1.1 431"));
  std::string got = broken.read_all();
  EXPECT_TRUE(got.starts_with("HTTP/1.1 400"));
  EXPECT_NE(got.find(R"({"error":{"message":"a header line is not 'Name: value'","type":)"
                     R"("BadRequestError","param":null,"code":400}})"),
            std::string::npos);
}

TEST_F(ServerTest, ShowsABrokenAnswerAsBroken) {
  Endpoint at = serve();

  Sent<std::string> half = fetch(at, {"GET", "/half", {}});
  Sent<std::string> none = fetch(at, {"GET", "/none", {}});

  ASSERT_FALSE(half);
  EXPECT_EQ(half.error().kind, Failure::Kind::kLost);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->starts_with("500 "));
}

TEST_F(ServerTest, LimitsItsConnections) {
  Endpoint at = serve({.connections = 1});
  Raw first(at);
  first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  first.read_until("\r\n\r\n");
  Raw second(at);
  second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(server_->open_connections(), 1U);

  first.close();

  EXPECT_TRUE(second.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(ServerTest, LetsRequestsFinishWhenItStops) {
  Endpoint at = serve();
  Raw busy(at);
  Raw idle(at);
  busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  std::thread stopper([&] { server_->stop(soon()); });
  EXPECT_EQ(idle.read_all(), "");
  seen_.release = true;
  std::string got = busy.read_all();
  stopper.join();

  EXPECT_TRUE(got.ends_with("\r\n\r\ndone")) << got;
  EXPECT_FALSE(Raw(at).connected());
}

TEST_F(ServerTest, CancelsWhatIsLateWhenItStops) {
  Raw busy(serve());
  busy.send("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  server_->stop(Deadline::in(kClock, Millis(10)));

  EXPECT_EQ(seen_.cancelled, 1);
}

TEST_F(ServerTest, SaysWhyItCannotListen) {
  Endpoint at = serve();

  Result<Endpoint> again = server_->listen(at);
  Result<Endpoint> name = server_->listen({"nowhere", 1});

  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kConflict);
  EXPECT_EQ(name.error().message(), "'nowhere' is not an IP address to listen on");
}

TEST_F(ClientTest, ReplacesAStaleConnectionOnce) {
  Endpoint at = serve({.idle_timeout = Millis(20)});
  ASSERT_TRUE(fetch(at, {"GET", "/", {}}));
  ASSERT_TRUE(eventually([&] { return server_->open_connections() == 0; }));

  EXPECT_TRUE(fetch(at, {"GET", "/", {}}));
}

Task<bool> fetch_once(Client* client, Endpoint to) {
  RequestHead head{"POST", "/", {}};
  auto answer = co_await client->send(to, head, {}, soon(), Resend::kNever);
  co_return answer.has_value();
}

TEST_F(ClientTest, SendsNothingOnAKeptConnectionThatWasClosed) {
  Endpoint at = serve({.idle_timeout = Millis(20)});
  ASSERT_TRUE(fetch(at, {"GET", "/", {}}));
  ASSERT_TRUE(eventually([&] { return server_->open_connections() == 0; }));

  EXPECT_TRUE(async::blocking_run(loop_, fetch_once(&client_, at)));
}

TEST_F(ClientTest, ClosesConnectionsAtRestWhenItIsTold) {
  Endpoint at = serve();
  ASSERT_TRUE(fetch(at, {"GET", "/", {}}));
  ASSERT_EQ(server_->open_connections(), 1U);

  loop_.post([&] { client_.close_idle(); });

  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
  EXPECT_TRUE(fetch(at, {"GET", "/", {}}));
}

// A server that says something out of turn on its first connection.
class Chatty {
 public:
  Chatty() : acceptor_(context_, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    thread_ = std::thread([this] {
      Tcp::socket first = answer("one");
      asio::write(first, asio::buffer(std::string("HTTP/1.1 408 Late\r\n\r\n")));
      char byte = 0;
      boost::system::error_code ec;
      first.read_some(asio::buffer(&byte, 1), ec);
      left = ec == asio::error::eof || ec == asio::error::connection_reset;
      answer("two");
    });
  }
  ~Chatty() { thread_.join(); }

  Endpoint at() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }
  std::atomic<bool> left = false;  // the client closed the first connection

 private:
  Tcp::socket answer(const std::string& body) {
    Tcp::socket socket = acceptor_.accept();
    std::string request;
    asio::read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n");
    asio::write(socket, asio::buffer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body));
    return socket;
  }

  asio::io_context context_;
  Tcp::acceptor acceptor_;
  std::thread thread_;
};

TEST_F(ClientTest, LetsGoOfAKeptConnectionOnWhichItsPeerSpeaks) {
  loop_.start();
  Chatty server;
  ASSERT_EQ(fetch(server.at(), {"GET", "/", {}}), "200 one");
  ASSERT_TRUE(eventually([&] { return server.left.load(); }));

  EXPECT_EQ(fetch(server.at(), {"GET", "/", {}}), "200 two");
}

TEST_F(ClientTest, SaysWhenNobodyListens) {
  Endpoint at = serve();
  server_->stop(soon());

  Sent<std::string> answer = fetch(at, {"GET", "/", {}});

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Failure::Kind::kRefused);
}

Task<Failure::Kind> fetch_late(Client* client, Endpoint to) {
  RequestHead head{"GET", "/hang", {}};
  auto answer = co_await client->send(to, head, {}, Deadline::in(kClock, Millis(20)));
  co_return answer ? Failure::Kind::kLost : answer.error().kind;
}

TEST_F(ClientTest, KeepsItsDeadline) {
  Endpoint at = serve();

  EXPECT_EQ(async::blocking_run(loop_, fetch_late(&client_, at)), Failure::Kind::kTimeout);

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));  // the connection was closed
}

Task<bool> fetch_cancelled(Client* client, Endpoint to) {
  RequestHead head{"GET", "/hang", {}};
  auto answer =
      co_await async::finish_by(kClock.now() + Millis(20), client->send(to, head, {}, soon()));
  co_return answer.has_value();
}

TEST_F(ClientTest, ClosesWhenCancelled) {
  Endpoint at = serve();

  EXPECT_FALSE(async::blocking_run(loop_, fetch_cancelled(&client_, at)));

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
}

Task<bool> abandon(Client* client, Endpoint to) {
  RequestHead head{"GET", "/flood", {}};
  auto answer = co_await client->send(to, head, {}, soon());
  if (!answer) co_return false;
  auto piece = co_await answer->read_some(soon());
  co_return piece && !piece->empty();
}

TEST_F(ClientTest, ClosesAnAnswerThatIsDropped) {
  Endpoint at = serve();

  EXPECT_TRUE(async::blocking_run(loop_, abandon(&client_, at)));

  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

TEST_F(ClientTest, ResolvesNames) {
  Endpoint at = serve();

  EXPECT_TRUE(fetch({"localhost", at.port}, {"GET", "/", {}}));
}

}  // namespace
}  // namespace baton::http
