#include "formats/api/crd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/text/yaml.hpp"

namespace baton::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using text::json::dump;
using text::json::Value;

// `kubectl apply` without --server-side keeps a copy in an annotation, which may have 256 KiB.
constexpr std::size_t kLargestDefinition = 256 << 10;

Value service_crd() { return crds({})[0]; }
Value config_crd() { return crds({})[1]; }

// The schema of one version.
const Value& schema(const Value& crd, std::size_t version) {
  const Value& one = (*crd.find_path({"spec", "versions"})->if_array())[version];
  return *one.find_path({"schema", "openAPIV3Schema"});
}

// "spec.template.containers[]" below a schema.
const Value* at(const Value& from, std::string_view path) {
  const Value* here = &from;
  while (here != nullptr && !path.empty()) {
    const std::size_t dot = path.find('.');
    std::string_view name = path.substr(0, dot);
    path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
    const bool items = name.ends_with("[]");
    if (items) name.remove_suffix(2);
    here = here->find_path({"properties", name});
    if (items && here != nullptr) here = here->find("items");
  }
  return here;
}

void each_schema(const Value& node, const std::function<void(const Value&)>& visit) {
  visit(node);
  if (const Value* properties = node.find("properties")) {
    for (const auto& [key, value] : *properties->if_object()) each_schema(value, visit);
  }
  for (const std::string_view key : {"items", "additionalProperties"}) {
    if (const Value* inner = node.find(key)) each_schema(*inner, visit);
  }
}

TEST(Crds, AreServedInBothVersionsAndStoredInTheNewOne) {
  for (const Value& crd : crds({})) {
    const auto& versions = *crd.find_path({"spec", "versions"})->if_array();
    ASSERT_EQ(versions.size(), 2U);
    EXPECT_EQ(versions[0].string_at({"name"}), "v1alpha1");
    EXPECT_EQ(*versions[0].find("storage"), Value(false));
    EXPECT_EQ(versions[1].string_at({"name"}), "v1alpha2");
    EXPECT_EQ(*versions[1].find("storage"), Value(true));
    for (const Value& version : versions) {
      EXPECT_EQ(*version.find("served"), Value(true));
      EXPECT_NE(version.find_path({"subresources", "status"}), nullptr);
    }
    EXPECT_LT(dump(crd).size(), kLargestDefinition);
  }
  EXPECT_EQ(service_crd().string_at({"metadata", "name"}), kServiceCrd);
  EXPECT_EQ(config_crd().string_at({"metadata", "name"}), kConfigCrd);
}

// What apiextensions asks of a structural schema: a type everywhere but at int-or-string, keys of
// list maps required or defaulted, defaults only of the right type.
TEST(Crds, AreStructural) {
  for (const Value& crd : crds({})) {
    for (const std::size_t version : {0U, 1U}) {
      each_schema(schema(crd, version), [](const Value& node) {
        EXPECT_TRUE(node.find("type") != nullptr ||
                    node.find("x-kubernetes-int-or-string") != nullptr)
            << dump(node);
        const Value* keys = node.find("x-kubernetes-list-map-keys");
        if (keys == nullptr) return;
        const Value& items = *node.find("items");
        for (const Value& key : *keys->if_array()) {
          const Value* required = items.find("required");
          bool is_required = false;
          for (const Value& one : required == nullptr ? text::json::Array() : *required->if_array())
            is_required = is_required || one == key;
          EXPECT_TRUE(is_required ||
                      items.find_path({"properties", *key.if_string(), "default"}) != nullptr)
              << dump(key);
        }
      });
    }
  }
}

TEST(Crds, ShowEachVersionItsOwnFields) {
  const Value crd = service_crd();
  const Value& old = schema(crd, 0);
  const Value& now = schema(crd, 1);

  EXPECT_NE(at(old, "spec.model.criticality"), nullptr);
  EXPECT_EQ(at(now, "spec.model.criticality"), nullptr);
  EXPECT_EQ(at(old, "spec.prefill.kvCacheOffloading"), nullptr);
  EXPECT_NE(at(now, "spec.prefill.kvCacheOffloading"), nullptr);
  EXPECT_NE(at(old, "spec.router.scheduler.pool.spec.targetPortNumber"), nullptr);
  EXPECT_NE(at(now, "spec.router.scheduler.pool.spec.targetPorts"), nullptr);
  EXPECT_EQ(at(now, "spec.router.scheduler.pool.spec.targetPortNumber"), nullptr);
  EXPECT_EQ(at(old, "status.workloads"), nullptr);
  EXPECT_NE(at(now, "status.workloads.primary.readyReplicas"), nullptr);
}

TEST(Crds, AskNoContainerForAnImageAndNoPodForContainers) {
  for (const Value& crd : crds({})) {
    const Value& now = schema(crd, 1);
    EXPECT_EQ(at(now, "spec.template")->find("required"), nullptr);
    EXPECT_EQ(dump(*at(now, "spec.template.containers[]")->find("required")), R"(["name"])");
  }
}

TEST(Crds, RelaxTheConfigWhereATemplateMayStand) {
  const Value config = config_crd();
  const Value& route = *at(schema(config, 1), "spec.router.route.http.spec");
  each_schema(route, [](const Value& node) {
    for (const std::string_view key : {"pattern", "minLength", "minItems", "minProperties", "enum",
                                       "x-kubernetes-validations"}) {
      EXPECT_EQ(node.find(key), nullptr) << key << " in " << dump(node);
    }
  });
  // The service's own route is held to them.
  EXPECT_THAT(dump(schema(service_crd(), 1)), HasSubstr("a path must begin with '/'"));
  EXPECT_THAT(dump(schema(config, 1)), Not(HasSubstr("a path must begin with '/'")));
  // Outside of embedded specs both are alike.
  EXPECT_NE(at(schema(config, 1), "spec.scaling")->find("x-kubernetes-validations"), nullptr);
}

TEST(Crds, SayWhereTheConversionWebhookIs) {
  const Value in_cluster = crds({.service_namespace = "n", .ca_bundle = "Q0E="})[0];
  const Value& config = *in_cluster.find_path({"spec", "conversion", "webhook", "clientConfig"});
  EXPECT_EQ(dump(config), R"({"service":{"namespace":"n","name":"llmisvc-webhook-server-service",)"
                          R"("port":443,"path":"/convert"},"caBundle":"Q0E="})");
  const Value outside = crds({.url = "https://127.0.0.1:9443"})[0];
  EXPECT_EQ(outside.string_at({"spec", "conversion", "webhook", "clientConfig", "url"}),
            "https://127.0.0.1:9443/convert");
}

}  // namespace
}  // namespace baton::api
