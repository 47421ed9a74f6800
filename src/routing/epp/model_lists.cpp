#include "routing/epp/model_lists.hpp"

#include <utility>

#include "routing/epp/engine_scrapes.hpp"
#include "routing/watch/model_list.hpp"

namespace baton::epp {

ModelLists::ModelLists(schedule::MetricsSource source, Nanos interval, Deps deps,
                       http::Client::Config client)
    : deps_(deps),
      source_(std::move(source)),
      interval_(interval),
      client_(deps.clock, std::move(client)) {}

Result<std::unique_ptr<ModelLists>> ModelLists::open(const schedule::MetricsSource& source,
                                                     Nanos tick, Deps deps) {
  BATON_TRY_ASSIGN(auto client, client_of(source, deps.clock));
  return std::unique_ptr<ModelLists>(new ModelLists(
      source, watch::rounded_interval(tick, source.interval), deps, std::move(client)));
}

Task<void> ModelLists::follow(const schedule::Endpoint& endpoint, std::function<bool()> wanted,
                              OnModels on_models) {
  const http::Endpoint at{endpoint.host, source_.port != 0 ? source_.port : endpoint.port};
  const auto on_text = [this, next = std::move(on_models)](std::string_view text) {
    if (auto models = watch::read_model_list(text)) {
      next(*std::move(models));
    } else {
      deps_.metrics.models_unread();
    }
  };
  return watch::poll_while(
      {.client = client_, .clock = deps_.clock, .interval = interval_, .path = source_.path}, at,
      {.wanted = std::move(wanted), .on_text = on_text, .on_failed = [this] {
         deps_.metrics.models_failed();
       }});
}

}  // namespace baton::epp
