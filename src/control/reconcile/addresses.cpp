#include "control/reconcile/addresses.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "control/plan/child_name.hpp"
#include "control/reconcile/fields.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;

constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io";
constexpr std::string_view kGatewayLabel = "gateway.networking.k8s.io/gateway-name";
constexpr int kEnginePort = 8000;

// ---- paths of a route

enum class Bucket : std::uint8_t { kPath, kPublisher, kHeader };

struct Path {
  std::string text;
  Bucket bucket;
};

auto depth(std::string_view path) {
  return std::tuple(path == "/" ? 0 : std::ranges::count(path, '/'), path.size(), path);
}

std::optional<Bucket> bucket_of(const Object& match, std::string_view path,
                                std::string_view routing_header) {
  const auto& headers = items(match, {"headers"});
  if (headers.empty()) {
    return path.starts_with("/publishers/") ? Bucket::kPublisher : Bucket::kPath;
  }
  const bool routes = !routing_header.empty() && std::ranges::any_of(headers, [&](const auto& h) {
    return h.string_at({"name"}) == routing_header;
  });
  if (routes) return Bucket::kHeader;
  return std::nullopt;
}

bool leads_to_service(const Object& rule) {
  return std::ranges::any_of(items(rule, {"backendRefs"}), [](const Object& backend) {
    const auto kind = backend.string_at({"kind"});
    return (kind.empty() || kind == "Service") && backend.string_at({"group"}).empty();
  });
}

// The shallowest path of each bucket, one that leads to a Service if there is any.
std::vector<Path> paths_of(const Object& route, std::string_view routing_header) {
  static const Object kEverything = text::json::Object{};
  std::map<std::pair<Bucket, bool>, std::string> best;
  for (const auto& rule : items(route, {"spec", "rules"})) {
    const bool service = leads_to_service(rule);
    const auto consider = [&](const Object& match) {
      const auto path = or_else(match.string_at({"path", "value"}), "/");
      const auto bucket = bucket_of(match, path, routing_header);
      if (!bucket) return;
      auto [at, fresh] = best.try_emplace({*bucket, service}, path);
      if (!fresh && depth(path) < depth(at->second)) at->second = path;
    };
    const auto& matches = items(rule, {"matches"});
    if (matches.empty()) consider(kEverything);
    for (const auto& match : matches) consider(match);
  }
  std::vector<Path> out;
  for (const auto bucket : {Bucket::kPath, Bucket::kPublisher, Bucket::kHeader}) {
    for (const bool service : {true, false}) {
      const auto found = best.find({bucket, service});
      if (found == best.end()) continue;
      out.push_back({found->second, bucket});
      break;
    }
  }
  if (out.empty()) out.push_back({"/", Bucket::kPath});
  std::ranges::sort(out, {}, [](const Path& p) { return std::tuple(depth(p.text), p.bucket); });
  return out;
}

// ---- listeners of a gateway

std::string_view scheme_of(const Object& listener) {
  return listener.string_at({"protocol"}) == "HTTP" ? "http" : "https";
}

std::int64_t port_of(const Object& listener) {
  const auto* port = listener.find("port");
  return port == nullptr ? 80 : port->if_int().value_or(80);
}

Result<Objects> listeners_of(const Object& gateway, const Object& parent) {
  static constexpr std::array<std::string_view, 3> kProtocols = {"HTTP", "HTTPS", "TLS"};
  const auto section = parent.string_at({"sectionName"});
  const auto where =
      fmt::format("Gateway {}/{}", kube::namespace_of(gateway), kube::name_of(gateway));
  Objects out;
  for (const auto& listener : items(gateway, {"spec", "listeners"})) {
    if (!section.empty() && listener.string_at({"name"}) != section) continue;
    if (std::ranges::find(kProtocols, listener.string_at({"protocol"})) == kProtocols.end()) {
      continue;
    }
    out.push_back(&listener);
  }
  if (out.empty() && !section.empty()) {
    return invalid(fmt::format("{} has no HTTP listener '{}'", where, section));
  }
  if (out.empty()) return invalid(fmt::format("{} has no HTTP, HTTPS or TLS listener", where));
  return out;
}

// ---- hosts

std::string url_of(std::string_view scheme, std::string_view host, std::int64_t port,
                   std::string_view path) {
  const bool literal = host.find(':') != std::string_view::npos;  // IPv6
  const auto shown = literal ? fmt::format("[{}]", host) : std::string(host);
  const bool usual = port == (scheme == "https" ? 443 : 80);
  return fmt::format("{}://{}{}{}", scheme, shown, usual ? "" : fmt::format(":{}", port),
                     path == "/" ? "" : path);
}

