// Addresses, URL and the conditions of routes, gateways and pools, from objects written as YAML.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/text/yaml.hpp"
#include "control/reconcile/router_status.hpp"

namespace baton::reconcile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

kube::Object parse(const std::string& text) {
  auto value = text::yaml::parse(text, "test");
  EXPECT_TRUE(value) << value.error().message() << "\n" << text;
  return value ? *value : kube::Object();
}

// A service "s" in "ns" with one gateway "gw" in "kserve" and one route; tests change what they
// need.
class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    installation.plan.model_routing_header = "X-Model";
    set_listeners("[{name: http, protocol: HTTP, port: 80}]");
    set_gateway_status("{addresses: [{value: 203.0.113.1}]}");
    set_rules(R"([{matches: [{path: {value: /ns/s}}], backendRefs: [{kind: Service, name: w}]}])");
  }

  void set_listeners(const std::string& text) {
    gateways.front()["spec"]["listeners"] = parse(text);
  }
  void set_gateway_status(const std::string& text) { gateways.front()["status"] = parse(text); }
  void set_rules(const std::string& text) { routes.front()["spec"]["rules"] = parse(text); }
  void set_route_status(const std::string& text) {
    routes.front()["status"]["parents"] = parse(text);
  }
  void add_service(const std::string& text) { services.push_back(parse(text)); }

  RouterView view() {
    RouterView out{.merged = merged,
                   .routes = {},
                   .pools = {},
                   .gateways = {},
                   .services = {},
                   .installation = installation};
    for (const auto& one : routes) out.routes.push_back(&one);
    for (const auto& one : pools) out.pools.push_back(&one);
    for (const auto& one : gateways) out.gateways.push_back(&one);
    for (const auto& one : services) out.services.push_back(&one);
    return out;
  }
  std::vector<std::string> urls() {
    const auto found = addresses_of(view());
    EXPECT_TRUE(found) << found.error().message();
    std::vector<std::string> out;
    if (found) {
      for (const auto& one : *found) out.push_back(one.url);
    }
    return out;
  }
  std::string refusal() {
    const auto found = addresses_of(view());
    return found ? "accepted" : found.error().message();
  }
  std::string url() {
    const auto found = addresses_of(view());
    return found ? preferred_url(view(), *found) : found.error().message();
  }
  // "True", "False reason: message", or "absent".
  std::string condition(std::string_view type) {
    Conditions conditions{kube::Object(), Wall()};
    put_router_conditions(view(), conditions);
    const auto* found = conditions.find(type);
    if (found == nullptr) return "absent";
    if (found->string_at({"status"}) == "True") return "True";
    return std::string(found->string_at({"reason"})) + ": " +
           std::string(found->string_at({"message"}));
  }

  Installation installation;
  kube::Object merged = parse(
      "{metadata: {name: s, namespace: ns}, spec: {model: {name: m}, router: {route: {http: "
      "{}}}}}");
  std::deque<kube::Object> routes{parse(R"({apiVersion: gateway.networking.k8s.io/v1,
    kind: HTTPRoute, metadata: {name: s-kserve-route, namespace: ns, generation: 3},
    spec: {parentRefs: [{name: gw, namespace: kserve}]}})")};
  std::deque<kube::Object> gateways{
      parse("{metadata: {name: gw, namespace: kserve}, spec: {}, status: {}}")};
  std::deque<kube::Object> pools;
  std::deque<kube::Object> services;
};

// ---- addresses

TEST_F(RouterTest, BuildsTheUrlFromTheGatewaysAddress) {  // llmisvc:F01
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s"));
}

TEST_F(RouterTest, DoesNotDependOnTheOrderOfAddresses) {  // llmisvc:F02
  set_gateway_status("{addresses: [{value: 203.0.113.2}, {value: 203.0.113.1}]}");
  const auto one = urls();
  set_gateway_status("{addresses: [{value: 203.0.113.1}, {value: 203.0.113.2}]}");
  EXPECT_EQ(one, urls());
  EXPECT_THAT(one, ElementsAre("http://203.0.113.1/ns/s", "http://203.0.113.2/ns/s"));
}

