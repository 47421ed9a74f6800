#include "control/node/node_agent.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/core/log.hpp"
#include "control/node/mount_launcher.hpp"
#include "control/node/pod_status.hpp"
#include "control/node/pod_writer.hpp"
#include "control/node/pre_stop.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

namespace {

namespace fs = std::filesystem;

const kube::Type kPod{"", "v1", "Pod"};
constexpr std::uint16_t kEntryPort = 8000;   // of a pod: its sidecar, or the engine without one
constexpr std::uint16_t kEnginePort = 8001;  // behind a sidecar
constexpr Nanos kPendingRetry = std::chrono::seconds(1);
constexpr std::string_view kPickerComponent = "llminferenceservice-router-scheduler";
constexpr Nanos kApiBudget = std::chrono::seconds(10);
constexpr Nanos kLongestGrace = std::chrono::seconds(30);

std::string key_text(const kube::Object& pod) {
  return fmt::format("{}/{}", kube::namespace_of(pod), kube::name_of(pod));
}

kube::ObjectKey pod_key(const std::string& key) {
  const auto slash = key.find('/');
  return {kPod, key.substr(0, slash), key.substr(slash + 1)};
}

// This node is the default scheduler, too; a pod that names another is that one's.
bool is_ours_to_bind(const kube::Object& pod) {
  const auto scheduler = pod.string_at({"spec", "schedulerName"});
  return scheduler.empty() || scheduler == "default-scheduler";
}

// Those that its containers declare; else the ones that pods of an engine have.
std::vector<std::uint16_t> ports_of(const kube::Object& pod) {
  std::set<std::uint16_t> out;
  for (const auto* member : {"initContainers", "containers"}) {
    const auto* list = pod.find_path({"spec", member});
    if (list == nullptr || list->if_array() == nullptr) continue;
    for (const auto& container : *list->if_array()) {
      const auto* ports = container.find("ports");
      if (ports == nullptr || ports->if_array() == nullptr) continue;
      for (const auto& port : *ports->if_array()) {
        const auto* number = port.find("containerPort");
        const auto value = number == nullptr ? std::nullopt : number->if_int();
        if (value && *value > 0 && *value < 65536) out.insert(static_cast<std::uint16_t>(*value));
      }
    }
  }
  if (out.empty()) return {kEntryPort, kEnginePort};
  return {out.begin(), out.end()};
}

std::uint16_t entry_port(const kube::Object& pod) {
  const auto* list = pod.find_path({"spec", "containers"});
  if (list == nullptr || list->if_array() == nullptr || list->if_array()->empty())
    return kEntryPort;
  return first_port(list->if_array()->front()).value_or(kEntryPort);
}

// bin/: what `vllm`, `pd-sidecar` and `epp` mean for the programs and scripts in pods.
Status make_links(const Config& config) {
  const fs::path bin = fs::path(config.state_dir) / "bin";
  std::error_code error;
  fs::remove_all(bin, error);
  fs::create_directories(bin, error);
  if (error) return unavailable(fmt::format("making {}: {}", bin.string(), error.message()));
  for (const auto name : all_links()) {
    std::string target = config.baton;
    if (name == "vllm" && config.engine == Engine::kVllm) {
      BATON_TRY_ASSIGN(target, async::find_program("vllm", config.path).with("--engine vllm"));
    }
    fs::create_symlink(target, bin / name, error);
    if (error) return unavailable(fmt::format("linking {}: {}", name, error.message()));
  }
  fs::create_symlink(config.baton, bin / kMountLauncher, error);
  if (error) return unavailable(fmt::format("linking {}: {}", kMountLauncher, error.message()));
  return {};
}

// Settles how containers see their mount paths, and says so.
Status choose_mounts(Config& config, const Clock& clock) {
  if (config.mounts == Mounts::kRewrite) return {};
  const auto works = probe_mount_launcher(config, clock);
  if (works) {
    log::info("mount paths are real: containers get mount namespaces, so nothing is rewritten");
    return {};
  }
  if (config.mounts == Mounts::kNamespace) {
    return works.error().with("--mounts namespace is not possible on this machine");
  }
  config.mounts = Mounts::kRewrite;
  log::info("mount paths are rewritten in command, args and environment: no mount namespaces here",
            {{"reason", works.error().message()}});
  return {};
}

}  // namespace

