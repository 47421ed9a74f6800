#include "net/http/resolve.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace baton::http {

namespace {

// Shared by the caller and the thread that looks up; the last one frees it.
struct Lookup {
  explicit Lookup(Endpoint e) : at(std::move(e)) {}

  const Endpoint at;
  std::mutex mutex;  // guards answer
  std::condition_variable done;
  std::optional<Result<std::vector<Address>>> answer;
};

// Threads that the system's resolver holds outlast their callers, hence one count per process.
std::atomic<int> lookups = 0;

Result<std::vector<Address>> ask_system(const Endpoint& at) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(at.port);
  const int failed = ::getaddrinfo(at.host.c_str(), port.c_str(), &hints, &list);
  if (failed != 0) {
    return unavailable(fmt::format("no address for '{}': {}", at.host, ::gai_strerror(failed)));
  }
  std::vector<Address> found;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    Address address;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
    found.push_back(address);
  }
  ::freeaddrinfo(list);
  return found;
}

}  // namespace

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
  if (lookups.fetch_add(1) >= kMaxLookups) {
    --lookups;
    return exhausted(
        fmt::format("no address for '{}': {} lookups are waiting", at.host, kMaxLookups));
  }
  const auto lookup = std::make_shared<Lookup>(at);
  std::thread([lookup] {
    auto answer = ask_system(lookup->at);
    --lookups;
    const std::lock_guard lock(lookup->mutex);
    lookup->answer = std::move(answer);
    lookup->done.notify_all();
  }).detach();
  std::unique_lock lock(lookup->mutex);
  const bool answered = lookup->done.wait_for(lock, deadline.left(clock.now()),
                                              [&] { return lookup->answer.has_value(); });
  if (!answered) return timed_out(fmt::format("no address for '{}' in time", at.host));
  return *std::move(lookup->answer);
}

}  // namespace baton::http
