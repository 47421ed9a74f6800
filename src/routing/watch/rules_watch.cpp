#include "routing/watch/rules_watch.hpp"

#include <utility>

#include "net/kube/object.hpp"

namespace baton::watch {
namespace {

constexpr const char* kCurrent = "llm-d.ai";
constexpr const char* kLegacy = "inference.networking.x-k8s.io";
constexpr const char* kVersion = "v1alpha2";

}  // namespace

RulesWatch::RulesWatch(kube::Cluster& cluster, const Clock& clock, const std::string& ns,
                       OnChange on_objectives, OnChange on_rewrites) {
  objectives_.on_change = std::move(on_objectives);
  rewrites_.on_change = std::move(on_rewrites);
  follow(cluster, clock, ns, objectives_, "InferenceObjective");
  follow(cluster, clock, ns, rewrites_, "InferenceModelRewrite");
}

RulesWatch::~RulesWatch() {
  objectives_.followers.clear();
  rewrites_.followers.clear();
}

void RulesWatch::follow(kube::Cluster& cluster, const Clock& clock, const std::string& ns,
                        Kind& kind, const std::string& name) {
  for (const bool current : {true, false}) {
    auto& group = current ? kind.current : kind.legacy;
    const kube::Type type{current ? kCurrent : kLegacy, kVersion, name};
    kind.followers.push_back(std::make_unique<kube::Follower>(
        cluster, clock, kube::Query{.type = type, .ns = ns, .labels = {}},
        [&kind, &group](const kube::Event& event) { take(kind, group, event); },
        [&kind, &group](const Result<kube::Version>& version) { listed(kind, group, version); },
        kube::Follower::Keep::kVersions));
  }
}

void RulesWatch::take(Kind& kind, Group& group, const kube::Event& event) {
  const std::lock_guard lock(kind.mutex);
  const std::string name(kube::name_of(event.object));
  if (event.kind == kube::Event::Kind::kDeleted) {
    group.objects.erase(name);
  } else {
    group.objects.insert_or_assign(name, event.object);
  }
  if (group.listed) tell(kind);  // else when the whole list is there
}

void RulesWatch::listed(Kind& kind, Group& group, const Result<kube::Version>& version) {
  const std::lock_guard lock(kind.mutex);
  const bool absent = !version && version.error().code() == Code::kNotFound;
  if (!version && !absent) return;  // what was seen stays until the API server answers again
  group.served = !absent;
  group.listed = true;
  if (absent) group.objects.clear();
  tell(kind);
}

void RulesWatch::tell(Kind& kind) {
  // Which group counts is not known before the current one has answered.
  if (!kind.current.listed) return;
  std::vector<kube::Object> all;
  for (const auto& [name, object] : (kind.current.served ? kind.current : kind.legacy).objects) {
    all.push_back(object);
  }
  kind.on_change(all);
}

}  // namespace baton::watch
