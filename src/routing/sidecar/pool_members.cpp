#include "routing/sidecar/pool_members.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <utility>

#include "base/core/log.hpp"
#include "net/kube/follower.hpp"
#include "net/kube/object.hpp"

namespace baton::sidecar {

namespace {

constexpr std::string_view kGroup = "inference.networking.k8s.io";
constexpr std::string_view kAlphaGroup = "inference.networking.x-k8s.io";
const kube::Type kPod{"", "v1", "Pod"};

Status add_port(std::set<std::uint16_t>& into, const kube::Object* number, int ranks) {
  auto port = number == nullptr ? std::nullopt : number->if_int();
  if (!port || *port < 1 || *port + ranks - 1 > 65535) {
    return invalid("the pool has a target port outside 1..65535");
  }
  for (int r = 0; r < ranks; ++r) into.insert(static_cast<std::uint16_t>(*port + r));
  return {};
}

Result<std::set<std::uint16_t>> ports_of(const kube::Object& pool, int ranks) {
  std::set<std::uint16_t> ports;
  if (const auto* alpha = pool.find_path({"spec", "targetPortNumber"})) {
    BATON_TRY(add_port(ports, alpha, ranks));
  }
  if (const auto* list = pool.find_path({"spec", "targetPorts"});
      list != nullptr && list->is_array()) {
    for (const auto& each : *list->if_array()) {
      BATON_TRY(add_port(ports, each.find("number"), ranks));
    }
  }
  if (ports.empty()) return invalid("the pool has no target port");
  return ports;
}

// v1: spec.selector.matchLabels; the alpha: spec.selector itself.
Result<kube::LabelSelector> selector_of(const kube::Object& pool) {
  bool alpha = pool.string_at({"apiVersion"}).starts_with(kAlphaGroup);
  const auto* selector = alpha ? pool.find_path({"spec", "selector"})
                               : pool.find_path({"spec", "selector", "matchLabels"});
  if (selector == nullptr || !selector->is_object()) {
    return invalid(
        fmt::format("the pool has no {}", alpha ? "spec.selector" : "spec.selector.matchLabels"));
  }
  kube::LabelSelector labels = kube::match_labels(*selector);
  if (labels.empty()) return invalid("the selector of the pool is empty");
  return labels;
}

std::set<std::string> addresses_of(const kube::Object& pod) {
  std::set<std::string> out;
  auto add = [&](std::string_view text) {
    if (auto address = canonical_address(text)) out.insert(*std::move(address));
  };
  add(pod.string_at({"status", "podIP"}));
  if (const auto* all = pod.find_path({"status", "podIPs"}); all != nullptr && all->is_array()) {
    for (const auto& each : *all->if_array()) add(each.string_at({"ip"}));
  }
  return out;
}

// Its address may belong to another pod by now.
bool has_ended(const kube::Object& pod) {
  auto phase = pod.string_at({"status", "phase"});
  return phase == "Succeeded" || phase == "Failed";
}

kube::Object essence(const kube::Object& pod) {
  using text::json::Object;
  Object metadata{{"name", std::string(kube::name_of(pod))},
                  {"namespace", std::string(kube::namespace_of(pod))}};
  if (const auto* labels = pod.find_path({"metadata", "labels"})) metadata["labels"] = *labels;
  Object status{{"phase", std::string(pod.string_at({"status", "phase"}))},
                {"podIP", std::string(pod.string_at({"status", "podIP"}))}};
  if (const auto* all = pod.find_path({"status", "podIPs"})) status["podIPs"] = *all;
  return Object{{"metadata", std::move(metadata)}, {"status", std::move(status)}};
}

}  // namespace

Result<PoolName> parse_pool_name(std::string_view text, std::string_view fallback_ns) {
  std::size_t slash = text.find('/');
  PoolName out;
  out.ns = slash == std::string_view::npos ? fallback_ns : text.substr(0, slash);
  out.name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  if (out.ns.empty() || out.name.empty() || out.name.contains('/')) {
    return invalid(fmt::format("'{}' is not namespace/name", text));
  }
  return out;
}

Result<kube::Type> pool_type(std::string_view group) {
  if (group == kGroup) return kube::Type{std::string(group), "v1", "InferencePool"};
  if (group == kAlphaGroup) return kube::Type{std::string(group), "v1alpha2", "InferencePool"};
  return invalid(fmt::format("'{}' is not {} or {}", group, kGroup, kAlphaGroup));
}

Result<Published::Endpoints> members_of(const kube::Object& pool,
                                        const std::vector<kube::Object>& pods, int ranks) {
  BATON_TRY_ASSIGN(const auto ports, ports_of(pool, ranks));
  BATON_TRY_ASSIGN(const auto selector, selector_of(pool));
  Published::Endpoints out;
  for (const auto& pod : pods) {
    if (!kube::matches(selector, pod) || has_ended(pod)) continue;
    for (const auto& address : addresses_of(pod)) {
      for (std::uint16_t port : ports) out.insert({address, port});
    }
  }
  return out;
}

struct PoolWatch::Impl {
  Impl(const PoolName& n, int r, std::shared_ptr<Published> to)
      : name(n), ranks(r), into(std::move(to)) {}

