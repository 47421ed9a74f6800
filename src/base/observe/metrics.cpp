#include "base/observe/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/core/assert.hpp"
#include "base/core/utf8.hpp"

namespace baton::observe {
namespace {

// Prometheus refuses the whole page for a byte that is not UTF-8, and for a NUL.
void append_value(std::string& out, std::string_view value) {
  each_character(value, [&](std::string_view character) {
    switch (character.front()) {
      case '\n':
        out += "\\n";
        break;
      case '\\':
      case '"':
        out += '\\';
        [[fallthrough]];
      default:
        out += character;
    }
  });
}

void append_labels(std::string& out, const Labels& labels, std::string_view extra_key = {},
                   std::string_view extra_value = {}) {
  if (labels.empty() && extra_key.empty()) return;
  out += '{';
  bool first = true;
  const auto one = [&](std::string_view key, std::string_view value) {
    if (!std::exchange(first, false)) out += ',';
    out.append(key).append("=\"");
    append_value(out, value);
    out += '"';
  };
  for (const auto& [key, value] : labels) one(key, value);
  if (!extra_key.empty()) one(extra_key, extra_value);
  out += '}';
}

std::string text_of(const Labels& labels) {
  std::string out;
  append_labels(out, labels);
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  BATON_ASSERT(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot out;
  std::uint64_t total = 0;
  for (const auto& count : counts_) {
    total += count.load(std::memory_order_relaxed);
    out.cumulative.push_back(total);
  }
  out.sum = sum_.load(std::memory_order_relaxed);
  return out;
}

Registry::Family& Registry::family(std::string_view name, std::string_view help, Kind kind) {
  auto family = std::find_if(families_.begin(), families_.end(),
                             [&](const Family& f) { return f.name == name; });
  if (family == families_.end()) {
    family = families_.insert(families_.end(),
                              Family{std::string(name), std::string(help), kind, {}, {}});
  }
  BATON_ASSERT(family->kind == kind);
  return *family;
}

Registry::Series& Registry::series(std::string_view name, std::string_view help, Kind kind,
                                   Labels labels) {
  Family& in = family(name, help, kind);
  Series*& found = in.by_text[text_of(labels)];
  if (found == nullptr) {
    found = &in.series.emplace_back();
    found->labels = std::move(labels);
  }
  return *found;
}

void Registry::set_gauges(std::string_view name, std::string_view help,
                          const std::vector<Sample>& samples) {
  const std::lock_guard lock(mutex_);
  Family& in = family(name, help, Kind::kGauge);
  in.series.clear();
  in.by_text.clear();
  for (const Sample& sample : samples) {
    Series& one = series(name, help, Kind::kGauge, sample.labels);
    if (one.gauge == nullptr) one.gauge = std::make_unique<Gauge>();
    one.gauge->set(sample.value);
  }
}

void Registry::end_series(std::string_view name, const Labels& with) {
  const std::lock_guard lock(mutex_);
  const auto in = std::ranges::find(families_, name, &Family::name);
  if (in == families_.end()) return;
  std::erase_if(in->series, [&](const Series& one) {
    const bool ends = std::ranges::all_of(with, [&](const auto& label) {
      return std::ranges::find(one.labels, label) != one.labels.end();
    });
    if (ends) in->by_text.erase(text_of(one.labels));
    return ends;
  });
}

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& s = series(name, help, Kind::kCounter, std::move(labels));
  if (s.counter == nullptr) s.counter = std::make_unique<Counter>();
  return *s.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& s = series(name, help, Kind::kGauge, std::move(labels));
  if (s.gauge == nullptr) s.gauge = std::make_unique<Gauge>();
  return *s.gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help,
                               std::vector<double> bounds, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& s = series(name, help, Kind::kHistogram, std::move(labels));
  if (s.histogram == nullptr) s.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *s.histogram;
}

void Registry::gauge_callback(std::string_view name, std::string_view help, Labels labels,
                              std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  series(name, help, Kind::kGauge, std::move(labels)).read = std::move(read);
}

std::string Registry::expose() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  const auto sample = [&](std::string_view name, std::string_view suffix, const Labels& labels,
                          double value, std::string_view key = {}, std::string_view bound = {}) {
    out.append(name).append(suffix);
    append_labels(out, labels, key, bound);
    out.append(" ").append(number(value)).append("\n");
  };
  for (const Family& family : families_) {
    constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family.name, family.help, family.name,
                       kTypes[std::to_underlying(family.kind)]);
    for (const Series& s : family.series) {
      if (s.read) {
        sample(family.name, "", s.labels, s.read());
      } else if (s.counter) {
        sample(family.name, "", s.labels, s.counter->value());
      } else if (s.gauge) {
        sample(family.name, "", s.labels, s.gauge->value());
      } else if (s.histogram) {
        const Histogram::Snapshot snapshot = s.histogram->snapshot();
        for (std::size_t i = 0; i < snapshot.cumulative.size(); ++i) {
          const bool last = i == s.histogram->bounds().size();
          sample(family.name, "_bucket", s.labels, static_cast<double>(snapshot.cumulative[i]),
                 "le", last ? "+Inf" : number(s.histogram->bounds()[i]));
        }
        sample(family.name, "_sum", s.labels, snapshot.sum);
        sample(family.name, "_count", s.labels, static_cast<double>(snapshot.cumulative.back()));
      }
    }
  }
  return out;
}

}  // namespace baton::observe
