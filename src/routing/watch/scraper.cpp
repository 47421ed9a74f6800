#include "routing/watch/scraper.hpp"

#include <algorithm>

#include "base/async/finish_by.hpp"

namespace baton::watch {
namespace {

Task<std::optional<Scraped>> scrape(const ScrapeDeps& deps, const http::Endpoint& endpoint) {
  http::RequestHead head;
  head.target = deps.path;
  const auto deadline = Deadline::in(deps.clock, kScrapeTimeout);
  auto answer = co_await deps.client.send(endpoint, head, {}, deadline);
  if (!answer || answer->head().status != 200) co_return std::nullopt;
  const auto body = co_await answer->read_all(kMaxMetricsText, deadline);
  if (!body) co_return std::nullopt;
  const auto* engine = deps.engine;
  co_return read_metrics(*body, engine != nullptr ? *engine : schedule::built_in_engines()[0]);
}

}  // namespace

Nanos rounded_interval(Nanos tick, Nanos wanted) {
  const auto ticks = (wanted + tick / 2) / tick;
  return tick * std::max<std::int64_t>(ticks, 1);
}

Task<void> scrape_while(ScrapeDeps deps, http::Endpoint endpoint, ScrapeSink sink) {
  auto next = deps.clock.now();
  while (sink.wanted()) {
    const auto scraped = co_await scrape(deps, endpoint);
    if (scraped && scraped->any()) sink.on_scraped(*scraped);
    if (!scraped && sink.on_failed) sink.on_failed();
    // A slow answer skips ticks rather than catching up.
    next = std::max(next + deps.interval, deps.clock.now());
    co_await async::sleep_until(next);
  }
}

}  // namespace baton::watch
