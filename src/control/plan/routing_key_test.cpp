// Which picker and sidecar share a key.

#include <algorithm>

#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

bool has_key(const Value& pod, std::string_view list, std::string_view name) {
  const Value one = container(pod, list, name);
  const Value* variable = named(one.find("env"), "BATON_ROUTING_TICKET_KEY_FILE");
  const Value* volume = named(pod.find("volumes"), "routing-key");
  return variable != nullptr && volume != nullptr &&
         named(one.find("volumeMounts"), "routing-key") != nullptr &&
         variable->string_at({"value"}) == "/var/run/baton/routing/key" &&
         volume->string_at({"secret", "secretName"}) == "s-kserve-routing-key";
}
bool signs(const Plan& p) {
  const bool wished = std::ranges::any_of(
      p.wishes, [](const Wish& w) { return w.kind == Wish::Kind::kRoutingKey; });
  const bool verified = has_key(pod(p, "s-kserve"), "initContainers", "llm-d-routing-sidecar");
  EXPECT_EQ(wished, verified);
  return wished && has_key(pod(p, "s-kserve-router-scheduler"), "containers", "main");
}

TEST(SignedRoutes, AreRequiredWherePickerAndSidecarAreBatons) {
  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  const Plan both = planned(v);
  EXPECT_TRUE(signs(both));
  EXPECT_FALSE(has_key(pod(both, "s-kserve-prefill"), "initContainers", "llm-d-routing-sidecar"));

  ServiceView upstream_picker = v;
  use_upstream_picker(upstream_picker.settings);
  EXPECT_FALSE(signs(planned(upstream_picker)));
  ServiceView upstream_sidecar = v;
  use_upstream_engine_and_sidecar(upstream_sidecar.settings);
  EXPECT_FALSE(signs(planned(upstream_sidecar)));

  EXPECT_FALSE(signs(planned("{router: {route: {}, scheduler: {}}}"))) << "no sidecar";
  EXPECT_FALSE(signs(planned("{prefill: {}, router: {route: {}}}"))) << "no picker";
  EXPECT_FALSE(signs(
      planned("{prefill: {}, router: {route: {}, scheduler: {pool: {ref: {name: other}}}}}")));
  EXPECT_FALSE(
      signs(planned("{prefill: {}, router: {route: {}, scheduler: {template: {containers: "
                    "[{name: main, image: 'x/llm-d-inference-scheduler:v0.4'}]}}}}")));
  EXPECT_FALSE(
      signs(planned("{prefill: {}, router: {route: {}, scheduler: {}}, template: "
                    "{initContainers: [{name: llm-d-routing-sidecar, image: 'x/y:1'}]}}")));
}

TEST(SignedRoutes, LeaveAnArrangementOfSomebodysOwnAlone) {
  EXPECT_FALSE(signs(planned(
      "{prefill: {}, router: {route: {}, scheduler: {}}, template: {initContainers: [{name: "
      "llm-d-routing-sidecar, env: [{name: BATON_ROUTING_TICKET_KEY_FILE, value: ''}]}]}}")));
}

// `serve` runs nothing but Baton's programs under these names, and its gateway is the picker.
TEST(SignedRoutes, AreRequiredOfEverySidecarThatServeRuns) {
  ServiceView v = view(
      "{prefill: {}, template: {initContainers: [{name: llm-d-routing-sidecar, image: 'x/y:1'}]}}");
  v.settings.runs_baton = true;
  EXPECT_TRUE(has_key(pod(planned(v), "s-kserve"), "initContainers", "llm-d-routing-sidecar"));
}

}  // namespace
}  // namespace baton::plan
