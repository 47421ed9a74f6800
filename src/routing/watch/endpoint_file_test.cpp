#include "routing/watch/endpoint_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::watch {
namespace {

using ::testing::HasSubstr;

std::string problem(std::string_view text) {
  const auto topology = load_endpoint_file(text, "e.yaml", std::nullopt, "");
  return topology ? "" : topology.error().message();
}

TEST(EndpointFile, GivesServicesWithRoles) {
  const auto topology = load_endpoint_file(R"(
services:
- name: story
  models: [m, alias]
  endpoints:
  - {name: p0, address: "127.0.0.1:8000", role: prefill}
  - {name: d0, address: "[::1]:8001", labels: {zone: a}}
)",
                                           "e.yaml", "config", "picker.yaml");

  ASSERT_TRUE(topology) << topology.error().message();
  const auto& service = topology->services.at(0);
  EXPECT_EQ(service.ns, "default");
  EXPECT_EQ(service.models, (std::vector<std::string>{"m", "alias"}));
  EXPECT_EQ(service.picker, "config");
  EXPECT_EQ(service.endpoints[0].role(), "prefill");
  EXPECT_EQ(service.endpoints[1].host, "::1");
  EXPECT_EQ(service.endpoints[1].labels.at("zone"), "a");
}

TEST(EndpointFile, NamesWhatIsWrong) {
  EXPECT_THAT(problem("services: []"), HasSubstr("e.yaml: /services: at least one"));
  EXPECT_THAT(problem("servces: []"), HasSubstr("did you mean 'services'?"));
  EXPECT_THAT(problem("services: [{name: a}]"), HasSubstr("/services/0/models: a service needs"));
  EXPECT_THAT(problem("services: [{name: a, models: [m], endpoints: [{name: x, address: here}]}]"),
              HasSubstr("/services/0/endpoints/0/address: expected HOST:PORT, found 'here'"));
  EXPECT_THAT(problem("services: [{name: a, models: [m]}, {name: a, models: [k]}]"),
              HasSubstr("/services/1: 'a' is there twice"));
  EXPECT_THAT(problem("services: [{name: a, models: [m], endpoints: [{name: x, address: 'h:1', "
                      "rol: decode}]}]"),
              HasSubstr("/rol: unknown field (did you mean 'role'?)"));
}

}  // namespace
}  // namespace baton::watch
