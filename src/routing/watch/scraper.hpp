#pragma once
// Fetches the metrics of one endpoint again and again.

#include <functional>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "net/http/client.hpp"
#include "routing/watch/scrape.hpp"

namespace baton::watch {

inline constexpr Nanos kScrapeInterval = std::chrono::milliseconds(50);
inline constexpr Nanos kScrapeTimeout = std::chrono::seconds(1);
inline constexpr std::size_t kMaxMetricsText = std::size_t{4} << 20;

struct ScrapeDeps {
  http::Client& client;
  const Clock& clock;
};

// Until cancelled. `on_scraped` is called after each scrape that told something; what fails is
// tried again at the next tick (the load goes stale meanwhile).
Task<void> scrape_forever(ScrapeDeps deps, http::Endpoint endpoint,
                          std::function<void(const Scraped&)> on_scraped);

}  // namespace baton::watch
