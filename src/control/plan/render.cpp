#include "control/plan/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text/go_template.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/presets.hpp"
#include "formats/api/quantity.hpp"
#include "formats/api/schema.hpp"

namespace baton::plan {
namespace {

namespace go = text::go_template;
using text::json::Array;
using text::json::Object;
using Args = std::span<const Value>;

constexpr std::int64_t kDefaultGraceSeconds = 60;
constexpr std::int64_t kDrainMarginSeconds = 5;

Value global_config(const Value& service, const Settings& settings) {
  return Object{{"SystemNamespace", settings.system_namespace},
                {"IngressGatewayName", settings.ingress_gateway_name},
                {"IngressGatewayNamespace", settings.ingress_gateway_namespace},
                {"EnableTLS", settings.enable_tls},
                {"ModelBasedRoutingHeaderName", settings.model_routing_header},
                {"InferencePoolNamespacedName",
                 fmt::format("{}/{}", namespace_of(service), pool_name(service))}};
}

Value template_data(const Value& service, const Settings& settings) {
  const auto metadata = [&](std::string_view key) {
    const Value* found = service.find_path({"metadata", key});
    return found == nullptr ? Value(Object()) : *found;
  };
  const Value* spec = service.find("spec");
  const Value* status = service.find("status");
  Value object_meta = *service.find("metadata");
  object_meta["namespace"] = namespace_of(service);
  return Object{{"Name", name_of(service)},
                {"Namespace", namespace_of(service)},
                {"Labels", metadata("labels")},
                {"Annotations", metadata("annotations")},
                {"ObjectMeta", std::move(object_meta)},
                {"Spec", api::template_view(api::service_spec(), *spec)},
                {"Status", status == nullptr ? Value(Object()) : *status},
                {"GlobalConfig", global_config(service, settings)}};
}

Value offloading_config(const Value& offloading) {
  Object extra;
  const Value* cpu = offloading.find("cpu");
  extra.set("cpu_bytes_to_use", cpu == nullptr ? 0 : api::quantity(*cpu).value_or(0));
  if (const auto policy = offloading.string_at({"evictionPolicy"}); !policy.empty()) {
    extra.set("eviction_policy", policy);
  }
  Array tiers;
  const Value* secondary = get(offloading, {"secondary"});
  const Array* listed = secondary == nullptr ? nullptr : secondary->if_array();
  for (std::size_t i = 0; listed != nullptr && i < listed->size(); ++i) {
    if (get((*listed)[i], {"fileSystem"}) == nullptr) continue;
    tiers.push_back(Object{{"root_dir", fmt::format("/mnt/kv-cache-{}", i)}, {"type", "fs"}});
  }
  if (!tiers.empty()) extra.set("secondary_tiers", std::move(tiers));
  extra.set("spec_name", "TieringOffloadingSpec");
  return Object{{"kv_connector", "OffloadingConnector"},
                {"kv_connector_extra_config", std::move(extra)},
                {"kv_role", "kv_both"}};
}

Error wrong_arguments(std::string_view expected) {
  return invalid(fmt::format("expects {}", expected));
}

Result<Value> child_name_function(Args args) {
  if (args.size() != 2 || !args[0].is_string() || !args[1].is_string()) {
    return wrong_arguments("a name and a suffix");
  }
  return Value(child_name(*args[0].if_string(), *args[1].if_string()));
}

// What is left of the grace period after the preStop sleep and a margin.
Result<Value> shutdown_timeout(Args args) {
  const auto pre_stop = args.size() == 2 ? args[1].if_int() : std::nullopt;
  if (!pre_stop) return wrong_arguments("a pod spec and the seconds of preStop");
  const Value* grace = args[0].find("terminationGracePeriodSeconds");
  const std::int64_t seconds =
      grace == nullptr ? kDefaultGraceSeconds : grace->if_int().value_or(kDefaultGraceSeconds);
  return Value(
      std::max<std::int64_t>(0, seconds - *pre_stop - std::min(kDrainMarginSeconds, seconds)));
}

// For presets written for other controllers: their shell reads the text once more.
Result<Value> kv_transfer_config(Args args) {
  if (args.size() != 1) return wrong_arguments("kvCacheOffloading");
  if (args[0].is_null()) return Value("");
  std::string escaped;
  for (const char c : kv_transfer_json(args[0], "")) {
    if (c == '"') escaped += '\\';
    escaped += c;
  }
  return Value(fmt::format("--kv-transfer-config '{}'", escaped));
}

Result<Value> kv_transfer_flag(Args args) {
  if (args.size() != 2 || !args[1].is_string()) {
    return wrong_arguments("kvCacheOffloading and a role");
  }
  const std::string json = kv_transfer_json(args[0], *args[1].if_string());
  return Value(json.empty() ? "" : "--kv-transfer-config=" + json);
}

go::Options options(const Settings& settings) {
  const auto constant = [](std::string text) {
    return [text = std::move(text)](Args) -> Result<Value> { return Value(text); };
  };
  return {.functions = {{"ChildName", child_name_function},
                        {"shutdownTimeout", shutdown_timeout},
                        {"kvTransferConfig", kv_transfer_config},
                        {"KvTransferFlag", kv_transfer_flag},
                        {"EngineScript", constant(std::string(engine_script()))},
                        {"Scheme", constant(settings.enable_tls ? "HTTPS" : "HTTP")}},
          .trim = go::Trim::kWithinLine};
}

class Renderer {
 public:
  Renderer(const Value& data, const go::Options& options) : data_(data), options_(options) {}

  // False: nothing is left of a template that stood in a list.
  Result<bool> walk(Value& value, const std::string& pointer) {
    if (const std::string* text = value.if_string()) {
      if (!go::has_actions(*text)) return true;
      BATON_TRY_ASSIGN(std::string out, go::render(*text, data_, options_).with(pointer));
      const bool something = !out.empty();
      value = std::move(out);
      return something;
    }
    if (Object* members = value.if_object()) {
      for (auto& [key, member] : *members) {
        BATON_TRY(walk(member, text::json::pointer(pointer, key)));
      }
    }
    if (Array* items = value.if_array()) {
      BATON_TRY(list(*items, pointer));
    }
    return true;
  }

 private:
  Status list(Array& items, const std::string& pointer) {
    Array kept;
    for (std::size_t i = 0; i < items.size(); ++i) {
      BATON_TRY_ASSIGN(const bool something, walk(items[i], text::json::pointer(pointer, i)));
      if (something) kept.push_back(std::move(items[i]));
    }
    items = std::move(kept);
    return {};
  }

  const Value& data_;
  const go::Options& options_;
};

}  // namespace

std::string kv_transfer_json(const Value& offloading, std::string_view role) {
  const Value nixl = Object{{"kv_connector", "NixlConnector"}, {"kv_role", role}};
  if (offloading.is_null()) return role.empty() ? "" : text::json::dump(nixl);
  if (role.empty()) return text::json::dump(offloading_config(offloading));
  return text::json::dump(
      Object{{"kv_connector", "MultiConnector"},
             {"kv_connector_extra_config",
              Object{{"connectors", Array{nixl, offloading_config(offloading)}}}},
             {"kv_role", role}});
}

Status render(Value& service, const Settings& settings) {
  const Value data = template_data(service, settings);
  // All templates of a service together: many small ones are no way to a large one.
  go::Budget budget;
  go::Options functions = options(settings);
  functions.budget = &budget;
  Renderer renderer(data, functions);
  BATON_TRY(renderer.walk(*service.find("spec"), "/spec"));
  return {};
}

}  // namespace baton::plan
