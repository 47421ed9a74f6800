#include "control/node/addresses.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

namespace baton::node {
namespace {

// A socket that listens on every address.
class WildcardListener {
 public:
  WildcardListener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(socket_, 1), 0);
    socklen_t size = sizeof at;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  ~WildcardListener() { ::close(socket_); }
  std::uint16_t port() const { return port_; }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

TEST(Addresses, AreDifferentAndComeBack) {
  AddressPool pool({}, 7);
  const auto first = pool.take({8000});
  const auto second = pool.take({8000});
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_TRUE(first->starts_with("127.77."));
}

TEST(Addresses, ComeFromTheGivenNetworkAndLeaveOutItsEnds) {
  const auto range = parse_address_range("127.78.3.0/24");
  ASSERT_TRUE(range) << range.error().message();
  EXPECT_EQ(to_string(*range), "127.78.3.0/24");
  AddressPool pool(*range, 250);
  std::set<std::string> taken;
  for (int i = 0; i < 254; ++i) {
    const auto address = pool.take({});
    ASSERT_TRUE(address) << address.error().message();
    EXPECT_TRUE(address->starts_with("127.78.3.")) << *address;
    taken.insert(*address);
  }
  EXPECT_EQ(taken.size(), 254U);
  EXPECT_FALSE(taken.contains("127.78.3.0") || taken.contains("127.78.3.255"));
  EXPECT_EQ(pool.take({}).error().code(), Code::kExhausted);
}

TEST(Addresses, RefuseWhatIsNoNetwork) {
  for (const auto* text : {"", "10.244.0.0", "10.244.0.0/25", "10.244.0.0/7", "10.244.0.1/24",
                           "10.244.0.0/24x", "10.244.0/24", "10.244.0.0/"}) {
    EXPECT_EQ(parse_address_range(text).error().code(), Code::kInvalid) << text;
  }
}

TEST(Addresses, SayThatANetworkIsNotThisMachines) {
  AddressPool pool(*parse_address_range("192.0.2.0/24"), 7);  // for documentation: nobody's
  const auto taken = pool.take({8000});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kUnavailable);
  EXPECT_NE(taken.error().message().find("ip route add local 192.0.2.0/24 dev lo"),
            std::string::npos);
}

TEST(Addresses, NameTheProgramThatListensOnAPodPortEverywhere) {
  const WildcardListener listener;
  AddressPool pool({}, 7);
  const auto taken = pool.take({listener.port()});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kConflict);
  EXPECT_NE(taken.error().message().find("pid " + std::to_string(::getpid())), std::string::npos)
      << taken.error().message();
}

TEST(Addresses, ReadTheKernelsTableOfSockets) {
  constexpr std::string_view kTable =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "111 1\n"
      "   1: 02014D7F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "222 1\n"
      "   2: 03014D7F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "333 1\n"
      "   3: 00000000:1F40 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 "
      "444 1\n";
  const auto found = listeners(kTable, 8000, "127.77.1.2");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].wildcard);
  EXPECT_EQ(found[0].inode, 111u);
  EXPECT_FALSE(found[1].wildcard);
  EXPECT_EQ(found[1].inode, 222u);
}

}  // namespace
}  // namespace baton::node
