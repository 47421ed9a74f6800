// The pod spec of an engine pod.

#include <fmt/format.h>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/storage.hpp"
#include "formats/api/quantity.hpp"
#include "formats/api/resource_name.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kSidecar = "llm-d-routing-sidecar";
constexpr std::string_view kTlsVolume = "tls-certs";

void erase_named(Value& in, std::string_view list, std::string_view name) {
  Value* found = in.find(list);
  if (found == nullptr || !found->is_array()) return;
  std::erase_if(*found->if_array(),
                [&](const Value& item) { return item.string_at({"name"}) == name; });
  if (found->if_array()->empty()) in.if_object()->erase(list);
}

// Devices cannot be overcommitted: an API server refuses a request without the same limit
// (https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources).
void limit_devices(Value& pod) {
  for (const std::string_view list : {"initContainers", "containers"}) {
    Value* containers = pod.find(list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (Value& container : *containers->if_array()) {
      const Value* found = get(container, {"resources", "requests"});
      if (found == nullptr || !found->is_object()) continue;
      const Value requests = *found;
      for (const auto& [name, amount] : *requests.if_object()) {
        if (!api::is_extended_resource(name) ||
            get(container, {"resources", "limits", name}) != nullptr) {
          continue;
        }
        container["resources"]["limits"][name] = amount;
      }
    }
  }
}

// What is no quantity is left to the API server to refuse.
void add_storage(Value& amount, const Value& size) {
  if (amount.is_null()) {
    amount = size;
  } else if (const auto both = api::sum_of_quantities(amount, size)) {
    amount = *both;
  }
}

// What the container asks for already stays asked for, and within its limit: a tier counts there,
// too. A request that is missing is as large as the limit.
void request_storage(Value& container, const Value& size) {
  constexpr std::string_view kStorage = "ephemeral-storage";
  Value& resources = container["resources"];
  const bool is_limited = get(resources, {"limits", kStorage}) != nullptr;
  const bool is_asked = get(resources, {"requests", kStorage}) != nullptr;
  if (is_limited) add_storage(resources["limits"][kStorage], size);
  if (is_asked || !is_limited) add_storage(resources["requests"][kStorage], size);
}

Value tier_volume(const Value& file_system, std::string_view name) {
  if (const Value* empty = get(file_system, {"emptyDir"})) {
    Object dir;
    if (const Value* size = get(*empty, {"size"})) dir.set("sizeLimit", *size);
    return Object{{"name", name}, {"emptyDir", std::move(dir)}};
  }
  if (const Value* spec = get(file_system, {"pvc", "spec"})) {
    return Object{{"name", name},
                  {"ephemeral", Object{{"volumeClaimTemplate", Object{{"spec", *spec}}}}}};
  }
  return Object{{"name", name},
                {"persistentVolumeClaim",
                 Object{{"claimName", file_system.string_at({"pvc", "ref", "name"})}}}};
}

}  // namespace

bool has_routing_sidecar(const Value& pod) {
  return named(pod.find("initContainers"), kSidecar) != nullptr;
}

void remove_tls_volume(Value& pod) {
  erase_named(pod, "volumes", kTlsVolume);
  for (const std::string_view list : {"initContainers", "containers"}) {
    Value* containers = pod.find(list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (Value& container : *containers->if_array()) {
      erase_named(container, "volumeMounts", kTlsVolume);
    }
  }
}

void attach_kv_tiers(const Workload& workload, Value& pod) {
  const Value* tiers = get(workload.spec, {"kvCacheOffloading", "secondary"});
  Value* main = named(pod.find("containers"), "main");
  if (tiers == nullptr || main == nullptr) return;
  for (std::size_t i = 0; i < tiers->if_array()->size(); ++i) {
    const Value* file_system = get((*tiers->if_array())[i], {"fileSystem"});
    if (file_system == nullptr) continue;
    const std::string name = fmt::format("kv-cache-secondary-{}", i);
    Value mount = Object{{"mountPath", fmt::format("/mnt/kv-cache-{}", i)}, {"name", name}};
    if (const Value* path = get(*file_system, {"pvc", "ref", "path"})) mount["subPath"] = *path;
    (*main)["volumeMounts"].push_back(std::move(mount));
    if (const Value* size = get(*file_system, {"emptyDir", "size"})) {
      request_storage(*main, *size);
    }
    add_named(pod["volumes"], tier_volume(*file_system, name));
    main = named(pod.find("containers"), "main");
  }
}

Result<Value> pod_spec(Build& build, const PodPlace& place) {
  Value pod = *place.workload.spec.find(place.place);
  if (named(pod.find("containers"), "main") == nullptr) {
    build.warn(place.pointer() + "/containers",
               "has no container 'main': model, devices and tracing reach none of the others");
  }
  if (!place.account.name.empty()) pod["serviceAccountName"] = place.account.name;
  // Without TLS nothing makes the Secret.
  if (!build.settings().enable_tls) remove_tls_volume(pod);
  if (Value* main = named(pod.find("containers"), "main")) choose_engine_image(build, *main);
  fit_sidecar(build, pod);
  require_signed_routes(build, pod);
  fix_engine_command(build, place, pod);
  const Value* tiers = get(place.workload.spec, {"kvCacheOffloading", "secondary"});
  const ModelTarget model{.pointer = place.pointer(),
                          .account = place.account,
                          .live = place.live,
                          .with_adapters = true,
                          .with_tiers = tiers != nullptr && !items(tiers).empty()};
  BATON_TRY(attach_model(build, model, pod));
  attach_kv_tiers(place.workload, pod);
  claim_devices(build, place, pod);
  trace_engine(build, place.workload, pod);
  limit_devices(pod);
  return pod;
}

}  // namespace baton::plan
