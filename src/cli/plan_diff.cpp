#include "cli/plan_diff.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/core/log.hpp"
#include "base/core/random.hpp"
#include "base/text/line_diff.hpp"
#include "base/text/yaml.hpp"
#include "cli/manifest_files.hpp"
#include "cli/print.hpp"
#include "control/reconcile/rehearsal.hpp"
#include "formats/api/convert.hpp"

namespace baton::cli {

namespace {

constexpr Nanos kBudget = std::chrono::minutes(2);

// Values of Secrets are not for terminals: that they differ is told, not what they are.
void hide_values(kube::Object& secret, const kube::Object& other, std::string_view mark) {
  for (const auto* member : {"data", "stringData"}) {
    auto* values = secret.find(member);
    if (values == nullptr || values->if_object() == nullptr) continue;
    for (auto& entry : *values->if_object()) {
      const auto* counterpart = other.find_path({member, entry.key});
      const bool differs = counterpart != nullptr && *counterpart != entry.value;
      entry.value = differs ? fmt::format("*** ({})", mark) : std::string("***");
    }
  }
}

std::string text_of(kube::Object object) {
  auto* members = object.if_object();
  if (members == nullptr) return "";
  members->erase("status");
  if (auto* metadata = object.find("metadata"); metadata != nullptr && metadata->if_object()) {
    for (const auto* member :
         {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}) {
      metadata->if_object()->erase(member);
    }
    // The whole object once more, values of a Secret included.
    if (auto* annotations = metadata->find("annotations");
        annotations != nullptr && annotations->if_object()) {
      annotations->if_object()->erase("kubectl.kubernetes.io/last-applied-configuration");
    }
  }
  return text::yaml::dump(object);
}

std::string path_of(const kube::ObjectKey& key) {
  return fmt::format("{}/{}{}{}/{}", key.type.api_version(), key.type.kind,
                     key.ns.empty() ? "" : "/", key.ns, key.name);
}

// false: nothing that is shown differs.
bool print_change(const reconcile::Change& change) {
  kube::Object before = change.before;
  kube::Object after = change.after;
  if (change.key.type.kind == "Secret") {
    hide_values(before, change.after, "before");
    hide_values(after, change.before, "after");
  }
  const auto hunks = text::line_diff(text_of(std::move(before)), text_of(std::move(after)));
  if (hunks.empty()) return false;
  const auto path = path_of(change.key);
  const auto side = [&](std::string_view folder, const kube::Object& object) {
    return object.is_null() ? std::string("/dev/null") : fmt::format("{}/{}", folder, path);
  };
  cli::print("--- {}\n+++ {}\n{}", side("live", change.before), side("planned", change.after),
             hunks);
  return true;
}

Result<std::vector<kube::Object>> wanted_objects(const api::Manifests& manifests,
                                                 std::string_view ns) {
  BATON_TRY_ASSIGN(auto objects, cluster_objects(manifests, ns));
  std::vector<kube::Object> out;
  for (auto& [key, object] : objects) {
    if (key.type.group == api::kGroup) {
      auto converted = api::to_v1alpha2(std::move(object));
      if (!converted) return std::move(converted).error().with(kube::to_string(key));
      out.push_back(*std::move(converted));
    } else {
      out.push_back(std::move(object));
    }
  }
  return out;
}

}  // namespace

Result<bool> print_diff(const api::Manifests& manifests, const reconcile::Installation& base,
                        const ClusterOptions& options) {
  const SystemClock clock;
  SystemRandom random;
  BATON_TRY_ASSIGN(const auto access, access_of(options));
  BATON_TRY_ASSIGN(const auto objects,
                   wanted_objects(manifests, access.ns.empty() ? "default" : access.ns));
  // What a pass logs of what it did was not done.
  log::configure(log::Level::kError, log::Style::kText, "plan");
  BATON_TRY_ASSIGN(const auto server, open_cluster(access, clock, random));
  BATON_TRY_ASSIGN(const auto rehearsed, reconcile::rehearse(*server, clock, base, objects,
                                                             Deadline::in(clock, kBudget)));
  bool differs = false;
  for (const auto& change : rehearsed.changes) differs |= print_change(change);
  cli::flush();
  for (const auto& failure : rehearsed.failures) {
    cli::print(stderr, "baton plan: {}\n", failure.message());
  }
  if (!rehearsed.failures.empty()) {
    return Error(rehearsed.failures.front().code(),
                 "the controller would not get to its end; see above");
  }
  return differs;
}

}  // namespace baton::cli