  void on_pool(const kube::Event& event) {
    if (kube::name_of(event.object) != name.name) return;
    const std::lock_guard lock(mutex);
    pool.reset();
    if (event.kind != kube::Event::Kind::kDeleted) pool = event.object;
    publish();
  }
  void on_pod(const kube::Event& event) {
    const std::lock_guard lock(mutex);
    std::string key(kube::name_of(event.object));
    if (event.kind == kube::Event::Kind::kDeleted) {
      pods.erase(key);
    } else {
      pods[key] = essence(event.object);
    }
    publish();
  }
  void on_list(bool& listed, const Result<kube::Version>& version) {
    const std::lock_guard lock(mutex);
    if (!version) {
      log::warn("the pool cannot be listed; what is known of it stays allowed",
                {{"pool", name.ns + "/" + name.name}, {"reason", version.error().message()}});
      return;
    }
    listed = true;
    publish();
  }
  // With the mutex held.
  void publish() {
    if (!pools_listed || !pods_listed) return;
    if (!pool) return into->publish({});
    std::vector<kube::Object> all;
    for (const auto& [key, pod] : pods) all.push_back(pod);
    auto members = members_of(*pool, all, ranks);
    if (!members) {
      log::warn("every prefill endpoint is refused",
                {{"pool", name.ns + "/" + name.name}, {"reason", members.error().message()}});
    }
    into->publish(members ? *std::move(members) : Published::Endpoints());
  }

  const PoolName name;
  const int ranks;
  const std::shared_ptr<Published> into;
  std::mutex mutex;  // guards the next four
  std::optional<kube::Object> pool;
  std::map<std::string, kube::Object> pods;
  bool pools_listed = false;
  bool pods_listed = false;
  std::unique_ptr<kube::Follower> pool_follower;  // last: they stop first
  std::unique_ptr<kube::Follower> pod_follower;
};

PoolWatch::PoolWatch(kube::Cluster& cluster, const Clock& clock, const PoolName& name,
                     kube::Type type, int ranks, std::shared_ptr<Published> into)
    : impl_(std::make_unique<Impl>(name, ranks, std::move(into))) {
  Impl* impl = impl_.get();
  impl->pool_follower = std::make_unique<kube::Follower>(
      cluster, clock, kube::Query{std::move(type), name.ns, {}},
      [impl](const kube::Event& event) { impl->on_pool(event); },
      [impl](const Result<kube::Version>& v) { impl->on_list(impl->pools_listed, v); },
      kube::Follower::Keep::kVersions);
  impl->pod_follower = std::make_unique<kube::Follower>(
      cluster, clock, kube::Query{kPod, name.ns, {}},
      [impl](const kube::Event& event) { impl->on_pod(event); },
      [impl](const Result<kube::Version>& v) { impl->on_list(impl->pods_listed, v); },
      kube::Follower::Keep::kVersions);
}

PoolWatch::~PoolWatch() = default;

}  // namespace baton::sidecar
