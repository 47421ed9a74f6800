#pragma once
// Reads the metrics of a pool's engines, where and under which names the configuration says (picker
// reference 4.8, 5.3).

#include <memory>
#include <string>
#include <vector>

#include "net/http/client.hpp"
#include "routing/epp/metrics.hpp"
#include "routing/schedule/engine_metrics.hpp"
#include "routing/schedule/setup.hpp"
#include "routing/watch/scraper.hpp"

namespace baton::epp {

// How a source is asked. kInvalid, kNotFound: a certificate cannot be used.
Result<http::Client::Config> client_of(const schedule::MetricsSource& source, const Clock& clock);

// Confined to one loop.
class EngineScrapes {
 public:
  struct Deps {  // must outlive it
    const Clock& clock;
    Metrics& metrics;
  };
  // `tick`: the shortest time between two scrapes of one endpoint. kInvalid, kNotFound: a
  // certificate cannot be used.
  static Result<std::unique_ptr<EngineScrapes>> open(const schedule::Setup& setup, Nanos tick,
                                                     Deps deps);

  // Until the endpoint is not wanted any more. This must outlive the task.
  Task<void> follow(const schedule::Endpoint& endpoint, watch::ScrapeSink sink);

  // By the endpoint's label, the older spelling of it, or the default.
  const schedule::EngineMetrics& engine_of(const schedule::Endpoint& endpoint) const;

  // Before it is destroyed, on its loop; the tasks have ended.
  void close_idle() { client_.close_idle(); }

 private:
  EngineScrapes(const schedule::Setup& setup, Nanos interval, Deps deps,
                std::vector<schedule::EngineMetrics> engines, http::Client::Config client);

  Deps deps_;
  const schedule::MetricsSource source_;
  const std::string label_, otherwise_;
  const Nanos interval_;
  const std::vector<schedule::EngineMetrics> engines_;
  http::Client client_;
};

}  // namespace baton::epp
