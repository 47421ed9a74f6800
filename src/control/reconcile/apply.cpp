#include "control/reconcile/apply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "control/reconcile/fields.hpp"
#include "control/reconcile/kinds.hpp"
#include "net/kube/digest.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;

constexpr std::string_view kGroupLabel = "serving.kserve.io/routing-group";
constexpr std::string_view kOwnRules = "baton.dev/rules";  // how many of a route's rules are ours

// Labels and annotations that only this controller sets: one that is no longer wanted goes.
constexpr std::array<std::string_view, 5> kOurs = {"serving.kserve.io/", "app.kubernetes.io/",
                                                   "kserve.io/", "llm-d.ai/", "baton.dev/"};

bool is_autoscaler(const Object& object) {
  const auto kind = object.string_at({"kind"});
  return kind == "HorizontalPodAutoscaler" || kind == "ScaledObject";
}

bool others_may_set(const Object& object, std::string_view key) {
  // Autoscalers are compared as a whole, but for the label that KEDA puts on.
  if (is_autoscaler(object)) return key == "scaledobject.keda.sh/name";
  return std::ranges::none_of(kOurs,
                              [&](std::string_view prefix) { return key.starts_with(prefix); });
}

void keep_others(Object& next, const Object& live, std::string_view member) {
  const auto* before = live.find_path({"metadata", member});
  if (before == nullptr || before->if_object() == nullptr) return;
  for (const auto& entry : *before->if_object()) {
    if (!others_may_set(live, entry.key)) continue;
    auto& map = next["metadata"][member];
    if (map.find(entry.key) == nullptr) map[entry.key] = entry.value;
  }
}

bool covers(const Object& labels, const Object& selector) {
  const auto* wanted = selector.if_object();
  if (wanted == nullptr) return false;
  return std::ranges::all_of(*wanted, [&](const auto& entry) {
    const auto* value = labels.find(entry.key);
    return value != nullptr && *value == entry.value;
  });
}

void keep_of_deployment(Object& spec, const Object& live) {
  for (const auto& [key, value] : *live.if_object()) {
    if (key != "strategy" && key != "template" && spec.find(key) == nullptr) spec[key] = value;
  }
  const auto* selector = live.find_path({"selector", "matchLabels"});
  const auto* labels = spec.find_path({"template", "metadata", "labels"});
  if (selector != nullptr && labels != nullptr && covers(*labels, *selector)) {
    spec["selector"] = *live.find("selector");
  }
  // `kubectl rollout restart`.
  constexpr std::string_view kRestarted = "kubectl.kubernetes.io/restartedAt";
  const auto* restarted = live.find_path({"template", "metadata", "annotations", kRestarted});
  if (restarted != nullptr) spec["template"]["metadata"]["annotations"][kRestarted] = *restarted;
}

// A route without a group tells how many of its rules are ours: what comes after those is what a
// gateway's controller appended.
void note_rules(Object& route) {
  const auto* rules = route.find_path({"spec", "rules"});
  if (rules == nullptr || rules->if_array() == nullptr) return;
  if (!kube::label(route, kGroupLabel).empty()) return;
  route["metadata"]["annotations"][kOwnRules] = std::to_string(rules->if_array()->size());
}

void keep_appended_rules(Object& next, const Object& live) {
  if (next.find_path({"metadata", "annotations", kOwnRules}) == nullptr) return;
  const auto noted = live.string_at({"metadata", "annotations", kOwnRules});
  const auto& have = items(live, {"spec", "rules"});
  // Where nothing is noted all may be ours: who appends does so again.
  std::size_t ours = have.size();
  std::from_chars(noted.data(), noted.data() + noted.size(), ours);
  for (std::size_t i = ours; i < have.size(); ++i) next["spec"]["rules"].push_back(have[i]);
}

Object content(Object object) {
  auto* members = object.if_object();
  if (members == nullptr) return object;
  members->erase("status");
  if (auto* metadata = object.find("metadata"); metadata != nullptr && metadata->if_object()) {
    for (const auto* member : {"resourceVersion", "uid", "generation", "managedFields",
                               "creationTimestamp", "generateName", "selfLink"}) {
      metadata->if_object()->erase(member);
    }
  }
  return object;
}

// Other controllers put Secrets of theirs on an account (OpenShift's one that pulls from its
// registry) and put them there again. An entry stays, also one that is wanted no more: whose it was
// cannot be told.
void keep_entries(Object& next, const Object& live, std::string_view list) {
  const auto& there = items(live, {list});
  if (there.empty()) return;
  text::json::Array all = there;
  for (const auto& entry : items(next, {list})) {
    const bool known = std::ranges::any_of(there, [&](const Object& one) {
      return one.string_at({"name"}) == entry.string_at({"name"});
    });
    if (!known) all.push_back(entry);
  }
  next[list] = std::move(all);
}

}  // namespace

Object updated(const Object& live, const Object& wanted) {
  Object next = wanted;
  keep_others(next, live, "labels");
  keep_others(next, live, "annotations");
  auto& metadata = next["metadata"];
  for (const auto* member : {"resourceVersion", "uid", "finalizers"}) {
    if (const auto* value = live.find_path({"metadata", member})) metadata[member] = *value;
  }
  const auto kind = live.string_at({"kind"});
  if (kind == "ServiceAccount") {
    for (const auto* list : {"secrets", "imagePullSecrets"}) keep_entries(next, live, list);
  }
  const auto* spec = live.find("spec");
  if (spec == nullptr || spec->if_object() == nullptr) return next;
  if (kind == "Deployment" && next.find("spec") != nullptr) {
    keep_of_deployment(next["spec"], *spec);
  }
  if (kind == "HTTPRoute") {
    note_rules(next);
    keep_appended_rules(next, live);
  }
  if (kind == "LeaderWorkerSet" && next.find_path({"spec", "replicas"}) == nullptr &&
      spec->find("replicas") != nullptr) {
    next["spec"]["replicas"] = *spec->find("replicas");
  }
  return next;
}

