#pragma once
// Which engines a prefill host runs, as its Mooncake bootstrap service tells.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "net/http/client.hpp"

namespace baton::sidecar {

struct MooncakeEngine {
  int rank = 0;
  std::string id;
  friend bool operator==(const MooncakeEngine&, const MooncakeEngine&) = default;
};

// {"<rank>": {"engine_id": "…"}, …}. kInvalid: no engine in it.
Result<std::vector<MooncakeEngine>> parse_engines(std::string_view answer);

// Remembers what it was told for a while: a restarted engine has another id. Confined to its loop.
class MooncakeEngines {
 public:
  static constexpr std::size_t kMaxHosts = 1024;
  static constexpr Nanos kKnownFor = std::chrono::seconds(30);
  static constexpr Nanos kTimeout = std::chrono::seconds(5);  // llm-d's

  explicit MooncakeEngines(const Clock& clock) : clock_(clock), client_(clock, {}) {}

  // A rank by chance. Asks over plain HTTP, as the service speaks nothing else. kUnavailable: no
  // answer; kInvalid: another answer than expected.
  Task<Result<MooncakeEngine>> choose(http::Endpoint service, Deadline deadline, Random& random);
  // A leg with it failed.
  void forget(const http::Endpoint& service) { known_.erase(service); }

 private:
  struct Told {
    Mono at{};
    std::vector<MooncakeEngine> engines;
  };
  Task<Result<std::vector<MooncakeEngine>>> ask(http::Endpoint service, Deadline deadline);

  const Clock& clock_;
  http::Client client_;
  std::map<http::Endpoint, Told> known_;
};

}  // namespace baton::sidecar
