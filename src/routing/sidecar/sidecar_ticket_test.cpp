// Signed routes: what is to be dialled must come from a router that has the key.

#include "routing/sidecar/request.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"
#include "routing/ticket/testing/key_file.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ticket::testing::kKey;

class SidecarTickets : public SidecarTest {
 protected:
  SidecarTickets() {
    prefill_.script(prefilled());
    decode_.script(decoded());
  }

  Config signed_routes() {
    Config config;
    config.ticket_key = ticket::testing::key_file(kKey, kClock.now());
    return config;
  }
  // As the gateway sends it.
  http::RequestHead signed_head(std::string_view key = kKey, Wall now = kClock.wall()) {
    http::RequestHead head = chat_head();
    head.headers.add("x-request-id", "r1");
    head.headers.set(ticket::kHeader,
                     ticket::issue(key, {"r1", routed_endpoints(head.headers)}, now, random_));
    return head;
  }
  Got refused(http::RequestHead head, std::string_view verdict) {
    const std::size_t before = prefill_.calls() + other_.calls();
    Got got = get(std::move(head), "{}");
    EXPECT_EQ(got.status, 403);
    EXPECT_THAT(got.body, HasSubstr("the routing ticket is " + std::string(verdict)));
    EXPECT_EQ(prefill_.calls() + other_.calls(), before);
    EXPECT_THAT(metrics(),
                HasSubstr("baton_sidecar_tickets_total{verdict=\"" + std::string(verdict) + "\"}"));
    return got;
  }
};

TEST_F(SidecarTickets, ASignedRouteIsFollowedOnce) {
  start(signed_routes());
  http::RequestHead head = signed_head();

  EXPECT_EQ(get(head, "{}").status, 200);

  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_NE(prefill_.request(0).head.headers.get(ticket::kHeader),
            head.headers.get(ticket::kHeader));  // one of ours, for this leg
  EXPECT_FALSE(decode_.request(0).head.headers.has(ticket::kHeader));
  refused(head, "replayed");
  EXPECT_EQ(get(signed_head(), "{}").status, 200);
}

// As Envoy tries again: the same head to the same pod.
TEST_F(SidecarTickets, ARequestThatGotAnErrorMayComeAgainWithItsTicket) {
  decode_.replace({{.status = 503, .body = "{}"}, decoded()});
  start(signed_routes());
  http::RequestHead head = signed_head();

  EXPECT_EQ(get(head, "{}").status, 503);
  EXPECT_EQ(get(head, "{}").status, 200);
  refused(head, "replayed");

  http::RequestHead other = signed_head();
  prefill_.replace({{.status = 502, .body = ""}, {.status = 404, .body = ""}});
  EXPECT_EQ(get(other, "{}").status, 502);
  EXPECT_EQ(get(other, "{}").status, 404);
  refused(other, "replayed");
}

// Its head was there, the rest never came: the client got a 502 of ours.
TEST_F(SidecarTickets, AnAnswerThatBrokeBeforeAnythingWasSentLeavesTheTicketGood) {
  decode_.replace({{.body = "{\"half", .manner = Manner::kBreakOff}, decoded()});
  start(signed_routes());
  http::RequestHead head = signed_head();

  EXPECT_EQ(get(head, "{}").status, 502);
  EXPECT_EQ(get(head, "{}").status, 200);
  refused(head, "replayed");
}

TEST_F(SidecarTickets, AChunkThatFailedBeforeAnythingWasSentLeavesTheTicketGood) {
  const Answer whole{
      .body = R"({"choices":[{"message":{"role":"assistant","content":"one"},)"
              R"("finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":4}})"};
  decode_.replace({{.body = "<html>"}, whole});
  Config config = signed_routes();
  config.decode_chunk_size = 4;
  start(config);
  http::RequestHead head = signed_head();
  const std::string body = R"({"messages":[{"role":"user","content":"q"}],"max_tokens":50})";

  EXPECT_EQ(get(head, body).status, 502);
  EXPECT_EQ(get(head, body).status, 200);
}

TEST_F(SidecarTickets, AClientThatLeavesBeforeAnyAnswerMayComeAgainWithItsTicket) {
  decode_.replace({{.body = "{}", .manner = Manner::kStream}, decoded()});
  start(signed_routes());
  const http::RequestHead head = signed_head();
  std::string request;
  http::RequestHead sent = head;
  sent.headers.add("Host", "x");
  sent.headers.add("Content-Length", "2");
  http::append_head(request, sent);
  Raw client(at_);
  client.send(request + "{}");
  ASSERT_TRUE(eventually([&] { return decode_.calls() == 1; }));

  client.close();

  EXPECT_TRUE(eventually([&] { return get(head, "{}").status == 200; }));
}

TEST_F(SidecarTickets, NothingElseIsDialled) {
  start(signed_routes());
  refused(chat_head(), "missing");
  refused(signed_head("another key of good length"), "forged");
  refused(signed_head(kKey, kClock.wall() - std::chrono::hours(1)), "expired");
  refused(signed_head(kKey, kClock.wall() + std::chrono::hours(1)), "expired");

  const std::string elsewhere = http::to_string(other_.endpoint());
  http::RequestHead other = signed_head();
  other.headers.set("x-prefiller-host-port", elsewhere);
  refused(other, "forged");
  http::RequestHead more = signed_head();
  more.headers.add("x-prefiller-host-port", elsewhere);
  refused(more, "forged");
  for (std::string_view name :
       {"x-encoder-hosts-ports", "x-kv-cache-source-host-port", "x-prefiller-url"}) {
    http::RequestHead head = signed_head();
    head.headers.add(name, elsewhere);
    refused(head, "forged");
    refused({"POST", "/v1/completions", {{std::string(name), elsewhere}}}, "missing");
  }
  http::RequestHead another_request = signed_head();
  another_request.headers.set("x-request-id", "r2");
  refused(another_request, "forged");
  http::RequestHead broken = signed_head();
  broken.headers.set(ticket::kHeader, "v1.x");
  refused(broken, "malformed");
}

TEST_F(SidecarTickets, ARequestThatRoutesNowhereNeedsNone) {
  start(signed_routes());
  EXPECT_EQ(get({"POST", "/v1/completions", {}}, "{}").status, 200);
  EXPECT_EQ(get({"POST", "/v1/completions", {{"x-prefiller-host-port", " , "}}}, "{}").status, 200);
  EXPECT_EQ(prefill_.calls(), 0U);
}

TEST_F(SidecarTickets, UnsignedRoutesMayBeAllowedForAWhile) {
  Config config = signed_routes();
  config.unsigned_routes = Unsigned::kAllowed;
  start(config);
  EXPECT_EQ(get(chat_head(), "{}").status, 200);
  EXPECT_EQ(get(signed_head(), "{}").status, 200);
  refused(signed_head("another key of good length"), "forged");
}

// A ticket does not open the allowlist.
TEST_F(SidecarTickets, TheAllowlistHoldsAsWell) {
  Config config = signed_routes();
  auto published = std::make_shared<Published>();
  config.pool = published;
  start(config);
  Got got = get(signed_head(), "{}");
  EXPECT_EQ(got.status, 403);
  EXPECT_THAT(got.body, HasSubstr("SSRF"));
  published->publish({prefill_.endpoint()});
  EXPECT_EQ(get(signed_head(), "{}").status, 200);
}

}  // namespace
}  // namespace baton::sidecar
