#pragma once
// Tells of legs that got no answer: which engine, what happened, what to do.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/http/client.hpp"

namespace baton::sidecar {

// Confined to its loop. A line a second for each hop, with how many went untold: an engine that is
// away fails every request.
class LegLog {
 public:
  static constexpr Nanos kBetween = std::chrono::seconds(1);

  // `hop`: prefill, decode. Logs it, and returns what the client is told.
  std::string failed(std::string_view hop, const http::Failure& failure, Mono now);

 private:
  struct Told {
    Mono next{};
    std::size_t untold = 0;
  };
  std::map<std::string, Told, std::less<>> told_;  // by hop
};

}  // namespace baton::sidecar
