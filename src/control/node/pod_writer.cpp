#include "control/node/pod_writer.hpp"

#include <fmt/format.h>

#include <fstream>
#include <thread>

#include "control/node/pod_status.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

namespace {

constexpr int kEmulatedGpus = 64;  // a stand-in lets any number of pods have them
constexpr int kMaxPods = 250;

std::string memory_of_this_machine() {
  std::ifstream in("/proc/meminfo");
  for (std::string name, amount, unit; in >> name >> amount >> unit;) {
    if (name == "MemTotal:") return amount + "Ki";
  }
  return "0";
}

kube::Object node_status(const Config& config, Wall now) {
  kube::Object status;
  for (const auto* member : {"capacity", "allocatable"}) {
    auto& amounts = status[member];
    amounts["cpu"] = std::to_string(std::max(1U, std::thread::hardware_concurrency()));
    amounts["memory"] = memory_of_this_machine();
    amounts["pods"] = std::to_string(kMaxPods);
    amounts["nvidia.com/gpu"] =
        std::to_string(config.emulates_accelerators() ? kEmulatedGpus : config.gpus);
  }
  for (const auto& [type, address] :
       {std::pair<std::string, std::string>{"InternalIP", config.node_address},
        {"Hostname", config.node_name}}) {
    status["addresses"].push_back(text::json::Object{{"type", type}, {"address", address}});
  }
  kube::set_condition(status["conditions"],
                      {"Ready", "True", "NodeAgentReady", "pods run as processes", ""}, now);
  return status;
}

}  // namespace

Status write_pod_status(kube::Cluster& cluster, const kube::Object& pod, const kube::Object& status,
                        Deadline deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(pod));
  Status last = conflict(fmt::format("{}: status not tried", to_string(key)));
  for (int tries = 0; tries < kube::kConflictRetries; ++tries) {
    BATON_TRY_ASSIGN(auto current, cluster.get(key, deadline));
    if (kube::uid_of(current) != kube::uid_of(pod)) {
      return not_found(fmt::format("{} was replaced", to_string(key)));
    }
    const auto* before = current.find("status");
    current["status"] =
        keep_foreign_conditions(status, before == nullptr ? kube::Object() : *before);
    const auto written = cluster.update_status(current, deadline);
    if (written) return {};
    last = written.error();
    if (written.error().code() != Code::kConflict) break;
  }
  return last;
}

Status bind_pod(kube::Cluster& cluster, const kube::Object& pod, const std::string& node,
                Deadline deadline) {
  const auto bound = pod.string_at({"spec", "nodeName"});
  if (bound == node) return {};
  BATON_TRY_ASSIGN(const auto key, kube::key_of(pod));
  kube::Object binding;
  binding["apiVersion"] = "v1";
  binding["kind"] = "Binding";
  binding["metadata"]["name"] = key.name;
  binding["metadata"]["namespace"] = key.ns;
  binding["target"]["apiVersion"] = "v1";
  binding["target"]["kind"] = "Node";
  binding["target"]["name"] = node;
  BATON_TRY(cluster.create_subresource(key, "binding", binding, deadline));
  return {};
}

Result<std::string> request_token(kube::Cluster& cluster, const kube::Object& pod,
                                  std::string_view audience, std::int64_t expires_seconds,
                                  Deadline deadline) {
  const auto named = pod.string_at({"spec", "serviceAccountName"});
  const kube::ObjectKey account{{"", "v1", "ServiceAccount"},
                                std::string(kube::namespace_of(pod)),
                                named.empty() ? "default" : std::string(named)};
  kube::Object request;
  request["apiVersion"] = "authentication.k8s.io/v1";
  request["kind"] = "TokenRequest";
  auto& spec = request["spec"];
  if (!audience.empty()) spec["audiences"].push_back(std::string(audience));
  spec["expirationSeconds"] = expires_seconds;
  spec["boundObjectRef"]["apiVersion"] = "v1";
  spec["boundObjectRef"]["kind"] = "Pod";
  spec["boundObjectRef"]["name"] = kube::name_of(pod);
  spec["boundObjectRef"]["uid"] = kube::uid_of(pod);
  auto answer = cluster.create_subresource(account, "token", request, deadline);
  if (!answer) return std::move(answer).error().with("service account token");
  return std::string(answer->string_at({"status", "token"}));
}

Status register_node(kube::Cluster& cluster, const Config& config, Wall now, Deadline deadline) {
  kube::Object node;
  node["apiVersion"] = "v1";
  node["kind"] = "Node";
  node["metadata"]["name"] = config.node_name;
  node["metadata"]["labels"]["kubernetes.io/hostname"] = config.node_name;
  node["metadata"]["labels"]["kubernetes.io/os"] = "linux";
  const auto made = cluster.create(node, kube::DryRun::kNo, deadline);
  if (!made && made.error().code() != Code::kConflict) return made.error();
  BATON_TRY_ASSIGN(auto current, cluster.get(*kube::key_of(node), deadline));
  current["status"] = node_status(config, now);
  BATON_TRY(cluster.update_status(current, deadline));
  return {};
}

}  // namespace baton::node
