#pragma once
// Names to addresses for plain threads, within a deadline. For coroutines: async_resolve.hpp.

#include <sys/socket.h>

#include <optional>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::http {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// nullopt: a name.
std::optional<Address> literal_address(const Endpoint& at);

inline constexpr int kMaxLookups = 16;  // in flight in this process

// An IP address is taken as it is. A name is looked up on a thread of its own, which may outlast
// the call (lookup.hpp); behind kMaxLookups others it waits for one of them to end. In the system's
// order of preference, IPv4 and IPv6. kUnavailable: no such name. kTimeout. kExhausted: no thread.
Result<std::vector<Address>> blocking_resolve(const Endpoint& at, Deadline deadline,
                                              const Clock& clock);

}  // namespace baton::http
