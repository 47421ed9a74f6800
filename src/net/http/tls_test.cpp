// Server and client over TLS, on loopback.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "base/core/log.hpp"
#include "base/core/testing/temporary_folder.hpp"
#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/tls/stream.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::http {
namespace {

using testing::eventually;
using ::testing::HasSubstr;
using testing::Raw;
using tls::testing::Credentials;
using tls::testing::open_client;
using tls::testing::open_server;

const SystemClock kClock;
constexpr std::size_t kBig = 8 << 20;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

struct Seen {
  std::atomic<int> calls = 0;
  std::atomic<int> ended = 0;
  std::atomic<int> released = 0;  // pieces that a stream may send
};

Task<void> echo(Exchange& exchange) {
  Result<std::string> body = co_await exchange.read_body(kBig);
  if (body) (void)co_await exchange.respond({200, {}}, *body);
}

// A piece whenever the test releases one.
Task<void> drip(Exchange& exchange, Seen* seen) {
  (void)co_await exchange.start({200, {}});
  for (int sent = 0; sent < 3;) {
    if (sent == seen->released) {
      co_await async::sleep_until(kClock.now() + Millis(1));
      continue;
    }
    (void)co_await exchange.write("drop");
    ++sent;
  }
  (void)co_await exchange.finish();
}

// Many small pieces in one write, as a body assembled from parts.
Task<void> crumbs(Exchange& exchange) {
  const std::string crumb(100, 'c');
  const std::vector<std::string_view> pieces(1000, crumb);
  (void)co_await exchange.start({200, {}});
  (void)co_await exchange.write(pieces);
  (void)co_await exchange.finish();
}

Task<void> flood(Exchange& exchange, Seen* seen) {
  const std::string block(64 << 10, 'x');
  (void)co_await exchange.start({200, {}});
  for (;;) {
    Status wrote = co_await exchange.write(block);
    if (!wrote) break;
  }
  ++seen->ended;
}

class TlsTest : public ::testing::Test {
 protected:
  ~TlsTest() override {
    server_.reset();
    loop_.stop();  // before its clients
    log::redirect(nullptr);
  }

  Endpoint serve(tls::ServerContext::Config config, ServerLimits limits = {}) {
    log::redirect([this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      log_ += line;
    });
    context_ = open_server(std::move(config), kClock);
    Handler handler = [this](Exchange& exchange) {
      ++seen_.calls;
      std::string_view path = exchange.head().path();
      if (path == "/drip") return drip(exchange, &seen_);
      if (path == "/crumbs") return crumbs(exchange);
      if (path == "/flood") return flood(exchange, &seen_);
      return echo(exchange);
    };
    server_ = std::make_unique<Server>(loop_, kClock,
                                       Server::Config{.limits = limits, .tls = context_}, handler);
    return testing::start(*server_, loop_);
  }
  Client& client(tls::ClientContext::Config config) {
    Client::Config with;
    with.tls = open_client(std::move(config), kClock);
    return *clients_.emplace_back(std::make_unique<Client>(kClock, with));
  }

  Sent<std::string> fetch(Client& from, const Endpoint& to, RequestHead head,
                          std::string body = "") {
    return async::blocking_run(loop_,
                               testing::fetch(&from, to, std::move(head), std::move(body), soon()));
  }
  std::string complaint(Client& from, const Endpoint& to) {
    auto answer = fetch(from, to, {"GET", "/", {}});
    if (answer) return "none";
    EXPECT_EQ(answer.error().kind, Failure::Kind::kRefused);
    return answer.error().error.message();
  }
  bool logged(std::string_view text) {
    return eventually([&] {
      const std::lock_guard lock(mutex_);
      return log_.find(text) != std::string::npos;
    });
  }

