#pragma once
// For tests: a tracer, and the spans that have ended.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/observe/span.hpp"
#include "base/observe/span_queue.hpp"

namespace baton::observe::testing {

class Traced {
 public:
  explicit Traced(const Clock& clock, Sampler sampler = {}) : tracer_(clock, queue_, sampler, 1) {}

  Tracer* tracer() { return &tracer_; }

  // All that ended so far, in that order.
  const std::vector<std::unique_ptr<SpanRecord>>& ended() {
    while (auto span = queue_.pop()) ended_.push_back(std::move(span));
    return ended_;
  }
  // The only one of that name; an empty one when there are others.
  const SpanRecord& only(std::string_view name) {
    static const SpanRecord none;
    const SpanRecord* found = nullptr;
    for (const auto& span : ended()) {
      if (span->name != name) continue;
      if (found != nullptr) return none;
      found = span.get();
    }
    return found == nullptr ? none : *found;
  }

 private:
  Counter dropped_;
  SpanQueue queue_{1024, dropped_};
  Tracer tracer_;
  std::vector<std::unique_ptr<SpanRecord>> ended_;
};

// As text; "" when it has none of that name.
inline std::string attribute(const SpanRecord& span, std::string_view key) {
  for (const auto& [name, value] : span.attributes) {
    if (name != key) continue;
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
    return std::to_string(std::get<double>(value));
  }
  return "";
}

}  // namespace baton::observe::testing
