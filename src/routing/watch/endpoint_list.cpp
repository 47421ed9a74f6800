#include "routing/watch/endpoint_list.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "base/core/log.hpp"
#include "base/text/yaml.hpp"
#include "routing/schedule/fields.hpp"

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
  if (const auto* labels = fields.any("labels")) {
    if (labels->if_object() == nullptr) {
      fields.fail("labels", "expected an object");
    } else {
      for (const auto& [key, label] : *labels->if_object()) {
        if (label.if_string() == nullptr) fields.fail("labels", "values must be strings");
        endpoint.labels[key] = label.if_string() == nullptr ? "" : *label.if_string();
      }
    }
  }
  BATON_TRY(fields.finish());
  return endpoint;
}

Result<std::vector<Endpoint>> read_list(const Value& document) {
  Fields root(document, "");
  const auto& items = root.array("endpoints");
  BATON_TRY(root.finish());
  std::vector<Endpoint> out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto pointer = text::json::pointer("/endpoints", i);
    BATON_TRY_ASSIGN(auto endpoint, read_entry(items[i], pointer));
    const bool taken = std::ranges::any_of(out, [&](const Endpoint& other) {
      return other.ns == endpoint.ns && other.name == endpoint.name;
    });
    if (taken) return invalid(fmt::format("{}/name: '{}' is there twice", pointer, endpoint.name));
    out.push_back(std::move(endpoint));
  }
  return out;
}

}  // namespace

Result<std::vector<Endpoint>> load_endpoint_list(std::string_view text, std::string_view source) {
  if (text.size() > kMaxEndpointList) {
    return exhausted(fmt::format("{}: an endpoint file has at most 1 MiB", source));
  }
  BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
  return read_list(document).with(source);
}

Result<std::unique_ptr<EndpointListWatch>> EndpointListWatch::start(const std::string& path,
                                                                    Again again, const Clock& clock,
                                                                    OnEndpoints on) {
  std::unique_ptr<EndpointListWatch> made(new EndpointListWatch(path, clock, std::move(on)));
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
  BATON_TRY_ASSIGN(const auto endpoints, load_endpoint_list(text, path_));
  on_(endpoints);
  return {};
}

void EndpointListWatch::run() {
  for (;;) {
    const auto changed = watch_->wait({Mono::max()}, clock_);
    if (!changed) return;
    if (*changed == async::FileWatch::Change::kNone) continue;
    if (const auto done = read(); !done) {
      log::error("the endpoint file is wrong: the endpoints stay as they were",
                 {{"why", done.error().message()}});
    }
  }
}

}  // namespace baton::watch
