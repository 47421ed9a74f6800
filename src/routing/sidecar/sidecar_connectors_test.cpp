// Connectors other than nixlv2 on sockets, and what requests without a prefill engine become.

#include <set>

#include "base/text/json.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SidecarConnectors = SidecarTest;

// sidecar:30 a prefill slower than its decode disturbs nobody.
TEST_F(SidecarConnectors, SglangRunsBothLegsAtOnce) {
  prefill_.script({.manner = Manner::kHang});
  decode_.script(decoded());
  start({.connector = "sglang"});

  Got got = chat(R"({"max_tokens":5})");

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr("49"));  // nothing is known of the prefill's cache
  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 1; }));
  EXPECT_EQ(prefill_.request(0).body, decode_.request(0).body);
  EXPECT_THAT(decode_.request(0).body,
              HasSubstr(R"("bootstrap_host":")" + prefill_.endpoint().host +
                        R"(","bootstrap_port":8998,"bootstrap_room":)"));
  sidecar_->stop({Mono()});  // ends the prefill that still hangs
  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1; }));
}

TEST_F(SidecarConnectors, OffloadingPairsTheLegsByAFreshId) {
  prefill_.script({.body = "{}"});
  decode_.script(decoded());
  start({.connector = "offloading"});

  EXPECT_EQ(chat(R"({"max_tokens":5})").status, 200);
  EXPECT_EQ(chat(R"({"max_tokens":5})").status, 200);
  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 2; }));

  auto id_of = [](const std::string& body, const char* peer) {
    auto json = text::json::parse(body);
    return std::string(json->string_at({"kv_transfer_params", peer, "kv_request_id"}));
  };
  std::string first = id_of(decode_.request(0).body, "remote_prefiller");
  EXPECT_EQ(first.size(), 36U);
  EXPECT_NE(first, id_of(decode_.request(1).body, "remote_prefiller"));
  std::set<std::string> prefills = {id_of(prefill_.request(0).body, "remote_decoder"),
                                    id_of(prefill_.request(1).body, "remote_decoder")};
  EXPECT_TRUE(prefills.contains(first));
}

// sidecar:34 decode first, with and without a hit, streamed or not, and its errors.
TEST_F(SidecarConnectors, SharedStorageAsksDecodeFirst) {
  const std::string missed = R"({"choices":[{"finish_reason":"cache_threshold"}]})";
  const std::string hit = R"({"choices":[{"finish_reason":"stop"}]})";
  const http::Headers stream = {{"Content-Type", "text/event-stream"}};
  start({.connector = "shared-storage"});
  const std::string body = R"({"cache_hit_threshold":0.8})";

  decode_.replace({{.body = hit}});
  EXPECT_EQ(chat(body).body, hit);
  EXPECT_EQ(prefill_.calls(), 0U);
  EXPECT_EQ(decode_.request(0).body, body);

  decode_.replace({{.body = missed}, {.body = hit}});
  prefill_.replace({{.body = "{}"}});
  EXPECT_EQ(chat(body).body, hit);
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_THAT(prefill_.request(0).body, HasSubstr(R"("cache_hit_threshold":0,)"));
  EXPECT_THAT(prefill_.request(0).body, HasSubstr(R"("max_tokens":1)"));
  EXPECT_EQ(decode_.request(2).body, R"({"cache_hit_threshold":0})");

  const std::string events = "data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: [DONE]\n\n";
  decode_.go_on = true;
  decode_.replace({{.body = events, .headers = stream, .manner = Manner::kStream}});
  EXPECT_EQ(chat(body).body, events);
  EXPECT_EQ(prefill_.calls(), 1U);

  decode_.replace({{.body = "data: {}\n\ndata: " + missed + "\n\n", .headers = stream},
                   {.body = events, .headers = stream}});
  EXPECT_EQ(chat(body).body, events);
  EXPECT_EQ(prefill_.calls(), 2U);

  decode_.replace({{.status = 400, .body = "bad"}});
  Got refused = chat(body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.body, "bad");
  EXPECT_EQ(prefill_.calls(), 2U);

  decode_.replace({{.body = missed}});
  prefill_.replace({{.status = 500, .body = "no"}});
  Got failed = chat(body);
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(failed.body, "no");

  decode_.replace({{.body = hit}});  // no threshold: prefill at once
  prefill_.replace({{.body = "{}"}});
  std::size_t before = decode_.calls();
  EXPECT_EQ(chat("{}").body, hit);
  EXPECT_EQ(decode_.calls() - before, 1U);
  EXPECT_EQ(prefill_.calls(), 4U);
}