std::vector<std::string> external_hosts(const Object& route, const Object& gateway,
                                        const Object& listener, std::string_view wildcard_label) {
  std::vector<std::string> out;
  for (const auto& host : items(route, {"spec", "hostnames"})) {
    const auto* text = host.if_string();
    if (text != nullptr && !text->empty() && *text != "*") out.push_back(*text);
  }
  std::erase_if(out, [](const std::string& host) { return host.starts_with("*."); });
  if (!out.empty()) return out;
  const auto own = listener.string_at({"hostname"});
  if (own.starts_with("*.")) return {fmt::format("{}{}", wildcard_label, own.substr(1))};
  if (!own.empty() && own != "*") return {std::string(own)};
  for (const auto& address : items(gateway, {"status", "addresses"})) {
    if (const auto value = address.string_at({"value"}); !value.empty()) out.emplace_back(value);
  }
  return out;
}

// The Service that stands before the gateway.
const Object* backing_service(const Objects& services, const Object& gateway) {
  const Object* labelled = nullptr;
  const Object* same_name = nullptr;
  for (const auto* service : services) {
    if (kube::namespace_of(*service) != kube::namespace_of(gateway)) continue;
    if (kube::label(*service, kGatewayLabel) == kube::name_of(gateway) &&
        (labelled == nullptr || kube::name_of(*service) < kube::name_of(*labelled))) {
      labelled = service;
    }
    if (kube::name_of(*service) == kube::name_of(gateway)) same_name = service;
  }
  return labelled != nullptr ? labelled : same_name;
}

bool exposes(const Object& service, std::int64_t port) {
  const auto& ports = items(service, {"spec", "ports"});
  return ports.empty() || std::ranges::any_of(ports, [&](const Object& one) {
           const auto* number = one.find("port");
           return number != nullptr && number->if_int() == port;
         });
}

bool is_private_ip(std::string_view host) {
  if (host.find(':') != std::string_view::npos) {  // ULA, RFC 4193; link-local
    return host.starts_with("fc") || host.starts_with("fd") || host.starts_with("fe80");
  }
  if (host.starts_with("10.") || host.starts_with("192.168.") || host.starts_with("127.")) {
    return true;
  }
  if (!host.starts_with("172.")) return false;  // 172.16.0.0/12, RFC 1918
  const auto second = host.substr(4, host.find('.', 4) - 4);
  return second.size() == 2 && second >= "16" && second <= "31";
}

bool is_internal(std::string_view host, std::string_view domain) {
  if (is_private_ip(host) || host == "localhost") return true;
  return std::ranges::any_of(
      std::array<std::string_view, 4>{domain, "local", "localhost", "internal"},
      [&](std::string_view suffix) { return host.ends_with(fmt::format(".{}", suffix)); });
}

// ---- models

std::vector<std::string> model_names(const Object& merged) {
  std::vector<std::string> out;
  const auto& model = *merged.find_path({"spec", "model"});
  out.emplace_back(model.string_at({"name"}));
  for (const auto& adapter : items(model, {"lora", "adapters"})) {
    if (const auto name = adapter.string_at({"name"}); !name.empty()) out.emplace_back(name);
  }
  std::erase(out, "");
  return out;
}

std::vector<std::string> models_at(const Object& merged, Bucket bucket) {
  std::vector<std::string> out;
  if (!has(merged, {"spec", "model"})) return out;
  for (const auto& name : model_names(merged)) {
    out.push_back(fmt::format("publishers/{}/models/{}", kube::namespace_of(merged), name));
    if (bucket != Bucket::kHeader) out.push_back(name);
  }
  return out;
}

Object gateway_origin(const Object& gateway) {
  return text::json::Object{{"group", kGatewayGroup},
                            {"kind", "Gateway"},
                            {"name", kube::name_of(gateway)},
                            {"namespace", kube::namespace_of(gateway)}};
}

class Finder {
 public:
  explicit Finder(const RouterView& view) : view_(view) {}

  Status add_route(const Object& route) {
    for (const auto& parent : items(route, {"spec", "parentRefs"})) {
      if (!is_gateway_ref(parent)) continue;
      const auto* gateway = find_gateway(view_.gateways, parent, kube::namespace_of(route));
      if (gateway == nullptr) {
        return not_found(
            fmt::format("Gateway {} does not exist", text_of(parent, kube::namespace_of(route))));
      }
      BATON_TRY_ASSIGN(const auto listeners, listeners_of(*gateway, parent));
      for (const auto* listener : listeners) add_listener(route, *gateway, *listener);
    }
    return {};
  }

