#pragma once
// Who goes on to follow an endpoint that left and came back before its follower had noticed.

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

// Endpoints are the same as Pool says. Confined to its owner.
class Followed {
 public:
  // A turn of following it; the one before is over.
  std::uint64_t begin(const schedule::Endpoint& endpoint) {
    return turns_[key(endpoint)] = ++last_;
  }
  void end(const schedule::Endpoint& endpoint) { turns_.erase(key(endpoint)); }
  void end_all() { turns_.clear(); }
  bool goes_on(const schedule::Endpoint& endpoint, std::uint64_t turn) const {
    const auto it = turns_.find(key(endpoint));
    return it != turns_.end() && it->second == turn;
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string, std::uint16_t>;
  static Key key(const schedule::Endpoint& endpoint) {
    return {endpoint.ns, endpoint.name, endpoint.host, endpoint.port};
  }
  std::map<Key, std::uint64_t> turns_;
  std::uint64_t last_ = 0;
};

}  // namespace baton::watch
