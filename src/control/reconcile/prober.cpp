#include "control/reconcile/prober.hpp"

#include "base/core/log.hpp"

namespace baton::reconcile {

namespace {
// Pods come and go in groups: one probe for all of them.
constexpr Nanos kGather = Millis(200);

bool same(const kube::Condition& a, const kube::Condition& b) {
  return a.status == b.status && a.reason == b.reason && a.message == b.message;
}
}  // namespace

Prober::Prober(Config config, const Clock& clock, observe::Registry& registry, OnVerdict on_verdict)
    : config_(std::move(config)),
      clock_(clock),
      registry_(registry),
      on_verdict_(std::move(on_verdict)),
      queue_(clock, {.base = config_.retry, .max = config_.again}) {
  for (int i = 0; i < config_.threads; ++i) threads_.emplace_back([this] { work(); });
}

Prober::~Prober() {
  queue_.close();
  for (auto& thread : threads_) thread.join();
}

std::optional<kube::Condition> Prober::verdict(const std::string& key, const ProbeTarget& target,
                                               std::uint64_t identity) {
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = entries_.try_emplace(key);
  Entry& entry = at->second;
  if (fresh || entry.identity != identity || entry.target != target) {
    entry.target = target;
    entry.identity = identity;
    entry.serial = ++serials_;
    queue_.add_after(key, kGather);
  }
  return entry.verdict;
}

void Prober::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  entries_.erase(key);
}

std::uint64_t Prober::revision(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  return found == entries_.end() ? 0 : found->second.revision;
}

void Prober::work() {
  while (const auto key = queue_.next()) {
    std::optional<ProbeTarget> target;
    std::uint64_t serial = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(*key);
      if (found != entries_.end()) {
        target = found->second.target;
        serial = found->second.serial;
      }
    }
    if (target) {
      probe(*key, *target, serial);
    } else {
      queue_.forget(*key);
    }
    queue_.done(*key);
  }
}

void Prober::probe(const std::string& key, const ProbeTarget& target, std::uint64_t serial) {
  const auto answer = config_.send(target, Deadline::in(clock_, config_.timeout));
  auto verdict = judge(answer, target.text());
  registry_
      .counter("baton_controller_probes_total", "Tokens sent through services that ask for it.",
               {{"result", verdict.reason}})
      .add();
  bool told = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    // One that goes meanwhile is not told of; where what is to be probed has changed, it waits in
    // the queue already.
    if (found == entries_.end() || found->second.serial != serial) {
      queue_.forget(key);
      return;
    }
    if (!found->second.verdict || !same(*found->second.verdict, verdict)) {
      log::info("probe", {{"service", key},
                          {"verified", verdict.status},
                          {"reason", verdict.reason},
                          {"message", verdict.message}});
      found->second.revision = ++revisions_;
      found->second.verdict = verdict;
      told = true;
    }
  }
  if (verdict.status == "True") {
    queue_.forget(key);
    queue_.add_after(key, config_.again);
  } else {
    queue_.retry(key);
  }
  if (told) on_verdict_(key);
}

}  // namespace baton::reconcile