TEST_F(RouterTest, PrefersHostNamesOfTheRouteAndPassesOverWildcards) {  // llmisvc:F03
  routes.front()["spec"]["hostnames"] = parse("[b.example.com, a.example.com]");
  EXPECT_THAT(urls(), ElementsAre("http://a.example.com/ns/s", "http://b.example.com/ns/s"));
  for (const auto* wild : {"['*']", "['*.example.com']", "['']"}) {
    routes.front()["spec"]["hostnames"] = parse(wild);
    EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s")) << wild;
  }
}

TEST_F(RouterTest, UsesTheListenersHostName) {  // llmisvc:F04
  set_listeners("[{name: http, protocol: HTTP, port: 80, hostname: llm.example.com}]");
  EXPECT_THAT(urls(), ElementsAre("http://llm.example.com/ns/s"));
  set_listeners("[{name: http, protocol: HTTP, port: 80, hostname: '*.example.com'}]");
  EXPECT_THAT(urls(), ElementsAre("http://inference.example.com/ns/s"));
  routes.front()["spec"]["hostnames"] = parse("[own.example.com]");
  EXPECT_THAT(urls(), ElementsAre("http://own.example.com/ns/s"));
  routes.front()["spec"]["hostnames"] = parse("[]");
  set_listeners("[{name: http, protocol: HTTP, port: 80, hostname: ''}]");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s"));
}

TEST_F(RouterTest, ShowsUnusualPortsBracketsIPv6AndTakesTlsForHttps) {  // llmisvc:F05
  set_listeners(R"([{name: a, protocol: HTTP, port: 8080}, {name: b, protocol: HTTPS, port: 8443},
                    {name: c, protocol: TLS, port: 443}, {name: d, protocol: HTTP, port: 80}])");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s", "http://203.0.113.1:8080/ns/s",
                                  "https://203.0.113.1/ns/s", "https://203.0.113.1:8443/ns/s"));
  set_gateway_status("{addresses: [{value: '2001:db8::1'}]}");
  EXPECT_THAT(urls(), ElementsAre("http://[2001:db8::1]/ns/s", "http://[2001:db8::1]:8080/ns/s",
                                  "https://[2001:db8::1]/ns/s", "https://[2001:db8::1]:8443/ns/s"));
}

TEST_F(RouterTest, KeepsToTheSectionAndRefusesWhatIsNotThere) {  // llmisvc:F06
  set_listeners(R"([{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTP, port: 81}])");
  routes.front()["spec"]["parentRefs"] = parse("[{name: gw, namespace: kserve, sectionName: b}]");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1:81/ns/s"));
  routes.front()["spec"]["parentRefs"] = parse("[{name: gw, namespace: kserve, sectionName: c}]");
  EXPECT_THAT(refusal(), HasSubstr("no HTTP listener 'c'"));
  routes.front()["spec"]["parentRefs"] = parse("[{name: gw, namespace: kserve}]");
  set_listeners("[]");
  EXPECT_THAT(refusal(), HasSubstr("no HTTP, HTTPS or TLS listener"));
  set_listeners("[{name: a, protocol: TCP, port: 80}]");
  EXPECT_THAT(refusal(), HasSubstr("no HTTP, HTTPS or TLS listener"));
}

TEST_F(RouterTest, TakesTheShallowestPathThatLeadsToAService) {  // llmisvc:F08
  set_rules(R"([
    {matches: [{path: {value: /p}}], backendRefs: [{group: x, kind: InferencePool, name: p}]},
    {matches: [{path: {value: /a/b/c}}], backendRefs: [{kind: Service, name: w}]},
    {matches: [{path: {value: /a/b}}], backendRefs: [{kind: Service, name: w}]}])");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/a/b"));
  set_rules(R"([
    {matches: [{path: {value: /p/q}}], backendRefs: [{group: x, kind: InferencePool, name: p}]},
    {matches: [{path: {value: /r}}], backendRefs: [{group: x, kind: InferencePool, name: p}]}])");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/r"));
  set_rules("[{matches: [{}], backendRefs: [{kind: Service, name: w}]}]");
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1"));
}

constexpr const char* kWithHeader = R"([
  {matches: [{path: {value: /ns/s}}], backendRefs: [{kind: Service, name: w}]},
  {matches: [{headers: [{name: X-Model, value: publishers/ns/models/m}]}],
   backendRefs: [{kind: Service, name: w}]},
  {matches: [{path: {value: /foreign}, headers: [{name: X-Other, value: v}]}],
   backendRefs: [{kind: Service, name: w}]}])";