Result<std::unique_ptr<NodeAgent>> NodeAgent::start(Deps deps, Config config) {
  std::error_code ignored;
  fs::remove_all(config.state_dir + "/pods", ignored);
  fs::remove_all(config.state_dir + "/logs", ignored);
  BATON_TRY(make_links(config));
  BATON_TRY(choose_mounts(config, deps.clock));
  if (!config.api_host.empty()) {
    BATON_TRY(
        register_node(deps.cluster, config, deps.clock.wall(), Deadline::in(deps.clock, kApiBudget))
            .with("registering node " + config.node_name));
  }
  BATON_TRY_ASSIGN(auto guard, GroupGuard::start());
  return std::unique_ptr<NodeAgent>(
      new NodeAgent(deps, std::move(config), std::move(guard), deps.random.next()));
}

NodeAgent::NodeAgent(Deps deps, Config config, std::unique_ptr<GroupGuard> guard,
                     std::uint64_t seed)
    : deps_(deps),
      config_(std::move(config)),
      guard_(std::move(guard)),
      addresses_(config_.pod_addresses, seed),
      accelerators_(config_.gpus, Accelerators::Emulate(config_.emulates_accelerators())),
      queue_(deps.clock),
      worker_([this] { work(); }) {
  follower_ = std::make_unique<kube::Follower>(
      deps.cluster, deps.clock, kube::Query{kPod, "", {}},
      [this](const kube::Event& event) { queue_.add(key_text(event.object)); });
}

NodeAgent::~NodeAgent() {
  follower_.reset();
  queue_.close();
  if (worker_.joinable()) worker_.join();
  pods_.clear();
}

void NodeAgent::stop(Deadline deadline) {
  follower_.reset();
  queue_.close();
  worker_.join();
  for (auto& [key, pod] : pods_) {
    const auto left = deadline.left(deps_.clock.now());
    if (pod.runner) pod.runner->stop(std::min<Nanos>(left, kLongestGrace));
  }
  for (auto& [key, pod] : pods_) {
    if (pod.runner) pod.runner->join();
  }
  pods_.clear();
}

void NodeAgent::work() {
  while (const auto key = queue_.next()) {
    sync(*key);
    queue_.done(*key);
  }
}

Deadline NodeAgent::soon() const { return Deadline::in(deps_.clock, kApiBudget); }

void NodeAgent::sync(const std::string& key) {
  const auto pod = deps_.cluster.get(pod_key(key), soon());
  // A server that does not answer is no reason to end a pod.
  if (!pod && pod.error().code() != Code::kNotFound) return queue_.retry(key);
  auto mine = pods_.find(key);
  if (mine != pods_.end() && (!pod || kube::uid_of(*pod) != mine->second.uid)) {
    release(key);  // gone, or replaced by another of its name
    mine = pods_.end();
  }
  if (!pod) return void(pending_.erase(key));
  const auto node = pod->string_at({"spec", "nodeName"});
  const bool is_foreign = !node.empty() && node != config_.node_name;
  if (kube::is_deleting(*pod)) {
    // Its own node lets it go. Where there is no API server there is no other node.
    if (mine == pods_.end() && is_foreign && !config_.api_host.empty()) return;
    return let_go(key, *pod);
  }
  if (mine != pods_.end()) {
    if (!mine->second.runner) host(key, *pod);
    return;
  }
  const auto phase = pod->string_at({"status", "phase"});
  if (phase == "Succeeded" || phase == "Failed" || is_foreign) return;
  if (node.empty() && !is_ours_to_bind(*pod)) return;
  admit(key, *pod);
}

// The pod is being deleted: brings it down, then lets the object go.
void NodeAgent::let_go(const std::string& key, const kube::Object& pod) {
  pending_.erase(key);
  const auto mine = pods_.find(key);
  if (mine != pods_.end() && mine->second.runner && !mine->second.runner->has_ended()) {
    if (!mine->second.stopping) mine->second.runner->stop(grace_of(pod));
    mine->second.stopping = true;
    return;  // on_end brings it here again
  }
  release(key);
  kube::Removal how(kube::Grace::kNone);
  how.uid = kube::uid_of(pod);
  const auto removed = deps_.cluster.remove(pod_key(key), how, soon());
  if (!removed && removed.error().code() != Code::kNotFound) queue_.retry(key);
}

