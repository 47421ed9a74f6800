#include "net/http/resolve.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <future>
#include <memory>

#include "net/http/lookup.hpp"

namespace baton::http {

std::optional<Address> literal_address(const Endpoint& at) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, at.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(at.port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  if (::inet_pton(AF_INET6, at.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(at.port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return std::nullopt;
}

Result<std::vector<Address>> blocking_resolve(const Endpoint& at, Deadline deadline,
                                              const Clock& clock) {
  if (const auto address = literal_address(at)) return std::vector{*address};
  BATON_TRY_ASSIGN(const auto lookup, Lookup::join(at.host));
  std::promise<void> answered;
  const Lookup::Watch watch(*lookup, [&answered] { answered.set_value(); });
  answered.get_future().wait_for(deadline.left(clock.now()));
  if (auto answer = lookup->answer(at.port)) return *std::move(answer);
  return lookup->late();
}

}  // namespace baton::http
