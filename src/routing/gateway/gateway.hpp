#pragma once
// The HTTP front door with the picker inside: OpenAI paths in, the right pod out.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"
#include "net/http/message.hpp"
#include "net/kube/cluster.hpp"
#include "net/tls/context.hpp"
#include "routing/ticket/key_file.hpp"

namespace baton::watch {
struct Topology;
}

namespace baton::gateway {

enum class ProofHeaders : bool { kOff, kOn };
enum class Page : bool { kOff, kOn };

struct Config {
  http::Endpoint listen = {"127.0.0.1", 8080};
  std::vector<std::string> api_keys;  // empty: no authentication
  Nanos request_timeout = std::chrono::minutes(10);
  std::size_t body_bytes = std::size_t{64} << 20;  // 413 above
  ProofHeaders proof_headers = ProofHeaders::kOff;
  std::shared_ptr<const tls::ServerContext> serve_tls = {};  // null: plain
  std::shared_ptr<const tls::ClientContext> dial_tls = {};   // of pods, also to scrape; null: plain
  // What sidecars want routes signed with; else the key of each service (watch::Service).
  std::optional<ticket::KeyFile> ticket_key = {};
  Page page = Page::kOff;  // /ui: what runs here, for a person to look at
  std::string stand_in;    // the model that replaces every other; told in x-baton-stand-in
};

struct PodStats {
  std::string ns, name;
  http::Endpoint address;  // where its requests go
  std::string role;        // "prefill", "decode", "both"
  std::uint64_t requests = 0;
  std::uint64_t tokens = 0;
  double tokens_per_second = 0;  // generated, over the last seconds
  std::uint64_t kv_bytes = 0;    // received as remote KV (decode), as its proof headers told
};

struct Stats {
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;  // answered 4xx or 5xx
  double tokens_per_second = 0;
  std::vector<PodStats> pods;  // one for each port; sorted by namespace, name and port
};

// Lives on one loop. start, stop, ready and stats: from any thread but the loop's.
class Gateway {
 public:
  struct Deps {
    async::Loop& loop;
    const Clock& clock;
    Random& random;  // used on the loop only
    observe::Registry& registry;
    observe::Tracer* tracer = nullptr;  // null: traces pass through untouched
  };
  // Serves what the cluster holds: every LLMInferenceService, by model name.
  Gateway(Deps deps, Config config, kube::Cluster& cluster);
  // Serves a fixed set of endpoints.
  Gateway(Deps deps, Config config, watch::Topology endpoints);
  ~Gateway();

  // Binds and starts to watch; the loop must run. kConflict: the address is in use.
  Result<http::Endpoint> start();
  // New connections are refused, running requests may finish until the deadline.
  void stop(Deadline deadline);

  // Every service seen has a pod that can answer (and, with a picker, its snapshot is synced); at
  // least one service.
  bool ready() const;
  // The picker of this service (namespace, name) has its endpoint snapshot.
  bool picker_synced(std::string_view ns, std::string_view service) const;
  Stats stats() const;
  // What /ui shows of services and pods: JSON text.
  void show(std::string stack);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::gateway