TEST_F(RouterTest, OffersRoutingByModelAtTheRootAndIgnoresForeignHeaders) {  // llmisvc:F09
  set_rules(kWithHeader);
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1", "http://203.0.113.1/ns/s"));
  installation.plan.model_routing_header = "";
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s"));
}

TEST_F(RouterTest, KeepsPublisherPathsApart) {  // llmisvc:F10
  set_rules(R"([
    {matches: [{path: {value: /ns/s}}], backendRefs: [{kind: Service, name: w}]},
    {matches: [{path: {value: /publishers/ns/models/m}}],
     backendRefs: [{kind: Service, name: w}]}])");
  EXPECT_THAT(urls(),
              ElementsAre("http://203.0.113.1/ns/s", "http://203.0.113.1/publishers/ns/models/m"));
}

TEST_F(RouterTest, NamesTheServiceBeforeTheGatewayForPortsThatItHas) {  // llmisvc:F11
  set_gateway_status("{}");
  EXPECT_THAT(urls(), IsEmpty());
  set_listeners("[{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTP, port: 81}]");
  add_service("{metadata: {name: gw, namespace: kserve}, spec: {ports: [{port: 81}]}}");
  EXPECT_THAT(urls(), ElementsAre("http://gw.kserve.svc.cluster.local:81/ns/s"));
  add_service(R"({metadata: {name: zz, namespace: kserve, labels:
    {gateway.networking.k8s.io/gateway-name: gw}}, spec: {ports: [{port: 80}]}})");
  EXPECT_THAT(urls(), ElementsAre("http://zz.kserve.svc.cluster.local/ns/s"));
  services.back()["spec"]["ports"] = parse("[{port: 99}]");
  EXPECT_THAT(urls(), IsEmpty());
  services.back()["spec"] = parse("{}");
  EXPECT_THAT(urls(), ElementsAre("http://zz.kserve.svc.cluster.local/ns/s",
                                  "http://zz.kserve.svc.cluster.local:81/ns/s"));
}

TEST_F(RouterTest, ListsNothingTwice) {  // llmisvc:F12
  add_service("{metadata: {name: gw, namespace: kserve}, spec: {ports: [{port: 80}]}}");
  set_gateway_status("{addresses: [{value: gw.kserve.svc.cluster.local}]}");
  set_listeners(R"([{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTP, port: 80}])");
  EXPECT_THAT(urls(), ElementsAre("http://gw.kserve.svc.cluster.local/ns/s"));
}

TEST_F(RouterTest, HasNoUrlWithoutAnyAddressAndThatIsNoError) {  // llmisvc:F13
  set_gateway_status("{}");
  kube::Object status = parse("{url: 'http://stale'}");
  put_routing(view(), *addresses_of(view()), std::nullopt, status);
  EXPECT_EQ(status.find("url"), nullptr);
  add_service("{metadata: {name: gw, namespace: kserve}, spec: {}}");
  put_routing(view(), *addresses_of(view()), std::nullopt, status);
  EXPECT_EQ(status.string_at({"url"}), "http://gw.kserve.svc.cluster.local/ns/s");
}

TEST_F(RouterTest, PrefersTheExternalUrlUnderItsOwnPath) {  // llmisvc:F14
  set_rules(kWithHeader);
  add_service("{metadata: {name: gw, namespace: kserve}, spec: {}}");
  for (const auto* listeners :
       {"[{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTP, port: 81}]",
        "[{name: b, protocol: HTTP, port: 81}, {name: a, protocol: HTTP, port: 80}]"}) {
    set_listeners(listeners);
    EXPECT_EQ(url(), "http://203.0.113.1/ns/s");
  }
}

TEST_F(RouterTest, AdvertisesEveryListenerAndPrefersTheInstallationsScheme) {
  set_gateway_status("{addresses: [{value: 10.0.0.1}]}");
  set_listeners("[{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTPS, port: 443}]");
  EXPECT_THAT(urls(), ElementsAre("http://10.0.0.1/ns/s", "https://10.0.0.1/ns/s"));
  installation.url_scheme = "https";
  EXPECT_EQ(url(), "https://10.0.0.1/ns/s");
  installation.url_scheme = "other";
  EXPECT_EQ(url(), "http://10.0.0.1/ns/s");
}

