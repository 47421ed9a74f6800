#pragma once
// What a call ends with, and the small texts of gRPC over HTTP/2
// (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::grpc {

enum class StatusCode : std::uint8_t {  // doc/statuscodes.md
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};
std::string_view name(StatusCode code);  // "DEADLINE_EXCEEDED"

struct RpcStatus {
  StatusCode code = StatusCode::kOk;
  std::string message;

  bool ok() const { return code == StatusCode::kOk; }
  friend bool operator==(const RpcStatus&, const RpcStatus&) = default;
};

// The table of base/core/result.hpp.
RpcStatus to_status(const Error& error);
// Contract: not ok.
Error to_error(const RpcStatus& status);

// grpc-message: bytes outside of printable ASCII, and '%', as %XX.
std::string percent_encode(std::string_view text);
std::string percent_decode(std::string_view text);

// grpc-timeout: at most 8 digits and one of HMSmun. nullopt: neither.
std::optional<Nanos> parse_timeout(std::string_view text);
std::string timeout_text(Nanos timeout);  // rounded up to what 8 digits hold

}  // namespace baton::grpc
