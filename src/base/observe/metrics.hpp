#pragma once
// Counters, gauges and histograms, and their Prometheus text exposition (format 0.0.4).
// Updates are lock-free and thread-safe; registering and writing take a lock.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace baton::observe {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Only grows.
class Counter {
 public:
  void add(double by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

class Gauge {
 public:
  void set(double to) { value_.store(to, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// Cumulative buckets by upper bound, as Prometheus defines them.
class Histogram {
 public:
  // `bounds` ascending, without +Inf.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);

  struct Snapshot {
    std::vector<std::uint64_t> cumulative;  // one per bound, then +Inf
    double sum = 0;
  };
  Snapshot snapshot() const;
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_ = 0;
};

// Owns its instruments; references stay valid for its life, or until their series ends.
// Thread-safe.
// The same name and labels give the same instrument. Contract: one kind (and help) per name.
class Registry {
 public:
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       Labels labels = {});
  // The series of a family whose labels come and go: those that are not given end.
  struct Sample {
    Labels labels;
    double value = 0;
  };
  void set_gauges(std::string_view name, std::string_view help, const std::vector<Sample>& samples);
  // Ends the series of a family that have all these labels, whatever others they have; made again,
  // they begin at 0. Contract: nobody uses their instruments any more.
  void end_series(std::string_view name, const Labels& with);
  // Read when the exposition is written; must be callable from any thread.
  void gauge_callback(std::string_view name, std::string_view help, Labels labels,
                      std::function<double()> read);

  // The whole exposition, families in order of registration.
  std::string expose() const;

 private:
  enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };
  struct Series {
    Labels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> read;
  };
  struct Family {
    std::string name, help;
    Kind kind;
    std::list<Series> series;                          // in the order of their registration
    std::unordered_map<std::string, Series*> by_text;  // of their labels, as they are exposed
  };
  Family& family(std::string_view name, std::string_view help, Kind kind);
  Series& series(std::string_view name, std::string_view help, Kind kind, Labels labels);

  mutable std::mutex mutex_;  // guards families_
  std::deque<Family> families_;
};

}  // namespace baton::observe
