#include "routing/watch/scraper.hpp"

#include <algorithm>

#include "base/async/finish_by.hpp"

namespace baton::watch {
namespace {

Task<std::optional<Scraped>> scrape(ScrapeDeps deps, const http::Endpoint& endpoint) {
  http::RequestHead head;
  head.target = "/metrics";
  const auto deadline = Deadline::in(deps.clock, kScrapeTimeout);
  auto answer = co_await deps.client.send(endpoint, head, {}, deadline);
  if (!answer || answer->head().status != 200) co_return std::nullopt;
  const auto body = co_await answer->read_all(kMaxMetricsText, deadline);
  if (!body) co_return std::nullopt;
  co_return read_metrics(*body);
}

}  // namespace

Task<void> scrape_while(ScrapeDeps deps, http::Endpoint endpoint, ScrapeSink sink) {
  auto next = deps.clock.now();
  while (sink.wanted()) {
    const auto scraped = co_await scrape(deps, endpoint);
    if (scraped && scraped->any()) sink.on_scraped(*scraped);
    // A slow answer skips ticks rather than catching up.
    next = std::max(next + deps.interval, deps.clock.now());
    co_await async::sleep_until(next);
  }
}

}  // namespace baton::watch
