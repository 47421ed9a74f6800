#pragma once
// Fetches the metrics of one endpoint again and again.

#include <functional>
#include <string>
#include <string_view>

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
  Nanos interval = kScrapeInterval;
  std::string path = "/metrics";
  const schedule::EngineMetrics* engine = nullptr;  // outlives the task; null: vLLM's
};

// Called on the loop.
struct ScrapeSink {
  std::function<bool()> wanted;                    // asked before each scrape; false ends it
  std::function<void(const Scraped&)> on_scraped;  // after each one that told something
  std::function<void()> on_failed = nullptr;       // after each one that got no answer
};

// The same for whoever reads the answer's text.
struct PollSink {
  std::function<bool()> wanted;
  std::function<void(std::string_view)> on_text;
  std::function<void()> on_failed = nullptr;
};

// A whole number of ticks, at least one: how often a source that asks for `wanted` is read. 0:
// every tick.
Nanos rounded_interval(Nanos tick, Nanos wanted);

// What fails is tried again at the next tick (the load goes stale meanwhile).
Task<void> scrape_while(ScrapeDeps deps, http::Endpoint endpoint, ScrapeSink sink);
Task<void> poll_while(ScrapeDeps deps, http::Endpoint endpoint, PollSink sink);

}  // namespace baton::watch