// sidecar:33 everything but MoRI-IO's parallel legs.
TEST_F(SidecarConnectors, AKvSourceIsNamedToWhoeverComputesThePrompt) {
  decode_.script(decoded());
  prefill_.script(prefilled());
  start({.pull = Pull::kYes, .pod_ip = "10.0.0.1"});
  std::string body = R"({"kv_transfer_params":{"mine":1}})";
  auto ask = [&](std::string_view source, bool with_prefill) {
    http::RequestHead head = chat_head();
    if (!with_prefill) head.headers.remove("x-prefiller-host-port");
    if (!source.empty()) head.headers.add("x-kv-cache-source-host-port", source);
    EXPECT_EQ(get(head, body).status, 200);
    return with_prefill ? prefill_.request(prefill_.calls() - 1).body
                        : decode_.request(decode_.calls() - 1).body;
  };
  auto id_of = [](const std::string& body) {
    return std::string(text::json::parse(body)->string_at(
        {"kv_transfer_params", "remote_kv_source", "kv_request_id"}));
  };

  std::string alone = ask("10.0.0.9:8000", false);
  EXPECT_THAT(alone, HasSubstr(R"("remote_host":"10.0.0.9","remote_port":7777)"));
  EXPECT_THAT(alone, Not(HasSubstr("mine")));
  EXPECT_NE(id_of(alone), id_of(ask("10.0.0.9:8000", false)));
  EXPECT_THAT(ask("http://10.0.0.9:8000", true), HasSubstr("remote_kv_source"));
  std::string self = http::to_string(prefill_.endpoint());
  EXPECT_THAT(ask(self, true), Not(HasSubstr("remote_kv_source")));
  EXPECT_THAT(ask("http://" + self, true), Not(HasSubstr("remote_kv_source")));
  std::string own_port = std::to_string(at_.port);
  body = "{}";  // without a source the client's parameters are refused
  for (const std::string& none :
       {std::string(), std::string("nonsense"), std::string(":8000"), "10.0.0.1:" + own_port}) {
    EXPECT_THAT(ask(none, false), Not(HasSubstr("remote_kv_source"))) << none;
  }
  EXPECT_THAT(ask("10.0.0.1:" + std::to_string(at_.port + 1), false),
              HasSubstr("remote_kv_source"));  // another rank of this pod

  sidecar_.reset();
  start({});
  EXPECT_THAT(ask("10.0.0.9:8000", false), Not(HasSubstr("remote_kv_source")));
  EXPECT_THAT(ask("10.0.0.9:8000", true), Not(HasSubstr("remote_kv_source")));
}

// sidecar:5 with sampling the injected generator chooses; without, the first.
TEST_F(SidecarConnectors, TheFirstCandidateIsAskedOrADrawnOne) {
  prefill_.script(prefilled());
  other_.script(prefilled());
  decode_.script(decoded());
  const std::string a = http::to_string(prefill_.endpoint());
  const std::string b = http::to_string(other_.endpoint());
  http::RequestHead list = chat_head();
  list.headers.set("x-prefiller-host-port", a + " , " + b);
  http::RequestHead lines = chat_head();
  lines.headers.add("x-prefiller-host-port", " " + b);

  start({});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(header(get(list, "{}"), "x-baton-prefill"), a);
    EXPECT_EQ(header(chat(), "x-baton-prefill"), a);
  }
  sidecar_.reset();
  random_ = SeededRandom(7);
  start({.sample_prefillers = true});
  SeededRandom same(7);
  http::RequestHead twice = chat_head();
  twice.headers.set("x-prefiller-host-port", a + "," + b + "," + a);
  for (const http::RequestHead& head : {list, lines, list, twice, twice, lines, list, twice}) {
    std::uint64_t of = *head.headers.get("x-prefiller-host-port") == a + "," + b + "," + a ? 3 : 2;
    std::string drawn = same.below(of) == 1 ? b : a;
    EXPECT_EQ(header(get(head, "{}"), "x-baton-prefill"), drawn);
    Pairing pairing = make_pairing(same);  // what a request draws after it
    (void)pairing;
  }
}

