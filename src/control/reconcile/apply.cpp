#include "control/reconcile/apply.hpp"

#include <fmt/format.h>

#include <set>

#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

constexpr std::string_view kNameLabel = "app.kubernetes.io/name";
constexpr std::string_view kPartOfLabel = "app.kubernetes.io/part-of";
constexpr std::string_view kPartOf = "llminferenceservice";

void keep_others(kube::Object& next, const kube::Object& live, std::string_view member) {
  const auto* before = live.find_path({"metadata", member});
  if (before == nullptr || before->if_object() == nullptr) return;
  for (const auto& entry : *before->if_object()) {
    auto& map = next["metadata"][member];
    if (map.find(entry.key) == nullptr) map[entry.key] = entry.value;
  }
}

}  // namespace

kube::Object updated(const kube::Object& live, const kube::Object& wanted) {
  kube::Object next = wanted;
  keep_others(next, live, "labels");
  keep_others(next, live, "annotations");
  auto& metadata = next["metadata"];
  for (const auto* member : {"resourceVersion", "uid", "finalizers"}) {
    if (const auto* value = live.find_path({"metadata", member})) metadata[member] = *value;
  }
  const auto* replicas = live.find_path({"spec", "replicas"});
  if (replicas != nullptr && wanted.find_path({"spec", "replicas"}) == nullptr) {
    next["spec"]["replicas"] = *replicas;
  }
  return next;
}

bool Applier::controls(const kube::Object& object) const {
  if (!kube::namespace_of(object).empty()) {
    return kube::controller_uid(object) == kube::uid_of(service_);
  }
  if (kube::label(object, kPartOfLabel) != kPartOf ||
      kube::label(object, kNameLabel) != kube::name_of(service_)) {
    return false;
  }
  const auto* subjects = object.find("subjects");
  return subjects != nullptr && subjects->if_array() != nullptr && !subjects->if_array()->empty() &&
         subjects->if_array()->front().string_at({"namespace"}) == kube::namespace_of(service_);
}

Result<kube::Object> Applier::apply(const kube::Object& wanted) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(wanted));
  const auto context = kube::to_string(key);
  auto live = cluster_.get(key, deadline_);
  if (!live && live.error().code() == Code::kNotFound) {
    auto made = cluster_.create(wanted, kube::DryRun::kNo, deadline_);
    if (!made) return std::move(made).error().with(context);
    tell_("Created", *made);
    return made;
  }
  if (!live) return std::move(live).error().with(context);
  if (!controls(*live)) {
    return conflict(fmt::format("{} exists and is not controlled by this service", context));
  }
  const auto next = updated(*live, wanted);
  auto shown = cluster_.update(next, kube::DryRun::kYes, deadline_);
  if (!shown) return std::move(shown).error().with(context);
  if (*shown == *live) return live;
  auto written = cluster_.update(next, kube::DryRun::kNo, deadline_);
  if (!written) return std::move(written).error().with(context);
  tell_("Updated", *written);
  return written;
}

Status Applier::remove(const kube::Object& object) {
  if (kube::is_deleting(object)) return {};
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  const auto removed = cluster_.remove(key, kube::Grace::kDefault, deadline_);
  if (!removed && removed.error().code() != Code::kNotFound) {
    return removed.error().with(kube::to_string(key));
  }
  tell_("Deleted", object);
  return {};
}

Status Applier::remove_unplanned(const std::vector<kube::Type>& kinds,
                                 const std::vector<kube::Object>& planned) {
  std::set<kube::ObjectKey> wanted;
  for (const auto& object : planned) {
    BATON_TRY_ASSIGN(auto key, kube::key_of(object));
    wanted.insert(std::move(key));
  }
  const std::string ns(kube::namespace_of(service_));
  for (const auto& type : kinds) {
    const bool cluster_scoped = type.kind == "ClusterRoleBinding";
    BATON_TRY_ASSIGN(const auto list,
                     cluster_.list({type, cluster_scoped ? "" : ns, {}}, deadline_));
    for (const auto& object : list.items) {
      BATON_TRY_ASSIGN(auto key, kube::key_of(object));
      if (!controls(object) || wanted.contains(key)) continue;
      BATON_TRY(remove(object));
    }
  }
  return {};
}

}  // namespace baton::reconcile
