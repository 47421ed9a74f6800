#pragma once
// The engine over HTTP, as vLLM's server.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/serve/served_model.hpp"
#include "net/http/server.hpp"
#include "net/tls/context.hpp"

namespace baton::serve {

// The version of vLLM whose surface this is: what /version and `vllm --version` say.
inline constexpr std::string_view kVllmVersion = "0.22.0";
inline constexpr std::size_t kMaxBody = std::size_t{64} << 20;

// By arrival: a request with a priority is refused, as vLLM does.
enum class Scheduling : std::uint8_t { kArrival, kPriority };

struct ServiceConfig {
  http::Endpoint listen;
  http::ServerLimits limits;
  std::shared_ptr<const tls::ServerContext> tls = {};  // null: plain HTTP
  std::vector<std::string> api_keys;                   // empty: no authentication
  bool prompt_tokens_details = false;
  bool request_id_headers = false;
  bool force_usage = false;
  Scheduling scheduling = Scheduling::kArrival;
  // Ranks that X-data-parallel-rank may name; this engine is all of them.
  std::size_t data_parallel = 1;
  bool track_load = false;            // /load tells how many requests are being answered; else 0
  std::optional<std::uint64_t> seed;  // of requests without one; absent: the engine draws them
  std::string kv_dtype = "auto";
  std::size_t cpu_threads = 2;  // for tokenizing long prompts: one does not hold up all others
};

// Owns the engine, the event loop and the CPU pool.
class Service {
 public:
  struct Deps {
    std::unique_ptr<runtime::Engine> engine;
    ServedModel model;
    const Clock& clock;
    Random& random;                         // for request ids; used on the loop
    observe::Tracer* tracer = nullptr;      // null: requests leave no spans
    observe::Registry* exporter = nullptr;  // of the tracer: exposed with the engine's metrics
  };
  Service(ServiceConfig config, Deps deps);
  ~Service();  // stops without draining

  // Starts the engine and answers. kConflict: the address is in use.
  Result<http::Endpoint> start();
  // No new requests; those running may end until the deadline. From any thread but the loop's.
  void stop(runtime::Drain drain, Deadline deadline);
  runtime::Engine& engine();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::serve
