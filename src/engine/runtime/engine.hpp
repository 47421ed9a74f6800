#pragma once
// The engine: requests in, tokens out. One thread owns the model, the KV blocks and the batch; KV
// moves between engines on a few I/O threads (kv_server.hpp, kv_puller.hpp).
//
//   submit/abort ──queue──> engine thread: plan -> forward -> sample ──events──> Sink
//                                │  leases (prefill leg)      ^ pulled KV (decode leg)
//                                v                            │
//                           LeaseTable <── KvServer      KvPuller ──TCP/unix──> KvServer elsewhere

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "engine/model/model.hpp"
#include "engine/runtime/sampling.hpp"
#include "engine/runtime/vllm_hash.hpp"
#include "formats/kv/block_hash.hpp"
#include "formats/kv/kv_event.hpp"
#include "formats/kv/transfer_params.hpp"
#include "net/tls/context.hpp"

namespace baton::runtime {

// What becomes of a request, in this order; kTransfer of those with KV elsewhere only.
enum class Phase : std::uint8_t {
  kQueue,
  kTransfer,  // waits for KV of another engine
  kPrefill,   // computes its prompt, or what is missing of it
  kDecode,    // has its first token
};

// Written by the engine's threads, read by whoever looks on.
struct Progress {
  std::atomic<Phase> phase = Phase::kQueue;
  std::atomic<std::uint32_t> ready = 0;  // prompt tokens whose KV is here
};

struct GenerateRequest {
  std::string id;  // unique among the requests in flight
  std::vector<TokenId> prompt;
  SamplingParams sampling;
  // do_remote_decode: compute the prompt, sample one token, keep the KV under a lease.
  // announce: lease a long prompt before it is computed, and say so at once.
  // do_remote_prefill: take the prompt's KV from another engine.
  kv::TransferParams transfer;
  Deadline deadline;                        // past it the request ends with kTimeout
  std::int64_t priority = 0;                // lower goes first; equal ones in order of arrival
  std::string cache_salt = {};              // cached KV is shared among requests of one salt only
  std::shared_ptr<Progress> progress = {};  // shared with who looks on; null: nobody does
};

enum class Finish : std::uint8_t { kStop, kLength, kAbort, kError };
std::string_view name(Finish finish);  // "stop", "length", "abort", "error"

// How the prompt's KV came about: remote + cached + computed = prompt.
struct PromptReport {
  std::size_t prompt = 0;
  std::size_t remote = 0;      // pulled from the prefill engine
  std::size_t cached = 0;      // in our own prefix cache
  std::size_t computed = 0;    // by our own model
  std::uint64_t kv_bytes = 0;  // pulled
  Nanos queue{};               // submit -> first admitted
  Nanos transfer{};            // of the pull; 0 without one
  Nanos compute{};             // prompt admitted (or pulled) -> first token
  std::string transfer_error;  // why a pull was replaced by computing; empty: it was not
};

// What one step did for one request.
struct Event {
  std::string id;
  std::optional<PromptReport> prompt;          // with the first token
  std::vector<TokenId> tokens;                 // a stop token is the last of them
  std::vector<TokenLogprob> logprobs;          // one per token when asked for
  std::vector<TokenLogprob> prompt_logprobs;   // with `prompt`, of its second token on
  std::optional<Finish> finish;                // set on the last event
  std::optional<TokenId> stop_token;           // the stop_token_ids member that ended it (not EOS)
  std::optional<kv::TransferParams> transfer;  // last event of a do_remote_decode request
  // First event of one that asked for it: where its KV will be. With what `prompt` will say.
  std::optional<kv::TransferParams> announced;
  std::optional<Error> error;  // with kError and kAbort
};

// Called on the engine thread, once per step with what happened in it. Must not block.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void deliver(std::vector<Event> events) = 0;
};

enum class LoadFailure : std::uint8_t { kRecompute, kFail };
enum class LocalSocket : bool { kOff, kOn };
enum class Announcements : bool { kOff, kOn };

struct TransferConfig {
  std::string engine_id;                        // empty: a UUID
  std::string host = "127.0.0.1";               // IP literal to listen on and to advertise
  std::uint16_t port = 0;                       // 0: ephemeral
  LocalSocket local_socket = LocalSocket::kOn;  // for readers on this machine, who may map our KV
  Nanos lease = std::chrono::seconds(30);
  Nanos pull_timeout = std::chrono::seconds(10);  // whole pull
  Nanos stall_timeout = std::chrono::seconds(5);  // one frame, either side; a connection
  // A prompt that was announced, of which nothing more is computed.
  Nanos standstill_timeout = std::chrono::seconds(30);
  LoadFailure on_failure = LoadFailure::kRecompute;
  // Whether prefill legs that ask for it are told where their KV will be before it is computed.
  Announcements announcements = Announcements::kOn;
  // TLS of the TCP connections; null: plain. Engines of a pair must agree: what is dialled with TLS
  // has to answer with it, for the name or address that the params give.
  std::shared_ptr<const tls::ServerContext> serve_tls;
  std::shared_ptr<const tls::ClientContext> dial_tls;
};

// Who is told what the prefix cache gains and loses, once per step. Called on the engine thread;
// must not block.
class KvEventSink {
 public:
  virtual ~KvEventSink() = default;
  virtual void publish(std::vector<kv::KvEvent> events) = 0;

