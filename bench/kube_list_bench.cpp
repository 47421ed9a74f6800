// A LIST of 5,000 pods from an API server over TLS: CPU time of everything on the client's side,
// from the socket to the objects and to the cache. The server is in this process, on a thread of
// its own whose CPU time is left out; its pages are made beforehand.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/async/finish_by.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "loop_time.hpp"
#include "net/http/server.hpp"
#include "net/kube/cache.hpp"
#include "net/kube/rest_cluster.hpp"
#include "net/tls/testing/credentials.hpp"

namespace {

using namespace baton;
using bench::cpu_seconds;
using bench::must;

constexpr int kPods = 5000;
constexpr int kPage = 500;
const kube::Type kPod{"", "v1", "Pod"};
const SystemClock kClock;

// Shaped like an engine pod as an API server returns it: two containers, probes, volumes,
// conditions, managedFields; about 8 KB.
std::string pod(int i) {
  const auto container = [&](const char* name, int port) {
    std::string env;
    for (int e = 0; e < 12; ++e) {
      env += fmt::format(R"({}{{"name":"SETTING_{}","value":"value of setting {}"}})",
                         e == 0 ? "" : ",", e, e);
    }
    return fmt::format(
        R"({{"name":"{0}","image":"registry.example/engine/{0}:v1.2.3","command":["/bin/serve"],"args":["--port","{1}","--model","/mnt/models","--served-model-name","example/model-{2}"],"ports":[{{"containerPort":{1},"name":"http","protocol":"TCP"}}],"env":[{3}],"resources":{{"limits":{{"cpu":"16","memory":"64Gi","nvidia.com/gpu":"1"}},"requests":{{"cpu":"8","memory":"32Gi","nvidia.com/gpu":"1"}}}},"volumeMounts":[{{"name":"model","mountPath":"/mnt/models","readOnly":true}},{{"name":"shm","mountPath":"/dev/shm"}},{{"name":"kube-api-access-x","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"livenessProbe":{{"httpGet":{{"path":"/health","port":{1},"scheme":"HTTPS"}},"initialDelaySeconds":120,"timeoutSeconds":10,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}},"readinessProbe":{{"httpGet":{{"path":"/health","port":{1},"scheme":"HTTPS"}},"initialDelaySeconds":10,"timeoutSeconds":5,"periodSeconds":30,"successThreshold":1,"failureThreshold":60}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"FallbackToLogsOnError","imagePullPolicy":"IfNotPresent","securityContext":{{"capabilities":{{"drop":["ALL"]}},"runAsNonRoot":true,"allowPrivilegeEscalation":false}}}})",
        name, port, i % 7, env);
  };
  std::string managed;
  for (const auto* manager : {"kube-controller-manager", "kubelet"}) {
    std::string fields;
    for (int f = 0; f < 30; ++f) {
      fields += fmt::format(R"({}"f:member{}":{{".":{{}},"f:value":{{}}}})", f == 0 ? "" : ",", f);
    }
    managed += fmt::format(
        R"({}{{"manager":"{}","operation":"Update","apiVersion":"v1","time":"2025-11-29T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{"f:spec":{{{}}}}}}})",
        managed.empty() ? "" : ",", manager, fields);
  }
  return fmt::format(
      R"({{"metadata":{{"name":"model-{0}-kserve-7c9f8b6d5-{1:05}","generateName":"model-{0}-kserve-7c9f8b6d5-","namespace":"team-{2}","uid":"5f0c1c1e-0000-4000-8000-{1:012}","resourceVersion":"{3}","generation":1,"creationTimestamp":"2025-11-29T10:00:00Z","labels":{{"app.kubernetes.io/name":"model-{0}","app.kubernetes.io/component":"llminferenceservice-workload","app.kubernetes.io/part-of":"llminferenceservice","kserve.io/component":"workload","llm-d.ai/role":"decode","pod-template-hash":"7c9f8b6d5"}},"annotations":{{"example.org/notes":"a few words that an operator left here","prometheus.io/scrape":"true"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"model-{0}-kserve-7c9f8b6d5","uid":"5f0c1c1e-1111-4000-8000-{0:012}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{4}]}},"spec":{{"volumes":[{{"name":"model","emptyDir":{{}}}},{{"name":"shm","emptyDir":{{"medium":"Memory"}}}}],"containers":[{5},{6}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-{7}","schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Running","conditions":[{{"type":"PodReadyToStartContainers","status":"True","lastProbeTime":null,"lastTransitionTime":"2025-11-29T10:00:00Z"}},{{"type":"Initialized","status":"True","lastProbeTime":null,"lastTransitionTime":"2025-11-29T10:00:00Z"}},{{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2025-11-29T10:00:00Z"}},{{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2025-11-29T10:00:00Z"}}],"hostIP":"10.1.0.{7}","podIP":"10.244.{7}.{8}","podIPs":[{{"ip":"10.244.{7}.{8}"}}],"startTime":"2025-11-29T10:00:00Z","qosClass":"Burstable"}}}})", i / 4, i,
      i % 20, 1000 + i, managed, container("main", 8000), container("sidecar", 8001), i % 200,
      i % 250);
}

// One page each.
std::vector<std::string> make_pages() {
  std::vector<std::string> pages;
  for (int at = 0; at < kPods; at += kPage) {
    const bool last = at + kPage >= kPods;
    std::string page = fmt::format(
        R"({{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"99999","continue":"{}"}},"items":[)",
        last ? "" : std::to_string(at / kPage + 1));
    for (int i = at; i < at + kPage; ++i) page += (i > at ? "," : "") + pod(i);
    pages.push_back(page + "]}\n");
  }
  return pages;
}

struct Pages {
  std::vector<std::string> pages = make_pages();
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& page : pages) sum += page.size();
    return sum;
  }
};
const Pages& pages() {
  static const Pages kPages;
  return kPages;
}

