#pragma once
// Asks a pool's engines which models they serve (models-data-source, picker reference 4.8).

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http/client.hpp"
#include "routing/epp/metrics.hpp"
#include "routing/schedule/plugin.hpp"
#include "routing/watch/scraper.hpp"

namespace baton::epp {

// Confined to one loop.
class ModelLists {
 public:
  struct Deps {  // must outlive it
    const Clock& clock;
    Metrics& metrics;
  };
  // `tick` as of EngineScrapes. kInvalid, kNotFound: a certificate cannot be used.
  static Result<std::unique_ptr<ModelLists>> open(const schedule::MetricsSource& source, Nanos tick,
                                                  Deps deps);

  using OnModels = std::function<void(std::vector<std::string>)>;
  // Until the endpoint is not wanted any more. This must outlive the task.
  Task<void> follow(const schedule::Endpoint& endpoint, std::function<bool()> wanted,
                    OnModels on_models);

  // Before it is destroyed, on its loop; the tasks have ended.
  void close_idle() { client_.close_idle(); }

 private:
  ModelLists(schedule::MetricsSource source, Nanos interval, Deps deps,
             http::Client::Config client);

  Deps deps_;
  const schedule::MetricsSource source_;
  const Nanos interval_;
  http::Client client_;
};

}  // namespace baton::epp
