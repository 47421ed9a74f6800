// HTTPRoute and pools.

#include <gmock/gmock.h>

#include "control/plan/pool_migration.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kRouted = "{router: {route: {}, gateway: {}, scheduler: {}}}";

Value route(const Plan& plan) { return child(plan, "HTTPRoute", "s-kserve-route"); }

const Array& rules(const Value& route) { return *route.find_path({"spec", "rules"})->if_array(); }

Value backend(const Value& route, std::size_t rule) {
  return rules(route)[rule].find("backendRefs")->if_array()->front();
}

std::vector<std::string> names(const Value& route) {
  std::vector<std::string> out;
  for (const Value& rule : items(route.find_path({"spec", "rules"}))) {
    out.emplace_back(rule.string_at({"name"}));
  }
  return out;
}

// "PathPrefix /x" or "Exact /x", and "Header=value".
std::vector<std::string> matches(const Value& rule) {
  std::vector<std::string> out;
  for (const Value& match : items(rule.find("matches"))) {
    std::string text(match.string_at({"path", "type"}));
    if (!text.empty()) text += " " + std::string(match.string_at({"path", "value"}));
    for (const Value& header : items(match.find("headers"))) {
      text += "[" + std::string(header.string_at({"name"})) + "=" +
              std::string(header.string_at({"value"})) + "]";
    }
    out.push_back(text);
  }
  return out;
}

// Reference 3.8: name, match of rules that have one, what it is rewritten to, backend.
// llmisvc:D01
TEST(Route, HasTwelveRulesBehindTheDefaultGateway) {
  const Value r = route(planned(kRouted));
  EXPECT_EQ(
      dump(*r.find_path({"spec", "parentRefs"})),
      R"([{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"kserve-ingress-gateway",)"
      R"("namespace":"kserve"}])");

  struct Rule {
    std::string name, match, rewrite, backend;
  };
  const std::string header = "[X-Gateway-Model-Name=publishers/ns/models/m]";
  const std::string pool = "s-inference-pool";
  const std::string svc = "s-kserve-workload-svc";
  const auto prefix = [](std::string path) { return "PathPrefix " + path; };
  const std::vector<Rule> expected = {
      {"v1-completions-path", prefix("/ns/s/v1/completions"), "/v1/completions", pool},
      {"v1-chat-completions-path", prefix("/ns/s/v1/chat/completions"), "/v1/chat/completions",
       pool},
      {"v1-responses-path", prefix("/ns/s/v1/responses"), "/v1/responses", pool},
      {"v1-messages-path", prefix("/ns/s/v1/messages"), "/v1/messages", pool},
      {"v1-model-routing", "", "", pool},
      {"v1-completions-publisher-path", prefix("/publishers/ns/models/m/v1/completions"),
       "/v1/completions", pool},
      {"v1-chat-completions-publisher-path", prefix("/publishers/ns/models/m/v1/chat/completions"),
       "/v1/chat/completions", pool},
      {"v1-responses-publisher-path", prefix("/publishers/ns/models/m/v1/responses"),
       "/v1/responses", pool},
      {"v1-messages-publisher-path", prefix("/publishers/ns/models/m/v1/messages"), "/v1/messages",
       pool},
      {"v1-publisher-path-catch-all", prefix("/publishers/ns/models/m"), "/", svc},
      {"v1-catch-all-path", prefix("/ns/s"), "/", svc},
      {"v1-catch-all-model-routing", header, "", svc},
  };
  ASSERT_EQ(rules(r).size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Value& rule = rules(r)[i];
    EXPECT_EQ(rule.string_at({"name"}), expected[i].name);
    if (!expected[i].match.empty()) {
      EXPECT_THAT(matches(rule), ElementsAre(expected[i].match));
    }
    const Value* filters = rule.find("filters");
    EXPECT_EQ(filters != nullptr, !expected[i].rewrite.empty());
    if (filters != nullptr) {
      EXPECT_EQ(dump(*filters), R"([{"type":"URLRewrite","urlRewrite":{"path":{"type":)"
                                R"("ReplacePrefixMatch","replacePrefixMatch":")" +
                                    expected[i].rewrite + "\"}}}]");
    }
    EXPECT_EQ(dump(*rule.find("timeouts")), R"({"request":"0s","backendRequest":"0s"})");
    ASSERT_EQ(rule.find("backendRefs")->if_array()->size(), 1U);
    EXPECT_EQ(backend(r, i).string_at({"name"}), expected[i].backend);
    EXPECT_EQ(*backend(r, i).find("port"), Value(8000));
    EXPECT_EQ(*backend(r, i).find("weight"), Value(1));
  }
  EXPECT_THAT(
      matches(rules(r)[4]),
      ElementsAre("Exact /v1/completions" + header, "Exact /v1/completions/" + header,
                  "Exact /v1/chat/completions" + header, "Exact /v1/chat/completions/" + header,
                  "Exact /v1/responses" + header, "Exact /v1/responses/" + header,
                  "Exact /v1/messages" + header, "Exact /v1/messages/" + header));
}

