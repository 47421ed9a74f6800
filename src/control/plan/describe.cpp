#include "control/plan/describe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "control/plan/labels.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/presets.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::size_t kWidth = 110;  // of a command line before it is wrapped

// One child: what it is, and lines about it.
struct Branch {
  std::string title;
  std::vector<std::string> lines;
};

std::string scalar(const Value& value) {
  return value.is_string() ? *value.if_string() : text::json::dump(value);
}

std::string labels_text(const Value* labels) {
  std::string out;
  if (labels == nullptr || !labels->is_object()) return out;
  for (const auto& [key, value] : *labels->if_object()) {
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", key, scalar(value));
  }
  return out;
}

const Array& items(const Value* list) {
  static const Array kNone;
  return list == nullptr || !list->is_array() ? kNone : *list->if_array();
}

// As a shell would need it, a picker's configuration shortened to its kind.
std::string word(const std::string& text) {
  if (text.contains('\n')) {
    return fmt::format("<{} lines>", std::ranges::count(text, '\n'));
  }
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return static_cast<unsigned char>(c) > ' ' &&
           !std::string_view("'\"\\$`*?;&|<>(){}[]#!").contains(c);
  });
  return plain ? text : fmt::format("'{}'", text);
}

// The words that will run: of a preset's engine, the program its script ends in.
std::vector<std::string> command_line(const Value& container) {
  std::vector<std::string> out;
  const Array& command = items(container.find("command"));
  const bool preset = command.size() > 4 && command[2].if_string() != nullptr &&
                      *command[2].if_string() == engine_script();
  if (preset) out = {"vllm", "serve", "/mnt/models"};
  for (std::size_t i = preset ? 4 : 0; i < command.size(); ++i) {
    const std::string text = scalar(command[i]);
    if (!(preset && i + 1 == command.size() && text == "--")) out.push_back(word(text));
  }
  for (const Value& arg : items(container.find("args"))) out.push_back(word(scalar(arg)));
  return out;
}

void add_wrapped(std::vector<std::string>& lines, const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& one : words) {
    if (!line.empty() && line.size() + 1 + one.size() > kWidth) {
      lines.push_back("    " + line);
      line = "  ";
    }
    if (!line.empty() && line != "  ") line += ' ';
    line += one;
  }
  if (!line.empty()) lines.push_back("    " + line);
}

void add_container(std::vector<std::string>& lines, const Value& container, std::string_view kind) {
  std::string title =
      fmt::format("{}{}  {}", kind, container.string_at({"name"}), container.string_at({"image"}));
  std::vector<std::string> ports;
  for (const Value& port : items(container.find("ports"))) {
    if (const Value* number = port.find("containerPort")) ports.push_back(scalar(*number));
  }
  if (!ports.empty()) title += fmt::format("  port {}", fmt::join(ports, ", "));
  for (const std::string_view kind_of : {"limits", "requests"}) {
    const Value* gpus = container.find_path({"resources", kind_of, "nvidia.com/gpu"});
    if (gpus == nullptr) continue;
    title += fmt::format("  {} GPU", scalar(*gpus));
    break;
  }
  lines.push_back(std::move(title));
  add_wrapped(lines, command_line(container));
}

void add_pod(std::vector<std::string>& lines, const Value& pod) {
  for (const Value& container : items(pod.find("initContainers"))) {
    const bool stays = container.string_at({"restartPolicy"}) == "Always";
    add_container(lines, container, stays ? "sidecar " : "first ");
  }
  for (const Value& container : items(pod.find("containers"))) add_container(lines, container, "");
}

std::string replicas_text(const Value& child) {
  const Value* replicas = get(child, {"spec", "replicas"});
  const std::string count = replicas == nullptr ? "1" : scalar(*replicas);
  return fmt::format("{} replica{}", count, count == "1" ? "" : "s");
}

std::string role_text(const Value& metadata) {
  const std::string_view role = metadata.string_at({"labels", kRole});
  return role.empty() ? "" : fmt::format("  {}", role == "both" ? "prefill and decode" : role);
}

void add_deployment(Branch& out, const Value& child) {
  const Value& pod = *child.find_path({"spec", "template"});
  out.title += fmt::format("  {}{}", replicas_text(child), role_text(*pod.find("metadata")));
  add_pod(out.lines, *pod.find("spec"));
}

void add_group(Branch& out, const Value& child) {
  const Value& group = *child.find_path({"spec", "leaderWorkerTemplate"});
  const Value* size = group.find("size");
  out.title +=
      fmt::format("  {} of {} pods", replicas_text(child), size == nullptr ? "1" : scalar(*size));
  for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
    const Value* pod = group.find(place);
    if (pod == nullptr) continue;
    out.lines.push_back(
        fmt::format("{}:{}", place.substr(0, 6), role_text(*pod->find("metadata"))));
    add_pod(out.lines, *pod->find("spec"));
  }
}