TEST_F(RouterTest, SaysOfEachUrlWhichGatewayItBelongsTo) {  // llmisvc:F15
  gateways.push_back(parse(R"({metadata: {name: aa, namespace: other},
    spec: {listeners: [{name: l, protocol: HTTP, port: 80}]},
    status: {addresses: [{value: 203.0.113.9}]}})"));
  routes.front()["spec"]["parentRefs"] = parse(R"([{name: gw, namespace: kserve, sectionName: http},
    {name: gw, namespace: kserve, sectionName: http}, {name: aa, namespace: other}])");
  const auto found = *addresses_of(view());
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].origin.string_at({"name"}), "gw");
  EXPECT_EQ(found[1].origin.string_at({"name"}), "aa");
  EXPECT_EQ(found[1].origin.string_at({"namespace"}), "other");

  kube::Object status;
  put_routing(view(), found, std::nullopt, status);
  const auto& list = *status.find_path({"router", "gateways"})->if_array();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].string_at({"name"}), "gw");
  EXPECT_EQ(text::json::dump(*list[0].find("listeners")), R"(["http"])");
  EXPECT_EQ(list[1].find("listeners"), nullptr);
  for (const auto& one : list) {
    EXPECT_EQ(one.find("httpRoutes")->if_array()->front().string_at({"name"}), "s-kserve-route");
  }
}

TEST_F(RouterTest, ListsTheModelsOfEachAddressAndNamesItsKind) {  // llmisvc:F16
  set_rules(kWithHeader);
  const auto base = *addresses_of(view());
  ASSERT_EQ(base.size(), 2U);
  EXPECT_EQ(base[0].name, "gateway-external-model-routing");
  EXPECT_THAT(base[0].models, ElementsAre("publishers/ns/models/m"));
  EXPECT_EQ(base[1].name, "gateway-external");
  EXPECT_THAT(base[1].models, ElementsAre("publishers/ns/models/m", "m"));

  merged["spec"]["model"]["lora"] = parse("{adapters: [{name: a}, {uri: x}]}");
  const auto adapted = *addresses_of(view());
  EXPECT_THAT(adapted[0].models, ElementsAre("publishers/ns/models/m", "publishers/ns/models/a"));
  EXPECT_THAT(adapted[1].models,
              ElementsAre("publishers/ns/models/m", "m", "publishers/ns/models/a", "a"));

  struct Case {
    const char* host;
    const char* name;
  };
  for (const auto& [host, name] :
       {Case{"10.1.2.3", "internal"}, Case{"172.20.0.1", "internal"},
        Case{"172.32.0.1", "gateway-external"}, Case{"192.168.0.1", "internal"},
        Case{"fd00::1", "internal"}, Case{"localhost", "internal"}, Case{"x.internal", "internal"},
        Case{"x.local", "internal"}, Case{"x.example.com", "gateway-external"},
        Case{"g.kserve.svc.cluster.local", "gateway-internal"}}) {
    set_gateway_status(std::string("{addresses: [{value: '") + host + "'}]}");
    EXPECT_EQ(addresses_of(view())->back().name, name) << host;
  }
}

TEST_F(RouterTest, SaysThatAGatewayIsMissing) {  // llmisvc:F17
  gateways.clear();
  EXPECT_EQ(addresses_of(view()).error().code(), Code::kNotFound);
  EXPECT_THAT(refusal(), HasSubstr("Gateway kserve/gw does not exist"));
}

TEST_F(RouterTest, LooksForAGatewayInTheRoutesNamespaceWhenNoneIsGiven) {  // llmisvc:F18
  routes.front()["spec"]["parentRefs"] = parse("[{name: gw}]");
  EXPECT_THAT(refusal(), HasSubstr("Gateway ns/gw does not exist"));
  gateways.front()["metadata"]["namespace"] = "ns";
  EXPECT_THAT(urls(), ElementsAre("http://203.0.113.1/ns/s"));
}

