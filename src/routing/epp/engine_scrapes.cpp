#include "routing/epp/engine_scrapes.hpp"

#include <utility>

#include "net/tls/renewed.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kOldLabel = "inference.networking.k8s.io/engine-type";

Result<std::shared_ptr<const tls::ClientContext>> context_of(const schedule::MetricsSource& source,
                                                             const Clock& clock) {
  if (source.scheme != "https") return std::shared_ptr<const tls::ClientContext>();
  tls::ClientContext::Config config;
  if (source.insecure_skip_verify) config.verify = tls::ClientContext::Verify::kNone;
  if (!source.ca_cert_path.empty()) {
    config.authority = tls::Source::of_file(source.ca_cert_path);
  }
  if (!source.client_cert_path.empty()) {
    config.certificate = tls::Source::of_file(source.client_cert_path);
    config.key = tls::Source::of_file(source.client_key_path);
  }
  return tls::open_renewed(std::move(config), clock).with("data source");
}

}  // namespace

Result<http::Client::Config> client_of(const schedule::MetricsSource& source, const Clock& clock) {
  http::Client::Config out;
  BATON_TRY_ASSIGN(out.tls, context_of(source, clock));
  return out;
}

EngineScrapes::EngineScrapes(const schedule::Setup& setup, Nanos interval, Deps deps,
                             std::vector<schedule::EngineMetrics> engines,
                             http::Client::Config client)
    : deps_(deps),
      source_(setup.metrics),
      label_(setup.extractor.engine_label),
      otherwise_(setup.extractor.default_engine),
      interval_(interval),
      engines_(std::move(engines)),
      client_(deps.clock, std::move(client)) {}

Result<std::unique_ptr<EngineScrapes>> EngineScrapes::open(const schedule::Setup& setup, Nanos tick,
                                                           Deps deps) {
  BATON_TRY_ASSIGN(auto engines,
                   schedule::engines_of(setup.extractor.engine_configs, "/engineConfigs"));
  BATON_TRY_ASSIGN(auto client, client_of(setup.metrics, deps.clock));
  const auto interval = watch::rounded_interval(tick, setup.metrics.interval);
  return std::unique_ptr<EngineScrapes>(
      new EngineScrapes(setup, interval, deps, std::move(engines), std::move(client)));
}

const schedule::EngineMetrics& EngineScrapes::engine_of(const schedule::Endpoint& endpoint) const {
  auto name = endpoint.label(label_);
  if (name.empty()) name = endpoint.label(kOldLabel);
  return watch::engine_named(engines_, name, otherwise_);
}

Task<void> EngineScrapes::follow(const schedule::Endpoint& endpoint, watch::ScrapeSink sink) {
  const http::Endpoint at{endpoint.host, source_.port != 0 ? source_.port : endpoint.port};
  sink.on_failed = [this] { deps_.metrics.poll_failed(); };
  sink.on_scraped = [this, next = std::move(sink.on_scraped)](const watch::Scraped& scraped) {
    if (scraped.missing > 0) deps_.metrics.extract_failed();
    next(scraped);
  };
  return watch::scrape_while({.client = client_,
                              .clock = deps_.clock,
                              .interval = interval_,
                              .path = source_.path,
                              .engine = &engine_of(endpoint)},
                             at, std::move(sink));
}

}  // namespace baton::epp
