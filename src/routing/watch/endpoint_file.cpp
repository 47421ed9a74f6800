#include "routing/watch/endpoint_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/yaml.hpp"
#include "net/http/message.hpp"
#include "routing/schedule/fields.hpp"
#include "routing/watch/endpoint_labels.hpp"

namespace baton::watch {
namespace {

using schedule::Fields;
using text::json::Value;

Result<schedule::Endpoint> read_endpoint(const Value& value, std::string pointer,
                                         const std::string& ns) {
  Fields fields(value, std::move(pointer));
  schedule::Endpoint endpoint;
  endpoint.ns = ns;
  endpoint.name = fields.text("name", "");
  const auto address = fields.text("address", "");
  const auto role = fields.text("role", "");
  const auto parsed = http::parse_endpoint(address);
  if (endpoint.name.empty()) fields.fail("name", "an endpoint needs a name");
  if (!parsed) {
    fields.fail("address", fmt::format("expected HOST:PORT, found '{}'", address));
  } else {
    endpoint.host = parsed->host;
    endpoint.port = parsed->port;
  }
  read_labels(fields, endpoint);
  if (!role.empty()) endpoint.labels[std::string(schedule::kRoleLabel)] = role;
  BATON_TRY(fields.finish());
  return endpoint;
}

Result<Service> read_service(const Value& value, const std::string& pointer) {
  Fields fields(value, pointer);
  Service service;
  service.ns = fields.text("namespace", "default");
  service.name = fields.text("name", "");
  if (service.name.empty()) fields.fail("name", "a service needs a name");
  for (const auto& model : fields.array("models")) {
    if (model.if_string() == nullptr) {
      fields.fail("models", "expected a list of names");
    } else {
      service.models.push_back(*model.if_string());
    }
  }
  if (service.models.empty()) fields.fail("models", "a service needs at least one model name");
  const auto& endpoints = fields.array("endpoints");
  BATON_TRY(fields.finish());
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    BATON_TRY_ASSIGN(
        auto endpoint,
        read_endpoint(endpoints[i], text::json::pointer(pointer + "/endpoints", i), service.ns));
    service.endpoints.push_back(std::move(endpoint));
  }
  return service;
}

Result<Topology> read(const Value& document) {
  Topology topology;
  Fields root(document, "");
  const auto& services = root.array("services");
  BATON_TRY(root.finish());
  if (services.empty()) return invalid("/services: at least one service is needed");
  for (std::size_t i = 0; i < services.size(); ++i) {
    const auto pointer = text::json::pointer("/services", i);
    BATON_TRY_ASSIGN(auto service, read_service(services[i], pointer));
    const bool taken = std::ranges::any_of(topology.services, [&](const Service& other) {
      return other.ns == service.ns && other.name == service.name;
    });
    if (taken) return invalid(fmt::format("{}: '{}' is there twice", pointer, service.name));
    topology.services.push_back(std::move(service));
  }
  return topology;
}

}  // namespace

Result<Topology> load_endpoint_file(std::string_view text, std::string_view source,
                                    const std::optional<std::string>& picker,
                                    std::string_view picker_source) {
  BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
  auto topology = read(document);
  if (!topology) return std::move(topology).error().with(source);
  for (auto& service : topology->services) {
    service.picker = picker;
    service.picker_source = picker_source;
  }
  return topology;
}

}  // namespace baton::watch
