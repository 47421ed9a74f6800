#include "net/http/lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <list>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

namespace baton::http {

namespace {

Result<Addresses> ask_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    return unavailable(fmt::format("no address for '{}': {}", host, ::gai_strerror(failed)));
  }
  Addresses found;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    Address address;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
    found.push_back(address);
  }
  ::freeaddrinfo(list);
  return found;
}

void set_port(Address& address, std::uint16_t port) {
  if (address.get()->sa_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
  }
}

struct UnderWay {
  std::mutex mutex;  // guards the rest
  // Those that have begun are kept by their thread, the others only by who waits for them.
  std::map<std::string, std::weak_ptr<Lookup>> lookups;
  std::list<std::weak_ptr<Lookup>> to_begin;
  std::size_t threads = 0;
  LookUp look_up = ask_system;
};

// Threads that the system's resolver holds outlast their callers, hence one count per process; and
// they outlast main(), hence it is never destroyed.
UnderWay& under_way() {
  static auto* const all = new UnderWay;
  return *all;
}

}  // namespace

Result<std::shared_ptr<Lookup>> Lookup::join(const std::string& host) {
  UnderWay& all = under_way();
  const std::lock_guard lock(all.mutex);
  auto& known = all.lookups[host];
  if (auto lookup = known.lock()) return lookup;
  auto lookup = std::make_shared<Lookup>(host);
  known = lookup;
  if (all.threads >= kMaxLookups) {
    // Nobody waits any more for some that did.
    std::erase_if(all.lookups, [](const auto& one) { return one.second.expired(); });
    std::erase_if(all.to_begin, [](const auto& one) { return one.expired(); });
    all.to_begin.push_back(lookup);
    return lookup;
  }
  try {
    lookup->start(all.look_up);
  } catch (const std::system_error& e) {
    return exhausted(
        fmt::format("no address for '{}': no thread to look it up: {}", host, e.code().message()));
  }
  lookup->begun_ = true;
  ++all.threads;
  return lookup;
}

// The caller holds the lock that the thread needs to settle. The thread goes on with those that
// wait.
void Lookup::start(const LookUp& look_up) {
  std::thread([lookup = shared_from_this(), look_up]() mutable {
    while (lookup) lookup = lookup->settle(look_up(lookup->host_));
  }).detach();
}

std::shared_ptr<Lookup> Lookup::settle(Result<Addresses> answer) {
  std::shared_ptr<Lookup> next;
  {
    // First: whoever asks after an answer begins anew.
    UnderWay& all = under_way();
    const std::lock_guard lock(all.mutex);
    all.lookups.erase(host_);
    while (!next && !all.to_begin.empty()) {
      next = all.to_begin.front().lock();
      all.to_begin.pop_front();
    }
    if (next) {
      next->begun_ = true;
    } else {
      --all.threads;
    }
  }
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
  for (const Watch* watch : watches_) watch->wake_();
  return next;
}

std::optional<Result<Addresses>> Lookup::answer(std::uint16_t port) const {
  const std::lock_guard lock(mutex_);
  auto out = answer_;
  if (out && *out) {
    for (Address& address : **out) set_port(address, port);
  }
  return out;
}

Error Lookup::late() const {
  const std::lock_guard lock(under_way().mutex);
  return timed_out(fmt::format("no address for '{}' in time{}", host_,
                               begun_ ? "" : ": too many other names are looked up"));
}

Lookup::Watch::Watch(Lookup& of, std::function<void()> wake) : of_(of), wake_(std::move(wake)) {
  const std::lock_guard lock(of_.mutex_);
  place_ = of_.watches_.insert(of_.watches_.end(), this);
  if (of_.answer_) wake_();
}

Lookup::Watch::~Watch() {
  const std::lock_guard lock(of_.mutex_);
  of_.watches_.erase(place_);
}

void look_up_by(LookUp look_up) {
  UnderWay& all = under_way();
  const std::lock_guard lock(all.mutex);
  all.look_up = look_up ? std::move(look_up) : LookUp(ask_system);
}

std::size_t lookups_under_way() {
  UnderWay& all = under_way();
  const std::lock_guard lock(all.mutex);
  return all.threads;
}

}  // namespace baton::http
