#pragma once
// One request over two legs, as a state machine without I/O: what happened goes in, what is due
// comes out. Time is an argument.
//
//   reading --> prefilling <--> waiting (same host again)
//      |          |  |  ^  \
//      |          |  |  |   +-> relaying the prefill failure ----> done
//      |          |  |  | lease too short, the handover perhaps spent, a chunk too large: once
//      |          |  v  |
//      |          | decoding --> streaming ---------------------> done
//      |          |   |  ^
//      |          |   +--+ once, without the handover (fallback)
//      +----------+-----------> failing with an answer of ours --> done
//
// The client may leave in every state. While the prefill engine holds KV that nobody has pulled,
// owes_release() is true. A handover is dispatched at most once, and never with less than
// Settings::lease_margin of its lease left.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"

namespace baton::sidecar {

// What to do when prefill fails.
enum class Policy : std::uint8_t {
  kRelay,  // its answer goes to the client; a success without usable KV is decoded locally (llm-d)
  kFallback,  // the decode engine computes the prompt
  kStrict,    // its answer goes to the client; a success without usable KV is an error
};
std::optional<Policy> parse_policy(std::string_view name);
std::string_view name(Policy policy);

// How every transaction of a sidecar goes about it.
struct Tactics {
  Policy policy = Policy::kRelay;
  int retries = 0;                         // on the same host, of all candidates together
  Nanos backoff = Millis(200);             // before each of them
  Nanos prefill_timeout = {};              // of one attempt; 0: as long as the request
  Nanos lease = std::chrono::seconds(30);  // from a prefill answer on (vLLM: kv_lease_duration)
  Nanos lease_margin = std::chrono::seconds(5);  // what decode needs to begin its pull
};

// Whether a prefill attempt that was waited for so long says anything of its engine: half of what
// one gets of a request that has all of its `budget`. Others were cut short, by a client in a hurry
// or because they began late.
bool had_its_time(const Tactics& tactics, Nanos waited, Nanos budget);

enum class State : std::uint8_t {
  kReading,
  kPrefilling,
  kWaiting,
  kRelaying,
  kDecoding,
  kStreaming,
  kFailing,
  kDone
};

// How one leg went.
struct Leg {
  enum class Kind : std::uint8_t {
    kAnswered,
    kUnusable,  // prefill: a success that hands over no KV
    kBroken,    // prefill: a success whose body is no JSON
    kCutOff,    // prefill: a success whose KV cannot be fetched: nobody listens where it is kept
    kRefused,   // no connection
    kLost,      // broken before the answer was complete (prefill) or had begun (decode)
    kTimeout,
    kOpen,  // prefill: not tried, its circuit breaker is open
  };
  Kind kind = Kind::kAnswered;
  int status = 200;    // kAnswered
  bool pulled = true;  // decode: a success took the handed-over KV, as far as the engine tells
  Mono granted{};      // prefill: when its answer began to arrive, no earlier than the lease
  bool leased = true;  // prefill: the engine keeps the KV for a limited time
  bool kept = false;   // kLost: on a kept connection, which the engine may have closed before
  bool again = false;  // decode: a 400 that asking for less, with a new handover, may turn to good
};

enum class Action : std::uint8_t {
  kPrefill,        // at candidate(), until leg_deadline()
  kWait,           // until wait_until(), then on_waited()
  kDecode,         // with the handover, if on_dispatch() agrees
  kDecodeLocally,  // without; when wants_budget(), only if there is some
  kRelayPrefill,   // the last answer of a prefill engine, candidate(), verbatim
  kStream,         // the decode engine's answer, verbatim
  kFail,           // an answer of ours with status()
};

// How a request ended, for metrics.
enum class Outcome : std::uint8_t {
  kAggregated,
  kDisaggregated,
  kFallback,
  kPrefillFailed,
  kDecodeFailed,
  kClientGone
};
std::string_view name(Outcome outcome);

class Transaction {
 public:
  Transaction(const Tactics& tactics, Deadline deadline)
      : tactics_(tactics), deadline_(deadline), prefill_deadline_(deadline) {}

  // The request is read. `candidates`: how many prefill engines may be asked, best first; with none
  // there is one leg.
  Action begin(std::size_t candidates, Mono now);
  // Both legs run at once, and prefill is not waited for: what it comes to is not told here.
  Action begin_parallel();
  Action on_prefill(const Leg& leg, Mono now);
  Action on_waited(Mono now);
  // Right before decode is sent with the handover: kDecode, or something else is due now.
  Action on_dispatch(Mono now);
  Action on_decode(const Leg& leg, Mono now);
  // There is no budget to compute this prompt on the decode engine.
  Action on_no_budget();
  // The answer has been sent, has broken off, or the client is gone.
  void on_sent();
  void on_broken();
  void on_client_gone();

  State state() const { return state_; }
  std::size_t candidate() const { return candidate_; }
  Deadline leg_deadline(Mono now) const;  // of the leg that is due
  Mono wait_until() const { return wait_until_; }
  int status() const { return status_; }  // of kFail
  bool wants_budget() const { return fell_back_ && tactics_.policy == Policy::kFallback; }
  bool owes_release() const { return lease_; }
  // The KV was pulled, or given back.
  void on_released() { lease_ = false; }
  bool fell_back() const { return fell_back_; }
  std::size_t attempts() const { return attempts_; }  // of prefill, those not tried left out
  Outcome outcome() const;

 private:
  Action start_prefill(std::size_t candidate);
  Action next_attempt(Mono now);
  Action prefill_again(Mono now);
  Action settle_prefill();
  Action fail(int status, bool prefill_hop);
  Action decode_locally();
  bool time_for_prefill(Mono now) const;
  void open_prefill_phase(Mono now);

  Tactics tactics_;
  Deadline deadline_;
  Deadline prefill_deadline_;
  State state_ = State::kReading;
  std::size_t candidates_ = 0;
  std::size_t candidate_ = 0;
  std::size_t attempts_ = 0;
  bool first_round_ = true;         // each candidate once
  std::vector<std::size_t> again_;  // candidates whose failure may pass
  int retries_ = 0;
  Mono wait_until_{};
  std::optional<Leg> failure_;  // the last of an attempt that was made
  std::size_t failed_ = 0;      // whose
  Mono lease_ends_{};
  bool spent_ = false;  // the handover was dispatched
  bool again_used_ = false;
  int status_ = 0;
  bool lease_ = false;
  bool prefilled_ = false;  // decode runs, or ran, on the handover
  bool fell_back_ = false;
  bool prefill_failed_ = false;
  bool decode_failed_ = false;
  bool gone_ = false;
};

}  // namespace baton::sidecar
