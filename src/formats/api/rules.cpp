#include "formats/api/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/core/trim.hpp"
#include "formats/api/names.hpp"
#include "formats/api/quantity.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::pointer;
using text::json::Value;

bool has(const Value& in, std::initializer_list<std::string_view> path) {
  return member(in, path) != nullptr;
}

const Array& items(const Value* list) {
  static const Array kNone;
  const Array* found = list == nullptr ? nullptr : list->if_array();
  return found == nullptr ? kNone : *found;
}

void error(Findings& out, std::string_view at, std::string message,
           Finding::Kind kind = Finding::Kind::kInvalid) {
  out.errors.push_back({std::string(at), std::move(message), kind});
}

// ---- router ----

using Parent = std::tuple<std::string, std::string, std::string>;

std::set<Parent> parents(const Value* list) {
  std::set<Parent> out;
  for (const Value& one : items(list)) {
    out.emplace(one.string_at({"name"}), one.string_at({"namespace"}),
                one.string_at({"sectionName"}));
  }
  return out;
}

void check_route(const Value& router, Findings& out) {
  const Value* http = member(router, {"route", "http"});
  const Value* gateway = member(router, {"gateway"});
  const Value* gateway_refs = gateway == nullptr ? nullptr : member(*gateway, {"refs"});
  if (http == nullptr) return;
  const bool refs = !items(member(*http, {"refs"})).empty();
  if (refs && has(*http, {"spec"})) {
    error(out, "/spec/router/route/http", "refs and spec exclude each other");
  }
  if (refs && gateway != nullptr && items(gateway_refs).empty()) {
    error(out, "/spec/router/route/http/refs",
          "routes of your own cannot hang on a managed gateway: name it in "
          "/spec/router/gateway/refs or leave /spec/router/gateway out");
  }
  const Value* parent_refs = member(*http, {"spec", "parentRefs"});
  if (items(parent_refs).empty() || items(gateway_refs).empty()) return;
  if (parents(parent_refs) == parents(gateway_refs)) {
    out.warnings.push_back(
        {"/spec/router/route/http/spec/parentRefs", "says the same as /spec/router/gateway/refs"});
  } else {
    error(out, "/spec/router/route/http/spec",
          "parentRefs and gateway.refs name different gateways");
  }
}

void check_group(const Value& router, Findings& out) {
  const Value* group = member(router, {"route", "group"});
  const Value* weight = member(router, {"route", "weight"});
  if (group != nullptr && weight == nullptr) {
    error(out, "/spec/router/route/weight", "is required with group", Finding::Kind::kRequired);
  }
  if (group == nullptr && weight != nullptr) {
    error(out, "/spec/router/route/group", "is required with weight", Finding::Kind::kRequired);
  }
  if (group == nullptr || !group->is_string()) return;
  if (!is_dns_label(*group->if_string())) {
    error(out, "/spec/router/route/group",
          "must be 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends");
  }
  if (has(router, {"ingress"}) || !items(member(router, {"route", "http", "refs"})).empty()) {
    error(out, "/spec/router/route/group", "works with managed routes only");
  }
}

void check_picker_config(const Value& router, Findings& out) {
  const Value* config = member(router, {"scheduler", "config"});
  if (config == nullptr) return;
  constexpr std::string_view kAt = "/spec/router/scheduler/config";
  const Value* inline_config = member(*config, {"inline"});
  const Value* ref = member(*config, {"ref"});
  if ((inline_config == nullptr) == (ref == nullptr)) {
    error(out, kAt, "needs exactly one of inline and ref");
  }
  if (inline_config != nullptr && inline_config->is_object() &&
      inline_config->if_object()->empty()) {
    error(out, pointer(kAt, "inline"), "is empty");
  }
  if (ref != nullptr && ref->string_at({"name"}).empty()) {
    error(out, pointer(pointer(kAt, "ref"), "name"), "is required");
  }
}

// ---- model ----

void check_adapters(const Value& model, Findings& out) {
  std::set<std::string_view> seen;
  const Array& adapters = items(member(model, {"lora", "adapters"}));
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const std::string at = fmt::format("/spec/model/lora/adapters/{}/name", i);
    const std::string_view name = adapters[i].string_at({"name"});
    if (name.empty()) {
      error(out, at, "is required", Finding::Kind::kRequired);
    } else if (name == "." || name == "..") {
      error(out, at, fmt::format("must not be '{}'", name));
    } else if (name == model.string_at({"name"})) {
      error(out, at, fmt::format("'{}' is the base model's name", name));
    } else if (!seen.insert(name).second) {
      error(out, at, fmt::format("'{}' is there twice", name), Finding::Kind::kDuplicate);
    }
  }
}

