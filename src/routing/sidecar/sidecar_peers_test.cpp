// Pods that do both: the prefill leg of one sidecar arrives at another.

#include "routing/sidecar/request.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"
#include "routing/ticket/testing/key_file.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ticket::testing::kKey;

constexpr std::string_view kKeep =
    R"({"prompt":"p","kv_transfer_params":{"do_remote_decode":true,"remote_host":null}})";

class SidecarPeers : public SidecarTest {
 protected:
  ~SidecarPeers() override {
    if (peer_) peer_->stop({Mono()});
  }
  // Another pod's, before prefill_, and ours.
  void start_both(Config config, Config of_peer) {
    of_peer.decoder = prefill_.endpoint();
    peer_ = std::make_unique<Sidecar>(loop_, kClock, random_, peer_registry_, of_peer);
    peer_at_ = *peer_->listen({"127.0.0.1", 0});
    start(std::move(config));
  }
  static Config signing() {
    Config config;
    config.ticket_key = ticket::testing::key_file(kKey, kClock.now());
    return config;
  }
  http::RequestHead routed() {
    http::RequestHead head = chat_head();
    head.headers.set("x-prefiller-host-port", http::to_string(peer_at_));
    head.headers.add("x-request-id", "r1");
    head.headers.set(ticket::kHeader, ticket::issue(kKey, {"r1", routed_endpoints(head.headers)},
                                                    kClock.wall(), random_));
    return head;
  }
  Got at_peer(http::RequestHead head, std::string_view body) {
    at_ = peer_at_;
    return get(std::move(head), std::string(body));
  }

  observe::Registry peer_registry_;
  std::unique_ptr<Sidecar> peer_;
  http::Endpoint peer_at_;
};

TEST_F(SidecarPeers, APrefillLegPassesTheSidecarOfItsPodWithAKeyAndWithout) {
  for (const bool key : {true, false}) {
    prefill_.replace({prefilled()});
    decode_.replace({decoded()});
    start_both(key ? signing() : Config(), key ? signing() : Config());
    const std::size_t before = prefill_.calls();

    const Got got = get(routed(), R"({"prompt":"p"})");

    EXPECT_EQ(got.status, 200) << got.body;
    EXPECT_EQ(header(got, "x-baton-prefill"), http::to_string(peer_at_));
    EXPECT_THAT(prefill_.request(before).body, HasSubstr(R"("do_remote_decode":true)"));
    EXPECT_FALSE(prefill_.request(before).head.headers.has(ticket::kHeader));
    EXPECT_THAT(decode_.request(decode_.calls() - 1).body, HasSubstr(std::string(kParams)));
    sidecar_.reset();
    peer_.reset();
  }
}

// What names an engine of one pod is a stranger to the sidecar of the other.
TEST_F(SidecarPeers, APrefillLegPassesTheSidecarOfItsPodWhenAnEngineOfOursIsNamed) {
  prefill_.replace({prefilled()});
  decode_.replace({decoded()});
  Config config;
  config.pod_ip = "127.0.0.1";
  Config of_peer;
  of_peer.pod_ip = "127.0.0.2";
  start_both(config, of_peer);
  http::RequestHead head = routed();
  head.headers.set(kRankHeader, http::to_string(at_));

  const Got got = get(std::move(head), R"({"prompt":"p"})");

  EXPECT_EQ(got.status, 200) << got.body;
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(decode_.calls(), 1U);
}

// SGLang's say where to meet: at the pod that they come to.
TEST_F(SidecarPeers, AnSglangPrefillLegPassesTheSidecarOfItsPodWithAKeyAndWithout) {
  for (const bool key : {true, false}) {
    decode_.replace({decoded()});
    Config config = key ? signing() : Config();
    config.connector = "sglang";
    Config of_peer = config;
    of_peer.pod_ip = "127.0.0.1";
    start_both(config, of_peer);
    const std::size_t before = prefill_.calls();

    EXPECT_EQ(get(routed(), R"({"prompt":"p"})").status, 200);

    ASSERT_TRUE(eventually([&] { return prefill_.calls() == before + 1; })) << key;
    EXPECT_THAT(prefill_.request(before).body, HasSubstr(R"("bootstrap_host":"127.0.0.1")"));
    sidecar_.reset();
    peer_.reset();
  }
}

TEST_F(SidecarPeers, WithAKeyOnlyAPeersTicketOpensTheDoor) {
  prefill_.replace({prefilled()});
  start_both(signing(), signing());
  const auto ask = [&](std::string_view key, std::string_view endpoints, std::string_view id) {
    http::RequestHead head{"POST", "/v1/completions", {{"x-request-id", "r1"}}};
    head.headers.set(ticket::kHeader, ticket::issue(key, {id, endpoints}, kClock.wall(), random_));
    return head;
  };
  const http::RequestHead bare{"POST", "/v1/completions", {{"x-request-id", "r1"}}};
  EXPECT_EQ(at_peer(bare, kKeep).status, 400);
  EXPECT_EQ(at_peer(ask("another key of good length", ticket::kPrefillLeg, "r1"), kKeep).status,
            400);
  EXPECT_EQ(at_peer(ask(kKey, "10.0.0.7:8000\n\n\n", "r1"), kKeep).status, 400);
  EXPECT_EQ(at_peer(ask(kKey, ticket::kPrefillLeg, "r2"), kKeep).status, 400);
  EXPECT_EQ(prefill_.calls(), 0U);
  const http::RequestHead good = ask(kKey, ticket::kPrefillLeg, "r1");
  EXPECT_EQ(at_peer(good, kKeep).status, 200);
  EXPECT_EQ(at_peer(good, kKeep).status, 400) << "it was used";
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(prefill_.request(0).body, kKeep);
}

// Nor does a sidecar that schedules or decodes in chunks take a peer's leg for a client's request.
TEST_F(SidecarPeers, ALegIsNotDecodedInChunks) {
  prefill_.replace({prefilled()});
  Config chunks;
  chunks.decode_chunk_size = 4;
  start_both({}, chunks);
  EXPECT_EQ(at_peer({"POST", "/v1/chat/completions", {}}, kKeep).status, 200);
  EXPECT_EQ(prefill_.request(0).body, kKeep);
}

TEST(AsksToKeep, WhoeverSaysNothingOfAnotherEngine) {
  const auto params = [](std::string_view text) {
    return asks_to_keep(R"({"prompt":"p","kv_transfer_params":)" + std::string(text) + "}");
  };
  EXPECT_TRUE(asks_to_keep(kKeep));
  EXPECT_TRUE(params(R"({"do_remote_decode":true,"do_remote_prefill":false})"));
  EXPECT_TRUE(params(R"({"do_remote_decode":true,"transfer_id":"xfer-1"})"));
  for (const char* text :
       {"null", "{}", R"("x")", R"({"do_remote_decode":false})", R"({"do_remote_decode":"true"})",
        R"({"do_remote_decode":true,"do_remote_prefill":true})",
        R"({"do_remote_decode":true,"remote_host":"10.0.0.7"})",
        R"({"do_remote_decode":true,"remote_block_ids":[]})",
        R"({"do_remote_decode":true,"remote_kv_source":{}})",
        R"({"do_remote_decode":true},"kv_transfer_params":{"do_remote_decode":true})",
        R"({"do_remote_decode":true},"sampling_params":{"kv_transfer_params":1})"}) {
    EXPECT_FALSE(params(text)) << text;
  }
  EXPECT_FALSE(asks_to_keep("kv_transfer_params"));
  EXPECT_FALSE(asks_to_keep("{}"));
}

}  // namespace
}  // namespace baton::sidecar
