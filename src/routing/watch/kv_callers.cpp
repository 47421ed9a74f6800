#include "routing/watch/kv_callers.hpp"

#include <algorithm>
#include <utility>

#include "base/core/log.hpp"

namespace baton::watch {
namespace {

using schedule::Endpoint;

// Of "kv@<pod>@<model>".
std::string_view pod_of(std::string_view topic) {
  const auto start = topic.find('@');
  if (start == std::string_view::npos) return {};
  topic.remove_prefix(start + 1);
  return topic.substr(0, topic.find('@'));
}

}  // namespace

const Endpoint* publisher_of(std::string_view topic, std::string_view host,
                             std::optional<std::uint32_t> rank,
                             std::span<const Endpoint* const> endpoints) {
  const auto pod = pod_of(topic);
  const auto only = [&](const auto& fits) -> const Endpoint* {
    const Endpoint* found = nullptr;
    bool several = false;
    for (const auto* endpoint : endpoints) {
      if (!fits(*endpoint)) continue;
      several = found != nullptr;
      found = endpoint;
      if (several) break;
    }
    if (!several) return found;
    for (const auto* endpoint : endpoints) {
      if (rank && fits(*endpoint) && endpoint->rank == rank) return endpoint;
    }
    return nullptr;
  };
  const auto at = [](const Endpoint& e) { return http::to_string({e.host, e.port}); };
  if (const auto* found = only([&](const Endpoint& e) { return at(e) == pod; })) return found;
  if (const auto* found = only([&](const Endpoint& e) { return e.host == pod || e.name == pod; })) {
    return found;
  }
  return only([&](const Endpoint& e) { return e.host == host; });
}

KvCallers::KvCallers(zmtp::Fd listener, std::string topic)
    : topic_(std::move(topic)), listener_(std::move(listener)) {}

void KvCallers::add_polled(std::vector<pollfd>& polled) const {
  polled.push_back(listener_.wanted());
  for (const auto& caller : callers_) polled.push_back(caller.peer.wanted());
}

std::size_t KvCallers::serve(std::span<const pollfd> polled, Mono now, const Claim& claim) {
  std::size_t at = 1;
  std::size_t held = 0;
  for (auto it = callers_.begin(); it != callers_.end();) {
    const bool stays = serve(*it, polled[at++].revents, now, claim);
    if (stays) held += it->peer.held();
    it = stays ? std::next(it) : callers_.erase(it);
  }
  std::size_t refused = 0;
  for (; held > kMaxCallerBytes; ++refused) {
    const auto most = std::ranges::max_element(
        callers_, {}, [](const Caller& caller) { return caller.peer.held(); });
    held -= most->peer.held();
    log::warn("a publisher of KV events is refused: too much has been sent by halves",
              {{"from", most->host}, {"bytes", most->peer.held()}, {"others_bytes", held}});
    callers_.erase(most);
  }
  accept(now);
  return refused;
}

// False: it is over, or somebody's.
bool KvCallers::serve(Caller& caller, short revents, Mono now, const Claim& claim) const {
  if (!caller.peer.serve(revents, now)) return false;
  if (caller.peer.ready() && !std::exchange(caller.subscribed, true)) {
    caller.peer.send({"\1" + topic_});
  }
  while (true) {
    auto message = caller.peer.next();
    if (!message) {
      log::warn("a publisher of KV events is refused",
                {{"from", caller.host}, {"why", message.error().message()}});
      return false;
    }
    if (!*message) return true;
    if (claim(caller, **message)) return false;
  }
}

void KvCallers::accept(Mono now) {
  http::Endpoint from;
  while (auto fd = listener_.accept(&from)) {
    if (callers_.size() >= kMaxCallers) callers_.pop_front();
    callers_.push_back(
        {.peer = zmtp::Peer(std::move(fd), zmtp::Role::kSub, now), .host = from.host});
  }
}

}  // namespace baton::watch