  struct Counts {
    std::uint64_t published = 0;  // batches
    std::uint64_t lost = 0;       // batches that no follower got; each sees a gap
    std::uint64_t replays = 0;
    std::size_t followers = 0;
  };
  virtual Counts counts() const = 0;  // thread-safe
};

struct KvEventsConfig {
  std::shared_ptr<KvEventSink> sink;  // shared with whoever reads its counts
  VllmHash hash;
};

struct EngineConfig {
  std::size_t block_size = 16;  // tokens
  std::size_t blocks = 1024;
  std::size_t max_model_len = 2048;  // prompt and answer
  std::size_t max_num_seqs = 64;
  std::size_t max_num_batched_tokens = 512;  // per step; long prompts come in chunks
  std::optional<Nanos> step_target = {};     // of a step in which somebody waits for a next token
  std::size_t max_waiting = 1024;            // beyond: kExhausted
  bool prefix_caching = true;
  kv::Digest model_fingerprint;            // engines exchange KV only when equal
  std::optional<TransferConfig> transfer;  // absent: no KV transfer
  std::optional<KvEventsConfig> kv_events = {};
};

// Steps are counted by their tokens, up to: the buckets of vllm:iteration_tokens_total.
inline constexpr std::array<std::uint32_t, 13> kStepTokens = {
    1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

struct Stats {
  std::size_t running = 0;
  std::size_t waiting = 0;         // includes waiting_remote
  std::size_t waiting_remote = 0;  // for KV of another engine
  std::size_t blocks_total = 0;
  std::size_t blocks_used = 0;    // referenced by a request or a lease
  std::size_t blocks_pinned = 0;  // held back from reuse on behalf of leases
  std::size_t blocks_leased = 0;  // in the lease table; equals blocks_pinned
  std::size_t leases = 0;
  // Counters since start.
  std::uint64_t prefix_query_tokens = 0;
  std::uint64_t prefix_hit_tokens = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t prompt_tokens_computed = 0;
  std::uint64_t prompt_tokens_cached = 0;
  std::uint64_t prompt_tokens_asked = 0;  // of other engines
  std::uint64_t prompt_tokens_remote = 0;
  std::uint64_t generation_tokens = 0;
  std::uint64_t prompt_tokens_recomputed = 0;  // last ones of prompts that were there otherwise
  std::uint64_t steps = 0;
  struct Steps {
    std::uint64_t count = 0, tokens = 0;
  };
  std::array<Steps, kStepTokens.size() + 1> steps_of{};  // up to each bound, then beyond
  std::uint64_t finished_stop = 0, finished_length = 0, finished_abort = 0, finished_error = 0;
  std::uint64_t rejected = 0;  // queue full
  KvEventSink::Counts kv_events;
  std::uint64_t transfers_ok = 0;  // pulls
  std::uint64_t transfers_failed = 0;
  std::uint64_t transfers_given_up = 0;  // their request had ended
  std::uint64_t transfers_resumed = 0;   // times that a pull went on after a connection broke
  // Renewals and releases of leases elsewhere that their engine was not told of.
  std::uint64_t settlements_dropped = 0;
  std::uint64_t transfer_bytes = 0;         // pulled
  std::uint64_t transfer_bytes_copied = 0;  // of these, out of another engine's memory
  std::uint64_t served_bytes = 0;           // pulled from us
  std::uint64_t served_bytes_early = 0;     // of these, while the prompt was being computed
  std::uint64_t readers_refused = 0;        // of us
  std::uint64_t leases_granted = 0, leases_released = 0, leases_expired = 0;
  std::uint64_t leases_withdrawn = 0;  // of prompts that were not computed to their end
  std::uint64_t evictions = 0;         // cached blocks reused for something else

  double kv_usage() const {
    return blocks_total == 0 ? 0
                             : static_cast<double>(blocks_used) / static_cast<double>(blocks_total);
  }
};

enum class Drain : bool { kNo, kYes };

// Thread-safe. `start` once; destruction stops without draining.
class Engine {
 public:
  struct Deps {
    std::unique_ptr<model::Model> model;
    const Clock& clock;
    Random& random;  // used on the engine thread and in create()
  };

  // kInvalid: a configuration that cannot work (the message names the member).
  // kUnavailable: the KV address cannot be bound.
  static Result<std::unique_ptr<Engine>> create(EngineConfig config, Deps deps);
  virtual ~Engine() = default;

  // Starts the threads. `sink` must live until stop() has returned.
  virtual void start(Sink& sink) = 0;

  // After success the sink gets events for the id, the last one with `finish`.
  // kInvalid: the request can never run. kExhausted: the queue is full. kConflict: the id is in
  // flight. kUnavailable: stopping.
  virtual Status submit(GenerateRequest request) = 0;
  // Ends it with Finish::kAbort; unknown ids are ignored.
  virtual void abort(std::string_view id) = 0;
  // Gives the blocks of a finished do_remote_decode request back before its lease ends.
  // kNotFound: no such lease, or another token.
  virtual Status release_lease(std::string_view request_id, std::string_view token) = 0;

  virtual Stats stats() const = 0;
  virtual const EngineConfig& config() const = 0;  // with engine_id and port filled in
  virtual const model::Config& model_config() const = 0;
  // False once the engine thread has ended.
  virtual bool healthy() const = 0;

  // No new requests; kYes: waits until those in flight have ended and leases are released, at most
  // until `deadline`. Then aborts what is left and joins the threads.
  virtual void stop(Drain drain, Deadline deadline) = 0;
};

}  // namespace baton::runtime