// llmisvc:D02
TEST(Route, GoesToTheServiceWithoutAScheduler) {
  const Value r = route(planned("{router: {route: {}}}"));
  for (std::size_t i = 0; i < rules(r).size(); ++i) {
    EXPECT_EQ(dump(backend(r, i)).find("inference"), std::string::npos);
    EXPECT_EQ(backend(r, i).string_at({"kind"}), "Service");
    EXPECT_EQ(backend(r, i).string_at({"name"}), "s-kserve-workload-svc");
    EXPECT_EQ(*backend(r, i).find("port"), Value(8000));
  }
}

TEST(Route, GoesToAPoolOfTheUsersOwn) {
  const Plan p = planned("{router: {route: {}, scheduler: {pool: {ref: {name: theirs}}}}}");
  EXPECT_EQ(backend(route(p), 0).string_at({"name"}), "theirs");
  EXPECT_EQ(backend(route(p), 0).string_at({"group"}), kPoolGroupV1);
  for (const std::string_view kind :
       {"InferencePool", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"}) {
    for (const Value& one : p.children) EXPECT_NE(one.string_at({"kind"}), kind);
  }
  EXPECT_TRUE(child(p, "Deployment", "s-kserve-router-scheduler").is_null());
  EXPECT_TRUE(child(p, "Service", "s-epp-service").is_null());
}

// llmisvc:D04
TEST(Route, TakesRulesOfTheUserAsTheyAre) {
  const Value r = route(planned(
      "{router: {route: {http: {spec: {rules: [{name: only, backendRefs: [{name: x}]}]}}}}}"));
  ASSERT_EQ(rules(r).size(), 1U);
  EXPECT_EQ(dump(rules(r)[0]), R"({"name":"only","backendRefs":[{"name":"x"}]})");
}

TEST(Route, IsNotMadeBesideRoutesOfTheUser) {
  EXPECT_TRUE(
      route(planned("{router: {route: {http: {refs: [{name: mine}]}}, scheduler: {}}}")).is_null());
  EXPECT_TRUE(route(planned("{}")).is_null());
}

// llmisvc:D06 llmisvc:B28
TEST(Route, HangsOnTheGatewaysNamed) {
  const Value r =
      route(planned("{router: {route: {}, gateway: {refs: [{name: a, namespace: b, sectionName: "
                    "c}, {name: d}]}}}"));
  EXPECT_EQ(
      dump(*r.find_path({"spec", "parentRefs"})),
      R"([{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"a","namespace":"b","sectionName":"c"},)"
      R"({"group":"gateway.networking.k8s.io","kind":"Gateway","name":"d"}])");

  // No refs, no parents from them: the default gateway stays.
  const Value empty = route(planned("{router: {route: {}, gateway: {refs: []}}}"));
  EXPECT_EQ((*empty.find_path({"spec", "parentRefs"})->if_array())[0].string_at({"name"}),
            "kserve-ingress-gateway");
}

// Matches with and without the header in one rule, and a rule with the header alone.
constexpr std::string_view kMixed =
    "{annotations: {serving.kserve.io/model-based-routing-enabled: 'true'}, model: {uri: "
    "'hf://a/b', name: m, lora: {adapters: [{name: z, uri: 'hf://z/z'}, {name: b, uri: "
    "'hf://b/b'}]}}, router: {route: {http: {spec: {rules: [{name: mixed, matches: [{path: {type: "
    "PathPrefix, value: /x}}, {headers: [{name: x-gateway-model-name, value: v}]}]}, {name: "
    "header, "
    "matches: [{headers: [{name: X-Gateway-Model-Name, value: v}]}]}, {name: path, matches: "
    "[{path: "
    "{type: PathPrefix, value: /y}}]}]}}}}}";

ServiceView mixed() { return view(kMixed); }

// llmisvc:D09
TEST(ModelRouting, MatchesEveryAdapterInOrderOfName) {
  const Value r = route(planned(mixed()));
  EXPECT_THAT(matches(rules(r)[0]), ElementsAre("PathPrefix /x", "[x-gateway-model-name=v]",
                                                "[x-gateway-model-name=publishers/ns/models/b]",
                                                "[x-gateway-model-name=publishers/ns/models/z]"));
  EXPECT_THAT(matches(rules(r)[1]), ElementsAre("[X-Gateway-Model-Name=v]",
                                                "[X-Gateway-Model-Name=publishers/ns/models/b]",
                                                "[X-Gateway-Model-Name=publishers/ns/models/z]"));
  EXPECT_THAT(matches(rules(r)[2]), ElementsAre("PathPrefix /y"));

  // From a base configuration, an adapter may have no name.
  ServiceView nameless = mixed();
  nameless.service["spec"]["model"].if_object()->erase("lora");
  EXPECT_EQ(matches(rules(route(planned(nameless)))[1]).size(), 1U);

  ServiceView no_header = mixed();
  no_header.settings.model_routing_header = "";
  EXPECT_EQ(matches(rules(route(planned(no_header)))[0]).size(), 2U);

  // The presets' rules: eight matches for the base model and eight for each adapter.
  EXPECT_EQ(
      matches(rules(route(planned("{model: {uri: 'hf://a/b', name: m, lora: {adapters: [{name: "
                                  "b, uri: 'hf://b/b'}]}}, router: {route: {}}}")))[4])
          .size(),
      16U);
}

TEST(ModelRouting, SaysWhenAdaptersMakeMoreMatchesThanARouteMayHave) {
  ServiceView v = view("{router: {route: {}}}");
  Array adapters;
  for (int i = 0; i < 8; ++i) {
    adapters.push_back(yaml("{uri: 'hf://b/b', name: a" + std::to_string(i) + "}"));
  }
  v.service["spec"]["model"]["lora"]["adapters"] = std::move(adapters);
  EXPECT_THAT(warnings(planned(v)),
              Contains("/spec/model/lora/adapters: makes 72 matches in the route's rule "
                       "'v1-model-routing'; Gateway API takes 64"));
}

// llmisvc:D10
TEST(ModelRouting, IsTakenOutWhenTheInstallationDisablesIt) {
  ServiceView v = mixed();
  v.settings.model_routing = Settings::ModelRouting::kDisabled;
  const Value r = route(planned(v));
  EXPECT_THAT(names(r), ElementsAre("mixed", "path"));
  EXPECT_THAT(matches(rules(r)[0]), ElementsAre("PathPrefix /x"));
}

// llmisvc:D11
TEST(ModelRouting, IsTakenOutWhenAGatewayDeclines) {
  ServiceView v = mixed();
  v.service["spec"]["router"]["gateway"] = yaml("{refs: [{name: a}, {name: g, namespace: gn}]}");
  const auto gateway = [](std::string_view name, std::string_view ns, std::string_view says) {
    Value out = yaml("{kind: Gateway, metadata: {}}");
    out["metadata"]["name"] = name;
    out["metadata"]["namespace"] = ns;
    out["metadata"]["annotations"]["serving.kserve.io/model-based-routing-enabled"] = says;
    return out;
  };
  v.gateways = {gateway("a", "ns", "true"), gateway("g", "ns", "false")};  // none that it names
  EXPECT_THAT(names(route(planned(v))), ElementsAre("mixed", "header", "path"));
  v.gateways.push_back(gateway("g", "gn", "false"));
  EXPECT_THAT(names(route(planned(v))), ElementsAre("mixed", "path"));
  v.settings.model_routing = Settings::ModelRouting::kForced;
  EXPECT_THAT(names(route(planned(v))), ElementsAre("mixed", "header", "path"));
}

// llmisvc:D12
TEST(ModelRouting, IsTakenOutWhenTheServiceDeclines) {
  const Value r =
      route(planned("{annotations: {serving.kserve.io/model-based-routing-enabled: 'false'}, "
                    "router: {route: {}, scheduler: {}}}"));
  EXPECT_EQ(rules(r).size(), 10U);

  using enum Settings::ModelRouting;
  EXPECT_EQ(model_routing_of("Disabled"), kDisabled);
  EXPECT_EQ(model_routing_of("FORCED"), kForced);
  EXPECT_EQ(model_routing_of("enabled"), kEnabled);
  EXPECT_EQ(model_routing_of("sometimes"), kEnabled);
  EXPECT_EQ(model_routing_of(""), kEnabled);
}

std::vector<std::string> collisions(const ServiceView& v) {
  std::vector<std::string> out;
  for (const Warning& one : planned(v).warnings) {
    if (one.reason == "ModelNameCollision") out.push_back(one.message);
  }
  return out;
}

// llmisvc:D14
TEST(ModelNames, AreSaidToCollideWithThoseOfOtherServices) {
  const auto other = [](std::string_view name, std::string_view spec) {
    Value out = service(spec);
    out["metadata"]["name"] = name;
    return out;
  };
  ServiceView v = view(
      "{model: {uri: 'hf://a/b', name: m, lora: {adapters: [{name: l, uri: 'hf://c/d'}]}}, router: "
      "{route: {group: g, weight: 1}}}");
  v.peers = {other("same", "{}"), other("adapter", "{model: {uri: 'hf://a/b', name: l}}"),
             other("else", "{model: {uri: 'hf://a/b', name: x}}")};
  EXPECT_THAT(collisions(v), ElementsAre("m is served by LLMInferenceService same as well",
                                         "l is served by LLMInferenceService adapter as well"));

  // What its status tells counts more than its spec: a template may have named the model.
  Value ran = other("ran", "{model: {uri: 'hf://a/b', name: x}}");
  ran["status"]["addresses"] = yaml("[{models: [{name: publishers/ns/models/m}]}]");
  v.peers = {ran};
  EXPECT_THAT(collisions(v), ElementsAre("m is served by LLMInferenceService ran as well"));

  Value going = other("going", "{}");
  going["metadata"]["deletionTimestamp"] = "now";
  v.peers = {other("member", "{router: {route: {group: g, weight: 1}}}"), going, other("s", "{}")};
  EXPECT_THAT(collisions(v), IsEmpty());
}

// llmisvc:E01 llmisvc:E02
TEST(Pools, AreTwoAndANewRouteUsesTheOldGroup) {
  const Plan p = planned(kRouted);
  std::vector<std::string_view> versions;
  for (const Value& one : p.children) {
    if (one.string_at({"kind"}) != "InferencePool") continue;
    EXPECT_EQ(name_of(one), "s-inference-pool");
    versions.push_back(one.string_at({"apiVersion"}));
  }
  EXPECT_THAT(versions, ElementsAre("inference.networking.k8s.io/v1",
                                    "inference.networking.x-k8s.io/v1alpha2"));
  EXPECT_EQ(backend(route(p), 0).string_at({"group"}), kPoolGroupX);
  EXPECT_EQ(route(p).find_path({"metadata", "annotations", kPoolMigrated}), nullptr);

  ServiceView only_v1 = view(kRouted);
  only_v1.settings.serves_x_pools = false;
  EXPECT_EQ(backend(route(planned(only_v1)), 0).string_at({"group"}), kPoolGroupV1);
}

// The route as it was planned, with the status of its gateway.
ServiceView with_live_route(std::string_view annotations, std::string_view conditions) {
  ServiceView v = view(kRouted);
  Value live = route(planned(v));
  live["metadata"]["annotations"] = yaml(annotations);
  live["status"]["parents"] = yaml(conditions);
  (*live["status"]["parents"].if_array())[0]["parentRef"] =
      yaml("{name: kserve-ingress-gateway, namespace: kserve}");
  v.children.push_back(std::move(live));
  return v;
}

// llmisvc:E03 llmisvc:E04
TEST(Pools, MoveToV1WhenTheGatewayDoesNotKnowTheOldGroup) {
  const ServiceView refused = with_live_route(
      "{}", "[{conditions: [{type: ResolvedRefs, status: 'False', reason: InvalidKind}]}]");
  const Value moved = route(planned(refused));
  EXPECT_EQ(backend(moved, 0).string_at({"group"}), kPoolGroupV1);
  EXPECT_EQ(moved.string_at({"metadata", "annotations", kPoolMigrated}), "v1");
  EXPECT_EQ(backend(moved, 10).string_at({"kind"}), "Service");
}

// llmisvc:E05
TEST(Pools, NeverMoveBack) {
  for (const std::string_view said :
       {"[{conditions: [{type: ResolvedRefs, status: 'True'}]}]",
        "[{conditions: [{type: ResolvedRefs, status: 'False', reason: InvalidKind}]}]",
        "[{conditions: []}]"}) {
    const Value r =
        route(planned(with_live_route("{serving.kserve.io/inference-pool-migrated: v1}", said)));
    EXPECT_EQ(backend(r, 0).string_at({"group"}), kPoolGroupV1) << said;
    EXPECT_EQ(r.string_at({"metadata", "annotations", kPoolMigrated}), "v1") << said;
  }
}

// llmisvc:B18 llmisvc:B19
TEST(Pools, SelectEveryEnginePodUnlessToldOtherwise) {
  const auto selector = [](std::string_view spec, std::vector<std::string_view> bases) {
    ServiceView v = view(spec);
    for (std::size_t i = 0; i < bases.size(); ++i) {
      const std::string name = "base" + std::to_string(i);
      v.service["spec"]["baseRefs"].push_back(yaml("{name: " + name + "}"));
      v.configs.push_back(config(name, bases[i]));
    }
    const Value pool = child(planned(v), "InferencePool", "s-inference-pool");
    return dump(*pool.find_path({"spec", "selector", "matchLabels"}));
  };
  const std::string usual =
      R"({"app.kubernetes.io/name":"s","app.kubernetes.io/part-of":"llminferenceservice",)"
      R"("kserve.io/component":"workload"})";
  EXPECT_EQ(selector(kRouted, {}), usual);

  // Without the presets' selector there is still the default one.
  ServiceView bare = view(kRouted);
  bare.configs.push_back(config("kserve-config-llm-scheduler",
                                "{router: {scheduler: {pool: {spec: {targetPorts: [{number: "
                                "8000}], endpointPickerRef: {name: "
                                "x}}}, template: {containers: [{name: main}]}}}}"));
  const Value pool = child(planned(bare), "InferencePool", "s-inference-pool");
  EXPECT_EQ(dump(*pool.find_path({"spec", "selector", "matchLabels"})), usual);

  EXPECT_THAT(
      selector(kRouted, {"{router: {scheduler: {pool: {spec: {selector: {matchLabels: {}}}}}}}",
                         "{router: {scheduler: {pool: {spec: {selector: {matchLabels: {a: "
                         "b}}}}}}}"}),
      HasSubstr(R"("a":"b")"));
}

// llmisvc:G19
TEST(Pools, KeepThePortOfTheirPicker) {
  EXPECT_EQ(dump(*child(planned(kRouted), "InferencePool", "s-inference-pool")
                      .find_path({"spec", "endpointPickerRef", "port"})),
            R"({"number":9002})");
  const Value own = child(
      planned("{router: {scheduler: {pool: {spec: {endpointPickerRef: {port: {number: 7}}}}}}}"),
      "InferencePool", "s-inference-pool");
  EXPECT_EQ(dump(*own.find_path({"spec", "endpointPickerRef", "port"})), R"({"number":7})");

  ServiceView bare = view(kRouted);
  bare.configs.push_back(
      config("kserve-config-llm-scheduler",
             "{router: {scheduler: {pool: {spec: {endpointPickerRef: {name: x}}}, template: "
             "{containers: [{name: main}]}}}}"));
  EXPECT_EQ(dump(*child(planned(bare), "InferencePool", "s-inference-pool")
                      .find_path({"spec", "endpointPickerRef", "port"})),
            R"({"number":9002})");
}

// llmisvc:G20
TEST(Pools, StillSelectWorkloadsWithLabelsOfTheirOwn) {
  for (const std::string vendor : {"nvidia", "amd"}) {
    const Plan p =
        planned("{labels: {gpu: " + vendor +
                "}, prefill: {labels: {gpu: other}}, router: {route: {}, scheduler: {}}}");
    const Value pool = child(p, "InferencePool", "s-inference-pool");
    for (const std::string_view deployment : {"s-kserve", "s-kserve-prefill"}) {
      const Value d = child(p, "Deployment", deployment);
      for (const auto& [key, value] :
           *pool.find_path({"spec", "selector", "matchLabels"})->if_object()) {
        EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", key}), *value.if_string());
      }
    }
  }
}

}  // namespace
}  // namespace baton::plan
