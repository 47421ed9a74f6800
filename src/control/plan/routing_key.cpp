// The key of signed routes (routing/ticket), where both who signs and who reads are Baton's:
// another picker's routes would be refused, another sidecar would not look.

#include <algorithm>
#include <string>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Object;

constexpr std::string_view kSidecarName = "llm-d-routing-sidecar";
constexpr std::string_view kVolume = "routing-key";
constexpr std::string_view kFolder = "/var/run/baton/routing";
constexpr std::string_view kVariable = "BATON_ROUTING_TICKET_KEY_FILE";

std::string secret_name(const Build& build) { return build.child("-kserve-routing-key"); }

bool picker_is_ours(const Build& build) {
  const Settings& settings = build.settings();
  if (settings.runs_baton) return true;
  const Value* scheduler = get(build.spec(), {"router", "scheduler"});
  if (scheduler == nullptr || get(*scheduler, {"pool", "ref"}) != nullptr) return false;
  const Value* main = named(get(*scheduler, {"template", "containers"}), "main");
  if (main == nullptr || !settings.picker_version.empty()) return false;
  if (!scheduler->string_at({"annotations", "app.kubernetes.io/version"}).empty()) return false;
  const std::string_view image = main->string_at({"image"});
  return image.empty() || image == settings.picker_image;
}

// A container that has the variable already is somebody's own arrangement.
bool takes_key(const Value& container) {
  return named(container.find("env"), kVariable) == nullptr;
}

void mount(const Build& build, Value& pod, std::string_view list, std::string_view name) {
  add_named(pod["volumes"],
            Object{{"name", kVolume}, {"secret", Object{{"secretName", secret_name(build)}}}});
  Value& container = *named(pod.find(list), name);
  add_named(container["volumeMounts"],
            Object{{"mountPath", kFolder}, {"name", kVolume}, {"readOnly", true}});
  add_named(container["env"],
            Object{{"name", kVariable}, {"value", std::string(kFolder) + "/key"}});
}

bool is_wished(const Build& build) {
  return std::ranges::any_of(build.out.wishes,
                             [](const Wish& wish) { return wish.kind == Wish::Kind::kRoutingKey; });
}

}  // namespace

void require_signed_routes(Build& build, Value& pod) {
  const Value* sidecar = named(pod.find("initContainers"), kSidecarName);
  if (sidecar == nullptr || !takes_key(*sidecar)) return;
  if (!picker_is_ours(build) || !is_own_sidecar(build, *sidecar)) return;
  mount(build, pod, "initContainers", kSidecarName);
  if (is_wished(build)) return;
  build.out.wishes.push_back({.kind = Wish::Kind::kRoutingKey,
                              .ns = build.ns,
                              .name = secret_name(build),
                              .dns_names = {},
                              .addresses = {}});
}

void sign_routes(const Build& build, Value& pod) {
  const Value* main = named(pod.find("containers"), "main");
  if (main == nullptr || !is_wished(build) || !takes_key(*main)) return;
  mount(build, pod, "containers", "main");
}

}  // namespace baton::plan