  std::vector<Address> take() && {
    std::ranges::sort(found_, {}, &Address::url);
    return std::move(found_);
  }

 private:
  void add_listener(const Object& route, const Object& gateway, const Object& listener) {
    const auto& installation = view_.installation;
    if (!items(gateway, {"status", "addresses"}).empty()) {
      for (const auto& host :
           external_hosts(route, gateway, listener, installation.wildcard_label)) {
        add_host(route, gateway, listener, host);
      }
    }
    const auto* service = backing_service(view_.services, gateway);
    if (service == nullptr || !exposes(*service, port_of(listener))) return;
    add_host(route, gateway, listener,
             fmt::format("{}.{}.svc.{}", kube::name_of(*service), kube::namespace_of(*service),
                         installation.plan.cluster_domain));
  }

  void add_host(const Object& route, const Object& gateway, const Object& listener,
                const std::string& host) {
    const auto& settings = view_.installation.plan;
    const bool internal = is_internal(host, settings.cluster_domain);
    const bool service = host.ends_with(fmt::format(".svc.{}", settings.cluster_domain));
    for (const auto& path : paths_of(route, settings.model_routing_header)) {
      Address address;
      address.url = url_of(scheme_of(listener), host, port_of(listener), path.text);
      if (!seen_.insert(address.url).second) continue;
      address.name = service ? "gateway-internal" : internal ? "internal" : "gateway-external";
      if (path.text == "/") address.name += "-model-routing";
      address.origin = gateway_origin(gateway);
      address.models = models_at(view_.merged, path.bucket);
      address.external = !internal;
      found_.push_back(std::move(address));
    }
  }

  const RouterView& view_;
  std::vector<Address> found_;
  std::set<std::string> seen_;
};

// Without a route: the Service before the engines, if it is there.
std::vector<Address> workload_address(const RouterView& view) {
  const auto ns = kube::namespace_of(view.merged);
  const auto name = plan::child_name(kube::name_of(view.merged), "-kserve-workload-svc");
  for (const auto* service : view.services) {
    if (kube::namespace_of(*service) != ns || kube::name_of(*service) != name) continue;
    const auto& settings = view.installation.plan;
    Address address;
    address.url = fmt::format("{}://{}.{}.svc.{}:{}", settings.enable_tls ? "https" : "http", name,
                              ns, settings.cluster_domain, kEnginePort);
    address.name = "internal";
    address.models =
        has(view.merged, {"spec", "model"}) ? model_names(view.merged) : std::vector<std::string>();
    return {std::move(address)};
  }
  return {};
}

// The path of "http://host/path", "" without one.
std::string_view path_of(std::string_view url) {
  const auto slash = url.find('/', url.find("://") + 3);
  return slash == std::string_view::npos ? "" : url.substr(slash);
}

}  // namespace

Result<std::vector<Address>> addresses_of(const RouterView& view) {
  if (view.routes.empty()) return workload_address(view);
  Finder finder(view);
  for (const auto* route : view.routes) {
    BATON_TRY(finder.add_route(*route));
  }
  return std::move(finder).take();
}

std::string preferred_url(const RouterView& view, const std::vector<Address>& addresses) {
  if (addresses.empty()) return "";
  const bool any_external = std::ranges::any_of(addresses, &Address::external);
  const auto own =
      fmt::format("/{}/{}", kube::namespace_of(view.merged), kube::name_of(view.merged));
  const auto& scheme = view.installation.url_scheme;
  const Address* best = nullptr;
  const auto rank = [&](const Address& one) {
    const auto path = path_of(one.url);
    const bool named = path == own || path.starts_with(own + "/");
    const bool other_scheme =
        !any_external && !scheme.empty() && !one.url.starts_with(scheme + "://");
    return std::tuple(!named, other_scheme, std::string_view(one.url));
  };
  for (const auto& one : addresses) {
    if (any_external && !one.external) continue;
    if (best == nullptr || rank(one) < rank(*best)) best = &one;
  }
  return best->url;
}

kube::Object to_status(const std::vector<Address>& addresses) {
  text::json::Array out;
  for (const auto& address : addresses) {
    kube::Object entry;
    if (!address.name.empty()) entry["name"] = address.name;
    entry["url"] = address.url;
    if (!address.origin.is_null()) entry["origin"] = address.origin;
    for (const auto& model : address.models) {
      entry["models"].push_back(text::json::Object{{"name", model}});
    }
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace baton::reconcile
