// The rules of spec.scaling and spec.prefill.scaling.

#include <fmt/format.h>

#include <charconv>
#include <string>

#include "formats/api/rules.hpp"

namespace baton::api {
namespace {

using text::json::Value;

bool has(const Value& in, std::initializer_list<std::string_view> path) {
  return member(in, path) != nullptr;
}

class Rules {
 public:
  Rules(const Value& workload, std::string at, Findings& out)
      : workload_(workload),
        scaling_(*member(workload, {"scaling"})),
        at_(std::move(at)),
        out_(out) {}

  void run() {
    if (has(workload_, {"replicas"})) error("", "excludes replicas");
    const Value* wva = member(scaling_, {"wva"});
    const Value* keda = member(scaling_, {"keda"});
    if ((wva == nullptr) == (keda == nullptr)) error("", "needs exactly one of wva and keda");
    bounds();
    if (wva != nullptr) wva_rules(*wva);
    if (keda != nullptr) {
      const Value* triggers = member(*keda, {"triggers"});
      const bool none =
          triggers == nullptr || !triggers->is_array() || triggers->if_array()->empty();
      if (none) error("/keda/triggers", "needs at least one trigger");
      keda_rules(*keda, "/keda");
    }
  }

 private:
  void error(std::string_view place, std::string message) {
    out_.errors.push_back({fmt::format("{}/scaling{}", at_, place), std::move(message)});
  }

  std::optional<std::int64_t> number(std::string_view key) const {
    const Value* value = member(scaling_, {key});
    return value == nullptr ? std::nullopt : value->if_int();
  }

  void bounds() {
    const auto least = number("minReplicas");
    const auto most = number("maxReplicas");
    if (!has(scaling_, {"maxReplicas"})) error("/maxReplicas", "is required");
    if (least && most && *least > *most) {
      error("/minReplicas", fmt::format("is {}, above maxReplicas {}", *least, *most));
    }
  }

  void wva_rules(const Value& wva) {
    const bool hpa = has(wva, {"hpa"});
    const Value* keda = member(wva, {"keda"});
    if (hpa == (keda != nullptr)) error("/wva", "needs exactly one of hpa and keda");
    const std::string_view cost = wva.string_at({"variantCost"});
    double parsed = 0;
    const auto [rest, ec] =
        std::from_chars(cost.data(), cost.data() + cost.size(), parsed, std::chars_format::fixed);
    if (!cost.empty() && (ec != std::errc() || rest != cost.data() + cost.size() || parsed < 0)) {
      error("/wva/variantCost", fmt::format("expected a number such as 10.0, is '{}'", cost));
    }
    if (keda == nullptr) return;
    keda_rules(*keda, "/wva/keda");
    const Value* modifiers = member(*keda, {"advanced", "scalingModifiers"});
    if (modifiers != nullptr && modifiers->is_object() && !modifiers->if_object()->empty()) {
      error("/wva/keda/advanced/scalingModifiers", "must be empty");
    }
  }

  void keda_rules(const Value& keda, std::string_view place) {
    if (!keda.string_at({"advanced", "horizontalPodAutoscalerConfig", "name"}).empty()) {
      error(fmt::format("{}/advanced/horizontalPodAutoscalerConfig/name", place), "must be empty");
    }
    const Value* idle_value = member(keda, {"idleReplicaCount"});
    if (idle_value == nullptr) return;
    const auto idle = idle_value->if_int();
    const auto least = number("minReplicas");
    if (!least) {
      error(fmt::format("{}/idleReplicaCount", place), "needs minReplicas");
    } else if (idle && *idle >= *least) {
      error(fmt::format("{}/idleReplicaCount", place),
            fmt::format("is {}, must be below minReplicas {}", *idle, *least));
    }
  }

  const Value& workload_;
  const Value& scaling_;
  std::string at_;
  Findings& out_;
};

// "wva with hpa", "keda" …
std::string mechanism(const Value& workload) {
  const Value* scaling = member(workload, {"scaling"});
  if (scaling == nullptr) return "";
  if (has(*scaling, {"wva", "hpa"})) return "wva with hpa";
  if (has(*scaling, {"wva", "keda"})) return "wva with keda";
  return has(*scaling, {"keda"}) ? "keda" : "";
}

}  // namespace

void check_scaling(const Value& spec, Findings& out) {
  if (has(spec, {"scaling"})) Rules(spec, "/spec", out).run();
  const Value* prefill = member(spec, {"prefill"});
  if (prefill == nullptr || !has(*prefill, {"scaling"})) return;
  Rules(*prefill, "/spec/prefill", out).run();
  const std::string decode = mechanism(spec);
  const std::string own = mechanism(*prefill);
  if (!decode.empty() && !own.empty() && decode != own) {
    out.errors.push_back(
        {"/spec/prefill/scaling", fmt::format("uses {}, but /spec/scaling uses {}", own, decode)});
  }
}

}  // namespace baton::api