bool is_resource_id(std::string_view text) {
  if (!text.starts_with("kbs:///")) return false;
  text.remove_prefix(std::string_view("kbs:///").size());
  std::size_t segments = 1;
  char last = '/';
  for (const char c : text) {
    if (c == '/') {
      if (last == '/') return false;
      ++segments;
    } else if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '-') {
      return false;
    }
    last = c;
  }
  return segments == 3 && last != '/';
}

// ---- workloads ----

void check_parallelism(const Value& workload, const std::string& at, Findings& out) {
  const bool pipeline = has(workload, {"parallelism", "pipeline"});
  const bool data = has(workload, {"parallelism", "data"});
  const bool local = has(workload, {"parallelism", "dataLocal"});
  if (has(workload, {"worker"}) && !pipeline && !data && !local) {
    error(out, at + "/worker", "needs parallelism/pipeline, or parallelism/data and dataLocal");
  }
  if (pipeline && (data || local)) {
    error(out, at + "/parallelism", "pipeline excludes data and dataLocal");
  }
  if (data != local) {
    error(out, at + (data ? "/parallelism/dataLocal" : "/parallelism/data"),
          data ? "is required with data" : "is required with dataLocal");
  }
}

void check_tier(const Value& tier, const std::string& at, Findings& out) {
  const Value* files = member(tier, {"fileSystem"});
  if (files == nullptr)
    return error(out, at + "/fileSystem", "is required", Finding::Kind::kRequired);
  const Value* claim = member(*files, {"pvc"});
  if (has(*files, {"emptyDir"}) == (claim != nullptr)) {
    error(out, at + "/fileSystem", "needs exactly one of emptyDir and pvc");
  }
  if (claim == nullptr) return;
  if (has(*claim, {"spec"}) == has(*claim, {"ref"})) {
    error(out, at + "/fileSystem/pvc", "needs exactly one of spec and ref");
  }
  if (has(*claim, {"ref"}) && claim->string_at({"ref", "name"}).empty()) {
    error(out, at + "/fileSystem/pvc/ref/name", "is required", Finding::Kind::kRequired);
  }
}

void check_offloading(const Value& workload, const std::string& at, Findings& out) {
  const Value* offloading = member(workload, {"kvCacheOffloading"});
  if (offloading == nullptr) return;
  const Array& tiers = items(member(*offloading, {"secondary"}));
  const Value* cpu = member(*offloading, {"cpu"});
  if (cpu == nullptr) {
    error(out, at + "/kvCacheOffloading/cpu", "is required", Finding::Kind::kRequired);
  } else if (!tiers.empty() && quantity(*cpu).value_or(1) <= 0) {
    error(out, at + "/kvCacheOffloading/cpu", "must be above zero with secondary tiers",
          Finding::Kind::kRequired);
  }
  for (std::size_t i = 0; i < tiers.size(); ++i) {
    check_tier(tiers[i], fmt::format("{}/kvCacheOffloading/secondary/{}", at, i), out);
  }
}

enum class Round : bool { kDown, kUp };

// Of one replica; -1 when it is wrong, which is then reported.
int resolved(const Value* value, const std::string& at, Round round, Findings& out) {
  if (value == nullptr) return -1;
  if (const auto number = value->if_int()) {
    if (*number < 0) error(out, at, fmt::format("must not be negative, is {}", *number));
    return *number < 0 ? -1 : *number > 0 ? 1 : 0;
  }
  if (!value->is_string()) return -1;
  const std::string& text = *value->if_string();
  int percent = -1;
  const auto [rest, ec] = std::from_chars(text.data(), text.data() + text.size(), percent);
  const bool whole = ec == std::errc() && rest + 1 == text.data() + text.size() && *rest == '%';
  if (!whole || percent < 0 || percent > 100) {
    error(out, at, fmt::format("expected a number or 0% to 100%, is \"{}\"", text));
    return -1;
  }
  return round == Round::kDown ? percent / 100 : (percent > 0 ? 1 : 0);
}

void check_rollout(const Value& workload, const std::string& at, Findings& out) {
  const Value* strategy = member(workload, {"rolloutStrategy"});
  if (strategy == nullptr) return;
  const std::string place = at + "/rolloutStrategy";
  const Value* surge_value = member(*strategy, {"maxSurge"});
  const int unavailable =
      resolved(member(*strategy, {"maxUnavailable"}), place + "/maxUnavailable", Round::kDown, out);
  const int surge = resolved(surge_value, place + "/maxSurge", Round::kUp, out);
  if (unavailable == 0 && surge == 0) {
    error(out, place, "maxUnavailable and maxSurge are both zero: a rollout could never start");
  }
  if (has(workload, {"worker"}) && unavailable == 0 && surge_value == nullptr) {
    error(out, place + "/maxSurge", "is required when maxUnavailable is 0",
          Finding::Kind::kRequired);
  }
}

