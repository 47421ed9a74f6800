#pragma once
// One request over two legs, as a state machine without I/O: what happened goes in, what is due
// comes out.
//
//   reading --> prefilling --> decoding --> streaming --> done
//      |            |  \          |  ^
//      |            |   \         |  | once, without the handover (fallback)
//      |            |    \        +--+
//      |            |     +-> relaying the prefill failure ----> done
//      +------------+-------> failing with an answer of ours --> done
//
// The client may leave in every state. While the prefill engine holds KV that nobody has pulled,
// owes_release() is true.

#include <cstdint>
#include <optional>
#include <string_view>

namespace baton::sidecar {

// What to do when prefill fails.
enum class Policy : std::uint8_t {
  kRelay,     // its answer goes to the client; a success without KV is decoded locally (llm-d)
  kFallback,  // the decode engine computes the prompt
  kStrict,    // its answer goes to the client; a success without KV is an error
};
std::optional<Policy> parse_policy(std::string_view name);

enum class State : std::uint8_t {
  kReading,
  kPrefilling,
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
    kRefused,   // no connection
    kLost,      // broken before the answer was complete (prefill) or had begun (decode)
    kTimeout,
  };
  Kind kind = Kind::kAnswered;
  int status = 200;    // kAnswered
  bool pulled = true;  // decode: a success took the handed-over KV, as far as the engine tells
};

enum class Action : std::uint8_t {
  kPrefill,
  kDecode,         // with the handover
  kDecodeLocally,  // without
  kRelayPrefill,   // the prefill engine's answer, verbatim
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
  explicit Transaction(Policy policy) : policy_(policy) {}

  // The request is read; `prefill`: two legs are wanted and allowed.
  Action begin(bool prefill);
  Action on_prefill(const Leg& leg);
  Action on_decode(const Leg& leg);
  // The answer has been sent, or the client is gone.
  void on_sent();
  void on_client_gone();

  State state() const { return state_; }
  int status() const { return status_; }  // of kFail
  bool owes_release() const { return lease_; }
  // The KV was pulled, or given back.
  void on_released() { lease_ = false; }
  bool fell_back() const { return fell_back_; }
  Outcome outcome() const;

 private:
  Action fail(int status, bool prefill_hop);
  Action decode_locally();

  Policy policy_;
  State state_ = State::kReading;
  int status_ = 0;
  bool lease_ = false;
  bool prefilled_ = false;  // decode runs, or ran, on the handover
  bool fell_back_ = false;
  bool prefill_failed_ = false;
  bool decode_failed_ = false;
  bool gone_ = false;
};

}  // namespace baton::sidecar
