#include "control/reconcile/router_status.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace baton::reconcile {

namespace {

using kube::Condition;
using text::json::Array;

const Array& items(const kube::Object& object, std::initializer_list<std::string_view> path) {
  static const Array kNone;
  const auto* list = object.find_path(path);
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

std::string_view or_else(std::string_view text, std::string_view otherwise) {
  return text.empty() ? otherwise : text;
}

const kube::Object* find_gateway(const RouterView& view, const kube::Object& ref,
                                 std::string_view ns) {
  for (const auto& gateway : view.gateways) {
    if (kube::name_of(gateway) == ref.string_at({"name"}) &&
        kube::namespace_of(gateway) == or_else(ref.string_at({"namespace"}), ns)) {
      return &gateway;
    }
  }
  return nullptr;
}

const kube::Object* in_entry(const kube::Object& entry, std::string_view type) {
  for (const auto& condition : items(entry, {"conditions"})) {
    if (condition.string_at({"type"}) == type) return &condition;
  }
  return nullptr;
}

bool is_fresh_true(const kube::Object& entry, std::string_view type, std::int64_t generation) {
  const auto* condition = in_entry(entry, type);
  if (condition == nullptr || condition->string_at({"status"}) != "True") return false;
  const auto* seen = condition->find("observedGeneration");
  return seen == nullptr || seen->if_int().value_or(0) >= generation;
}

std::vector<const kube::Object*> of_kind(const RouterView& view, std::string_view kind) {
  std::vector<const kube::Object*> out;
  for (const auto& child : view.children) {
    if (child.string_at({"kind"}) == kind) out.push_back(&child);
  }
  return out;
}

bool is_route_ready(const kube::Object& route) {
  const auto& parents = items(route, {"spec", "parentRefs"});
  if (parents.empty()) return false;
  const auto generation = kube::generation_of(route);
  for (const auto& parent : parents) {
    const auto& entries = items(route, {"status", "parents"});
    const bool accepted = std::ranges::any_of(entries, [&](const kube::Object& entry) {
      return entry.string_at({"parentRef", "name"}) == parent.string_at({"name"}) &&
             in_entry(entry, "Accepted") != nullptr;
    });
    if (!accepted) return false;
  }
  for (const auto& entry : items(route, {"status", "parents"})) {
    if (in_entry(entry, "Accepted") == nullptr) continue;  // a policy's controller
    if (!is_fresh_true(entry, "Accepted", generation) ||
        !is_fresh_true(entry, "ResolvedRefs", generation)) {
      return false;
    }
  }
  return true;
}

Condition info(std::string type, std::string reason, std::string message) {
  const bool ok = reason.empty();
  return {std::move(type), ok ? "True" : "False", std::move(reason), std::move(message), "Info"};
}

Condition gateways_condition(const RouterView& view) {
  const auto ns = kube::namespace_of(view.merged);
  for (const auto& ref : items(view.merged, {"spec", "router", "gateway", "refs"})) {
    const auto text =
        fmt::format("{}/{}", or_else(ref.string_at({"namespace"}), ns), ref.string_at({"name"}));
    const auto* gateway = find_gateway(view, ref, ns);
    if (gateway == nullptr) {
      return info("GatewaysReady", "RefsInvalid", fmt::format("Gateway {} does not exist", text));
    }
    if (!kube::condition_is(*gateway, "Programmed", "True")) {
      return info("GatewaysReady", "GatewaysNotReady",
                  fmt::format("Gateway {} is not programmed", text));
    }
  }
  return info("GatewaysReady", "", "");
}

Condition pool_condition(const std::vector<const kube::Object*>& pools) {
  std::string waiting;
  for (const auto* pool : pools) {
    auto entries = items(*pool, {"status", "parents"});
    for (const auto& entry : items(*pool, {"status", "parent"})) entries.push_back(entry);
    const auto generation = kube::generation_of(*pool);
    const bool accepted =
        !entries.empty() && std::ranges::all_of(entries, [&](const kube::Object& entry) {
          return is_fresh_true(entry, "Accepted", generation);
        });
    if (accepted) return info("InferencePoolReady", "", "");
    if (!entries.empty()) {
      return info("InferencePoolReady", "InferencePoolNotReady",
                  fmt::format("InferencePool {} is not accepted", kube::name_of(*pool)));
    }
    waiting = kube::name_of(*pool);
  }
  return info("InferencePoolReady", "WaitingForGateway",
              fmt::format("InferencePool {} is not yet accepted by gateway", waiting));
}

// The shallowest path that leads to the service, of the rules without header matches.
std::string path_of(const kube::Object& route) {
  std::string best;
  const auto depth = [](const std::string& path) { return std::ranges::count(path, '/'); };
  for (const auto& rule : items(route, {"spec", "rules"})) {
    for (const auto& match : items(rule, {"matches"})) {
      if (match.find("headers") != nullptr) continue;
      const std::string path(or_else(match.string_at({"path", "value"}), "/"));
      if (best.empty() || depth(path) < depth(best)) best = path;
    }
  }
  return best == "/" ? "" : best;
}

std::string url_of(const kube::Object& listener, std::string_view host, std::string_view path) {
  const bool tls = listener.string_at({"protocol"}) != "HTTP";
  const auto* port = listener.find("port");
  const auto number = port == nullptr ? 80 : port->if_int().value_or(80);
  if (number == (tls ? 443 : 80))
    return fmt::format("{}://{}{}", tls ? "https" : "http", host, path);
  return fmt::format("{}://{}:{}{}", tls ? "https" : "http", host, number, path);
}

std::vector<std::string> urls_of(const RouterView& view) {
  std::vector<std::string> out;
  for (const auto* route : of_kind(view, "HTTPRoute")) {
    for (const auto& parent : items(*route, {"spec", "parentRefs"})) {
      const auto* gateway = find_gateway(view, parent, kube::namespace_of(*route));
      if (gateway == nullptr) continue;
      for (const auto& listener : items(*gateway, {"spec", "listeners"})) {
        for (const auto& address : items(*gateway, {"status", "addresses"})) {
          out.push_back(url_of(listener, address.string_at({"value"}), path_of(*route)));
        }
      }
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

kube::Object address(std::string_view url, std::string_view name) {
  kube::Object out;
  if (!name.empty()) out["name"] = name;
  out["url"] = url;
  return out;
}

}  // namespace

std::vector<Condition> router_conditions(const RouterView& view) {
  std::vector<Condition> out;
  if (!items(view.merged, {"spec", "router", "gateway", "refs"}).empty()) {
    out.push_back(gateways_condition(view));
  }
  const auto routes = of_kind(view, "HTTPRoute");
  if (!routes.empty()) {
    std::string not_ready;
    for (const auto* route : routes) {
      if (!is_route_ready(*route)) not_ready = kube::name_of(*route);
    }
    out.push_back(not_ready.empty() ? info("HTTPRoutesReady", "", "")
                                    : info("HTTPRoutesReady", "HTTPRoutesNotReady",
                                           fmt::format("HTTPRoute {} is not ready", not_ready)));
  }
  const auto pools = of_kind(view, "InferencePool");
  if (!pools.empty()) out.push_back(pool_condition(pools));
  return out;
}

void put_addresses(const RouterView& view, kube::Object& status) {
  const auto urls = urls_of(view);
  Array addresses;
  for (const auto& url : urls) addresses.push_back(address(url, "gateway-external"));
  if (of_kind(view, "HTTPRoute").empty()) {
    for (const auto* service : of_kind(view, "Service")) {
      if (!kube::name_of(*service).ends_with("-kserve-workload-svc")) continue;
      addresses.push_back(
          address(fmt::format("{}://{}.{}.svc.{}", view.settings.enable_tls ? "https" : "http",
                              kube::name_of(*service), kube::namespace_of(*service),
                              view.settings.cluster_domain),
                  ""));
    }
  }
  status["addresses"] = std::move(addresses);
  if (!urls.empty()) status["url"] = urls.front();
  const auto pools = of_kind(view, "InferencePool");
  if (pools.empty()) {
    if (auto* members = status.if_object()) members->erase("router");
    return;
  }
  auto& scheduler = status["router"]["scheduler"];
  scheduler["inferencePool"]["kind"] = "InferencePool";
  scheduler["inferencePool"]["name"] = kube::name_of(*pools.front());
  for (const auto* service : of_kind(view, "Service")) {
    if (!kube::name_of(*service).ends_with("-epp-service")) continue;
    scheduler["service"]["kind"] = "Service";
    scheduler["service"]["name"] = kube::name_of(*service);
  }
}

}  // namespace baton::reconcile