// What cannot be sent shows in what the client reads.
void expect(const Status& sent) {
  if (!sent) fmt::print(stderr, "server: {}\n", sent.error().message());
}

Task<void> answer(http::Exchange& exchange) {
  const std::string target = exchange.head().target;
  http::ResponseHead head{200, {{"Content-Type", "application/json"}}};
  if (target == "/api/v1") {
    const Status sent = co_await exchange.respond(
        head, R"({"resources":[{"name":"pods","namespaced":true,"kind":"Pod","verbs":["list"]}]})");
    co_return expect(sent);
  }
  if (target.find("watch=true") != std::string::npos) {  // nothing ever happens
    const Status begun = co_await exchange.start(head);
    expect(begun);
    co_await async::sleep_until(Mono::max());
    co_return;
  }
  const auto from = target.find("continue=");
  const std::size_t page = from == std::string::npos
                               ? 0
                               : std::stoul(target.substr(from + std::string("continue=").size()));
  const Status sent = co_await exchange.respond(head, pages().pages[page]);
  expect(sent);
}

// What a picker needs to know of a pod.
const text::json::Keep& picker_members() {
  static const auto keep = text::json::Keep::only(
      {"metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
       "metadata.labels", "metadata.deletionTimestamp", "status.podIP", "status.phase",
       "status.conditions.type", "status.conditions.status"});
  return keep;
}

enum class Kept : bool { kAll, kPicker };

struct Bench {
  async::Loop loop{"server"};
  std::unique_ptr<http::Server> server;
  http::Endpoint at;
  std::string authority;
  SystemRandom random;

  Bench() {
    const auto credentials = tls::testing::Credentials::make("bench", kClock);
    authority = credentials.authority.certificate_pem;
    http::Server::Config config;
    config.tls = tls::testing::open_server(credentials.server(), kClock);
    server = std::make_unique<http::Server>(loop, kClock, config, answer);
    at = must(server->listen({"127.0.0.1", 0}));
    loop.start();
  }
  ~Bench() {
    server->stop(Deadline::in(kClock, std::chrono::seconds(1)));
    loop.stop();
  }

  std::unique_ptr<kube::RestCluster> open(Kept kept) {
    kube::RestCluster::Config config;
    config.api.access.server = at;
    config.api.access.ca.text = authority;
    config.page = kPage;
    if (kept == Kept::kPicker) config.keep.emplace(std::pair("", "Pod"), picker_members());
    return must(kube::RestCluster::open(std::move(config), kClock, random));
  }

  // Milliseconds of CPU on the client's side, the median of the rounds.
  double measure(const std::function<void()>& work) {
    std::vector<double> rounds;
    for (int i = 0; i < 9; ++i) {
      const double server_before = cpu_seconds(loop);
      const double before = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
      work();
      const double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - before;
      rounds.push_back((all - (cpu_seconds(loop) - server_before)) * 1e3);
    }
    std::sort(rounds.begin(), rounds.end());
    return rounds[rounds.size() / 2];
  }

  double list(Kept kept) {
    const auto cluster = open(kept);
    return measure([&] {
      const auto list =
          must(cluster->list({kPod, "", {}}, Deadline::in(kClock, std::chrono::seconds(60))));
      if (list.items.size() != kPods || list.version != "99999") std::abort();
      if (list.items.back().string_at({"status", "podIP"}) != "10.244.199.249") std::abort();
    });
  }

  double cache(Kept kept, std::function<kube::Object(const kube::Object&)> trim) {
    const auto cluster = open(kept);
    return measure([&] {
      kube::Cache cache(*cluster, kClock);
      cache.follow({kPod, {}, trim}, nullptr);
      cache.start();
      if (!cache.wait_synced(Deadline::in(kClock, std::chrono::seconds(60)))) std::abort();
      if (cache.size() != kPods) std::abort();
    });
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::string json_file;
  bench::Flags("[--json FILE]").text("--json", json_file).read(argc, argv);
  Bench bench;
  const double bytes = static_cast<double>(pages().bytes());
  const double all = bench.list(Kept::kAll);
  const double picker = bench.list(Kept::kPicker);
  const double cache_picker = bench.cache(Kept::kPicker, nullptr);
  const double cache_identity = bench.cache(Kept::kAll, kube::identity_only);
  fmt::print("LIST of {} pods over TLS, {:.1f} MB in pages of {}: CPU of the client, ms\n", kPods,
             bytes / 1e6, kPage);
  fmt::print("  decoded whole                         {:6.0f}\n", all);
  fmt::print("  decoded to what a picker uses         {:6.0f}\n", picker);
  fmt::print("  into the cache, what a picker uses    {:6.0f}   goal 200\n", cache_picker);
  fmt::print("  into the cache, whole, then trimmed   {:6.0f}\n", cache_identity);
  text::json::Value figures;
  figures["pods"] = kPods;
  figures["bytes"] = bytes;
  figures["list_all_ms"] = all;
  figures["list_picker_ms"] = picker;
  figures["cache_picker_ms"] = cache_picker;
  figures["cache_trimmed_ms"] = cache_identity;
  bench::save(figures, json_file);
}
