// The rules of spec.scaling and spec.prefill.scaling.

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "formats/api/rules.hpp"

namespace baton::api {
namespace {

using text::json::Value;

bool holds(const Value& in, std::initializer_list<std::string_view> path) {
  return member(in, path) != nullptr;
}

// Digits, and perhaps a point and more digits.
bool is_decimal(std::string_view text) {
  const auto digits = [](std::string_view part) {
    return !part.empty() && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
  };
  const std::size_t point = text.find('.');
  return digits(text.substr(0, point)) &&
         (point == std::string_view::npos || digits(text.substr(point + 1)));
}

class Rules {
 public:
  Rules(const Value& workload, std::string at, Findings& out)
      : workload_(workload),
        scaling_(*member(workload, {"scaling"})),
        at_(std::move(at)),
        out_(out) {}

  void run() {
    if (holds(workload_, {"replicas"})) error("", "excludes replicas");
    const Value* wva = member(scaling_, {"wva"});
    const Value* keda = member(scaling_, {"keda"});
    if ((wva == nullptr) == (keda == nullptr)) error("", "needs exactly one of wva and keda");
    bounds();
    if (wva != nullptr) wva_rules(*wva);
    if (keda != nullptr) {
      const Value* triggers = member(*keda, {"triggers"});
      const bool none =
          triggers == nullptr || !triggers->is_array() || triggers->if_array()->empty();
      if (none) error("/keda/triggers", "needs at least one trigger", Kind::kRequired);
      keda_rules(*keda, "/keda");
    }
  }

 private:
  using Kind = Finding::Kind;

  void error(std::string_view place, std::string message, Kind kind = Kind::kInvalid) {
    out_.errors.push_back({fmt::format("{}/scaling{}", at_, place), std::move(message), kind});
  }

  std::optional<std::int64_t> number(std::string_view key) const {
    const Value* value = member(scaling_, {key});
    return value == nullptr ? std::nullopt : value->if_int();
  }

  void bounds() {
    const auto least = number("minReplicas");
    const auto most = number("maxReplicas");
    if (!holds(scaling_, {"maxReplicas"})) error("/maxReplicas", "is required", Kind::kRequired);
    if (least && most && *least > *most) {
      error("/minReplicas", fmt::format("is {}, above maxReplicas {}", *least, *most));
    }
  }

  void wva_rules(const Value& wva) {
    const bool hpa = holds(wva, {"hpa"});
    const Value* keda = member(wva, {"keda"});
    if (hpa == (keda != nullptr)) error("/wva", "needs exactly one of hpa and keda");
    const std::string_view cost = wva.string_at({"variantCost"});
    if (!cost.empty() && !is_decimal(cost)) {
      error("/wva/variantCost", fmt::format("expected a number such as 10.0, is '{}'", cost));
    }
    if (keda == nullptr) return;
    keda_rules(*keda, "/wva/keda");
    const Value* modifiers = member(*keda, {"advanced", "scalingModifiers"});
    for (const std::string_view key : {"formula", "target", "activationTarget", "metricType"}) {
      if (modifiers == nullptr || modifiers->string_at({key}).empty()) continue;
      error("/wva/keda/advanced/scalingModifiers", "must be empty", Kind::kForbidden);
      break;
    }
  }

  void keda_rules(const Value& keda, std::string_view place) {
    if (!keda.string_at({"advanced", "horizontalPodAutoscalerConfig", "name"}).empty()) {
      error(fmt::format("{}/advanced/horizontalPodAutoscalerConfig/name", place), "must be empty",
            Kind::kForbidden);
    }
    const Value* idle_value = member(keda, {"idleReplicaCount"});
    if (idle_value == nullptr) return;
    const auto idle = idle_value->if_int();
    const auto least = number("minReplicas");
    if (!least) {
      error(fmt::format("{}/idleReplicaCount", place), "needs minReplicas", Kind::kRequired);
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
  if (holds(*scaling, {"wva", "hpa"})) return "wva with hpa";
  if (holds(*scaling, {"wva", "keda"})) return "wva with keda";
  return holds(*scaling, {"keda"}) ? "keda" : "";
}

}  // namespace

void check_scaling(const Value& spec, Findings& out) {
  if (holds(spec, {"scaling"})) Rules(spec, "/spec", out).run();
  const Value* prefill = member(spec, {"prefill"});
  if (prefill == nullptr || !holds(*prefill, {"scaling"})) return;
  Rules(*prefill, "/spec/prefill", out).run();
  const std::string decode = mechanism(spec);
  const std::string own = mechanism(*prefill);
  if (!decode.empty() && !own.empty() && decode != own) {
    out.errors.push_back(
        {"/spec/prefill/scaling", fmt::format("uses {}, but /spec/scaling uses {}", own, decode)});
  }
}

}  // namespace baton::api