bool same_content(const Object& a, const Object& b) { return content(a) == content(b); }

namespace {
// Two children of one digest would only cost a look: an entry tells their contents apart.
std::uint64_t digest_of(const kube::ObjectKey& key) {
  return std::hash<std::string>{}(kube::to_string(key));
}
}  // namespace

bool Ledger::has(std::string_view uid, const kube::ObjectKey& child, const Entry& entry) const {
  const std::lock_guard lock(mutex_);
  const auto service = entries_.find(uid);
  if (service == entries_.end()) return false;
  const auto found = service->second.find(digest_of(child));
  return found != service->second.end() && found->second == entry;
}

void Ledger::put(std::string_view uid, const kube::ObjectKey& child, const Entry& entry) {
  const std::lock_guard lock(mutex_);
  entries_[std::string(uid)][digest_of(child)] = entry;
}

void Ledger::forget(std::string_view uid) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(uid); found != entries_.end()) entries_.erase(found);
}

bool Applier::controls(const Object& object) const {
  if (!kube::namespace_of(object).empty()) {
    return kube::controller_uid(object) == kube::uid_of(service_);
  }
  if (kube::label(object, kPartOfLabel) != kPartOf ||
      kube::label(object, kNameLabel) != kube::name_of(service_)) {
    return false;
  }
  const auto& subjects = items(object, {"subjects"});
  return !subjects.empty() &&
         subjects.front().string_at({"namespace"}) == kube::namespace_of(service_);
}

Result<kube::SnapshotPtr> Applier::settled(const kube::ObjectKey& key, const Object& live,
                                           const Object& wanted) {
  auto snapshot =
      std::make_shared<const kube::Snapshot>(kube::Snapshot{live, kube::digest_of_content(live)});
  deps_.ledger.put(kube::uid_of(service_), key, {kube::digest(wanted), snapshot->content});
  return kube::SnapshotPtr(std::move(snapshot));
}

Result<kube::SnapshotPtr> Applier::apply(const Object& wanted) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(wanted));
  const auto context = kube::to_string(key);
  auto known = deps_.cache.get(key);
  if (known && controls(known->object) && !kube::is_deleting(known->object) &&
      deps_.ledger.has(kube::uid_of(service_), key, {kube::digest(wanted), known->content})) {
    return known;
  }
  auto done = known ? reconcile(key, wanted) : make(key, wanted);
  // The cache does not have it yet, or leaves it out for want of our labels.
  if (!known && !done && done.error().code() == Code::kConflict) done = reconcile(key, wanted);
  return std::move(done).with(context);
}

Result<kube::SnapshotPtr> Applier::make(const Object& wanted) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(wanted));
  return make(key, wanted).with(kube::to_string(key));
}

Result<kube::SnapshotPtr> Applier::make(const kube::ObjectKey& key, const Object& wanted) {
  Object next = wanted;
  if (key.type.kind == "HTTPRoute") note_rules(next);
  auto made = deps_.cluster.create(next, kube::DryRun::kNo, deadline_);
  if (!made) return std::move(made).error();
  tell_("Created", *made);
  expectations_.push_back(kube::written(*made));
  return settled(key, *made, wanted);
}

Result<kube::SnapshotPtr> Applier::reconcile(const kube::ObjectKey& key, const Object& wanted) {
  for (int attempt = 0;; ++attempt) {
    auto live = deps_.cluster.get(key, deadline_);
    if (!live && live.error().code() == Code::kNotFound && attempt == 0) return make(key, wanted);
    if (!live) return std::move(live).error();
    if (!controls(*live)) return conflict("exists and is not controlled by this service");
    if (kube::is_deleting(*live))
      return unavailable("is being deleted; it is made again after that");
    const auto next = updated(*live, wanted);
    auto shown = deps_.cluster.update(next, kube::DryRun::kYes, deadline_);
    if (shown && same_content(*shown, *live)) return settled(key, *live, wanted);
    auto written =
        shown ? deps_.cluster.update(next, kube::DryRun::kNo, deadline_) : std::move(shown);
    if (written) {
      tell_("Updated", *written);
      expectations_.push_back(kube::written(*written));
      return settled(key, *written, wanted);
    }
    if (written.error().code() != Code::kConflict || attempt == kube::kConflictRetries) {
      return std::move(written).error();
    }
  }
}

Status Applier::remove(const Object& object) {
  if (kube::is_deleting(object)) return {};
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  const auto context = kube::to_string(key);
  const auto live = deps_.cluster.get(key, deadline_);
  if (!live && live.error().code() == Code::kNotFound) return {};
  if (!live) return live.error().with(context);
  if (!controls(*live)) {
    return conflict(fmt::format("cannot delete {}: not owned by this service", context));
  }
  kube::Removal this_one;
  this_one.uid = kube::uid_of(*live);
  const auto removed = deps_.cluster.remove(key, this_one, deadline_);
  if (!removed && removed.error().code() != Code::kNotFound) return removed.error().with(context);
  tell_("Deleted", *live);
  expectations_.push_back(kube::removed(*live));
  return {};
}

}  // namespace baton::reconcile