void add_service(Branch& out, const Value& child) {
  std::vector<std::string> ports;
  for (const Value& port : items(child.find_path({"spec", "ports"}))) {
    ports.push_back(fmt::format("{} {}", port.string_at({"name"}), scalar(*port.find("port"))));
  }
  out.title += fmt::format("  {}", fmt::join(ports, ", "));
  out.lines.push_back("pods " + labels_text(child.find_path({"spec", "selector"})));
}

void add_pool(Branch& out, const Value& child) {
  const Value* labels = child.find_path({"spec", "selector", "matchLabels"});
  out.title += fmt::format("  {}", child.string_at({"apiVersion"}));
  out.lines.push_back(
      "pods " + labels_text(labels != nullptr ? labels : child.find_path({"spec", "selector"})));
}

// "InferencePool a", and with weights when traffic is split.
std::string backends_of(const Value& rule) {
  const Array& backends = items(rule.find("backendRefs"));
  std::vector<std::string> out;
  for (const Value& backend : backends) {
    const Value* weight = backend.find("weight");
    out.push_back(fmt::format("{} {}", backend.string_at({"kind"}), backend.string_at({"name"})));
    if (backends.size() > 1 && weight != nullptr) {
      out.back() += fmt::format(" ({})", text::json::dump(*weight));
    }
  }
  return out.empty() ? "nothing" : fmt::format("{}", fmt::join(out, ", "));
}

void add_scaler(Branch& out, const Value& child, std::string_view least, std::string_view most) {
  const Value* from = child.find_path({"spec", least});
  const Value* to = child.find_path({"spec", most});
  if (from == nullptr || to == nullptr) return;
  out.title +=
      fmt::format("  {} to {} replicas of {} {}", text::json::dump(*from), text::json::dump(*to),
                  child.string_at({"spec", "scaleTargetRef", "kind"}),
                  child.string_at({"spec", "scaleTargetRef", "name"}));
}

void add_route(Branch& out, const Value& child) {
  for (const Value& parent : items(child.find_path({"spec", "parentRefs"}))) {
    out.lines.push_back(
        fmt::format("gateway {}/{}", namespace_of(child), parent.string_at({"name"})));
    if (const auto ns = parent.string_at({"namespace"}); !ns.empty()) {
      out.lines.back() = fmt::format("gateway {}/{}", ns, parent.string_at({"name"}));
    }
  }
  for (const Value& rule : items(child.find_path({"spec", "rules"}))) {
    const Array& matches = items(rule.find("matches"));
    const std::string_view path = matches.empty() ? "" : matches[0].string_at({"path", "value"});
    const bool by_header = !matches.empty() && matches[0].find("headers") != nullptr;
    out.lines.push_back(
        fmt::format("{}{}{} -> {}", path.empty() ? "/" : path, by_header ? " by model header" : "",
                    matches.size() > 1 ? fmt::format(" and {} more", matches.size() - 1) : "",
                    backends_of(rule)));
  }
}

std::string title(const Wish& wish) {
  switch (wish.kind) {
    case Wish::Kind::kCaBundle:
      return fmt::format("ConfigMap {}  copy of {}, shared by the namespace", wish.name,
                         wish.source);
    case Wish::Kind::kTlsSecret:
      return fmt::format("Secret {}  certificate, made when it runs", wish.name);
    case Wish::Kind::kRoutingKey:
      return fmt::format("Secret {}  key of signed routes, made when it runs", wish.name);
  }
  return "";
}

Branch branch(const Value& child) {
  const std::string_view kind = child.string_at({"kind"});
  Branch out{fmt::format("{} {}", kind, name_of(child)), {}};
  if (kind == "Deployment") add_deployment(out, child);
  if (kind == "LeaderWorkerSet") add_group(out, child);
  if (kind == "Service") add_service(out, child);
  if (kind == "InferencePool") add_pool(out, child);
  if (kind == "HTTPRoute") add_route(out, child);
  if (kind == "HorizontalPodAutoscaler") add_scaler(out, child, "minReplicas", "maxReplicas");
  if (kind == "ScaledObject") add_scaler(out, child, "minReplicaCount", "maxReplicaCount");
  return out;
}

}  // namespace

std::string describe(const Plan& plan) {
  const Value& service = plan.merged;
  std::string out = fmt::format(
      "LLMInferenceService {}/{}  model {} from {}\n", namespace_of(service), name_of(service),
      service.string_at({"spec", "model", "name"}), service.string_at({"spec", "model", "uri"}));
  std::vector<Branch> branches;
  for (const std::string& config : plan.applied_configs) branches.push_back({"from " + config, {}});
  for (const Wish& wish : plan.wishes) branches.push_back({title(wish), {}});
  for (const Value& child : plan.children) branches.push_back(branch(child));
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const bool last = i + 1 == branches.size();
    out += fmt::format("{} {}\n", last ? "└─" : "├─", branches[i].title);
    for (const std::string& line : branches[i].lines) {
      out += fmt::format("{}  {}\n", last ? " " : "│", line);
    }
  }
  return out;
}

}  // namespace baton::plan
