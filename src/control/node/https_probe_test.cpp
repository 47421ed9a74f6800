// HTTPS probes against a server in this process, with a certificate that nobody signed but itself.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <thread>

#include "control/node/probe.hpp"

namespace baton::node {
namespace {

using testing::HasSubstr;

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;

Context self_signed() {
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, Freed<X509_free>> certificate(X509_new());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  Context context(SSL_CTX_new(TLS_server_method()));
  EXPECT_EQ(SSL_CTX_use_certificate(context.get(), certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key.get()), 1);
  return context;
}

class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(socket_, 4), 0);
    socklen_t size = sizeof at;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int accept() const { return ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC); }
  void stop() const { ::shutdown(socket_, SHUT_RDWR); }  // accept() returns
  std::uint16_t port() const { return port_; }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

// Answers one request with `answer`.
class TlsServer {
 public:
  explicit TlsServer(std::string answer)
      : answer_(std::move(answer)), thread_([this] { serve_one(); }) {}
  ~TlsServer() {
    listener_.stop();
    thread_.join();
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::uint16_t port() const { return listener_.port(); }

 private:
  void serve_one() {
    const int connection = listener_.accept();
    if (connection < 0) return;
    const Session session(SSL_new(context_.get()));
    SSL_set_fd(session.get(), connection);
    std::array<char, 4096> request;
    if (SSL_accept(session.get()) == 1 &&
        SSL_read(session.get(), request.data(), static_cast<int>(request.size())) > 0) {
      SSL_write(session.get(), answer_.data(), static_cast<int>(answer_.size()));
      SSL_shutdown(session.get());
    }
    ::close(connection);
  }

  const Listener listener_;
  const Context context_ = self_signed();
  const std::string answer_;
  std::thread thread_;
};

ProbeSpec https_probe(std::uint16_t port) {
  const auto probe = *text::json::parse(R"({"httpGet":{"scheme":"HTTPS","path":"/health","port":)" +
                                        std::to_string(port) + "}}");
  auto spec = probe_spec(probe, {}, "127.0.0.1");
  EXPECT_TRUE(spec);
  spec->timeout = std::chrono::seconds(10);
  return *spec;
}

TEST(HttpsProbe, PassesWithACertificateThatNobodySigned) {
  const SystemClock clock;
  const TlsServer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const auto passed = blocking_probe(https_probe(server.port()), clock);
  EXPECT_TRUE(passed) << passed.error().message();
}

TEST(HttpsProbe, ReadsAnAnswerOfManyRecords) {
  const SystemClock clock;
  const std::string body(100'000, 'x');
  const TlsServer server("HTTP/1.1 200 OK\r\n\r\n" + body);
  const auto answer = blocking_get({"127.0.0.1", server.port(), "/", Scheme::kHttps},
                                   Deadline::in(clock, std::chrono::seconds(10)), clock, 1 << 20);
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->body, body);
}

TEST(HttpsProbe, FailsWithTheStatusThatWasAnswered) {
  const SystemClock clock;
  const TlsServer server("HTTP/1.1 500 Internal Server Error\r\n\r\n");
  const auto failed = blocking_probe(https_probe(server.port()), clock);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "GET /health answered 500");
}

TEST(HttpsProbe, TimesOutWhenTheHandshakeIsNeverAnswered) {
  const SystemClock clock;
  const Listener silent;  // the kernel takes the connection, nobody reads from it
  auto spec = https_probe(silent.port());
  spec.timeout = Millis(50);
  const auto failed = blocking_probe(spec, clock);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kTimeout);
}

TEST(HttpsProbe, FailsAgainstAServerWithoutTls) {
  const SystemClock clock;
  const Listener plain;
  std::jthread server([&] {
    const int connection = plain.accept();
    constexpr std::string_view kAnswer = "HTTP/1.1 400 Bad Request\r\n\r\n";
    ::send(connection, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
    ::shutdown(connection, SHUT_WR);
    std::array<char, 4096> request;
    while (::recv(connection, request.data(), request.size(), 0) > 0) continue;
    ::close(connection);
  });
  const auto failed = blocking_probe(https_probe(plain.port()), clock);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("it does not speak TLS"));
}

}  // namespace
}  // namespace baton::node
