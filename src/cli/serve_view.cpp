#include "cli/serve_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "net/kube/object.hpp"

namespace baton::cli {

namespace {

using text::json::Array;

const Array& statuses(const kube::Object& pod, std::string_view member) {
  static const Array kNone;
  const auto* list = pod.find_path({"status", member});
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

std::int64_t number_at(const kube::Object& object, std::string_view member) {
  const auto* value = object.find(member);
  return value == nullptr ? 0 : value->if_int().value_or(0);
}

std::int64_t pid_of(const kube::Object& status) {
  constexpr std::string_view kPrefix = "process://";
  const auto id = status.string_at({"containerID"});
  std::int64_t pid = 0;
  if (id.starts_with(kPrefix)) {
    std::from_chars(id.data() + kPrefix.size(), id.data() + id.size(), pid);
  }
  return pid;
}

void put_state(PodView& out, const kube::Object& pod) {
  if (kube::is_deleting(pod)) {
    out.state = "Stopping";
    return;
  }
  out.state = "Starting";
  if (kube::condition_is(pod, "Ready", "True")) out.state = "Ready";
  const auto* scheduled = kube::find_condition(pod, "PodScheduled");
  if (scheduled != nullptr && scheduled->string_at({"status"}) == "False") {
    out.state = "Pending";
    out.detail = scheduled->string_at({"message"});
  }
  for (const auto* member : {"initContainerStatuses", "containerStatuses"}) {
    for (const auto& status : statuses(pod, member)) {
      const auto reason = status.string_at({"state", "waiting", "reason"});
      if (reason.empty() || reason == "PodInitializing") continue;
      out.state = reason;
      out.detail = status.string_at({"state", "waiting", "message"});
      if (!out.detail.starts_with("container ")) {  // else of the pod as a whole
        out.detail = fmt::format("container {}: {}", status.string_at({"name"}), out.detail);
      }
      const auto last = status.string_at({"lastState", "terminated", "message"});
      if (!last.empty()) out.detail += fmt::format(": {}", last.substr(last.rfind('\n') + 1));
      return;
    }
  }
}

PodView pod_view(const kube::Object& pod) {
  PodView out;
  out.ns = kube::namespace_of(pod);
  out.name = kube::name_of(pod);
  out.role = kube::label(pod, "llm-d.ai/role");
  out.address = pod.string_at({"status", "podIP"});
  for (const auto* member : {"initContainerStatuses", "containerStatuses"}) {
    for (const auto& status : statuses(pod, member)) {
      ContainerView container{std::string(status.string_at({"name"})), pid_of(status),
                              number_at(status, "restartCount")};
      out.restarts += container.restarts;
      out.containers.push_back(std::move(container));
    }
  }
  put_state(out, pod);
  return out;
}

ServiceView service_view(const kube::Object& service) {
  ServiceView out;
  out.ns = kube::namespace_of(service);
  out.name = kube::name_of(service);
  out.ready = kube::condition_is(service, "Ready", "True");
  if (const auto* ready = kube::find_condition(service, "Ready"); ready != nullptr && !out.ready) {
    out.reason = ready->string_at({"reason"});
    out.message = ready->string_at({"message"});
  }
  if (const auto* told = kube::find_condition(service, "KVTransferVerified")) {
    out.transfer = told->string_at({"status"});
    out.transfer_message = told->string_at({"message"});
  }
  return out;
}

const gateway::PodStats* stats_of(const gateway::Stats& stats, const PodView& pod) {
  for (const auto& entry : stats.pods) {
    if (entry.ns == pod.ns && entry.name == pod.name) return &entry;
  }
  return nullptr;
}

kube::Object pod_json(const PodView& pod, const gateway::PodStats* stats) {
  kube::Object out;
  out["name"] = pod.name;
  out["namespace"] = pod.ns;
  out["role"] = pod.role;
  out["address"] = pod.address;
  out["state"] = pod.state;
  out["detail"] = pod.detail;
  out["restarts"] = pod.restarts;
  out["containers"] = Array{};
  for (const auto& container : pod.containers) {
    kube::Object entry;
    entry["name"] = container.name;
    entry["pid"] = container.pid;
    entry["restarts"] = container.restarts;
    out["containers"].push_back(std::move(entry));
  }
  out["requests"] = stats == nullptr ? 0 : stats->requests;
  out["kvBytes"] = stats == nullptr ? 0 : stats->kv_bytes;
  return out;
}

// Of the table's columns that follow their content.
struct Widths {
  std::size_t name = 3, state = 5;
};

Widths widths(const StackView& view, std::size_t columns) {
  constexpr std::size_t kOthers = 7 + 15 + 8 + 8 + 8 + 7 + 7;  // the fixed ones, and spaces
  constexpr std::size_t kShortestName = 14;
  Widths out;
  for (const auto& pod : view.pods) {
    out.name = std::max(out.name, pod.name.size());
    out.state = std::max(out.state, pod.state.size());
  }
  const auto taken = kOthers + out.state + 1;  // 1: the cursor's
  const auto room = std::max(columns > taken ? columns - taken : 0, kShortestName);
  out.name = std::min(out.name, room);
  return out;
}

// "storyte..4v72z" of "storyteller-kserve-f5x9lq9ph2-4v72z".
std::string shortened(std::string_view name, std::size_t width) {
  constexpr std::string_view kCut = "..";
  if (name.size() <= width) return std::string(name);
  const auto tail = (width - kCut.size()) * 2 / 3;
  const auto head = width - kCut.size() - tail;
  return fmt::format("{}{}{}", name.substr(0, head), kCut, name.substr(name.size() - tail));
}

// The one of that name and namespace; null: none.
template <class T>
const T* same_in(const std::vector<T>& list, const T& wanted) {
  const auto at = std::ranges::find_if(
      list, [&](const T& one) { return one.ns == wanted.ns && one.name == wanted.name; });
  return at == list.end() ? nullptr : &*at;
}

}  // namespace

StackView view_of(const std::vector<kube::Object>& services,
                  const std::vector<kube::Object>& pods) {
  StackView out;
  for (const auto& service : services) out.services.push_back(service_view(service));
  for (const auto& pod : pods) out.pods.push_back(pod_view(pod));
  return out;
}

bool all_ready(const std::vector<kube::Object>& services) {
  return !services.empty() && std::ranges::all_of(services, [](const kube::Object& service) {
    const auto* seen = service.find_path({"status", "observedGeneration"});
    return seen != nullptr && seen->if_int() == kube::generation_of(service) &&
           kube::condition_is(service, "Ready", "True");
  });
}

std::vector<std::string> changes(const StackView& before, const StackView& now) {
  std::vector<std::string> out;
  // With its namespace where another has one of that name.
  const auto shown = [&](const PodView& pod) {
    const auto twin = [&](const PodView& other) {
      return other.name == pod.name && other.ns != pod.ns;
    };
    const bool alone =
        std::ranges::none_of(before.pods, twin) && std::ranges::none_of(now.pods, twin);
    return alone ? pod.name : fmt::format("{}/{}", pod.ns, pod.name);
  };
  for (const auto& pod : now.pods) {
    const auto* old = same_in(before.pods, pod);
    if (old != nullptr && old->state == pod.state && old->detail == pod.detail) continue;
    out.push_back(fmt::format("pod {}: {}{}{}", shown(pod), pod.state,
                              pod.detail.empty() ? "" : ": ", pod.detail));
  }
  for (const auto& pod : before.pods) {
    if (same_in(now.pods, pod) == nullptr) out.push_back(fmt::format("pod {}: gone", shown(pod)));
  }
  for (const auto& service : now.services) {
    const auto* old = same_in(before.services, service);
    const bool known = old != nullptr;
    if (service.ready && (!known || !old->ready)) {
      out.push_back(fmt::format("service {}/{}: Ready", service.ns, service.name));
    } else if (!service.ready && !service.reason.empty() &&
               (!known || old->reason != service.reason || old->message != service.message)) {
      out.push_back(fmt::format("service {}/{}: not ready: {}{}{}", service.ns, service.name,
                                service.reason, service.message.empty() ? "" : ": ",
                                service.message));
    }
    const bool told = known && old->transfer == service.transfer &&
                      old->transfer_message == service.transfer_message;
    if (!told && (service.transfer == "True" || service.transfer == "False")) {
      out.push_back(fmt::format("service {}/{}: probe {}: {}", service.ns, service.name,
                                service.transfer == "True" ? "passed" : "failed",
                                service.transfer_message));
    }
  }
  return out;
}

std::string status_file(const Header& header, const StackView& view, const gateway::Stats& stats) {
  kube::Object out;
  out["url"] = header.url;
  out["ready"] = header.ready;
  out["standIn"] = header.stand_in;
  out["requests"] = stats.requests;
  out["failures"] = stats.failures;
  out["services"] = Array{};
  for (const auto& service : view.services) {
    kube::Object entry;
    entry["namespace"] = service.ns;
    entry["name"] = service.name;
    entry["ready"] = service.ready;
    entry["reason"] = service.reason;
    entry["message"] = service.message;
    if (!service.transfer.empty()) {
      entry["kvTransfer"]["status"] = service.transfer;
      entry["kvTransfer"]["message"] = service.transfer_message;
    }
    out["services"].push_back(std::move(entry));
  }
  out["pods"] = Array{};
  for (const auto& pod : view.pods) out["pods"].push_back(pod_json(pod, stats_of(stats, pod)));
  return text::json::pretty(out);
}

std::string status_table(const Header& header, const StackView& view, const gateway::Stats& stats,
                         std::size_t columns) {
  std::string out = fmt::format("{}  {}  {} requests, {} failed, {:.1f} tokens/s\n", header.url,
                                header.ready ? "ready" : "starting", stats.requests, stats.failures,
                                stats.tokens_per_second);
  if (!header.stand_in.empty()) {
    out += fmt::format("stand-in {}: every model is replaced by it, accelerators are emulated\n",
                       header.stand_in);
  }
  const auto width = widths(view, columns);
  constexpr std::string_view kRow = "{:<{}} {:<7} {:<15} {:<{}} {:>8} {:>8} {:>8} {:>7}\n";
  out += fmt::format(kRow, "POD", width.name, "ROLE", "ADDRESS", "STATE", width.state, "RESTARTS",
                     "REQUESTS", "TOKENS/S", "KV MB");
  for (const auto& pod : view.pods) {
    const auto* entry = stats_of(stats, pod);
    const auto numbers = entry == nullptr ? gateway::PodStats{} : *entry;
    out += fmt::format(kRow, shortened(pod.name, width.name), width.name, pod.role, pod.address,
                       pod.state, width.state, pod.restarts, numbers.requests,
                       fmt::format("{:.1f}", numbers.tokens_per_second),
                       fmt::format("{:.1f}", static_cast<double>(numbers.kv_bytes) / 1e6));
    if (!pod.detail.empty() && pod.state != "Ready") out += fmt::format("  {}\n", pod.detail);
  }
  return out;
}

}  // namespace baton::cli