constexpr std::string_view kBlanks = " \t\r\n";  // around what an annotation says

}  // namespace

const Value* member(const Value& in, std::initializer_list<std::string_view> path) {
  const Value* found = in.find_path(path);
  return found == nullptr || found->is_null() ? nullptr : found;
}

void check_parents_once(const Value& spec, Findings& out) {
  const bool both =
      !items(member(spec, {"router", "route", "http", "spec", "parentRefs"})).empty() &&
      !items(member(spec, {"router", "gateway", "refs"})).empty();
  if (both) {
    error(out, "/spec/router/route/http/spec",
          "parentRefs and gateway.refs exclude each other in v1alpha1");
  }
}

void check_router(const Value& spec, Findings& out) {
  const Value* router = member(spec, {"router"});
  if (router == nullptr) return;
  check_route(*router, out);
  check_group(*router, out);
  check_picker_config(*router, out);
}

void check_model(const Value& spec, Findings& out) {
  const Value* model = member(spec, {"model"});
  if (model == nullptr) return;
  check_adapters(*model, out);
  const Value* confidential = member(*model, {"confidential"});
  const Value* enabled = confidential == nullptr ? nullptr : member(*confidential, {"enabled"});
  if (enabled == nullptr || *enabled != Value(true)) return;
  const std::string_view id = confidential->string_at({"resourceId"});
  if (!id.empty() && !is_resource_id(id)) {
    error(out, "/spec/model/confidential/resourceId",
          fmt::format("expected kbs:///a/b/c, is '{}'", id));
  }
  const std::string_view uri = model->string_at({"uri"});
  if (uri.starts_with("oci://") || uri.starts_with("pvc://")) {
    out.warnings.push_back(
        {"/spec/model/confidential", "has no effect: nothing is downloaded from such a uri"});
  }
}

void check_workloads(const Value& spec, Findings& out) {
  const Value* prefill = member(spec, {"prefill"});
  for (const auto& [workload, at] :
       {std::pair<const Value*, std::string>{&spec, "/spec"}, {prefill, "/spec/prefill"}}) {
    if (workload == nullptr) continue;
    check_parallelism(*workload, at, out);
    check_offloading(*workload, at, out);
    check_rollout(*workload, at, out);
  }
}

void check_dra(const Value& object, Findings& out) {
  constexpr std::string_view kPrefix = "serving.kserve.io/exp-dra-";
  const Value* annotations = member(object, {"metadata", "annotations"});
  if (annotations == nullptr || !annotations->is_object()) return;
  const auto text = [&](std::string_view key) {
    return annotations->find(std::string(kPrefix).append(key));
  };
  const auto wrong = [&](std::string_view key, std::string message,
                         Finding::Kind kind = Finding::Kind::kInvalid) {
    error(out, pointer("/metadata/annotations", std::string(kPrefix).append(key)),
          std::move(message), kind);
  };
  const bool others = text("device-count") != nullptr || text("cel-selector") != nullptr ||
                      text("container-name") != nullptr;
  const Value* device = text("device-class");
  if (device == nullptr) {
    if (others) wrong("device-class", "is required", Finding::Kind::kRequired);
  } else if (!device->is_string() || !is_dns_subdomain(trim(*device->if_string(), kBlanks))) {
    wrong("device-class", "must be a DNS subdomain");
  }
  if (const Value* count = text("device-count"); count != nullptr && count->is_string()) {
    const std::string_view number = trim(*count->if_string(), kBlanks);
    int parsed = 0;
    const auto [rest, ec] = std::from_chars(number.data(), number.data() + number.size(), parsed);
    if (ec != std::errc() || rest != number.data() + number.size() || parsed < 1) {
      wrong("device-count", fmt::format("must be a number of at least 1, is '{}'", number));
    }
  }
  if (const Value* selector = text("cel-selector"); selector != nullptr && selector->is_string() &&
                                                    trim(*selector->if_string(), kBlanks).empty()) {
    wrong("cel-selector", "has no expression");
  }
  if (const Value* name = text("container-name");
      name != nullptr && name->is_string() && !is_dns_label(trim(*name->if_string(), kBlanks))) {
    wrong("container-name", "must be a DNS label");
  }
}

}  // namespace baton::api