TEST_F(RouterTest, WithoutARoutePointsAtTheWorkloadServiceWithItsPort) {
  routes.clear();
  EXPECT_THAT(urls(), IsEmpty());
  add_service("{metadata: {name: s-kserve-workload-svc, namespace: ns}}");
  EXPECT_THAT(urls(), ElementsAre("http://s-kserve-workload-svc.ns.svc.cluster.local:8000"));
  EXPECT_EQ(url(), "http://s-kserve-workload-svc.ns.svc.cluster.local:8000");
  installation.plan.enable_tls = true;
  EXPECT_EQ(url(), "https://s-kserve-workload-svc.ns.svc.cluster.local:8000");
}

// ---- conditions

std::string entry(const std::string& parent, const std::string& accepted,
                  const std::string& resolved = "True", int generation = 3) {
  std::string out = "{parentRef: " + parent + ", conditions: [";
  const auto add = [&](const char* type, const std::string& status) {
    if (status.empty()) return;
    out += std::string("{type: ") + type + ", status: '" + status + "', reason: Because" + type +
           ", observedGeneration: " + std::to_string(generation) + "},";
  };
  add("Accepted", accepted);
  add("ResolvedRefs", resolved);
  return out + "]}";
}
const std::string kGw = "{name: gw, namespace: kserve}";

TEST_F(RouterTest, IsReadyDespiteAPolicysEntry) {  // llmisvc:D16
  set_route_status("[" + entry(kGw, "True") + ", {parentRef: " + kGw +
                   ", controllerName: policy, conditions: [{type: Policy, status: 'False'}]}]");
  EXPECT_EQ(condition("HTTPRoutesReady"), "True");
}

