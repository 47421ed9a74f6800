#include "routing/watch/topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <tuple>

#include "base/core/log.hpp"
#include "base/text/base64.hpp"
#include "net/kube/object.hpp"

namespace baton::watch {
namespace {

using kube::Object;
using text::json::Value;

constexpr std::string_view kComponent = "app.kubernetes.io/component";
constexpr std::string_view kPickerComponent = "llminferenceservice-router-scheduler";
constexpr std::string_view kWorkloadComponent = "llminferenceservice-workload";

// The name of the LLMInferenceService that owns it, "" for none.
std::string_view owner_of(const Object& child) {
  const auto* owners = child.find_path({"metadata", "ownerReferences"});
  if (owners == nullptr || owners->if_array() == nullptr) return "";
  for (const auto& owner : *owners->if_array()) {
    if (owner.string_at({"kind"}) == "LLMInferenceService") return owner.string_at({"name"});
  }
  return "";
}

bool owned_by(const Object& child, const Object& service) {
  return kube::namespace_of(child) == kube::namespace_of(service) &&
         owner_of(child) == kube::name_of(service);
}

template <class F>
const Object* find(const std::vector<Object>& objects, F&& wanted) {
  const auto it = std::ranges::find_if(objects, wanted);
  return it == objects.end() ? nullptr : &*it;
}

void add_name(std::vector<std::string>& names, std::string_view name) {
  if (!name.empty() && std::ranges::find(names, name) == names.end()) names.emplace_back(name);
}

// The words of all containers' command lines.
std::vector<std::string_view> words_of(const Object& deployment) {
  std::vector<std::string_view> words;
  const auto* containers = deployment.find_path({"spec", "template", "spec", "containers"});
  if (containers == nullptr || containers->if_array() == nullptr) return words;
  for (const auto& container : *containers->if_array()) {
    for (const auto key : {"command", "args"}) {
      const auto* list = container.find(key);
      if (list == nullptr || list->if_array() == nullptr) continue;
      for (const auto& word : *list->if_array()) {
        const auto* string = word.if_string();
        words.push_back(string == nullptr ? std::string_view() : std::string_view(*string));
      }
    }
  }
  return words;
}

// The value of a flag in any of its spellings: "--a-b V", "-a-b=V", "--aB V" …
std::optional<std::string> flag_value(std::span<const std::string_view> words,
                                      std::span<const std::string_view> spellings) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (const auto flag : spellings) {
      if (words[i] == flag && i + 1 < words.size()) return std::string(words[i + 1]);
      if (words[i].starts_with(flag) && words[i].substr(flag.size()).starts_with('=')) {
        return std::string(words[i].substr(flag.size() + 1));
      }
    }
  }
  return std::nullopt;
}

// The name that the service's engines are told to serve; a base configuration may have set it.
std::string served_name(const Objects& objects, const Object& service) {
  constexpr std::array<std::string_view, 1> kServed = {"--served-model-name"};
  const auto* workload = find(objects.deployments, [&](const Object& d) {
    return kube::label(d, kComponent) == kWorkloadComponent && owned_by(d, service);
  });
  return workload == nullptr ? "" : flag_value(words_of(*workload), kServed).value_or("");
}

// What the status lists, else the spec, else the workload, else the service's own name.
std::vector<std::string> models_of(const Objects& objects, const Object& service) {
  std::vector<std::string> names;
  if (const auto* addresses = service.find_path({"status", "addresses"});
      addresses != nullptr && addresses->if_array() != nullptr) {
    for (const auto& address : *addresses->if_array()) {
      const auto* models = address.find("models");
      if (models == nullptr || models->if_array() == nullptr) continue;
      for (const auto& model : *models->if_array()) {
        if (const auto* name = model.if_string()) add_name(names, *name);
        add_name(names, model.string_at({"name"}));
      }
    }
  }
  // Qualified names ("publishers/ns/models/m") are for gateways that many services share.
  std::erase_if(names, [](const std::string& name) { return name.starts_with("publishers/"); });
  if (!names.empty()) return names;
  add_name(names, service.string_at({"spec", "model", "name"}));
  if (names.empty()) add_name(names, served_name(objects, service));
  if (names.empty()) add_name(names, kube::name_of(service));
  return names;
}