void NodeAgent::release(const std::string& key) {
  const auto mine = pods_.find(key);
  if (mine == pods_.end()) return;
  const auto address = mine->second.address;
  const auto gpus = mine->second.runner ? mine->second.runner->gpus() : "";
  const auto service = mine->second.service_key;
  pods_.erase(mine);
  addresses_.give_back(address);
  accelerators_.give_back(gpus);
  write_allowlist(service);
  for (const auto& waiting : pending_) queue_.add(waiting);
}

void NodeAgent::admit(const std::string& key, const kube::Object& pod) {
  auto gpus = accelerators_.take(pod);
  if (!gpus) return refuse(key, pod, gpus.error());
  auto address = addresses_.take(ports_of(pod));
  if (!address) {
    accelerators_.give_back(*gpus);
    return refuse(key, pod, address.error());
  }
  if (const auto bound = bind_pod(deps_.cluster, pod, config_.node_name, soon()); !bound) {
    accelerators_.give_back(*gpus);
    addresses_.give_back(*address);
    log::debug("pod not bound", {{"pod", key}, {"error", bound.error().message()}});
    return queue_.retry(key);
  }
  queue_.forget(key);
  pending_.erase(key);
  auto& mine = pods_[key];
  mine.uid = kube::uid_of(pod);
  mine.address = *address;
  mine.service_key =
      fmt::format("{}/{}", kube::namespace_of(pod), kube::label(pod, "app.kubernetes.io/name"));
  mine.is_prefill = kube::label(pod, "llm-d.ai/role") == "prefill";
  mine.port = entry_port(pod);
  if (config_.hosts_picker && kube::label(pod, "app.kubernetes.io/component") == kPickerComponent) {
    log::info("pod starts no process: a gateway does its work", {{"pod", key}});
    return host(key, pod);
  }
  write_allowlist(mine.service_key);
  log::info("pod starts", {{"pod", key}, {"address", *address}});
  mine.runner = std::make_unique<PodRunner>(
      PodRunner::Deps{deps_.cluster, deps_.clock, config_, [this](pid_t pid) { guard_->tell(pid); },
                      [this, key] { queue_.add(key); }},
      pod, *address, allowlist_file(mine.service_key), *gpus);
}

// Says that the pod runs, once.
void NodeAgent::host(const std::string& key, const kube::Object& pod) {
  if (kube::condition_is(pod, "Ready", "True")) return;
  kube::Object placed = pod;
  auto& status = placed["status"];
  status["podIP"] = pods_.at(key).address;
  status["hostIP"] = config_.node_address;
  const Wall now = deps_.clock.wall();
  status["startTime"] = kube::timestamp(now);
  const auto written = write_pod_status(deps_.cluster, pod, hosted_status(placed, now), soon());
  if (!written && written.error().code() != Code::kNotFound) queue_.retry(key);
}

void NodeAgent::refuse(const std::string& key, const kube::Object& pod, const Error& error) {
  if (pending_.insert(key).second) {
    log::warn("pod stays pending", {{"pod", key}, {"reason", error.message()}});
  }
  const auto status = unscheduled_status(pod, error.message(), deps_.clock.wall());
  if (!write_pod_status(deps_.cluster, pod, status, soon())) queue_.retry(key);
  queue_.add_after(key, kPendingRetry);
}

std::string NodeAgent::allowlist_file(const std::string& service_key) const {
  std::string name = service_key;
  std::ranges::replace(name, '/', '_');
  return fmt::format("{}/allowlists/{}", config_.state_dir, name);
}

// The prefill pods of a service, one "address:port" a line, replaced as a whole.
void NodeAgent::write_allowlist(const std::string& service_key) {
  std::string text;
  for (const auto& [key, pod] : pods_) {
    if (pod.is_prefill && pod.service_key == service_key) {
      text += fmt::format("{}:{}\n", pod.address, pod.port);
    }
  }
  const auto file = allowlist_file(service_key);
  std::error_code error;
  fs::create_directories(fs::path(file).parent_path(), error);
  {
    std::ofstream out(file + ".new", std::ios::trunc);
    out << text;
    if (!out.flush()) log::error("allowlist not written", {{"file", file}});
  }
  fs::rename(file + ".new", file, error);
  if (error) log::error("allowlist not written", {{"file", file}, {"error", error.message()}});
}

}  // namespace baton::node
