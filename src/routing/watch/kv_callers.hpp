#pragma once
// Engines that connect to the picker with their KV events (zmqEndpoint), as long as it is not known
// whose they are: what they publish says so.

#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "net/zmtp/socket.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

inline constexpr std::size_t kMaxCallers = 256;  // the one that was there first makes room
// What all of them have sent of messages that are not whole; past it who has sent most is refused.
inline constexpr std::size_t kMaxCallerBytes = std::size_t{128} << 20;

// The endpoint that publishes under `topic`, "kv@<pod>@<model>": its pod is an "ip:port", an IP or
// a pod's name; else the one at `host`, where the connection comes from. Several of one pod are
// told apart by `rank`, that of a batch. Null: none of them, or not clear which.
const schedule::Endpoint* publisher_of(std::string_view topic, std::string_view host,
                                       std::optional<std::uint32_t> rank,
                                       std::span<const schedule::Endpoint* const> endpoints);

// Confined to its owner's poll loop.
class KvCallers {
 public:
  // Publishers are asked for topics that begin with `topic`.
  KvCallers(zmtp::Fd listener, std::string topic);

  struct Caller {
    zmtp::Peer peer;
    std::string host;  // where it comes from
    bool subscribed = false;
    bool told = false;  // that nobody knows whose it is
  };
  // Whose this message is: true takes the connection, from which the message came, over.
  using Claim = std::function<bool(Caller&, zmtp::Message&)>;

  void add_polled(std::vector<pollfd>& polled) const;
  // `polled` as add_polled() left it, polled. Returns how many were refused for what they sent.
  std::size_t serve(std::span<const pollfd> polled, Mono now, const Claim& claim);

 private:
  bool serve(Caller& caller, short revents, Mono now, const Claim& claim) const;
  void accept(Mono now);

  const std::string topic_;
  zmtp::Listener listener_;
  std::list<Caller> callers_;  // by arrival
};

}  // namespace baton::watch
