#include "net/otlp/exporter.hpp"

#include <algorithm>
#include <utility>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "base/core/log.hpp"

namespace baton::otlp {

namespace {

constexpr std::string_view kDroppedSpans = "baton_trace_spans_dropped_total";
constexpr std::string_view kDroppedHelp = "Spans that no collector got, by reason.";

observe::Counter& dropped(observe::Registry& registry, std::string reason) {
  return registry.counter(kDroppedSpans, kDroppedHelp, {{"reason", std::move(reason)}});
}

}  // namespace

Tracing::Tracing(Settings settings, const Deps& deps)
    : settings_(std::move(settings)),
      clock_(deps.clock),
      first_backoff_(deps.first_backoff),
      exported_(deps.registry.counter("baton_trace_spans_exported_total",
                                      "Spans that the collector has taken.")),
      unreachable_(dropped(deps.registry, "unreachable")),
      rejected_(dropped(deps.registry, "rejected")),
      failures_(deps.registry.counter("baton_trace_export_failures_total",
                                      "Exports that failed, also those that were repeated.")),
      queue_(settings_.queue, dropped(deps.registry, "queue-full")),
      tracer_(clock_, queue_, settings_.sampler, deps.random.next()),
      jitter_(deps.random.next()),
      due_(loop_.executor()),
      ending_(loop_.executor()),
      ended_(loop_.executor()),
      tasks_(loop_.executor()) {
  queue_.wake_at(settings_.batch, [this] { loop_.post([this] { due_.notify(); }); });
}

Result<std::unique_ptr<Tracing>> Tracing::start(Settings settings, const Deps& deps) {
  std::unique_ptr<Tracing> out(new Tracing(std::move(settings), deps));
  Tracing& self = *out;
  BATON_TRY_ASSIGN(self.transport_,
                   make_transport(self.settings_, self.loop_.executor(), self.clock_));
  for (const auto& warning : self.settings_.warnings) log::warn(warning);
  log::info("spans are exported", {{"collector", self.settings_.url()},
                                   {"sampled", self.settings_.sampler.ratio},
                                   {"as_parent", self.settings_.sampler.by_parent}});
  self.loop_.post([&self] { self.tasks_.spawn(self.run()); });
  self.loop_.start();
  return out;
}

Tracing::~Tracing() { stop(Deadline::in(clock_, kFlush)); }

void Tracing::stop(Deadline deadline) {
  if (!loop_.running()) return;
  async::blocking_run(loop_, finish(deadline));
  loop_.stop();
}

Task<void> Tracing::finish(Deadline deadline) {
  stopping_ = true;
  due_.notify();
  ending_.notify();
  while (!done_ && !deadline.passed(clock_.now())) {
    (void)co_await async::finish_by(deadline.at, ended_.wait());
  }
  tasks_.cancel();
  co_await tasks_.join();
  co_await transport_->stop();
  std::size_t left = in_flight_;
  while (queue_.pop() != nullptr) ++left;
  unreachable_.add(static_cast<double>(left));
  if (left > 0) log::warn("spans are lost at the end", {{"spans", left}});
}

Task<void> Tracing::run() {
  while (!stopping_) {
    if (queue_.size() < settings_.batch) {
      (void)co_await async::finish_by(clock_.now() + settings_.delay, due_.wait());
    }
    for (Batch batch = next_batch(); !batch.empty(); batch = next_batch()) {
      co_await deliver(std::move(batch));
      if (!stopping_ && queue_.size() < settings_.batch) break;
    }
  }
  done_ = true;
  ended_.notify();
}

Batch Tracing::next_batch() {
  Batch batch;
  while (batch.size() < settings_.batch) {
    auto span = queue_.pop();
    if (span == nullptr) break;
    batch.push_back(std::move(span));
  }
  return batch;
}

Task<void> Tracing::deliver(Batch batch) {
  const std::string request = encode_request(settings_.resource, batch);
  in_flight_ = batch.size();
  Nanos backoff = first_backoff_;
  for (int attempt = 1;; ++attempt) {
    const Deadline deadline = Deadline::in(clock_, settings_.timeout);
    const Outcome outcome = co_await transport_->send(request, deadline);
    if (settled(outcome, in_flight_)) break;
    if (stopping_ || attempt == kAttempts) {
      unreachable_.add(static_cast<double>(in_flight_));
      break;
    }
    const Nanos asked = std::min(outcome.after.value_or(Nanos(0)), kLongestBackoff);
    const auto spread = std::chrono::duration_cast<Nanos>(backoff * (0.5 + jitter_.unit() / 2));
    (void)co_await async::finish_by(clock_.now() + std::max(asked, spread), ending_.wait());
    backoff = std::min(backoff * 2, kLongestBackoff);
  }
  in_flight_ = 0;
}

// Whether nothing more is to be done about a batch of so many spans.
bool Tracing::settled(const Outcome& outcome, std::size_t spans) {
  if (outcome.kind == Outcome::Kind::kNotNow) {
    failures_.add();
    tell_failure(outcome.why);
    return false;
  }
  if (std::exchange(failing_, false)) {
    log::info("the collector of spans is there again", {{"collector", settings_.url()}});
  }
  std::size_t refused = spans;
  if (outcome.kind == Outcome::Kind::kTaken) {
    refused = std::min(static_cast<std::size_t>(outcome.left_out), spans);
  } else {
    failures_.add();
  }
  exported_.add(static_cast<double>(spans - refused));
  rejected_.add(static_cast<double>(refused));
  if (refused > 0 && !std::exchange(complained_, true)) {
    log::warn("the collector rejects spans; told once, counted always",
              {{"collector", settings_.url()}, {"spans", refused}, {"why", outcome.why}});
  }
  return true;
}

void Tracing::tell_failure(const std::string& why) {
  if (std::exchange(failing_, true)) return;
  log::warn("spans do not reach the collector, requests go on; told once until they do",
            {{"collector", settings_.url()}, {"why", why}});
}

}  // namespace baton::otlp
