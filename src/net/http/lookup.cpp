#include "net/http/lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <cstring>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

namespace baton::http {

namespace {

Result<Addresses> ask_system(const Endpoint& at) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(at.port);
  const int failed = ::getaddrinfo(at.host.c_str(), port.c_str(), &hints, &list);
  if (failed != 0) {
    return unavailable(fmt::format("no address for '{}': {}", at.host, ::gai_strerror(failed)));
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

struct UnderWay {
  std::mutex mutex;  // guards the rest
  std::map<Endpoint, std::shared_ptr<Lookup>> lookups;
  LookUp look_up = ask_system;
};

// Threads that the system's resolver holds outlast their callers, hence one count per process; and
// they outlast main(), hence it is never destroyed.
UnderWay& under_way() {
  static auto* const all = new UnderWay;
  return *all;
}

}  // namespace

Result<std::shared_ptr<Lookup>> Lookup::join(const Endpoint& at) {
  UnderWay& all = under_way();
  const std::lock_guard lock(all.mutex);
  if (const auto found = all.lookups.find(at); found != all.lookups.end()) return found->second;
  if (all.lookups.size() >= kMaxLookups) {
    return exhausted(
        fmt::format("no address for '{}': {} lookups are waiting", at.host, kMaxLookups));
  }
  auto lookup = std::make_shared<Lookup>(at);
  try {
    lookup->start(all.look_up);
  } catch (const std::system_error& e) {
    return exhausted(fmt::format("no address for '{}': no thread to look it up: {}", at.host,
                                 e.code().message()));
  }
  all.lookups.emplace(at, lookup);
  return lookup;
}

// The caller holds the lock that the thread needs to settle.
void Lookup::start(const LookUp& look_up) {
  std::thread([self = shared_from_this(), look_up] { self->settle(look_up(self->at_)); }).detach();
}

void Lookup::settle(Result<Addresses> answer) {
  {
    // First: whoever asks after an answer begins anew.
    UnderWay& all = under_way();
    const std::lock_guard lock(all.mutex);
    all.lookups.erase(at_);
  }
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
  for (const Watch* watch : watches_) watch->wake_();
}

std::optional<Result<Addresses>> Lookup::answer() const {
  const std::lock_guard lock(mutex_);
  return answer_;
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
  return all.lookups.size();
}

}  // namespace baton::http