TEST_F(RouterTest, TellsWhyARouteIsNotReady) {  // llmisvc:D17
  set_route_status("[" + entry(kGw, "True", "") + "]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("ResolvedRefs is not reported"));
  set_route_status("[" + entry(kGw, "False") + "]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("BecauseAccepted"));
  set_route_status("[" + entry(kGw, "True", "False") + "]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("BecauseResolvedRefs"));
  set_route_status("[" + entry(kGw, "True", "True", 2) + "]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("earlier generation"));
  set_route_status("[{parentRef: " + kGw + ", conditions: [{type: Policy, status: 'True'}]}]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("kserve/gw has not accepted it yet"));
  set_route_status("[" + entry(kGw, "True") + "]");
  routes.front()["spec"]["parentRefs"] =
      parse("[{name: gw, namespace: kserve}, {name: second, namespace: kserve}]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("kserve/second has not accepted it yet"));
  routes.front()["spec"]["parentRefs"] = parse("[]");
  EXPECT_THAT(condition("HTTPRoutesReady"), HasSubstr("no parentRefs"));
}

TEST_F(RouterTest, WaitsForEveryGatewayThatIsReferredTo) {  // llmisvc:D18
  EXPECT_EQ(condition("GatewaysReady"), "absent");
  merged["spec"]["router"]["gateway"]["refs"] = parse("[" + kGw + "]");
  EXPECT_THAT(condition("GatewaysReady"), HasSubstr("GatewaysNotReady"));
  const auto programmed = [&](const char* status) {
    set_gateway_status(std::string("{conditions: [{type: Programmed, status: '") + status + "'}]}");
    return condition("GatewaysReady");
  };
  EXPECT_EQ(programmed("True"), "True");
  EXPECT_THAT(programmed("False"), HasSubstr("kserve/gw"));
  EXPECT_THAT(programmed("Unknown"), HasSubstr("kserve/gw"));
  EXPECT_EQ(programmed("True"), "True");
  gateways.push_back(parse("{metadata: {name: second, namespace: kserve}}"));
  routes.front()["spec"]["parentRefs"].push_back(parse("{name: second, namespace: kserve}"));
  EXPECT_THAT(condition("GatewaysReady"), HasSubstr("kserve/second"));
  routes.clear();
  EXPECT_EQ(condition("GatewaysReady"), "True");
}

class PoolTest : public RouterTest, public ::testing::WithParamInterface<const char*> {
 protected:
  PoolTest() {
    merged["spec"]["router"]["scheduler"] = parse("{}");
    pools.push_back(parse(std::string("{apiVersion: ") + GetParam() +
                          ", kind: InferencePool, metadata: {name: p, namespace: ns, "
                          "generation: 3}}"));
  }
  std::string with(const std::string& entries) {
    const bool old = std::string_view(GetParam()).starts_with("inference.networking.x-k8s.io");
    pools.front()["status"][old ? "parent" : "parents"] = parse("[" + entries + "]");
    return condition("InferencePoolReady");
  }
};

TEST_P(PoolTest, IsReadyWhenItsGatewaysAcceptedIt) {  // llmisvc:D20
  EXPECT_THAT(with(""), HasSubstr("WaitingForGateway"));
  EXPECT_EQ(with(entry(kGw, "True")), "True");
  EXPECT_THAT(with(entry(kGw, "False")), HasSubstr("InferencePoolNotReady"));
  EXPECT_THAT(with(entry(kGw, "True", "True", 2)), HasSubstr("InferencePoolNotReady"));
  EXPECT_THAT(with(entry(kGw, "")), HasSubstr("InferencePoolNotReady"));
  EXPECT_THAT(with(entry(kGw, "True") + "," + entry(kGw, "False")),
              HasSubstr("InferencePoolNotReady"));
  EXPECT_EQ(with(entry(kGw, "True") + "," + entry(kGw, "True")), "True");
}

TEST_P(PoolTest, PaysNoHeedToFormerGateways) {  // llmisvc:D21
  const std::string former = "{name: former, namespace: kserve}";
  EXPECT_EQ(with(entry(kGw, "True") + "," + entry(former, "False")), "True");
  EXPECT_THAT(with(entry(kGw, "False") + "," + entry(former, "True")),
              HasSubstr("InferencePoolNotReady"));
}

TEST_P(PoolTest, NeedsEveryGateway) {
  gateways.push_back(parse("{metadata: {name: second, namespace: ns}}"));
  routes.front()["spec"]["parentRefs"].push_back(parse("{name: second}"));
  EXPECT_THAT(with(entry(kGw, "True")), HasSubstr("WaitingForGateway"));
  // A parent without namespace is of the pool's.
  EXPECT_EQ(with(entry(kGw, "True") + "," + entry("{name: second}", "True")), "True");
}

// On purpose other than upstream, where a pool without a route never is.
TEST_P(PoolTest, WithoutARouteIsReadyUnlessRefused) {
  routes.clear();
  EXPECT_EQ(with(""), "True");
  EXPECT_THAT(with(entry(kGw, "False")), HasSubstr("InferencePoolNotReady"));
}

INSTANTIATE_TEST_SUITE_P(BothApis, PoolTest,
                         ::testing::Values("inference.networking.k8s.io/v1",
                                           "inference.networking.x-k8s.io/v1alpha2"));

TEST_F(RouterTest, NamesTheReferenceThatLeadsNowhere) {
  const auto wrong = [&](const kube::Object* planned = nullptr) {
    const auto found = invalid_reference(view(), planned);
    return found ? found->type + " " + found->reason + ": " + found->message : "none";
  };
  routes.clear();
  EXPECT_EQ(wrong(), "none");
  merged["spec"]["router"]["gateway"]["refs"] = parse("[{name: absent}]");
  EXPECT_EQ(wrong(), "GatewaysReady RefsInvalid: Gateway ns/absent does not exist");
  merged["spec"]["router"]["gateway"] = parse("{}");
  merged["spec"]["router"]["route"]["http"]["refs"] = parse("[{name: r}]");
  EXPECT_EQ(wrong(), "HTTPRoutesReady RefsInvalid: HTTPRoute ns/r does not exist");
  routes.push_back(parse("{metadata: {name: r, namespace: ns}, spec: {}}"));
  EXPECT_THAT(wrong(), HasSubstr("has no parent gateway references"));
  routes.front()["spec"]["parentRefs"] = parse("[{name: absent}]");
  EXPECT_THAT(wrong(), HasSubstr("references non-existent Gateway ns/absent"));
  routes.front()["spec"]["parentRefs"] = parse("[" + kGw + "]");
  EXPECT_EQ(wrong(), "none");
  const auto planned =
      parse("{metadata: {name: p, namespace: ns}, spec: {parentRefs: [{name: gone}]}}");
  EXPECT_THAT(wrong(&planned), HasSubstr("HTTPRoute p references non-existent Gateway ns/gone"));
}

}  // namespace
}  // namespace baton::reconcile
