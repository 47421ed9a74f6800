// Two streams on a socket pair, in one thread.

#include "net/tls/stream.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "base/core/testing/temporary_folder.hpp"
#include "net/tls/reload.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::tls {
namespace {

using testing::Credentials;
using ::testing::HasSubstr;
using testing::open_client;
using testing::open_server;
using testing::spec_of;
using State = Stream::State;

const SystemClock kClock;

std::array<int, 2> local_pair() {
  std::array<int, 2> ends;
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
  return ends;
}

// Two ends whose kernel knows how much a receive leaves behind.
std::array<int, 2> tcp_pair() {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(::bind(listener, address, size), 0);
  EXPECT_EQ(::listen(listener, 1), 0);
  EXPECT_EQ(::getsockname(listener, address, &size), 0);
  EXPECT_EQ(::connect(client, address, size), 0);
  const int server = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
  ::close(listener);
  EXPECT_EQ(::fcntl(client, F_SETFL, O_NONBLOCK), 0);
  return {server, client};
}

// Both ends of a connection.
struct Pair {
  Pair(const ServerContext& server_context, const ClientContext& client_context,
       const std::string& host = "localhost", std::array<int, 2> sockets = local_pair())
      : ends(sockets) {
    server = Stream::accept(server_context, ends[0]);
    client = Stream::connect(client_context, ends[1], host, 8443);
  }
  ~Pair() {
    for (const int end : ends) ::close(end);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  // Until neither side gets further.
  bool shake() {
    State c = State::kWantRead;
    State s = State::kWantRead;
    for (int round = 0; round < 6; ++round) {
      if (c == State::kWantRead) c = client->handshake();
      if (s == State::kWantRead) s = server->handshake();
    }
    return c == State::kDone && s == State::kDone;
  }
  static std::string receive(Stream& from) {
    std::array<char, 1024> bytes;
    std::size_t got = 0;
    return from.read(bytes, got) == State::kDone ? std::string(bytes.data(), got) : "";
  }
  // What the server gets, once it has come.
  std::string receive_when_there() {
    pollfd waiting{ends[0], POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 20'000), 1);
    return receive(*server);
  }
  // Waits for the client's end to arrive.
  bool ends_for_server() const {
    pollfd waiting{ends[0], POLLRDHUP, 0};
    return ::poll(&waiting, 1, 20'000) == 1;
  }
  static bool send(Stream& to, std::string_view bytes) {
    std::size_t taken = 0;
    return to.write(bytes, taken) == State::kDone;
  }

  std::array<int, 2> ends{};
  std::unique_ptr<Stream> server;
  std::unique_ptr<Stream> client;
};

class StreamTest : public ::testing::Test {
 protected:
  // What the client says about the server.
  std::string complaint(const ClientContext::Config& config, const std::string& host = "localhost",
                        const Clock& clock = kClock) {
    const auto server = open_server(mine_.server(), kClock);
    Pair pair(*server, *open_client(config, clock), host);
    return pair.shake() ? "none" : pair.client->error().message();
  }

  const Credentials mine_ = Credentials::make("mine", kClock);
};

TEST_F(StreamTest, CarriesBytesBothWaysInEitherVersion) {
  for (const auto& [version, name] :
       {std::pair{Version::kTls12, "TLSv1.2"}, std::pair{Version::kTls13, "TLSv1.3"}}) {
    auto config = mine_.client();
    config.min_version = config.max_version = version;
    Pair pair(*open_server(mine_.server(), kClock), *open_client(config, kClock));

    ASSERT_TRUE(pair.shake());
    EXPECT_TRUE(Pair::send(*pair.client, "question"));
    EXPECT_EQ(Pair::receive(*pair.server), "question");
    EXPECT_TRUE(Pair::send(*pair.server, "answer"));
    EXPECT_EQ(Pair::receive(*pair.client), "answer");
    EXPECT_EQ(pair.server->alpn(), "http/1.1");
    EXPECT_EQ(pair.client->version(), name);
  }
}

TEST_F(StreamTest, KnowsWhenAllThatCameIsRead) {
  Pair pair(*open_server(mine_.server(), kClock), *open_client(mine_.client(), kClock), "localhost",
            tcp_pair());
  ASSERT_TRUE(pair.shake());

  ASSERT_TRUE(Pair::send(*pair.client, std::string(1500, 'x')));
  EXPECT_EQ(pair.receive_when_there().size(), 1024);
  EXPECT_FALSE(pair.server->drained());
  EXPECT_EQ(Pair::receive(*pair.server).size(), 476);
  EXPECT_TRUE(pair.server->drained());

  // An end that came with the last bytes is still to be read.
  ASSERT_TRUE(Pair::send(*pair.client, "last"));
  ::shutdown(pair.ends[1], SHUT_WR);
  EXPECT_TRUE(pair.ends_for_server());
  EXPECT_EQ(Pair::receive(*pair.server), "last");
  EXPECT_FALSE(pair.server->drained());
}

TEST_F(StreamTest, ShakesHandsAfterTheContextsHaveGone) {
  auto server = open_server(mine_.server(), kClock);
  auto client = open_client(mine_.client(), kClock);
  Pair pair(*server, *client);

  server.reset();
  client.reset();

  ASSERT_TRUE(pair.shake());
  EXPECT_EQ(pair.server->alpn(), "http/1.1");
}

TEST_F(StreamTest, SaysWhyACertificateIsNotAccepted) {
  const Credentials other = Credentials::make("other", kClock);
  ManualClock late;
  late.advance(kClock.wall() + std::chrono::hours(48) - late.wall());

  EXPECT_EQ(complaint(mine_.client()), "none");
  EXPECT_EQ(complaint(mine_.client(), "127.0.0.1"), "none");
  EXPECT_EQ(complaint(mine_.client(), "elsewhere"),
            "its certificate is not for the name 'elsewhere': it is for localhost, "
            "127.0.0.1");
  EXPECT_EQ(complaint(mine_.client(), "10.0.0.3"),
            "its certificate is not for the name '10.0.0.3': it is for localhost, "
            "127.0.0.1");
  EXPECT_EQ(complaint(other.client()),
            "its certificate 'CN=mine-ca' is signed by 'CN=mine-ca', which is not "
            "trusted here");
  EXPECT_THAT(complaint(mine_.client(), "localhost", late), HasSubstr("its certificate 'CN=mine"));
  EXPECT_THAT(complaint(mine_.client(), "localhost", late), HasSubstr("' expired at 2"));
}

TEST_F(StreamTest, TakesAnyCertificateWhenTold) {
  EXPECT_EQ(complaint({.verify = ClientContext::Verify::kNone}, "elsewhere"), "none");
}

TEST_F(StreamTest, VerifiesAnotherNameThanTheHostWhenTold) {
  auto config = mine_.client();
  config.server_name = "localhost";

  EXPECT_EQ(complaint(config, "10.0.0.3"), "none");
}

TEST_F(StreamTest, TrustsASelfSignedCertificateAsItself) {
  const auto alone = testing::must(make_self_signed(spec_of("alone", kClock)));
  const Credentials self{alone, alone};

  Pair pair(*open_server(self.server(), kClock), *open_client(self.client(), kClock));

  EXPECT_TRUE(pair.shake()) << pair.client->error().message();
}

TEST_F(StreamTest, AsksClientsForACertificate) {
  auto server_config = mine_.server();
  server_config.client_authority = Source::of_text(mine_.authority.certificate_pem);
  const auto server = open_server(server_config, kClock);
  auto with = mine_.client();
  with.certificate = Source::of_text(mine_.pair.certificate_pem);
  with.key = Source::of_text(mine_.pair.key_pem);

  Pair known(*server, *open_client(with, kClock));
  Pair unknown(*server, *open_client(mine_.client(), kClock));

  EXPECT_TRUE(known.shake());
  EXPECT_FALSE(unknown.shake());
  EXPECT_THAT(unknown.server->error().message(), HasSubstr("peer did not return a certificate"));
  EXPECT_EQ(Pair::receive(*unknown.client), "");
  EXPECT_THAT(unknown.client->error().message(), HasSubstr("it refused with"));
}

TEST_F(StreamTest, ResumesASession) {
  const auto server = open_server(mine_.server(), kClock);
  const auto client = open_client(mine_.client(), kClock);
  Pair first(*server, *client);
  ASSERT_TRUE(first.shake());
  Pair::send(*first.server, "x");
  EXPECT_EQ(Pair::receive(*first.client), "x");

  Pair second(*server, *client);
  ASSERT_TRUE(second.shake());

  EXPECT_FALSE(first.client->resumed());
  EXPECT_TRUE(second.client->resumed());
  EXPECT_TRUE(client->reload());
  Pair third(*server, *client);
  ASSERT_TRUE(third.shake());
  EXPECT_FALSE(third.client->resumed());
}

TEST_F(StreamTest, TellsAnEndFromABreak) {
  const auto server = open_server(mine_.server(), kClock);
  const auto client = open_client(mine_.client(), kClock);
  Pair ended(*server, *client);
  Pair broke(*server, *client);
  ASSERT_TRUE(ended.shake());
  ASSERT_TRUE(broke.shake());
  std::array<char, 16> bytes;
  std::size_t got = 0;

  Pair::send(*ended.server, "last");
  ended.server->shutdown();
  ::shutdown(broke.ends[0], SHUT_WR);

  EXPECT_EQ(Pair::receive(*ended.client), "last");
  EXPECT_EQ(ended.client->read(bytes, got), State::kEnd);
  EXPECT_TRUE(Pair::send(*ended.client, "still"));  // half-closed
  EXPECT_EQ(Pair::receive(*ended.server), "still");
  EXPECT_EQ(broke.client->read(bytes, got), State::kBroken);
  EXPECT_THAT(broke.client->error().message(), HasSubstr("without TLS's close_notify"));
}

TEST_F(StreamTest, KnowsWhatIsNotTls) {
  const auto context = open_server(mine_.server(), kClock);
  const auto complaint_about = [&](std::string_view bytes) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    const auto stream = Stream::accept(*context, ends[0]);
    EXPECT_EQ(::send(ends[1], bytes.data(), bytes.size(), 0), std::ssize(bytes));
    ::shutdown(ends[1], SHUT_WR);
    const State state = stream->handshake();
    for (const int end : ends) ::close(end);
    return state == State::kBroken ? stream->error().message() : "none";
  };

  EXPECT_EQ(complaint_about("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            "it speaks plain HTTP to a port that speaks TLS");
  EXPECT_EQ(complaint_about("\x01\x02\x03\x04\x05\x06\x07\x08 garbage"), "it does not speak TLS");
  EXPECT_EQ(complaint_about(""), "the connection ended in the TLS handshake");
}

TEST_F(StreamTest, IsQuietWhenOnlyTicketsHaveArrived) {
  Pair pair(*open_server(mine_.server(), kClock), *open_client(mine_.client(), kClock));
  ASSERT_TRUE(pair.shake());

  EXPECT_TRUE(pair.client->quiet());
  Pair::send(*pair.server, "x");
  EXPECT_FALSE(pair.client->quiet());
}

// A folder with tls.crt and tls.key.
class PairFiles {
 public:
  std::string file(const std::string& name) const { return folder_.file(name); }
  void write(const CertifiedKey& pair) const {
    std::ofstream(file("tls.key")) << pair.key_pem;
    std::ofstream(file("tls.crt")) << pair.certificate_pem;
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(StreamTest, NewHandshakesTakeTheNewCertificateAndOldConnectionsStay) {  // epp:C012
  const Credentials next = Credentials::make("next", kClock);
  const PairFiles files;
  files.write(mine_.pair);
  const auto server = open_server({.certificate = Source::of_file(files.file("tls.crt")),
                                   .key = Source::of_file(files.file("tls.key"))},
                                  kClock);
  const auto old_client = open_client(mine_.client(), kClock);
  const auto new_client = open_client(next.client(), kClock);
  Pair before(*server, *old_client);
  ASSERT_TRUE(before.shake());

  files.write(next.pair);
  ASSERT_TRUE(server->reload());
  Pair after(*server, *new_client);
  Pair stale(*server, *old_client);

  EXPECT_TRUE(after.shake());
  EXPECT_FALSE(stale.shake());
  EXPECT_TRUE(Pair::send(*before.server, "still here"));
  EXPECT_EQ(Pair::receive(*before.client), "still here");
}

TEST_F(StreamTest, KeepsTheOldCertificateWhenTheNewOneIsBroken) {  // epp:C012
  const PairFiles files;
  files.write(mine_.pair);
  const auto server = open_server({.certificate = Source::of_file(files.file("tls.crt")),
                                   .key = Source::of_file(files.file("tls.key"))},
                                  kClock);

  std::ofstream(files.file("tls.key")) << Credentials::make("x", kClock).pair.key_pem;
  const Status status = server->reload();

  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(),
              HasSubstr("tls.key: the private key is not that of the certificate 'CN=mine'"));
  Pair pair(*server, *open_client(mine_.client(), kClock));
  EXPECT_TRUE(pair.shake());
}

TEST_F(StreamTest, TakesAPairThatLivesInNoFile) {
  const Credentials next = Credentials::make("next", kClock);
  const auto server = open_server(mine_.server(), kClock);

  ASSERT_TRUE(
      server->use(Source::of_text(next.pair.certificate_pem), Source::of_text(next.pair.key_pem)));
  EXPECT_TRUE(Pair(*server, *open_client(next.client(), kClock)).shake());

  // One that does not belong together leaves everything as it was.
  EXPECT_FALSE(
      server->use(Source::of_text(next.pair.certificate_pem), Source::of_text(mine_.pair.key_pem)));
  EXPECT_TRUE(Pair(*server, *open_client(next.client(), kClock)).shake());
}

// Once for what changed between being read and being watched, then for each change.
TEST_F(StreamTest, ReloadsByItselfAtTheStartAndWhenAFileChanges) {
  const PairFiles files;
  files.write(mine_.pair);
  std::mutex mutex;
  std::condition_variable changed;
  int reloads = 0;
  const auto reload = [&]() -> Status {
    const std::lock_guard lock(mutex);
    ++reloads;
    changed.notify_all();
    return {};
  };
  const auto reloader = testing::must(
      Reloader::start({files.file("tls.crt"), files.file("tls.key")}, reload, kClock, Millis(20)));
  const auto comes_to = [&](int wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return reloads >= wanted; });
  };
  EXPECT_TRUE(comes_to(1));

  files.write(Credentials::make("next", kClock).pair);

  EXPECT_TRUE(comes_to(2));
}

}  // namespace
}  // namespace baton::tls
