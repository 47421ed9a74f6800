#pragma once
// The endpoint picker as a process sees it: ext_proc, health and metrics on their ports, one pool.

#include <memory>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "base/text/json.hpp"
#include "net/http/message.hpp"
#include "net/tls/context.hpp"
#include "routing/epp/admin.hpp"
#include "routing/epp/desk.hpp"
#include "routing/epp/predictor.hpp"
#include "routing/watch/scraper.hpp"

namespace baton::epp {

// start, update, drain, stop: from any thread but the loops'.
class Server {
 public:
  struct Config {
    http::Endpoint ext_proc = {"0.0.0.0", 9002};
    http::Endpoint health = {"0.0.0.0", 9003};
    http::Endpoint metrics = {"0.0.0.0", 9090};
    std::shared_ptr<const tls::ServerContext> tls = nullptr;  // of ext_proc; null: in the clear
    std::shared_ptr<const tls::ServerContext> metrics_tls = nullptr;
    bool health_on_ext_proc = false;
    bool elects_leader = false;
    bool stream_metrics = false;
    std::size_t message_bytes = std::size_t{64} << 20;
    Nanos scrape_interval = watch::kScrapeInterval;
    Nanos gauge_interval = std::chrono::seconds(5);          // of the pool's averages
    Nanos stale_after = std::chrono::seconds(2);             // left out of them
    std::string pool_group = "inference.networking.k8s.io";  // that objectives and rewrites name
    std::size_t records = 256;  // decisions kept in memory, served at /debug/decisions
    std::string record_file;    // where all are appended; "": nowhere
    PredictorConfig predictor;  // where the configuration asks for one
    Desk::Config desk;
  };
  // The loops must run from start() until after stop(), and outlive this. The first one also
  // scrapes.
  struct Deps {
    std::vector<async::Loop*> loops;
    const Clock& clock;
    observe::Registry& registry;
    std::uint64_t seed = 1;
    observe::Tracer* tracer = nullptr;  // null: traces pass through untouched
    Review review = nullptr;            // who may read metrics; null: everybody
  };
  // `picker` names the pool and its EndpointPickerConfig.
  Server(Deps deps, Config config, const watch::Service& picker);
  ~Server();

  struct Bound {
    http::Endpoint ext_proc, health, metrics;
  };
  // kInvalid: the picker's configuration; kConflict: a port is in use; kDenied: the record file.
  Result<Bound> start();

  void update(const std::vector<schedule::Endpoint>& endpoints);
  // The pool's appProtocol; "": none is said. Not ready while a parser does not speak it.
  void speak(std::string_view app_protocol);
  void clear();  // the pool is gone
  // Every InferenceObjective, every InferenceModelRewrite of the namespace as they are now.
  void set_objectives(const std::vector<text::json::Value>& objects);
  void set_rewrites(const std::vector<text::json::Value>& objects);
  void lead(bool leading);
  // Health says NOT_SERVING from now on; everything else goes on.
  void drain();
  // Takes no new streams, lets the open ones end until the deadline.
  void stop(Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::epp
