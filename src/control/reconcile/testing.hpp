#pragma once
// For tests of this folder: a reconciler without workers on a store in memory, one pass at a time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "base/text/yaml.hpp"
#include "control/reconcile/kinds.hpp"
#include "control/reconcile/reconciler.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/modify.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

inline kube::Object parse(const std::string& text) {
  auto value = text::yaml::parse(text, "test");
  EXPECT_TRUE(value) << value.error().message() << "\n" << text;
  return value ? *value : kube::Object();
}

// The system's, as many seconds later as a test wants.
class ClockAhead final : public Clock {
 public:
  Mono now() const override { return system_.now() + Nanos(ahead_.load()); }
  Wall wall() const override { return system_.wall(); }
  void advance(Nanos by) { ahead_ += by.count(); }

 private:
  SystemClock system_;
  std::atomic<std::int64_t> ahead_ = 0;
};

// A store that counts writes, and fails what a test wants failed.
class TroubledCluster final : public kube::Cluster {
 public:
  explicit TroubledCluster(kube::MemoryCluster& inner) : inner_(inner) {}

  // Asked before each write with its verb; dry runs are "dry-run".
  std::function<Status(std::string_view verb, const kube::Object& object)> trouble;
  // Called before each event is written.
  std::function<void()> on_event;
  std::optional<kube::ServerVersion> version;  // instead of the store's own
  // Kinds that the server does not have; "version": it does not tell that.
  void leave_out(std::set<std::string, std::less<>> kinds) {
    const std::lock_guard lock(mutex_);
    unserved_ = std::move(kinds);
  }
  std::map<std::string, int, std::less<>> count;
  int writes() const {
    int out = 0;
    for (const auto& [verb, n] : count) {
      if (verb != "dry-run" && verb != "get") out += n;
    }
    return out;
  }

