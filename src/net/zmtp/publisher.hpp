#pragma once
// A PUB socket with a memory: numbered payloads under one topic, and a ROUTER socket where those
// who missed some ask again. As vLLM's ZmqEventPublisher (vllm/distributed/kv_events.py):
//
//   to subscribers  topic | seq, 8 bytes big-endian | payload
//   asked for       "" | first seq                             answered, for each that is still
//   there,
//                   "" | seq | payload                         and at the end
//                   "" | ff ff ff ff ff ff ff ff | ""

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::zmtp {

inline constexpr std::size_t kMaxPeers = 256;                           // of one publisher
inline constexpr std::size_t kMaxReplayBytes = std::size_t{256} << 20;  // remembered
inline constexpr std::size_t kMaxUnsentBytes = std::size_t{64} << 20;   // to one subscriber

// Thread-safe. Owns a thread.
class Publisher {
 public:
  struct Config {
    std::string any = "0.0.0.0";            // the address that `*` stands for
    std::string endpoint = "tcp://*:5557";  // bound, or connected to and tried again for ever
    std::optional<std::string> replay_endpoint = {};  // bound
    std::size_t buffer_steps = 10000;                 // payloads remembered
    std::size_t hwm = 100000;                         // payloads on their way to one subscriber
    std::size_t max_queue_size = 100000;              // handed over, not yet looked at
    std::string topic = {};
  };
  // kConflict: an address is in use. kInvalid, kUnsupported: an endpoint that cannot be.
  static Result<std::unique_ptr<Publisher>> start(Config config, const Clock& clock);
  virtual ~Publisher() = default;

  // Never blocks. Past a bound the payload is lost to whom it concerns, who sees a gap in the
  // numbers.
  virtual void publish(std::string payload) = 0;

  struct Stats {
    std::uint64_t published = 0;  // the next sequence number
    std::uint64_t lost = 0;       // not sent to anybody: the queue was full
    std::uint64_t skipped = 0;    // not sent to one subscriber: its bound was reached
    std::uint64_t replays = 0;
    std::size_t subscribers = 0;
  };
  virtual Stats stats() const = 0;
  // Where it listens; port 0 where it does not.
  virtual http::Endpoint at() const = 0;
  virtual http::Endpoint replay_at() const = 0;
};

std::string sequence_bytes(std::uint64_t number);
// nullopt: not 8 bytes.
std::optional<std::uint64_t> read_sequence(std::string_view bytes);
inline constexpr std::uint64_t kReplayEnd = ~std::uint64_t{0};

}  // namespace baton::zmtp
