#pragma once
// Which prefill engines have handed KV to this decode engine before: the first transfer of a fresh
// pair may take half a minute (vLLM and NIXL), so it is made with a throw-away prompt. Pure.
//
//   cold --begin()--> warming --(well)--> warm --(engine gone, or another one)--> cold
//     ^                  |
//     +----(failed; not again before kPause)

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::sidecar {

// Confined to its loop. Bounded: the pair used longest ago is forgotten, unless it is warming.
class WarmUps {
 public:
  static constexpr std::size_t kMax = 1024;
  static constexpr int kAtOnce = 2;
  static constexpr Nanos kPause = std::chrono::seconds(5);

  bool is_warm(const http::Endpoint& prefiller) const;
  // Whether one is to be made now: it is cold, none of its own runs, fewer than kAtOnce run.
  [[nodiscard]] bool begin(const http::Endpoint& prefiller, Mono now);
  // `engine_id` of the prefill engine, as it told it. "" : it failed.
  void end(const http::Endpoint& prefiller, std::string_view engine_id, Mono now);
  // A prefill was answered by this engine, which may be another generation, or is away.
  void seen(const http::Endpoint& prefiller, std::string_view engine_id, Mono now);
  void lost(const http::Endpoint& prefiller);

  std::size_t warm() const;
  int warming() const { return running_; }

 private:
  enum class State : std::uint8_t { kCold, kWarming, kWarm };
  struct Pair {
    State state = State::kCold;
    std::string engine_id;
    Mono not_before{};
    Mono used{};
  };
  Pair& of(const http::Endpoint& prefiller, Mono now);

  std::map<http::Endpoint, Pair> pairs_;
  int running_ = 0;
};

}  // namespace baton::sidecar
