#include "routing/gateway/heads.hpp"

#include <gtest/gtest.h>

#include "routing/gateway/api_keys.hpp"
#include "routing/gateway/gateway.hpp"

namespace baton::gateway {
namespace {

schedule::Endpoint pod(std::string name, std::string host) {
  schedule::Endpoint e;
  e.name = std::move(name);
  e.host = std::move(host);
  e.port = 8000;
  return e;
}

Route pd_route() {
  return {.decode = pod("d0", "127.77.0.2"),
          .prefill = pod("p0", "127.77.0.1"),
          .no_prefill = schedule::NoPrefill::kNone,
          .pick = std::chrono::microseconds(42)};
}

TEST(Heads, RemovesWhatOnlyThePickerMaySetD006) {
  const http::RequestHead from{"POST",
                               "/v1/completions?x=1",
                               {{"Host", "me"},
                                {"X-Prefiller-Host-Port", "evil:1"},
                                {"x-gateway-destination-endpoint", "evil:2"},
                                {"x-baton-prefill", "evil"},
                                {"Connection", "close, x-mine"},
                                {"x-mine", "hop"},
                                {"Content-Length", "3"},
                                {"authorization", "Bearer k"},
                                {"x-other", "stays"}}};
  auto out = outgoing_head(from, "/v1/completions?x=1", "id-1", Authorization::kDrop);

  EXPECT_EQ(out.removed, 3);
  EXPECT_EQ(out.head.headers.size(), 2);
  EXPECT_EQ(out.head.headers.get("x-other"), "stays");
  EXPECT_EQ(out.head.headers.get("x-request-id"), "id-1");

  route_request(out.head, pd_route());
  EXPECT_EQ(out.head.headers.get("x-prefiller-host-port"), "127.77.0.1:8000");
  route_request(out.head, {.decode = pod("d1", "::1"), .prefill = {}});
  EXPECT_FALSE(out.head.headers.has("x-prefiller-host-port"));
}

TEST(Heads, CompletesTheProofWithNames) {
  const http::ResponseHead from{200,
                                {{"x-baton-prefill", "127.77.0.1:8000"},
                                 {"x-baton-kv-bytes", "77"},
                                 {"Server-Timing", "prefill;dur=3, transfer;dur=1"},
                                 {"Transfer-Encoding", "chunked"}}};
  const auto head = incoming_head(from, pd_route(), ProofHeaders::kOn);

  EXPECT_EQ(head.headers.get("x-baton-decode"), "d0 127.77.0.2:8000");
  EXPECT_EQ(head.headers.get("x-baton-prefill"), "p0 127.77.0.1:8000");
  EXPECT_EQ(head.headers.get("x-baton-kv-bytes"), "77");
  EXPECT_EQ(head.headers.get("server-timing"), "pick;dur=0.042, prefill;dur=3, transfer;dur=1");
  EXPECT_FALSE(head.headers.has("transfer-encoding"));
}

TEST(Heads, TellsWhyNobodyPrefilled) {
  auto route = pd_route();
  EXPECT_EQ(
      incoming_head({200, {{"x-baton-prefill", "none; reason=fallback"}}}, route, ProofHeaders::kOn)
          .headers.get("x-baton-prefill"),
      "none; reason=fallback");
  EXPECT_FALSE(incoming_head({200, {}}, route, ProofHeaders::kOn).headers.has("x-baton-prefill"));

  route.prefill.reset();
  route.no_prefill = schedule::NoPrefill::kBelowThreshold;
  EXPECT_EQ(incoming_head({200, {}}, route, ProofHeaders::kOn).headers.get("x-baton-prefill"),
            "none; reason=below-threshold");
}

TEST(Heads, WithoutProofNothingOfItIsLeft) {
  const auto head = incoming_head({200,
                                   {{"x-baton-prefill", "127.77.0.1:8000"},
                                    {"X-Baton-Kv-Bytes", "77"},
                                    {"Server-Timing", "queue;dur=1"},
                                    {"content-type", "text/plain"}}},
                                  pd_route(), ProofHeaders::kOff);
  EXPECT_EQ(head.headers.size(), 1);
}

TEST(Heads, AnUpstreamErrorNamesItsHop) {
  const auto hop = [](http::Headers headers) {
    const auto head = incoming_head({502, std::move(headers)}, pd_route(), ProofHeaders::kOn);
    return std::string(head.headers.get("x-baton-error-hop").value_or(""));
  };
  EXPECT_EQ(hop({}), "decode");
  EXPECT_EQ(hop({{"x-baton-error-hop", "prefill"}}), "prefill");
}

TEST(ApiKeys, AcceptsOnlyABearerOfOneOfThem) {
  const std::vector<std::string> keys = {"alpha", "beta"};
  EXPECT_TRUE(authorized("Bearer alpha", keys));
  EXPECT_TRUE(authorized("bearer beta", keys));
  for (const auto* wrong : {"", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa",
                            "Bearer alphaalpha", "Basic alpha"}) {
    EXPECT_FALSE(authorized(wrong, keys)) << wrong;
  }
}

TEST(ApiKeys, AreReadOneALine) {
  EXPECT_EQ(*read_api_keys("# ours\n alpha \r\n\nbeta", "f"),
            (std::vector<std::string>{"alpha", "beta"}));
  EXPECT_EQ(read_api_keys("# none\n", "keys.txt").error().message(),
            "keys.txt: no API key in it (one a line)");
}

}  // namespace
}  // namespace baton::gateway