  const Credentials mine_ = Credentials::make("mine", kClock);
  Seen seen_;
  std::mutex mutex_;
  std::string log_;  // guarded by mutex_
  std::shared_ptr<tls::ServerContext> context_;
  async::Loop loop_{"tls"};
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, CarriesBodiesOfEverySizeInEitherVersionOnOneConnection) {
  const Endpoint at = serve(mine_.server());
  for (const tls::Version version : {tls::Version::kTls12, tls::Version::kTls13}) {
    auto config = mine_.client();
    config.min_version = config.max_version = version;
    Client& from = client(config);

    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{16384}, std::size_t{70'000}, kBig}) {
      const std::string body(size, 'b');
      auto answer = fetch(from, at, {"POST", "/echo", {}}, body);
      ASSERT_TRUE(answer) << answer.error().error.message();
      EXPECT_TRUE(*answer == "200 " + body) << size;
    }
  }
  EXPECT_EQ(server_->open_connections(), 2U);
}

TEST_F(TlsTest, JoinsSmallPieces) {
  const Endpoint at = serve(mine_.server());

  auto answer = fetch(client(mine_.client()), at, {"GET", "/crumbs", {}});

  ASSERT_TRUE(answer);
  EXPECT_EQ(*answer, "200 " + std::string(100'000, 'c'));
}

TEST_F(TlsTest, SaysWhyTheServerIsNotTrusted) {
  const Endpoint at = serve(mine_.server());
  const std::string where = to_string(at);
  auto named = mine_.client();
  named.server_name = "elsewhere";

  EXPECT_EQ(complaint(client(Credentials::make("other", kClock).client()), at),
            where +
                ": its certificate 'CN=mine-ca' is signed by 'CN=mine-ca', which is not "
                "trusted here");
  EXPECT_EQ(complaint(client(named), at),
            where +
                ": its certificate is not for the name 'elsewhere': it is for localhost, "
                "127.0.0.1");
  EXPECT_TRUE(logged("it refused with tlsv1 alert unknown ca"));
}

TEST_F(TlsTest, AnswersPlainHttpWithA400ThatSaysSo) {
  Raw raw(serve(mine_.server()));

  raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string got = raw.read_all();

  EXPECT_THAT(got, HasSubstr("HTTP/1.1 400 Bad Request"));
  EXPECT_TRUE(got.ends_with("\r\n\r\nThis port speaks TLS: say https:// to it")) << got;
  EXPECT_TRUE(logged("it speaks plain HTTP to a port that speaks TLS"));
  EXPECT_EQ(seen_.calls, 0);
}

TEST_F(TlsTest, ClosesOnGarbageAndOnAClientGoneInTheHandshake) {
  const Endpoint at = serve(mine_.server());
  Raw garbage(at);
  Raw gone(at);
  const std::string hello_of_512_bytes("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);

  garbage.send("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a garbage");
  gone.send(hello_of_512_bytes);
  gone.close();
  garbage.read_all();

  EXPECT_TRUE(logged("TLS handshake failed"));
  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

TEST_F(TlsTest, LimitsTheHandshakesTime) {
  Raw silent(serve(mine_.server(), {.handshake_timeout = Millis(30)}));

  EXPECT_EQ(silent.read_all(), "");
  EXPECT_TRUE(logged("the TLS handshake took too long"));
}

TEST_F(TlsTest, RefusesAPlainServerWithAReason) {
  Server plain(loop_, kClock, {}, [](Exchange& exchange) { return echo(exchange); });
  const auto at = plain.listen({"127.0.0.1", 0});
  loop_.start();

  auto answer = fetch(client(mine_.client()), *at, {"GET", "/", {}});

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().error.message(), to_string(*at) + ": it does not speak TLS");
}

Task<Sent<std::string>> next_piece(Response* response) {
  auto piece = co_await response->read_some(soon());
  if (!piece) co_return std::unexpected(piece.error());
  co_return std::string(*piece);
}

TEST_F(TlsTest, KeepsAStreamOverAReload) {
  const Credentials next = Credentials::make("next", kClock);
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.file(name)) << text;
  };
  write("crt", mine_.pair.certificate_pem);
  write("key", mine_.pair.key_pem);
  const Endpoint at = serve({.certificate = tls::Source::of_file(folder.file("crt")),
                             .key = tls::Source::of_file(folder.file("key"))});
  Client& old_client = client(mine_.client());
  const RequestHead head{"GET", "/drip", {}};
  auto stream = async::blocking_run(loop_, old_client.send(at, head, {}, soon()));
  ASSERT_TRUE(stream);

  write("crt", next.pair.certificate_pem);
  write("key", next.pair.key_pem);
  ASSERT_TRUE(context_->reload());

  EXPECT_TRUE(fetch(client(next.client()), at, {"GET", "/", {}}));
  EXPECT_THAT(complaint(old_client, at), HasSubstr("is signed by 'CN=next-ca'"));
  for (int i = 0; i < 3; ++i) {
    ++seen_.released;
    auto piece = async::blocking_run(loop_, next_piece(&*stream));
    ASSERT_TRUE(piece) << piece.error().error.message();
    EXPECT_EQ(*piece, "drop");
  }
  EXPECT_EQ(*async::blocking_run(loop_, next_piece(&*stream)), "");
}

TEST_F(TlsTest, EndsAFloodWhenTheClientLeaves) {
  const Endpoint at = serve(mine_.server());
  const RequestHead head{"GET", "/flood", {}};

  {
    auto response = async::blocking_run(loop_, client(mine_.client()).send(at, head, {}, soon()));
    ASSERT_TRUE(response);
    auto piece = async::blocking_run(loop_, next_piece(&*response));
    EXPECT_TRUE(piece && !piece->empty());
    loop_.post(
        [gone = std::make_shared<Sent<Response>>(std::move(response))]() mutable { gone.reset(); });
  }

  EXPECT_TRUE(eventually([&] { return seen_.ended == 1; }));
}

TEST_F(TlsTest, ClosesOnAClientThatNeverReads) {
  const Endpoint at = serve(mine_.server(), {.write_timeout = Millis(100)});
  const RequestHead head{"GET", "/flood", {}};

  auto response = async::blocking_run(loop_, client(mine_.client()).send(at, head, {}, soon()));

  ASSERT_TRUE(response);
  EXPECT_TRUE(eventually([&] { return seen_.ended == 1; }));
}

TEST_F(TlsTest, ReplacesAConnectionThatTheServerEnded) {
  const Endpoint at = serve(mine_.server(), {.idle_timeout = Millis(20)});
  Client& from = client(mine_.client());
  ASSERT_TRUE(fetch(from, at, {"GET", "/", {}}));
  ASSERT_TRUE(eventually([&] { return server_->open_connections() == 0; }));

  EXPECT_TRUE(fetch(from, at, {"GET", "/", {}}));
}

TEST_F(TlsTest, DoesNotTakeATcpEndForTheEndOfABodyWithoutLength) {
  auto config = mine_.server();
  const Endpoint at = serve(config);
  // A server of one answer that ends the connection with, or without, close_notify.
  const auto answer_of = [&](bool notify) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::jthread server([&] {
      const int socket = ::accept(listener, nullptr, nullptr);
      const auto stream = tls::Stream::accept(*context_, socket);
      const auto wait = [&] {
        pollfd entry{socket, POLLIN, 0};
        ::poll(&entry, 1, 20'000);
      };
      while (stream->handshake() == tls::Stream::State::kWantRead) wait();
      std::array<char, 4096> request;
      std::size_t count = 0;
      while (stream->read(request, count) == tls::Stream::State::kWantRead) wait();
      stream->write("HTTP/1.1 200 OK\r\n\r\nhalf", count);
      if (notify) stream->shutdown();
      ::shutdown(socket, SHUT_WR);
      wait();
      ::close(socket);
    });
    auto got =
        fetch(client(mine_.client()), {"127.0.0.1", ntohs(address.sin_port)}, {"GET", "/", {}});
    ::close(listener);
    return got;
  };

  auto whole = answer_of(true);
  auto cut = answer_of(false);

  ASSERT_TRUE(whole) << whole.error().error.message();
  EXPECT_EQ(*whole, "200 half");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().kind, Failure::Kind::kLost);
  EXPECT_THAT(cut.error().error.message(), HasSubstr("without TLS's close_notify"));
}

}  // namespace
}  // namespace baton::http
