#include "routing/sidecar/leg_log.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/core/log.hpp"
#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

namespace {

std::string_view what_to_do(http::Failure::Kind kind) {
  switch (kind) {
    case http::Failure::Kind::kRefused:
      return "check that the engine runs, listens there, and speaks TLS or not as configured";
    case http::Failure::Kind::kTimeout:
      return "look at the engine's load, or allow requests more time";
    case http::Failure::Kind::kMalformed:
      return "check that an engine's HTTP port is there, and that it speaks TLS or not as "
             "configured";
    case http::Failure::Kind::kLost:
      return "look at the engine's log: it closed the connection";
  }
  return "";
}

}  // namespace

std::string LegLog::failed(std::string_view hop, const http::Failure& failure, Mono now) {
  const std::string& reason = failure.error.message();  // begins with, or has, the address
  Told& told = told_.try_emplace(std::string(hop)).first->second;
  if (now < told.next) {
    ++told.untold;
  } else {
    log::warn("an engine gave no answer", {{"hop", hop},
                                           {"reason", reason},
                                           {"what to do", what_to_do(failure.kind)},
                                           {"untold", std::exchange(told.untold, 0)}});
    told.next = now + kBetween;
  }
  if (failure.kind != http::Failure::Kind::kRefused) return reason;
  if (hop == "decode") return fmt::format("{} ({})", kNotReady, reason);
  return fmt::format("no connection to the {} engine: {}; {}", hop, reason,
                     what_to_do(failure.kind));
}

}  // namespace baton::sidecar