void read_picker(const Objects& objects, const Object& service, Service& out) {
  const auto* deployment = find(objects.deployments, [&](const Object& d) {
    return kube::label(d, kComponent) == kPickerComponent && owned_by(d, service);
  });
  if (deployment == nullptr) return;
  constexpr std::array<std::string_view, 4> kText = {"--config-text", "-config-text",
                                                     "--configText", "-configText"};
  constexpr std::array<std::string_view, 4> kFile = {"--config-file", "-config-file",
                                                     "--configFile", "-configFile"};
  const auto words = words_of(*deployment);
  out.picker = flag_value(words, kText);
  if (const auto file = flag_value(words, kFile); file && !out.picker) {
    out.picker_problem = fmt::format(
        "the picker reads {}, which the gateway cannot see; give the configuration inline "
        "(spec.router.scheduler.config.inline or --config-text)",
        *file);
  }
  out.picker_source =
      fmt::format("Deployment {}/{}", kube::namespace_of(*deployment), kube::name_of(*deployment));
}

void add_port(Target& target, const Value* port) {
  const auto number = port == nullptr ? std::nullopt : port->if_int();
  if (number && *number > 0 && *number <= 65535) {
    target.ports.push_back(static_cast<std::uint16_t>(*number));
  }
}

Target target_of_service(const Object& core) {
  Target target;
  if (const auto* selector = core.find_path({"spec", "selector"})) {
    target.selector = kube::match_labels(*selector);
  }
  if (const auto* ports = core.find_path({"spec", "ports"});
      ports != nullptr && ports->if_array() != nullptr && !ports->if_array()->empty()) {
    const auto& first = ports->if_array()->front();
    const auto* port = first.find("targetPort");
    add_port(target, port != nullptr && port->is_number() ? port : first.find("port"));
  }
  return target;
}

std::string_view referred_pool(const Object& service) {
  return service.string_at({"spec", "router", "scheduler", "pool", "ref", "name"});
}

const Object* pool_of(const Objects& objects, const Object& service) {
  const auto named = referred_pool(service);
  return find(objects.pools, [&](const Object& p) {
    if (named.empty()) return owned_by(p, service);
    return kube::namespace_of(p) == kube::namespace_of(service) && kube::name_of(p) == named;
  });
}

// The key belongs to whom the pods belong to: a referred pool may be another service's.
std::string routing_key_of(const Objects& objects, const Object& service) {
  const auto* pool = pool_of(objects, service);
  const auto owner = pool == nullptr ? kube::name_of(service) : owner_of(*pool);
  if (owner.empty()) return "";
  const auto* secret = find(objects.keys, [&](const Object& s) {
    return kube::namespace_of(s) == kube::namespace_of(service) && owner_of(s) == owner;
  });
  if (secret == nullptr) return "";
  return text::parse_base64(secret->string_at({"data", "key"})).value_or("");
}

std::optional<Target> target_of(const Objects& objects, const Object& service) {
  if (const auto* pool = pool_of(objects, service)) return target_of_pool(*pool);
  if (!referred_pool(service).empty()) return std::nullopt;
  const auto* core = find(objects.cores, [&](const Object& c) {
    return kube::label(c, kComponent) == kWorkloadComponent && owned_by(c, service);
  });
  if (core == nullptr) return std::nullopt;
  return target_of_service(*core);
}

