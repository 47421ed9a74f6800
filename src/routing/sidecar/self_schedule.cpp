#include "routing/sidecar/self_schedule.hpp"

#include <algorithm>
#include <utility>

#include "base/core/log.hpp"
#include "routing/sidecar/allowlist.hpp"

namespace baton::sidecar {

namespace {

bool prefills(const schedule::Endpoint& endpoint) {
  const auto stages = schedule::stages_of(endpoint.role());
  return (stages & schedule::kPrefills) != 0 && (stages & schedule::kDecodes) == 0;
}

}  // namespace

std::string_view own_picker() {
  return R"(apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: pd-profile-handler
  parameters:
    threshold: 100
- type: prefill-header-handler
- type: prefill-filter
- type: decode-filter
- type: prefix-cache-scorer
- type: load-aware-scorer
- type: max-score-picker
schedulingProfiles:
- name: prefill
  plugins:
  - pluginRef: prefill-filter
  - pluginRef: prefix-cache-scorer
    weight: 2.0
  - pluginRef: load-aware-scorer
    weight: 1.0
  - pluginRef: max-score-picker
- name: decode
  plugins:
  - pluginRef: decode-filter
  - pluginRef: prefix-cache-scorer
    weight: 2.0
  - pluginRef: load-aware-scorer
    weight: 1.0
  - pluginRef: max-score-picker
)";
}

Status check_picker(const std::string& picker, const std::string& source) {
  watch::Service service;
  service.name = "self";
  service.picker = picker;
  service.picker_source = source;
  const pick::ServicePool pool(service);
  if (pool.broken()) return *pool.broken();
  return {};
}

SelfSchedule::SelfSchedule(http::Endpoint own, std::shared_ptr<const PoolEndpoints> pool,
                           const std::string& picker)
    : own_(std::move(own)), found_(std::move(pool)) {
  service_.name = "self";
  service_.picker = picker.empty() ? std::string(own_picker()) : picker;
  service_.picker_source = picker.empty() ? "the sidecar's own" : "--self-schedule-config";
  pool_ = std::make_shared<pick::ServicePool>(service_);
}

// This pod, with the labels that the pool knows of it, and the pods that only prefill.
void SelfSchedule::follow() {
  auto now = found_->current();
  if (now == seen_ || now == nullptr) return;
  seen_ = std::move(now);
  const auto address = canonical_address(own_.host).value_or(own_.host);
  schedule::Endpoint self{
      .ns = "", .name = "self", .host = own_.host, .port = own_.port, .labels = {}};
  service_.endpoints.clear();
  for (const schedule::Endpoint& each : *seen_) {
    const bool own = canonical_address(each.host).value_or(each.host) == address;
    if (own) self.labels = each.labels;
    if (!own && prefills(each)) service_.endpoints.push_back(each);
  }
  self.labels.insert_or_assign(std::string(schedule::kRoleLabel), "decode");
  service_.endpoints.push_back(std::move(self));
  pool_->update(service_);
  log::info("prefill pods of the pool", {{"pods", service_.endpoints.size() - 1}});
}

std::optional<SelfSchedule::Choice> SelfSchedule::choose(std::string& body, openai::Api api,
                                                         Mono now, Random& random) {
  follow();
  if (seen_ == nullptr) return std::nullopt;
  auto prompt = reader_.read(body, api);
  if (!prompt) return std::nullopt;
  Choice out{.api = api, .prefiller = {}, .chain = {}, .picked = {}};
  out.chain = pool_->chain(prompt->model, prompt->cache_salt);
  if (out.chain) out.chain->append(prompt->text);
  auto picked =
      pool_->pick({.chain = out.chain ? &*out.chain : nullptr, .prompt_bytes = prompt->text.size()},
                  now, random);
  if (!picked) {
    tell_failed(picked.error(), now);
    return std::nullopt;
  }
  out.picked = *std::move(picked);
  if (const auto& prefill = out.picked.route.prefill) {
    out.prefiller = http::Endpoint{prefill->host, prefill->port};
  }
  return out;
}

// Each request may fail alike.
void SelfSchedule::tell_failed(const Error& error, Mono now) {
  if (now < tell_next_) {
    ++untold_;
    return;
  }
  log::warn("nothing could be scheduled",
            {{"reason", error.message()}, {"untold", std::exchange(untold_, 0)}});
  tell_next_ = now + kBetween;
}

void SelfSchedule::learn(const Choice& choice, bool prefilled) {
  if (!choice.chain) return;
  const auto& route = choice.picked.route;
  const bool both = prefilled && route.prefill.has_value();
  pool_->remember(route.decode, choice.chain->blocks(), 0, both ? &*route.prefill : nullptr);
}

void SelfSchedule::learn(const Choice& choice, std::span<const std::uint64_t> blocks) {
  if (!choice.chain || blocks.empty()) return;
  const auto chain = choice.chain->blocks();
  pool_->remember(choice.picked.route.decode, chain, chain.size() - blocks.size());
}

}  // namespace baton::sidecar
