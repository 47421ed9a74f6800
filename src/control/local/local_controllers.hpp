#pragma once
// The controllers a single machine lacks: Deployments, LeaderWorkerSets, and what a gateway's
// controller writes.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/local/gateway_status.hpp"
#include "net/kube/follower.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::local {

// The gateway in this process. Thread-safe.
class HostedGateway {
 public:
  virtual ~HostedGateway() = default;
  // Where it accepts requests; nullopt: not yet.
  virtual std::optional<GatewayAt> serving_at() const = 0;
  // Its picker for the service knows its endpoints.
  virtual bool picker_synced(std::string_view ns, std::string_view service) const = 0;
};

// kGateways: beside a real API server, whose own controllers do the rest. Only the gateway's part,
// and a Gateway is not made.
enum class Scope : bool { kEverything, kGateways };

// One thread works; followers feed it.
//
// * Deployment: pods directly (no ReplicaSet), rolled one at a time. A picker's Deployment gets no
//   pod: the gateway hosts it, and it is available once the picker is synced.
// * LeaderWorkerSet: groups of pods directly (no StatefulSets), leader and workers as processes.
// * Gateway, HTTPRoute, InferencePool: accepted and programmed once the gateway serves. A Gateway
//   that is named but not defined is made. A pool without a route belongs to `default_gateway`.
class LocalControllers {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
    const HostedGateway& gateway;
  };
  LocalControllers(Deps deps, GatewayRef default_gateway, Scope scope = Scope::kEverything);
  ~LocalControllers();

 private:
  void follow(const kube::Type& type, std::function<std::string(const kube::Object&)> key);
  void work();
  Status sync(const std::string& key);
  Status sync_deployment(const kube::ObjectKey& key);
  Status sync_hosted(const kube::Object& deployment);
  Status sync_leader_worker_set(const kube::ObjectKey& key);
  Status sync_gateways();
  Status sync_pools(const kube::Type& type, const std::vector<kube::Object>& routes);
  Status make_missing_gateways(const std::vector<kube::Object>& routes, const GatewayAt& at);
  Result<std::vector<kube::Object>> list(const kube::Query& query);
  Status write_status(const kube::Object& object, kube::Object status);
  Deadline soon() const;

  const Deps deps_;
  const GatewayRef default_gateway_;
  const Scope scope_;
  kube::WorkQueue queue_;
  std::thread worker_;
  std::vector<std::unique_ptr<kube::Follower>> followers_;
};

}  // namespace baton::local
