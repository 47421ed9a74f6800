#include "control/webhook/storage_migration.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "base/core/log.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/crd.hpp"

namespace baton::webhook {
namespace {

using text::json::Array;

constexpr std::string_view kStored = "v1alpha2";
constexpr Nanos kAttemptBudget = std::chrono::minutes(5);

const kube::Type kMigrated{"apiextensions.k8s.io", "v1", "CustomResourceDefinition"};

struct Kind {
  std::string_view definition;
  std::string_view kind;
};
constexpr std::array kKinds = {Kind{api::kServiceCrd, "LLMInferenceService"},
                               Kind{api::kConfigCrd, "LLMInferenceServiceConfig"}};

// As it is: the API server stores it in the version of today.
Status rewrite(kube::Cluster& cluster, const kube::Object& object, Deadline deadline) {
  const auto written = cluster.update(object, kube::DryRun::kNo, deadline);
  const bool others = !written && (written.error().code() == Code::kConflict ||
                                   written.error().code() == Code::kNotFound);
  if (written || others) return {};
  return written.error().with(kube::to_string(*kube::key_of(object)));
}

Status rewrite_all(kube::Cluster& cluster, const Kind& kind, Deadline deadline) {
  const kube::Type type{std::string(api::kGroup), std::string(kStored), std::string(kind.kind)};
  BATON_TRY_ASSIGN(const kube::List all, cluster.list({type, "", {}}, deadline));
  Status first;
  for (const kube::Object& object : all.items) {
    const Status one = rewrite(cluster, object, deadline);
    if (!one && first) first = one;
  }
  return first;
}

Status migrate(kube::Cluster& cluster, const Kind& kind, Deadline deadline) {
  const kube::ObjectKey key{kMigrated, "", std::string(kind.definition)};
  BATON_TRY_ASSIGN(const kube::Object before, cluster.get(key, deadline));
  switch (migration_of(before)) {
    case Migration::kDone:
      return {};
    case Migration::kWait:
      return unavailable(fmt::format("{} does not store {} yet", kind.definition, kStored));
    case Migration::kRewrite:
      break;
  }
  BATON_TRY(rewrite_all(cluster, kind, deadline));
  for (int attempt = 0;; ++attempt) {
    BATON_TRY_ASSIGN(kube::Object definition, cluster.get(key, deadline));
    definition["status"]["storedVersions"] = Array{kStored};
    const auto updated = cluster.update_status(definition, deadline);
    if (updated) break;
    if (updated.error().code() != Code::kConflict || attempt == kube::kConflictRetries) {
      return updated.error().with(kind.definition);
    }
  }
  log::info("stored objects migrated", {{"definition", kind.definition}, {"to", kStored}});
  return {};
}

}  // namespace

Migration migration_of(const kube::Object& definition) {
  const kube::Object* stored = definition.find_path({"status", "storedVersions"});
  if (stored != nullptr && *stored == kube::Object(Array{kStored})) return Migration::kDone;
  const kube::Object* versions = definition.find_path({"spec", "versions"});
  if (versions == nullptr || !versions->is_array()) return Migration::kWait;
  for (const kube::Object& version : *versions->if_array()) {
    const kube::Object* storage = version.find("storage");
    const bool stores = storage != nullptr && *storage == kube::Object(true);
    if (stores && version.string_at({"name"}) == kStored) return Migration::kRewrite;
  }
  return Migration::kWait;
}

Status migrate_storage(kube::Cluster& cluster, Deadline deadline) {
  Status first;
  for (const Kind& kind : kKinds) {
    const Status one = migrate(cluster, kind, deadline);
    if (!one && first) first = one;
  }
  return first;
}

StorageMigrator::StorageMigrator(kube::Cluster& cluster, const Clock& clock, Config config)
    : cluster_(cluster), clock_(clock), config_(config), thread_([this] { run(); }) {}

StorageMigrator::~StorageMigrator() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StorageMigrator::run() {
  const Deadline end = Deadline::in(clock_, config_.budget);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Status done =
        migrate_storage(cluster_, Deadline::in(clock_, kAttemptBudget).earlier(end));
    lock.lock();
    if (done) return;
    if (end.passed(clock_.now())) {
      log::error("stored objects not migrated", {{"error", done.error().message()}});
      return;
    }
    log::info("stored objects not migrated yet", {{"reason", done.error().message()}});
    changed_.wait_for(lock, config_.poll, [this] { return stopping_; });
  }
}

}  // namespace baton::webhook