  Result<kube::Object> get(const kube::ObjectKey& key, Deadline deadline) override {
    ++count["get"];
    BATON_TRY(served(key.type.kind));
    return inner_.get(key, deadline);
  }
  Result<kube::List> list(const kube::Query& query, Deadline deadline) override {
    BATON_TRY(served(query.type.kind));
    return inner_.list(query, deadline);
  }
  Result<kube::Object> create(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override {
    BATON_TRY(before(dry_run == kube::DryRun::kYes ? "dry-run" : "create", object));
    return inner_.create(object, dry_run, deadline);
  }
  Result<kube::Object> update(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override {
    BATON_TRY(before(dry_run == kube::DryRun::kYes ? "dry-run" : "update", object));
    return inner_.update(object, dry_run, deadline);
  }
  Result<kube::Object> update_status(const kube::Object& object, Deadline deadline) override {
    BATON_TRY(before("status", object));
    return inner_.update_status(object, deadline);
  }
  Result<kube::Object> patch(const kube::ObjectKey& key, const kube::Object& merge_patch,
                             kube::DryRun dry_run, Deadline deadline) override {
    if (key.type.kind != "Event") {
      BATON_TRY(before("patch", merge_patch));
    }
    return inner_.patch(key, merge_patch, dry_run, deadline);
  }
  Status remove(const kube::ObjectKey& key, const kube::Removal& how, Deadline deadline) override {
    BATON_TRY(before("delete", kube::Object()));
    return inner_.remove(key, how, deadline);
  }
  Result<kube::ServerVersion> server_version(Deadline deadline) override {
    BATON_TRY(served("version"));
    return version ? *version : inner_.server_version(deadline);
  }
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& query, const kube::Version& from,
                                             Deadline deadline) override {
    return inner_.watch(query, from, deadline);
  }

 private:
  Status served(std::string_view kind) const {
    const std::lock_guard lock(mutex_);
    if (!unserved_.contains(kind)) return {};
    return not_found("the server has no kind " + std::string(kind));
  }
  Status before(std::string_view verb, const kube::Object& object) {
    // Events about services are not what is counted.
    if (object.string_at({"kind"}) == "Event") {
      if (on_event) on_event();
      return {};
    }
    ++count[std::string(verb)];
    BATON_TRY(served(object.string_at({"kind"})));
    return trouble ? trouble(verb, object) : Status();
  }

  kube::MemoryCluster& inner_;
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> unserved_;  // followers look, too
};

class ReconcileTest : public ::testing::Test {
 protected:
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  void create(const kube::Object& object) {
    const auto made = cluster_.create(object, kube::DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
  }
  void create_quickstart() {
    create_gateway();
    std::ifstream in(BATON_SOURCE_DIR "/examples/quickstart.yaml");
    auto service = parse({std::istreambuf_iterator<char>(in), {}});
    service["metadata"]["namespace"] = "default";
    create(service);
  }
  kube::Object service(const char* name = "storyteller") {
    return *cluster_.get({kService, "default", name}, soon());
  }
  // A reconciler may write the same object at the same time.
  void edit(const std::function<void(kube::Object&)>& change, const char* name = "storyteller") {
    change_part({kService, "default", name}, kube::Part::kObject, change);
  }
  void change_part(const kube::ObjectKey& key, kube::Part part,
                   const std::function<void(kube::Object&)>& change) {
    const auto written = kube::modify(
        cluster_, key, part,
        [&](kube::Object& object) {
          change(object);
          return Status();
        },
        soon());
    ASSERT_TRUE(written) << written.error().message();
  }
  std::vector<std::string> events(const std::string& reason) {
    std::vector<std::string> out;
    for (const auto& event : cluster_.list({{"", "v1", "Event"}, "", {}}, soon())->items) {
      if (event.string_at({"reason"}) == reason) out.emplace_back(event.string_at({"message"}));
    }
    return out;
  }
  // A pass that knows everything that was written before it.
  Status pass(const char* name = "storyteller") { return pass(reconciler_, name); }
  Status pass(Reconciler& reconciler, const char* name = "storyteller") {
    catch_up(reconciler);
    return reconciler.reconcile(std::string("default/") + name);
  }
  void catch_up() { catch_up(reconciler_); }
  void catch_up(Reconciler& reconciler) {
    ASSERT_TRUE(reconciler.cache().wait_synced(soon()));
    for (const auto& kind : followed_kinds()) {
      const auto list = cluster_.list({kind.type, "", kind.labels}, soon());
      for (const auto& item : list->items) {
        ASSERT_TRUE(reconciler.cache().has_seen(kube::written(item), soon()));
      }
      for (const auto& known : reconciler.cache().list(kind.type, "")) {
        const auto key = *kube::key_of(known->object);
        if (!cluster_.get(key, soon())) {
          ASSERT_TRUE(reconciler.cache().has_seen(kube::removed(known->object), soon()));
        }
      }
    }
  }
  // Passes until nothing changes any more.
  void settle(const char* name = "storyteller") {
    for (int i = 0; i < 4; ++i) {
      const auto done = pass(name);
      EXPECT_TRUE(done) << done.error().message();
    }
  }
  void create_gateway() {
    create(parse(R"({apiVersion: gateway.networking.k8s.io/v1, kind: Gateway,
      metadata: {name: kserve-ingress-gateway, namespace: kserve},
      spec: {listeners: [{name: http, protocol: HTTP, port: 8080}]}})"));
  }
  // Kinds of which the service still controls something.
  std::vector<std::string> left() {
    std::vector<std::string> out;
    for (const auto& type : child_types()) {
      for (const auto& item : cluster_.list({type, "", {}}, soon())->items) {
        const bool binding = type == kClusterRoleBinding;
        if (binding || kube::controller_uid(item) == kube::uid_of(service())) {
          out.push_back(type.kind);
        }
      }
    }
    return out;
  }
  kube::Object deployment(const std::string& name) {
    auto got = cluster_.get({kDeployment, "default", name}, soon());
    EXPECT_TRUE(got) << name;
    return got ? *got : kube::Object();
  }
  void mark_available(const std::string& name, const char* truth) {
    change_part({kDeployment, "default", name}, kube::Part::kStatus, [&](kube::Object& object) {
      object["status"]["availableReplicas"] = std::string_view(truth) == "True" ? 1 : 0;
      kube::set_condition(object["status"]["conditions"],
                          {"Available", truth, "MinimumReplicasUnavailable", "pod x: stuck", ""},
                          clock_.wall());
    });
  }
  static std::string_view reason(const kube::Object& object, std::string_view condition) {
    const auto* found = kube::find_condition(object, condition);
    return found == nullptr ? "absent" : found->string_at({"reason"});
  }

  SystemClock clock_;
  SeededRandom random_{5};
  kube::MemoryCluster cluster_{clock_, random_};
  TroubledCluster troubled_{cluster_};
  observe::Registry registry_;
  Reconciler reconciler_{{troubled_, clock_, registry_}, {Installation(), 0}};
};

}  // namespace baton::reconcile
