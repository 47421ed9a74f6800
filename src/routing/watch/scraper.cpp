#include "routing/watch/scraper.hpp"

#include <algorithm>
#include <utility>

#include "base/async/finish_by.hpp"

namespace baton::watch {
namespace {

Task<std::optional<std::string>> fetch(const ScrapeDeps& deps, const http::Endpoint& endpoint) {
  http::RequestHead head;
  head.target = deps.path;
  const auto deadline = Deadline::in(deps.clock, kScrapeTimeout);
  auto answer = co_await deps.client.send(endpoint, head, {}, deadline);
  if (!answer || answer->head().status != 200) co_return std::nullopt;
  auto body = co_await answer->read_all(kMaxMetricsText, deadline);
  if (!body) co_return std::nullopt;
  co_return *std::move(body);
}

}  // namespace

Nanos rounded_interval(Nanos tick, Nanos wanted) {
  const auto ticks = (wanted + tick / 2) / tick;
  return tick * std::max<std::int64_t>(ticks, 1);
}

Task<void> poll_while(ScrapeDeps deps, http::Endpoint endpoint, PollSink sink) {
  auto next = deps.clock.now();
  while (sink.wanted()) {
    const auto text = co_await fetch(deps, endpoint);
    if (text) sink.on_text(*text);
    if (!text && sink.on_failed) sink.on_failed();
    // A slow answer skips ticks rather than catching up.
    next = std::max(next + deps.interval, deps.clock.now());
    co_await async::sleep_until(next);
  }
}

Task<void> scrape_while(ScrapeDeps deps, http::Endpoint endpoint, ScrapeSink sink) {
  const auto& engine = deps.engine != nullptr ? *deps.engine : schedule::built_in_engines()[0];
  const auto on_text = [&engine, next = std::move(sink.on_scraped)](std::string_view text) {
    const auto scraped = read_metrics(text, engine);
    if (scraped.any()) next(scraped);
  };
  return poll_while(deps, std::move(endpoint),
                    {.wanted = std::move(sink.wanted),
                     .on_text = on_text,
                     .on_failed = std::move(sink.on_failed)});
}

}  // namespace baton::watch
