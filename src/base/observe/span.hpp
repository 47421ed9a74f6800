#pragma once
// Spans: what a process did for one request, when, as part of which trace. Nothing is allocated,
// and no clock is read, for a span that is not sampled.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/trace_context.hpp"

namespace baton::observe {

class SpanQueue;
class Tracer;

inline constexpr std::size_t kMaxAttributes = 48;      // of a span; more are counted
inline constexpr std::size_t kMaxAttributeText = 256;  // bytes; the rest is cut off

// OTLP's numbers.
enum class SpanKind : std::uint8_t { kInternal = 1, kServer = 2, kClient = 3 };

// What is exported of a span. A value.
struct SpanRecord {
  using Value = std::variant<bool, std::int64_t, double, std::string>;
  TraceContext context;
  std::uint64_t parent = 0;  // 0: none
  std::string trace_state;
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  Wall start{}, end{};
  std::vector<std::pair<std::string_view, Value>> attributes;  // keys are literals
  std::uint32_t dropped_attributes = 0;
  bool failed = false;
  std::string error;  // when failed
};

// A span that is going on: ends with its scope, survives suspension as a local of a coroutine.
// Confined to one thread at a time; its tracer outlives it.
class Span {
 public:
  Span() = default;  // of no trace: nothing below does anything
  Span(Span&& other) noexcept;
  Span& operator=(Span&& other) noexcept;
  ~Span() { end(); }

  // Sampled: worth computing attributes for.
  explicit operator bool() const { return record_ != nullptr; }
  // What requests made on its behalf carry; not valid without a trace. A span that is not sampled
  // has one too: who comes next must not decide anew.
  const TraceContext& context() const { return context_; }
  // Whether the request's tracestate may travel on.
  bool keeps_tracestate() const { return keeps_tracestate_; }

  // `key` is a literal. Never prompts, tokens or credentials.
  void set(std::string_view key, bool value) { add(key, value); }
  void set(std::string_view key, double value) { add(key, value); }
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  template <class T>
    requires std::is_integral_v<T>
  void set(std::string_view key, T value) {
    add(key, static_cast<std::int64_t>(value));
  }
  void fail(std::string_view why);

  Span child(std::string_view name, SpanKind kind = SpanKind::kInternal) const;
  // Now, rather than with the scope.
  void end();

 private:
  friend class Tracer;
  void add(std::string_view key, SpanRecord::Value value);

  Tracer* tracer_ = nullptr;
  TraceContext context_;
  bool keeps_tracestate_ = false;
  Mono began_{};
  std::unique_ptr<SpanRecord> record_;
};

// Which requests are traced: as the parent says (when asked), else this share of traces by their
// ids, so that several processes agree (OpenTelemetry SDK: TraceIdRatioBased).
struct Sampler {
  double ratio = 1;  // 0 … 1
  bool by_parent = true;

  bool sample(std::uint64_t trace_low, const TraceContext* parent) const;
  friend bool operator==(const Sampler&, const Sampler&) = default;
};

// Begins spans and hands those that ended to the queue. Thread-safe; clock and queue outlive it.
class Tracer {
 public:
  Tracer(const Clock& clock, SpanQueue& queue, Sampler sampler, std::uint64_t seed)
      : clock_(clock), queue_(queue), sampler_(sampler), state_(seed) {}

  // As the request's headers came; "" for none.
  struct Origin {
    std::string_view traceparent, tracestate;
  };
  // Of a request that arrived at `began`.
  Span start(std::string_view name, SpanKind kind, const Origin& origin, Mono began);

 private:
  friend class Span;
  std::uint64_t new_id();
  std::unique_ptr<SpanRecord> new_record(std::string_view name, SpanKind kind, Mono began) const;

  const Clock& clock_;
  SpanQueue& queue_;
  const Sampler sampler_;
  std::atomic<std::uint64_t> state_;
};

// Without a tracer, of no trace: one branch.
inline Span start_span(Tracer* tracer, std::string_view name, const Tracer::Origin& origin,
                       Mono began) {
  return tracer == nullptr ? Span() : tracer->start(name, SpanKind::kServer, origin, began);
}

}  // namespace baton::observe
