#pragma once
// The P/D routing sidecar: stands in front of the decode engine, runs the prefill leg first when
// the picker asks for it, and forwards everything else.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"
#include "net/http/message.hpp"
#include "net/tls/context.hpp"
#include "routing/sidecar/allowlist.hpp"
#include "routing/sidecar/breaker.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/encoding.hpp"
#include "routing/sidecar/self_schedule.hpp"
#include "routing/sidecar/transaction.hpp"
#include "routing/ticket/key_file.hpp"

namespace baton::sidecar {

// Without a picker: where the pool's endpoints are told, and a picker's configuration ("": ours).
struct SelfScheduling {
  std::shared_ptr<const PoolEndpoints> pool;
  std::string picker;
};

// What becomes of routing headers without a ticket, when there is a key.
enum class Unsigned : bool { kRefused, kAllowed };

struct Config {
  http::Endpoint decoder{"localhost", 8200};
  std::string connector = "nixlv2";  // contract: a name of make_connector()
  EnginePorts ports{};               // `serving` and `ranks` are filled in
  Pull pull = Pull::kNo;
  std::optional<Moriio> moriio{};                 // with nixlv2
  EcConnector ec_connector = EcConnector::kNone;  // kNone: encoders are not asked
  std::int64_t decode_chunk_size = 0;             // tokens; 0: answers are decoded in one piece
  Tactics tactics{};
  Nanos request_timeout = std::chrono::seconds(600);  // both legs together; a client may say less
  BreakerSettings breaker{};                          // of each prefill engine
  // How long a prefill engine's side channel may take to accept a connection; 0: it is not asked.
  Nanos side_channel_patience = Millis(250);
  // A throw-away prompt goes through each pair first; until then other candidates are taken.
  bool warm_up = false;
  // Reads the decode engine's counters around requests that hand KV over (vLLM's names).
  bool prove_transfers = false;
  double fallback_share = 0.5;        // of decode_capacity
  std::size_t decode_capacity = 256;  // requests that the decode engine runs at once
  // Both empty: every prefill endpoint is allowed. One that either of them has may be dialled.
  std::string allowlist_file{};
  std::shared_ptr<const Published> pool{};
  std::optional<SelfScheduling> self_schedule{};
  std::optional<ticket::KeyFile> ticket_key{};  // routers sign what is to be dialled
  Unsigned unsigned_routes = Unsigned::kRefused;
  bool sample_prefillers = false;       // a random candidate instead of the first
  std::size_t idle_connections = 1024;  // per engine
  // Data parallel ranks: rank r listens on port + r and stands before decoder.port + r.
  int ranks = 1;
  std::string pod_ip{};  // as x-data-parallel-host-port and SGLang's prefill legs name this pod
  // Null: plain.
  std::shared_ptr<const tls::ServerContext> serve_tls{};
  std::shared_ptr<const tls::ClientContext> prefiller_tls{};
  std::shared_ptr<const tls::ClientContext> decoder_tls{};
  std::shared_ptr<const tls::ClientContext> encoder_tls{};
};

// Confined to its loop, except where stated.
class Sidecar {
 public:
  // The references outlive it.
  // Without a tracer traces pass through untouched.
  Sidecar(async::Loop& loop, const Clock& clock, Random& random, observe::Registry& registry,
          Config config, observe::Tracer* tracer = nullptr);
  ~Sidecar();

  // From any thread.
  // All ranks; returns where rank 0 listens. With port 0 there is one rank.
  Result<http::Endpoint> listen(const http::Endpoint& at);
  Result<http::Endpoint> listen_metrics(const http::Endpoint& at);
  // From any thread but the loop's: lets requests finish until the deadline, then cancels them;
  // leases of theirs are released.
  void stop(Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::sidecar