// Those that a pod's annotation leaves of its pool's; nullopt without it. What is no port names
// none.
std::optional<std::vector<std::uint16_t>> active_ports(const kube::Object& pod) {
  const kube::Object* found = nullptr;
  for (const auto* key : {"llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports"}) {
    if (found == nullptr) found = pod.find_path({"metadata", "annotations", key});
  }
  if (found == nullptr || found->if_string() == nullptr) return std::nullopt;
  std::vector<std::uint16_t> out;
  std::string_view text = *found->if_string();
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    auto word = text.substr(0, comma);
    text.remove_prefix(std::min(text.size(), comma + 1));
    while (word.starts_with(' ')) word.remove_prefix(1);
    std::uint16_t port = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), port).ec == std::errc()) {
      out.push_back(port);
    }
  }
  return out;
}

}  // namespace

// InferencePool v1: selector.matchLabels, targetPorts[].number. The alpha: a flat selector and
// targetPortNumber.
Target target_of_pool(const Object& pool) {
  Target target;
  if (const auto* labels = pool.find_path({"spec", "selector", "matchLabels"})) {
    target.selector = kube::match_labels(*labels);
  } else if (const auto* flat = pool.find_path({"spec", "selector"})) {
    target.selector = kube::match_labels(*flat);
  }
  if (const auto* ports = pool.find_path({"spec", "targetPorts"});
      ports != nullptr && ports->if_array() != nullptr) {
    for (const auto& port : *ports->if_array()) add_port(target, port.find("number"));
  } else {
    add_port(target, pool.find_path({"spec", "targetPortNumber"}));
  }
  target.app_protocol = pool.string_at({"spec", "appProtocol"});
  return target;
}

std::vector<schedule::Endpoint> endpoints_of(const Target& target, std::string_view ns,
                                             const std::vector<kube::Object>& pods) {
  std::vector<schedule::Endpoint> out;
  if (target.selector.empty()) return out;  // would select every pod of the namespace
  for (const auto& pod : pods) {
    const auto ip = pod.string_at({"status", "podIP"});
    if (kube::namespace_of(pod) != ns || ip.empty() || kube::is_deleting(pod) ||
        !kube::matches(target.selector, pod) || !kube::condition_is(pod, "Ready", "True")) {
      continue;
    }
    const auto active = active_ports(pod);
    for (std::uint16_t rank = 0; rank < target.ports.size(); ++rank) {
      const auto port = target.ports[rank];
      if (active && std::ranges::find(*active, port) == active->end()) continue;
      schedule::Endpoint endpoint;
      endpoint.rank = rank;
      endpoint.ns = ns;
      endpoint.name = kube::name_of(pod);
      endpoint.host = ip;
      endpoint.port = port;
      endpoint.hostname = pod.string_at({"spec", "hostname"});
      if (const auto* labels = pod.find_path({"metadata", "labels"})) {
        endpoint.labels = kube::match_labels(*labels);
      }
      out.push_back(std::move(endpoint));
    }
  }
  std::ranges::sort(out, [](const auto& a, const auto& b) {
    return std::tie(a.name, a.port) < std::tie(b.name, b.port);
  });
  return out;
}

bool asks_for_route(const kube::Object& service) {
  return service.find_path({"spec", "router", "route"}) != nullptr ||
         service.find_path({"spec", "router", "gateway"}) != nullptr;
}

Topology topology_of(const Objects& objects) {
  Topology topology;
  for (const auto& object : objects.services) {
    if (kube::is_deleting(object)) continue;
    Service service;
    service.ns = kube::namespace_of(object);
    service.name = kube::name_of(object);
    service.models = models_of(objects, object);
    service.routed = asks_for_route(object);
    read_picker(objects, object, service);
    service.routing_key = routing_key_of(objects, object);
    if (const auto target = target_of(objects, object)) {
      service.endpoints = endpoints_of(*target, service.ns, objects.pods);
    }
    topology.services.push_back(std::move(service));
  }
  std::ranges::sort(topology.services, [](const Service& a, const Service& b) {
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  });
  return topology;
}

}  // namespace baton::watch
