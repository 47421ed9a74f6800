// TLS on every hop: the listener, the prefill leg with its release, the decode leg.

#include "net/tls/testing/credentials.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using tls::testing::Credentials;

class SidecarTls : public SidecarTest {
 protected:
  SidecarTls()
      : one_(Credentials::make("one", kClock)),
        secure_prefill_(loop_, tls::testing::open_server(one_.server(), kClock)),
        secure_decode_(loop_, tls::testing::open_server(one_.server(), kClock)) {}
  ~SidecarTls() override {
    if (sidecar_) sidecar_->stop({Mono()});
    secure_prefill_.stop();
    secure_decode_.stop();
  }

  std::shared_ptr<tls::ClientContext> verifying() {
    return tls::testing::open_client(one_.client(), kClock);
  }
  std::shared_ptr<tls::ClientContext> trusting_others() {
    return tls::testing::open_client(Credentials::make("two", kClock).client(), kClock);
  }
  std::shared_ptr<tls::ClientContext> trusting_all() {
    return tls::testing::open_client({.verify = tls::ClientContext::Verify::kNone}, kClock);
  }
  Config secure() {
    return {.decoder = secure_decode_.endpoint(),
            .serve_tls = tls::testing::open_server(one_.server(), kClock),
            .prefiller_tls = verifying(),
            .decoder_tls = verifying()};
  }
  Got secure_get(http::RequestHead head, std::string body) {
    if (!secure_client_) {
      secure_client_ =
          std::make_unique<http::Client>(kClock, http::Client::Config{.tls = verifying()});
    }
    return async::blocking_run(loop_,
                               fetch_with(*secure_client_, std::move(head), std::move(body)));
  }
  http::RequestHead to(const ScriptedEngine& engine) const {
    http::RequestHead head = chat_head();
    head.headers.set("x-prefiller-host-port", http::to_string(engine.endpoint()));
    return head;
  }

  Credentials one_;
  ScriptedEngine secure_prefill_;
  ScriptedEngine secure_decode_;
};

TEST_F(SidecarTls, RunsBothLegsAndGivesLeasesBack) {
  secure_prefill_.script(prefilled());
  secure_decode_.script({.status = 500, .body = "no such blocks"});
  start(secure());

  Got got = secure_get(to(secure_prefill_), R"({"model":"m"})");

  EXPECT_EQ(got.status, 500);
  EXPECT_EQ(secure_decode_.calls(), 1U);
  ASSERT_TRUE(eventually([&] { return secure_prefill_.calls() == 2; }));
  EXPECT_EQ(secure_prefill_.request(1).head.target, "/baton/v1/kv/release");
}

// sidecar:1 the rows with a TLS listener (those without are in sidecar_test.cpp).
TEST_F(SidecarTls, PassesEverythingElseThroughATlsListener) {
  decode_.script({.status = 418, .body = "tea", .headers = {{"X-Engine", "1"}}});
  Config config = secure();
  config.decoder = decode_.endpoint();
  config.decoder_tls = nullptr;
  start(config);

  for (std::string_view path : {"/v1/chat/completions", "/v1/completions", "/v1/messages",
                                "/v1/embeddings", "/score", "/healthz"}) {
    std::size_t call = decode_.calls();
    Got got = secure_get({"POST", std::string(path), {{"X-Mine", "a"}}}, "any bytes");
    EXPECT_EQ(got.status, 418);
    EXPECT_EQ(got.body, "tea");
    EXPECT_EQ(header(got, "X-Engine"), "1");
    EXPECT_EQ(decode_.request(call).head.target, path);
    EXPECT_EQ(decode_.request(call).head.headers.get("X-Mine"), "a");
    EXPECT_EQ(decode_.request(call).body, "any bytes");
  }
}

TEST_F(SidecarTls, VerifiesEachStageUnlessTold) {
  secure_prefill_.script(prefilled());
  secure_decode_.script(decoded());
  Config config = secure();
  config.prefiller_tls = trusting_others();
  start(config);

  Got wrong_prefill = secure_get(to(secure_prefill_), "{}");
  sidecar_.reset();
  config = secure();
  config.decoder_tls = trusting_others();
  start(config);
  Got wrong_decode = secure_get(to(secure_prefill_), "{}");
  sidecar_.reset();
  config = secure();
  config.prefiller_tls = config.decoder_tls = trusting_all();
  start(config);
  Got unverified = secure_get(to(secure_prefill_), "{}");

  EXPECT_EQ(wrong_prefill.status, 502);
  EXPECT_THAT(wrong_prefill.body, HasSubstr("certificate"));
  EXPECT_EQ(wrong_decode.status, 503);
  EXPECT_EQ(unverified.status, 200);
}

// sidecar:44 a listener for each rank, in front of its own engine; ranks by name
// on the first one.
TEST_F(SidecarTest, ListensForEveryDataParallelRank) {
  ScriptedEngine second(loop_, nullptr);
  // The two engines must be neighbours: take what the second one got as rank 1.
  Config config;
  config.decoder = {"127.0.0.1", static_cast<std::uint16_t>(second.endpoint().port - 1)};
  config.ranks = 2;
  config.pod_ip = "10.0.0.9";
  second.script({.status = 418, .body = "rank 1"});
  sidecar_ = std::make_unique<Sidecar>(loop_, kClock, random_, registry_, config);
  std::optional<http::Endpoint> base;
  for (std::uint16_t port = 21'000; port < 31'000 && !base; port += 7) {
    auto bound = sidecar_->listen({"127.0.0.1", port});
    if (bound) base = *bound;
  }
  ASSERT_TRUE(base);
  loop_.start();

  at_ = {base->host, static_cast<std::uint16_t>(base->port + 1)};
  EXPECT_EQ(get({"POST", "/v1/chat/completions", {}}, "{}").body, "rank 1");
  at_ = *base;
  std::string named = "10.0.0.9:" + std::to_string(base->port + 1);
  EXPECT_EQ(
      get({"POST", "/v1/chat/completions", {{"x-data-parallel-host-port", named}}}, "{}").body,
      "rank 1");
  for (const std::string& stranger :
       {"10.0.0.9:" + std::to_string(base->port + 2), "10.0.0.8:" + std::to_string(base->port),
        std::string("nonsense")}) {
    Got got =
        get({"POST", "/v1/chat/completions", {{"x-data-parallel-host-port", stranger}}}, "{}");
    EXPECT_EQ(got.status, 400);
    EXPECT_EQ(got.body, "");
  }
  second.stop();
}

}  // namespace
}  // namespace baton::sidecar
