#pragma once
// Pod addresses: every pod has one of its own, so that the cluster's ports can be used as they are.
// 127.77.0.0/16 is every Linux machine; another range must be given to an interface first.

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::node {

// IPv4 addresses of a network; those that end in .0 or .255 are left out.
struct AddressRange {
  std::uint32_t network = 0x7F4D0000;  // host byte order
  int bits = 16;                       // 8 to 24
  friend bool operator==(const AddressRange&, const AddressRange&) = default;
};
std::string to_string(const AddressRange& range);                 // "127.77.0.0/16"
Result<AddressRange> parse_address_range(std::string_view text);  // kInvalid

// Thread-safe.
class AddressPool {
 public:
  // The search starts at a place that depends on `seed`, so that two runs rarely meet.
  AddressPool(AddressRange range, std::uint64_t seed);

  // An address on which all `ports` are free. kConflict: a program listens on one of the ports on
  // every address; it is named with its pid. kUnavailable: the range is not this machine's.
  Result<std::string> take(const std::vector<std::uint16_t>& ports);
  void give_back(const std::string& address);

 private:
  const AddressRange range_;
  std::mutex mutex_;  // guards the rest
  std::uint32_t next_;
  std::set<std::string> taken_;
};

// Whether something could listen there now.
bool is_free(const std::string& address, std::uint16_t port);

struct Listener {
  std::uint64_t inode = 0;
  bool wildcard = false;
};
// The listening sockets of this port in the text of /proc/net/tcp or tcp6 that `address` would
// collide with: on that address, or on every address. Pure.
std::vector<Listener> listeners(std::string_view proc_net_tcp, std::uint16_t port,
                                std::string_view address);

// Who listens on the port: "pid 123 (python3)", or "an unknown process" when /proc does not tell.
std::string who_listens(const std::string& address, std::uint16_t port);

}  // namespace baton::node
