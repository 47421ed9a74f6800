#include "base/observe/span.hpp"

#include <cmath>

#include "base/observe/span_queue.hpp"

namespace baton::observe {

namespace {

// Whole characters of UTF-8.
std::string_view bounded(std::string_view text) {
  if (text.size() <= kMaxAttributeText) return text;
  std::size_t end = kMaxAttributeText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

Span::Span(Span&& other) noexcept
    : tracer_(std::exchange(other.tracer_, nullptr)),
      context_(std::exchange(other.context_, {})),
      keeps_tracestate_(other.keeps_tracestate_),
      began_(other.began_),
      record_(std::move(other.record_)) {}

Span& Span::operator=(Span&& other) noexcept {
  if (this == &other) return *this;
  end();
  tracer_ = std::exchange(other.tracer_, nullptr);
  context_ = std::exchange(other.context_, {});
  keeps_tracestate_ = other.keeps_tracestate_;
  began_ = other.began_;
  record_ = std::move(other.record_);
  return *this;
}

void Span::set(std::string_view key, std::string_view value) {
  if (record_ != nullptr) add(key, std::string(bounded(value)));
}

void Span::add(std::string_view key, SpanRecord::Value value) {
  if (record_ == nullptr) return;
  for (auto& [known, old] : record_->attributes) {  // keys are unique
    if (known == key) {
      old = std::move(value);
      return;
    }
  }
  if (record_->attributes.size() == kMaxAttributes) {
    ++record_->dropped_attributes;
    return;
  }
  record_->attributes.emplace_back(key, std::move(value));
}

void Span::fail(std::string_view why) {
  if (record_ == nullptr) return;
  record_->failed = true;
  record_->error = bounded(why);
}

Span Span::child(std::string_view name, SpanKind kind) const {
  Span out;
  out.tracer_ = tracer_;
  out.context_ = context_;
  out.keeps_tracestate_ = keeps_tracestate_;
  if (record_ == nullptr) return out;
  out.context_.span = tracer_->new_id();
  out.began_ = tracer_->clock_.now();
  out.record_ = tracer_->new_record(name, kind, out.began_);
  out.record_->context = out.context_;
  out.record_->parent = context_.span;
  out.record_->trace_state = record_->trace_state;
  return out;
}

void Span::end() {
  if (record_ == nullptr) return;
  const Nanos took = tracer_->clock_.now() - began_;
  record_->end = record_->start + std::chrono::duration_cast<Wall::duration>(took);
  tracer_->queue_.push(std::move(record_));
}

bool Sampler::sample(std::uint64_t trace_low, const TraceContext* parent) const {
  if (by_parent && parent != nullptr) return parent->sampled;
  if (ratio >= 1) return true;
  return trace_low >> 1 < static_cast<std::uint64_t>(std::ldexp(ratio, 63));
}

// SplitMix64 (Steele, Lea, Flood 2014) over a shared counter. Ids need to be unique, not secret.
std::uint64_t Tracer::new_id() {
  for (;;) {
    std::uint64_t z = state_.fetch_add(0x9E3779B97F4A7C15, std::memory_order_relaxed);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    if (z != 0) return z;
  }
}

std::unique_ptr<SpanRecord> Tracer::new_record(std::string_view name, SpanKind kind,
                                               Mono began) const {
  auto record = std::make_unique<SpanRecord>();
  record->name = name;
  record->kind = kind;
  record->start = clock_.wall() - std::chrono::duration_cast<Wall::duration>(clock_.now() - began);
  return record;
}

Span Tracer::start(std::string_view name, SpanKind kind, const Origin& origin, Mono began) {
  Span out;
  out.tracer_ = this;
  const auto parent = parse_traceparent(origin.traceparent);
  if (parent) {
    out.context_ = *parent;
    out.keeps_tracestate_ = is_tracestate(origin.tracestate);
  } else {
    out.context_.trace_high = new_id();
    out.context_.trace_low = new_id();
  }
  out.context_.sampled = sampler_.sample(out.context_.trace_low, parent ? &*parent : nullptr);
  // Nothing is recorded under an id of its own then: the next one's parent is the one before.
  if (!out.context_.sampled && parent) return out;
  out.context_.span = new_id();
  if (!out.context_.sampled) return out;
  out.began_ = began;
  out.record_ = new_record(name, kind, began);
  out.record_->context = out.context_;
  out.record_->parent = parent ? parent->span : 0;
  if (out.keeps_tracestate_) out.record_->trace_state = origin.tracestate;
  return out;
}

}  // namespace baton::observe
