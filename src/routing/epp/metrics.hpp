#pragma once
// The picker's metrics under the names that existing dashboards read (picker reference 6.1 to 6.3),
// each also under its older name where it had one.

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/epp/plugin_times.hpp"
#include "routing/schedule/setup.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::epp {

inline constexpr std::size_t kMaxLabelValues = 1000;  // further ones become kOtherLabel
inline constexpr std::size_t kMaxLabelBytes = 256;    // and so do longer ones
inline constexpr std::string_view kOtherLabel = "other";
// Sets of labels of requests, some 8 KB each. Further ones are counted under kOtherLabel, but for
// names of models that are pinned, which keep theirs in as many sets again.
inline constexpr std::size_t kMaxSeries = 5'000;

// An instrument and its older twin, if it has one.
template <class T>
struct Twin {
  T* now = nullptr;
  T* old = nullptr;

  template <class F>
  void each(F&& act) const {
    act(*now);
    if (old != nullptr) act(*old);
  }
};
using Counts = Twin<observe::Counter>;
using Level = Twin<observe::Gauge>;
using Spread = Twin<observe::Histogram>;
inline void observe_in(const Spread& spread, double value) {
  spread.each([&](observe::Histogram& h) { h.observe(value); });
}

// Distinct values of one label, bounded. Thread-safe through its owner.
class LabelValues {
 public:
  // The value, or kOtherLabel; valid until the next pin().
  const std::string& take(std::string_view value);
  // These, in place of those before, and the empty one are taken whatever the bounds say.
  void pin(const std::set<std::string>& values);
  bool pinned(std::string_view value) const { return value.empty() || pinned_.contains(value); }

 private:
  std::set<std::string, std::less<>> known_, pinned_;  // nothing is in both
};

// Any thread.
class Metrics {
 public:
  // The plugins that labels name: the profile handler, and who knows prefixes; "" without.
  struct Plugins {
    std::string handler_name = {}, handler_type = {};
    std::vector<schedule::Producer> prefixes = {};
    std::string media_name = {}, media_type = {};
    std::vector<schedule::TimedPlugin> timed = {};
  };
  static Plugins plugins_of(const schedule::Setup& setup);
  explicit Metrics(observe::Registry& registry) : Metrics(registry, Plugins{}) {}
  Metrics(observe::Registry& registry, Plugins plugins);

  // Of the requests with one set of labels. Lives as long as the metrics.
  struct Series {
    std::string model, target, fairness;
    std::string priority;
    Counts requests;
    Spread duration, request_bytes, response_bytes, input_tokens, output_tokens, cached_tokens;
    Spread per_output_token;
    Level running;
    Spread first_token, first_token_streamed, stream_token, stream_gap;
  };
  Series& series(std::string_view model, std::string_view target, std::string_view fairness,
                 std::int32_t priority = 0);
  // The models that rewrite rules name, as they are now: clients cannot push them out.
  void pin_models(const std::set<std::string>& names);
  // `code` as in the error's text, or ModelServerError.
  void failed(const Series& series, std::string_view code);

  // Of a decision: how long it took and whom it chose; null: nobody.
  void decided(Nanos took, std::string_view target, const schedule::Endpoint* chosen);
  // The series of an endpoint end with it.
  void left(const schedule::Endpoint& endpoint);
  PluginTimes& plugin_times() { return plugin_times_; }
  // `stages` as Decision::stages() has them; an empty model is "unknown".
  void staged(std::string_view model, std::string_view stages);
  // Bytes of a prompt that its endpoint is believed to hold, of those that are compared, as one of
  // Setup::views knows.
  void matched(std::size_t view, std::size_t bytes, std::size_t of);
  // A request's items, each once, by kind, and which of them the pod that gets them had before.
  void encoded(const std::vector<std::string_view>& kinds, const std::vector<bool>& held,
               std::string_view pod);
  void rewritten(std::string_view by, std::string_view model, std::string_view target);
  void request_processed(Nanos took) { request_processing_.observe(seconds(took)); }
  void response_processed(Nanos took) { response_processing_.observe(seconds(took)); }
  // A scrape without an answer, and one that lacks metrics.
  void poll_failed() {
    poll_errors_.each([](observe::Counter& c) { c.add(); });
  }
  void extract_failed() {
    extract_errors_.each([](observe::Counter& c) { c.add(); });
  }
  // The same of lists of models.
  void models_failed();
  void models_unread();
  void headers_removed(std::size_t count) { removed_headers_.add(static_cast<double>(count)); }
  void transfer_params_removed() { removed_params_.add(); }
  void client_gone() { gone_.add(); }
  void usage_unread() { unread_usage_.add(); }
  void streams(int change) { streams_.add(change); }

 private:
  Counts counter(std::string_view name, std::string_view help, const observe::Labels& labels,
                 std::string_view old, const observe::Labels& old_labels);
  Spread histogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                   const observe::Labels& labels, std::string_view old,
                   const observe::Labels& old_labels);

  observe::Registry& registry_;
  const Plugins plugins_;
  Spread scheduling_;
  struct Hits {  // of one producer
    std::size_t view;
    Spread ratio, bytes;
  };
  std::vector<Hits> hits_;
  Counts poll_errors_, extract_errors_;
  observe::Histogram &request_processing_, &response_processing_;
  observe::Counter &removed_headers_, &removed_params_, &gone_, &unread_usage_;
  observe::Gauge& streams_;
  PluginTimes plugin_times_;
  std::mutex mutex_;  // guards the rest
  LabelValues models_, fairness_;
  // Found without a copy of the key.
  template <class T, class... Key>
  using Found = std::map<std::tuple<Key...>, T, std::less<>>;
  Found<Series, std::string, std::string, std::string, std::int32_t> series_;
  // By model and stages; of the deprecated handler under its own name, too.
  Found<std::vector<Counts>, std::string, std::string> stages_;
  // By target, endpoint and port; bounded as series_ are.
  Found<Counts, std::string, std::string, std::uint16_t> attempts_;
};

}  // namespace baton::epp
