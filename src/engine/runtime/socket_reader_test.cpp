#include "engine/runtime/socket_reader.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "base/core/random.hpp"

namespace baton::runtime {
namespace {

// Both ends of a connection on this machine.
class SocketReaderTest : public ::testing::Test {
 protected:
  static Socket accepted(const Socket& listener) {
    const Signal never;
    return *accept_any(std::span(&listener, 1), never);
  }
  Patience patience() const {
    return {clock_, Deadline::in(clock_, std::chrono::seconds(60)), never_};
  }
  Status send(std::string_view bytes) const { return far_.send(bytes, patience()); }

  SystemClock clock_;
  std::atomic<bool> never_ = false;
  Listener listener_ = *listen_tcp("127.0.0.1", 0);
  Socket far_ = *connect_tcp("127.0.0.1", listener_.port, patience());
  Socket near_ = accepted(listener_.socket);
  SocketReader reader_{near_};
};

TEST_F(SocketReaderTest, GivesTheBytesInOrderHoweverTheyAreSentAndAskedFor) {
  SeededRandom random(3);
  std::string sent(std::size_t{2} << 20, '\0'), got(sent.size(), '\0');
  for (char& c : sent) c = static_cast<char>(random.next());
  const std::jthread writer([&] {
    SeededRandom sizes(4);
    for (std::size_t at = 0; at < sent.size();) {
      const std::size_t n = std::min<std::size_t>(1 + sizes.below(3000), sent.size() - at);
      ASSERT_TRUE(send(std::string_view(sent).substr(at, n)));
      at += n;
    }
  });

  for (std::size_t at = 0; at < got.size();) {
    const std::size_t most = random.below(4) == 0 ? 300'000 : 60;
    const std::size_t n = std::min<std::size_t>(1 + random.below(most), got.size() - at);
    std::array parts{iovec{got.data() + at, n / 2}, iovec{got.data() + at + n / 2, n - n / 2}};
    ASSERT_TRUE(reader_.receive(parts, patience()));
    at += n;
  }

  EXPECT_EQ(got, sent);
}

TEST_F(SocketReaderTest, WaitsForNoMoreThanIsAskedFor) {
  std::string got(5, '\0');
  ASSERT_TRUE(send("ab"));
  ASSERT_TRUE(reader_.receive(std::span(got).first(2), patience()));
  ASSERT_TRUE(send("cde"));
  ASSERT_TRUE(reader_.receive(std::span(got).subspan(2, 1), patience()));
  ASSERT_TRUE(reader_.receive(std::span(got).subspan(3), patience()));
  EXPECT_EQ(got, "abcde");
}

TEST_F(SocketReaderTest, ReadsShortOnesAfterALongOneThatWasWaitedFor) {
  const std::string rows(200'000, 'r');
  std::string got(rows.size(), '\0');
  std::jthread late([&] {
    ASSERT_TRUE(send(rows.substr(0, 10)));
    ASSERT_TRUE(send(rows.substr(10)));
    ASSERT_TRUE(send("x"));
  });
  ASSERT_TRUE(reader_.receive(std::span(got), patience()));
  EXPECT_EQ(got, rows);
  late.join();
  ASSERT_TRUE(send("y"));

  char byte = 0;
  ASSERT_TRUE(reader_.receive(std::span(&byte, 1), patience()));
  EXPECT_EQ(byte, 'x');
  ASSERT_TRUE(reader_.receive(std::span(&byte, 1), patience()));
  EXPECT_EQ(byte, 'y');
}

TEST_F(SocketReaderTest, TellsThatThePeerIsGone) {
  std::string got(100'000, '\0');
  ASSERT_TRUE(send("half of it"));
  far_ = Socket();

  const Status status = reader_.receive(std::span(got), patience());

  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
}

TEST_F(SocketReaderTest, LeavesADescriptorToTheOneWhoIsToHaveIt) {
  const Socket listener = *listen_local("127.0.0.1", listener_.port);
  const Socket far = *connect_local("127.0.0.1", listener_.port);
  const Socket near = accepted(listener);
  SocketReader reader(near);
  const Descriptor sent(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::string got(4, '\0');
  ASSERT_TRUE(far.send("head", patience()));
  ASSERT_TRUE(far.send_descriptor(sent.get(), patience()));

  ASSERT_TRUE(reader.receive(std::span(got), patience()));

  EXPECT_EQ(got, "head");
  EXPECT_TRUE(near.receive_descriptor(patience()));
}

}  // namespace
}  // namespace baton::runtime