// sidecar:2 sidecar:4 sidecar:6
TEST_F(SidecarConnectors, AnEmptyHeaderIsNoneAndASchemeIsDropped) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  for (bool sampling : {false, true}) {
    sidecar_.reset();
    start({.sample_prefillers = sampling});
    std::size_t before = prefill_.calls();
    for (std::string_view nothing : {"", " ", ",", " , "}) {
      http::RequestHead head = chat_head();
      head.headers.set("x-prefiller-host-port", nothing);
      std::size_t call = decode_.calls();
      EXPECT_EQ(get(head, R"({"a": 1})").status, 200);
      EXPECT_EQ(decode_.request(call).body, R"({"a": 1})");
    }
    http::RequestHead none = chat_head();
    none.headers.remove("x-prefiller-host-port");
    EXPECT_EQ(get(none, "{}").status, 200);
    none.headers.add("x-prefiller-host-port", "");
    none.headers.add("x-prefiller-host-port", " ");
    EXPECT_EQ(get(none, "{}").status, 200);
    EXPECT_EQ(prefill_.calls(), before);
    http::RequestHead scheme = chat_head();
    scheme.headers.set("x-prefiller-host-port", "http://" + http::to_string(prefill_.endpoint()));
    EXPECT_EQ(get(scheme, "{}").status, 200);
    EXPECT_EQ(prefill_.calls(), before + 1);
  }
}

// sidecar:13
TEST_F(SidecarConnectors, EveryGenerationApiRunsBothLegs) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();
  const std::pair<std::string, std::string> cases[] = {
      {"/v1/messages", "max_tokens"},
      {"/v1/responses", "max_output_tokens"},
      {"/inference/v1/generate", "sampling_params"}};
  for (const auto& [path, limit] : cases) {
    bool nested = limit == "sampling_params";
    std::string client = "{\"" + limit + "\":" + (nested ? R"({"max_tokens":50,"seed":7})" : "50") +
                         R"(,"stream":true,"stream_options":{},"seed":9007199254740993})";
    http::RequestHead head = chat_head();
    head.target = path;
    std::size_t prefills = prefill_.calls(), decodes = decode_.calls();

    ASSERT_EQ(get(head, client).status, 200);

    auto first = prefill_.request(prefills);
    auto second = decode_.request(decodes);
    auto asked = text::json::parse(first.body);
    ASSERT_TRUE(asked);
    EXPECT_EQ(first.head.target, path);
    EXPECT_EQ(text::json::dump(*asked->find("kv_transfer_params")),
              R"({"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,)"
              R"("remote_block_ids":null,"remote_host":null,"remote_port":null})");
    EXPECT_EQ(*asked->find("stream")->if_bool(), false);
    EXPECT_EQ(asked->find("stream_options"), nullptr);
    const auto* cap =
        nested ? asked->find_path({"sampling_params", "max_tokens"}) : asked->find(limit);
    ASSERT_NE(cap, nullptr);
    EXPECT_EQ(cap->if_int(), 1);
    client.pop_back();
    EXPECT_EQ(second.body, client + R"(,"kv_transfer_params":)" + std::string(kParams) + "}");
    EXPECT_EQ(first.head.headers.get_all("x-request-id"),
              second.head.headers.get_all("x-request-id"));
  }
}

// sidecar:18
TEST_F(SidecarConnectors, ResponsesKeepTheirStreamingFlags) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();
  http::RequestHead head = chat_head();
  head.target = "/v1/responses";

  (void)get(head, R"({"stream":true,"stream_options":{"x":1},"max_output_tokens":9})");

  EXPECT_EQ(prefill_.request(0).head.target, "/v1/responses");
  EXPECT_THAT(prefill_.request(0).body, HasSubstr(R"("stream":false)"));
  EXPECT_THAT(prefill_.request(0).body, Not(HasSubstr("stream_options")));
  EXPECT_THAT(prefill_.request(0).body, HasSubstr(R"("max_output_tokens":1)"));
  EXPECT_THAT(decode_.request(0).body,
              HasSubstr(R"({"stream":true,"stream_options":{"x":1},"max_output_tokens":9,)"));
}

}  // namespace
}  // namespace baton::sidecar
