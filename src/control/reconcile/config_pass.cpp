#include "control/reconcile/config_pass.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "control/reconcile/conditions.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/finalizers.hpp"
#include "control/reconcile/kinds.hpp"
#include "control/reconcile/references.hpp"

namespace baton::reconcile {

using kube::Object;

Object config_status(const Object& config, const std::vector<std::string>& users, Wall now) {
  const auto* before = config.find("status");
  Object status = before == nullptr || before->is_null() ? Object(text::json::Object{}) : *before;
  const auto* old = status.find("conditions");
  Conditions conditions(old == nullptr ? Object() : *old, now);
  const bool used = !users.empty();
  const bool blocked = used && kube::is_deleting(config);
  const auto* reason = blocked ? "DeletionBlocked" : used ? "InUse" : "NotInUse";
  conditions.set({"ConfigInUse", used ? "True" : "False", reason,
                  used ? fmt::format("used by {}", fmt::join(users, ", ")) : "", "Info"});
  conditions.set({"Ready", "True", "", "", ""});
  status["conditions"] = std::move(conditions).take();
  status["observedGeneration"] = kube::generation_of(config);
  if (!used) {
    status.if_object()->erase("referencedBy");
    return status;
  }
  text::json::Array list;
  for (const auto& user : users) {
    const auto slash = user.find('/');
    list.push_back(
        text::json::Object{{"name", user.substr(slash + 1)}, {"namespace", user.substr(0, slash)}});
  }
  status["referencedBy"] = std::move(list);
  return status;
}

Status reconcile_config(const ConfigPassDeps& deps, const plan::Settings& settings,
                        const Object& config, Deadline deadline) {
  const bool deleting = kube::is_deleting(config);
  const bool held = has_finalizer(config, kConfigFinalizer);
  if (!deleting && !held) {
    BATON_TRY(set_finalizer(deps.cluster, config, kConfigFinalizer, Finalizer::kAdd, deadline));
    return {};
  }
  std::vector<std::string> users;
  for (const auto& service : users_of(deps.cache, settings, config)) {
    users.push_back(service_key(service->object));
  }
  std::ranges::sort(users);
  if (deleting && users.empty()) {
    if (!held) return {};
    BATON_TRY(set_finalizer(deps.cluster, config, kConfigFinalizer, Finalizer::kRemove, deadline));
    return {};
  }
  Object next = config;
  next["status"] = config_status(config, users, deps.clock.wall());
  const auto* before = config.find("status");
  if (before != nullptr && *before == *next.find("status")) return {};
  auto written = deps.cluster.update_status(next, deadline);
  if (!written) {
    if (written.error().code() == Code::kNotFound) return {};
    return std::move(written).error();
  }
  if (deleting) {
    deps.recorder.record(config, EventType::kWarning, "DeletionBlocked",
                         fmt::format("not deleted while used by {}", fmt::join(users, ", ")));
  }
  return {};
}

}  // namespace baton::reconcile
