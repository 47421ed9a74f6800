#include "net/grpc/status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace baton::grpc {

namespace {

constexpr std::array<std::string_view, 17> kNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

constexpr std::array<std::pair<char, std::int64_t>, 6> kUnits = {{{'n', 1},
                                                                  {'u', 1'000},
                                                                  {'m', 1'000'000},
                                                                  {'S', 1'000'000'000},
                                                                  {'M', 60'000'000'000},
                                                                  {'H', 3'600'000'000'000}}};
constexpr std::int64_t kMostDigits = 99'999'999;

}  // namespace

std::string_view name(StatusCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

RpcStatus to_status(const Error& error) {
  const auto code = [&] {
    switch (error.code()) {
      case Code::kInvalid:
        return StatusCode::kInvalidArgument;
      case Code::kDenied:
        return StatusCode::kPermissionDenied;
      case Code::kNotFound:
        return StatusCode::kNotFound;
      case Code::kConflict:
        return StatusCode::kAborted;
      case Code::kExhausted:
        return StatusCode::kResourceExhausted;
      case Code::kUnavailable:
        return StatusCode::kUnavailable;
      case Code::kTimeout:
        return StatusCode::kDeadlineExceeded;
      case Code::kCancelled:
        return StatusCode::kCancelled;
      case Code::kUnsupported:
        return StatusCode::kUnimplemented;
      case Code::kInternal:
        break;
    }
    return StatusCode::kInternal;
  }();
  return {code, error.message()};
}

Error to_error(const RpcStatus& status) {
  const auto code = [&] {
    switch (status.code) {
      case StatusCode::kInvalidArgument:
      case StatusCode::kFailedPrecondition:
      case StatusCode::kOutOfRange:
        return Code::kInvalid;
      case StatusCode::kPermissionDenied:
      case StatusCode::kUnauthenticated:
        return Code::kDenied;
      case StatusCode::kNotFound:
        return Code::kNotFound;
      case StatusCode::kAborted:
      case StatusCode::kAlreadyExists:
        return Code::kConflict;
      case StatusCode::kResourceExhausted:
        return Code::kExhausted;
      case StatusCode::kUnavailable:
        return Code::kUnavailable;
      case StatusCode::kDeadlineExceeded:
        return Code::kTimeout;
      case StatusCode::kCancelled:
        return Code::kCancelled;
      case StatusCode::kUnimplemented:
        return Code::kUnsupported;
      default:
        return Code::kInternal;
    }
  }();
  return {code, status.message.empty() ? std::string(name(status.code))
                                       : fmt::format("{}: {}", name(status.code), status.message)};
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<Nanos> parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  std::int64_t digits = 0;
  const char* end = text.data() + text.size() - 1;
  if (text[0] < '0' || text[0] > '9' || std::from_chars(text.data(), end, digits).ptr != end) {
    return std::nullopt;
  }
  for (const auto& [unit, nanos] : kUnits) {
    if (unit != text.back()) continue;
    const std::int64_t most = Nanos::max().count() / nanos;
    return Nanos(std::min(digits, most) * nanos);
  }
  return std::nullopt;
}

std::string timeout_text(Nanos timeout) {
  const std::int64_t left = std::max<std::int64_t>(timeout.count(), 0);
  for (const auto& [unit, nanos] : kUnits) {
    const std::int64_t digits = left / nanos + (left % nanos > 0 ? 1 : 0);
    if (digits <= kMostDigits) return fmt::format("{}{}", digits, unit);
  }
  return fmt::format("{}H", kMostDigits);
}

}  // namespace baton::grpc
