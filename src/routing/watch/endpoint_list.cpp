#include "routing/watch/endpoint_list.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "base/core/log.hpp"
#include "base/text/yaml.hpp"
#include "routing/schedule/fields.hpp"
#include "routing/watch/endpoint_labels.hpp"

namespace baton::watch {
namespace {

using schedule::Endpoint;
using schedule::Fields;
using text::json::Value;

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

std::uint16_t read_port(Fields& fields) {
  const auto* value = fields.any("port");
  std::string text;
  if (value != nullptr && value->if_string() != nullptr) text = *value->if_string();
  if (value != nullptr && value->if_int()) text = fmt::to_string(*value->if_int());
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size() || port == 0) {
    fields.fail("port", fmt::format("expected \"1\" to \"65535\", found '{}'", text));
  }
  return port;
}

Result<Endpoint> read_entry(const Value& value, std::string pointer) {
  Fields fields(value, std::move(pointer));
  Endpoint endpoint;
  endpoint.name = fields.text("name", "");
  endpoint.ns = fields.text("namespace", "default");
  endpoint.host = fields.text("address", "");
  endpoint.port = read_port(fields);
  if (endpoint.name.empty()) fields.fail("name", "an endpoint needs a name");
  if (!is_address(endpoint.host)) {
    fields.fail("address", fmt::format("expected an IP address, found '{}'", endpoint.host));
  }
  read_labels(fields, endpoint);
  BATON_TRY(fields.finish());
  return endpoint;
}

// As the cluster's object of that name, with one member of its spec. `at`: its place in the list,
// which stands for its age.
Value object_of(std::string name, std::size_t at, std::string_view member, Value value,
                const schedule::PoolRef& pool) {
  using text::json::Object;
  return Object{{"metadata", Object{{"name", std::move(name)},
                                    {"creationTimestamp", fmt::format("{:08}", at)}}},
                {"spec", Object{{std::string(member), std::move(value)},
                                {"poolRef", Object{{"group", pool.group}, {"name", pool.name}}}}}};
}

// `Store` is who reads such objects: what it refuses is refused here.
template <class Store>
Result<std::vector<Value>> read_objects(const text::json::Array& items, std::string_view list,
                                        std::string_view member, const schedule::PoolRef& pool) {
  std::vector<Value> out;
  std::set<std::string> names;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto pointer = text::json::pointer(list, i);
    Fields fields(items[i], pointer);
    auto name = fields.text("name", "");
    if (name.empty()) fields.fail("name", "it needs a name");
    if (!names.insert(name).second) fields.fail("name", fmt::format("'{}' is there twice", name));
    const auto* value = fields.any(member);
    if (value == nullptr) fields.fail(member, "it is missing");
    BATON_TRY(fields.finish());
    out.push_back(object_of(std::move(name), i, member, *value, pool));
    BATON_TRY(Store(pool).set(out.back()).with(pointer));
  }
  return out;
}

Result<EndpointList> read_list(const Value& document, const schedule::PoolRef& pool) {
  Fields root(document, "");
  const auto& items = root.array("endpoints");
  const auto& objectives = root.array("objectives");
  const auto& rewrites = root.array("modelRewrites");
  BATON_TRY(root.finish());
  EndpointList out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto pointer = text::json::pointer("/endpoints", i);
    BATON_TRY_ASSIGN(auto endpoint, read_entry(items[i], pointer));
    const bool taken = std::ranges::any_of(out.endpoints, [&](const Endpoint& other) {
      return other.ns == endpoint.ns && other.name == endpoint.name;
    });
    if (taken) return invalid(fmt::format("{}/name: '{}' is there twice", pointer, endpoint.name));
    out.endpoints.push_back(std::move(endpoint));
  }
  BATON_TRY_ASSIGN(out.objectives,
                   read_objects<schedule::Objectives>(objectives, "/objectives", "priority", pool));
  BATON_TRY_ASSIGN(out.rewrites, read_objects<schedule::ModelRewrites>(rewrites, "/modelRewrites",
                                                                       "rules", pool));
  return out;
}

}  // namespace

Result<EndpointList> load_endpoint_list(std::string_view text, std::string_view source,
                                        const schedule::PoolRef& pool) {
  if (text.size() > kMaxEndpointList) {
    return exhausted(fmt::format("{}: an endpoint file has at most 1 MiB", source));
  }
  BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
  return read_list(document, pool).with(source);
}

Result<std::unique_ptr<EndpointListWatch>> EndpointListWatch::start(const std::string& path,
                                                                    Again again, const Clock& clock,
                                                                    OnList on,
                                                                    schedule::PoolRef pool) {
  std::unique_ptr<EndpointListWatch> made(
      new EndpointListWatch(path, clock, std::move(on), std::move(pool)));
  if (again == Again::kYes) {
    BATON_TRY_ASSIGN(made->watch_, async::FileWatch::open({path}));
  }
  BATON_TRY(made->read());
  if (made->watch_) made->thread_ = std::thread([self = made.get()] { self->run(); });
  return made;
}

EndpointListWatch::~EndpointListWatch() {
  if (!thread_.joinable()) return;
  watch_->close();
  thread_.join();
}

Status EndpointListWatch::read() {
  std::ifstream file(path_, std::ios::binary);
  if (!file) return not_found("cannot read " + path_);
  std::string text(kMaxEndpointList + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  BATON_TRY_ASSIGN(const auto list, load_endpoint_list(text, path_, pool_));
  on_(list);
  return {};
}

void EndpointListWatch::run() {
  for (;;) {
    const auto changed = watch_->wait({Mono::max()}, clock_);
    if (!changed) return;
    if (*changed == async::FileWatch::Change::kNone) continue;
    if (const auto done = read(); !done) {
      log::error("the endpoint file is wrong: everything stays as it was",
                 {{"why", done.error().message()}});
    }
  }
}

}  // namespace baton::watch
