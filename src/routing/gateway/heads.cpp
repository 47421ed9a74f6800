#include "routing/gateway/heads.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "routing/gateway/gateway.hpp"

namespace baton::gateway {
namespace {

constexpr std::string_view kPrefiller = "x-prefiller-host-port";
constexpr std::string_view kPrefill = "x-baton-prefill";
constexpr std::string_view kErrorHop = "x-baton-error-hop";
constexpr std::string_view kProofPrefix = "x-baton-";

// Names that steer routing behind the picker (picker reference 2, sidecar reference 8).
constexpr std::array<std::string_view, 9> kRouting = {
    kPrefiller,
    "x-prefiller-url",
    "x-encoder-hosts-ports",
    "x-kv-cache-source-host-port",
    "x-data-parallel-host-port",
    "x-data-parallel-rank",
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
};

bool has_proof_prefix(std::string_view name) {
  return name.size() >= kProofPrefix.size() &&
         http::equal_names(name.substr(0, kProofPrefix.size()), kProofPrefix);
}

// Set anew by the client session; and the answer's text is read on the way, so that it must come
// uncompressed.
constexpr std::array<std::string_view, 4> kOurs = {"host", "content-length", "expect",
                                                   "accept-encoding"};

// The sidecar tells whether the prefill pod was used: "ip:port", or "none; reason=...". Where it
// says nothing although one was picked, neither do we.
void prove_prefill(http::Headers& headers, const Route& route) {
  if (!route.prefill) {
    headers.set(kPrefill, fmt::format("none; reason={}", schedule::name(route.no_prefill)));
    return;
  }
  const auto told = headers.get(kPrefill);
  if (told && *told == http::to_string(address(*route.prefill))) {
    headers.set(kPrefill, describe(*route.prefill));
  }
}

void prove_timing(http::Headers& headers, const Route& route) {
  auto timing = fmt::format("pick;dur={:.3f}", millis(route.pick));
  for (const auto& more : headers.get_all("server-timing")) {
    timing += ", ";
    timing += more;
  }
  headers.set("Server-Timing", timing);
}

}  // namespace

http::Endpoint address(const schedule::Endpoint& endpoint) {
  return {endpoint.host, endpoint.port};
}

std::uint64_t count_in(const http::Headers& headers, std::string_view name) {
  const auto text = headers.get(name).value_or("");
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string describe(const schedule::Endpoint& endpoint) {
  return fmt::format("{} {}", endpoint.name, http::to_string(address(endpoint)));
}

Outgoing outgoing_head(const http::RequestHead& from_client, std::string_view target,
                       std::string_view request_id, Authorization authorization) {
  Outgoing out;
  out.head.method = from_client.method;
  out.head.target = target;
  auto& headers = out.head.headers;
  headers = from_client.headers;
  http::remove_hop_by_hop(headers);
  out.removed = headers.remove_if([](const http::Field& field) {
    return http::is_one_of(field.name, kRouting) || has_proof_prefix(field.name);
  });
  headers.remove_if([](const http::Field& field) { return http::is_one_of(field.name, kOurs); });
  if (authorization == Authorization::kDrop) headers.remove("authorization");
  headers.set("x-request-id", request_id);
  return out;
}

void route_request(http::RequestHead& head, const Route& route) {
  head.headers.remove(kPrefiller);
  if (route.prefill) head.headers.set(kPrefiller, http::to_string(address(*route.prefill)));
}

std::vector<schedule::Header> pick_headers(const http::Headers& from_client,
                                           std::vector<std::string>& names) {
  std::vector<schedule::Header> out;
  names.clear();
  names.reserve(from_client.size());  // views of them stay
  for (const auto& field : from_client) {
    auto& name = names.emplace_back(field.name);
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    out.push_back({name, field.value});
  }
  return out;
}

http::ResponseHead incoming_head(http::ResponseHead from_pod, const Route& route,
                                 ProofHeaders proof) {
  http::ResponseHead head = std::move(from_pod);
  http::remove_hop_by_hop(head.headers);
  if (proof == ProofHeaders::kOff) {
    head.headers.remove_if([](const http::Field& field) {
      return has_proof_prefix(field.name) || http::equal_names(field.name, "server-timing");
    });
    return head;
  }
  head.headers.set("x-baton-decode", describe(route.decode));
  prove_prefill(head.headers, route);
  prove_timing(head.headers, route);
  if (head.status >= 400 && !head.headers.has(kErrorHop)) head.headers.set(kErrorHop, "decode");
  return head;
}

}  // namespace baton::gateway
