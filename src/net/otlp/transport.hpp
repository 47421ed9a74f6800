#pragma once
// One export to a collector, over HTTP or gRPC.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/otlp/settings.hpp"

namespace baton::otlp {

inline constexpr std::size_t kMaxResponse = 64 << 10;

struct Outcome {
  enum class Kind : std::uint8_t {
    kTaken,     // perhaps without some spans
    kNotNow,    // may be sent again
    kRejected,  // would be rejected again
  };
  Kind kind = Kind::kTaken;
  std::string why;                  // of kNotNow, kRejected, and of spans that were left out
  std::int64_t left_out = 0;        // spans of kTaken
  std::optional<Nanos> after = {};  // kNotNow: not before (Retry-After)
};

// Confined to its loop. Cancelling a send closes its connection.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Task<Outcome> send(std::string_view request, Deadline deadline) = 0;
  // After the last send, before its loop ends.
  virtual Task<void> stop() = 0;
};

// kInvalid, kNotFound: the certificates. `clock` outlives it.
Result<std::unique_ptr<Transport>> make_transport(const Settings& settings,
                                                  const asio::any_io_executor& executor,
                                                  const Clock& clock);

}  // namespace baton::otlp
