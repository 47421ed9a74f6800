#include "control/webhook/server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/base64.hpp"
#include "base/text/yaml.hpp"
#include "control/webhook/context_source.hpp"
#include "control/webhook/local_models.hpp"
#include "formats/api/crd.hpp"
#include "net/http/blocking_client.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/tls/certificate.hpp"

namespace baton::webhook {
namespace {

using ::testing::HasSubstr;
using text::json::Object;
using text::json::Value;

const SystemClock kClock;
constexpr auto kPatience = std::chrono::seconds(20);

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const Value& one : api::crds({.url = "https://127.0.0.1"})) {
      ASSERT_TRUE(cluster_.create(one, kube::DryRun::kNo, Deadline()));
    }
    auto started = Server::start({cluster_, kClock, registry_, [] { return Context(); }},
                                 {.listen = {"127.0.0.1", 0}}, Deadline::in(kClock, kPatience));
    ASSERT_TRUE(started) << started.error().message();
    server_ = *std::move(started);
  }

  // What the API server would trust: the caBundle of a definition.
  std::string bundle() {
    const auto crd = cluster_.get(*kube::key_of(api::crds({})[0]), Deadline());
    return *text::parse_base64(
        crd->string_at({"spec", "conversion", "webhook", "clientConfig", "caBundle"}));
  }

  http::BlockingAnswer post(std::string_view path, std::string body, const char* method = "POST") {
    auto tls = tls::ClientContext::open({.authority = tls::Source::of_text(bundle())}, kClock);
    EXPECT_TRUE(tls);
    http::BlockingClient client(kClock, {.tls = *tls});
    http::RequestHead head;
    head.method = method;
    head.target = path;
    auto sent =
        client.send(server_->address(), head, body, 64 << 20, Deadline::in(kClock, kPatience));
    EXPECT_TRUE(sent);
    return sent ? *std::move(sent) : http::BlockingAnswer();
  }

  SeededRandom random_{1};
  kube::MemoryCluster cluster_{kClock, random_};
  observe::Registry registry_;
  std::unique_ptr<Server> server_;
};

constexpr std::string_view kReview =
    R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",)"
    R"("operation":"CREATE","object":{"apiVersion":"serving.kserve.io/v1alpha2","kind":)"
    R"("LLMInferenceService","metadata":{"name":"s"},"spec":{"model":{"uri":"hf://a/b"}}}}})";

TEST_F(ServerTest, AnswersReviewsWithACertificateThatTheApiServerWasToldToTrust) {
  const auto answered =
      post("/validate-serving-kserve-io-v1alpha2-llminferenceservice", std::string(kReview));

  EXPECT_EQ(answered.head.status, 200);
  EXPECT_THAT(answered.body, HasSubstr(R"("allowed":true)"));
  EXPECT_TRUE(server_->ready());
  EXPECT_THAT(registry_.expose(),
              HasSubstr("baton_webhook_reviews_total{webhook=\"validate-serving-kserve-io-v1alpha2-"
                        "llminferenceservice\",result=\"answered\"} 1"));
}

TEST_F(ServerTest, SaysWhatIsWrongWithARequest) {
  EXPECT_EQ(post("/nothing", "{}").head.status, 404);
  EXPECT_EQ(post("/convert", "", "GET").head.status, 405);
  EXPECT_EQ(post("/convert", "{").head.status, 400);
}

TEST_F(ServerTest, SharesItsCertificatesWithOtherReplicas) {
  auto second = Server::start({cluster_, kClock, registry_, [] { return Context(); }},
                              {.listen = {"127.0.0.1", 0}}, Deadline::in(kClock, kPatience));
  ASSERT_TRUE(second);
  const auto first = std::exchange(server_, *std::move(second));
  EXPECT_EQ(post("/convert", "{").head.status, 400);  // TLS stood
}

TEST_F(ServerTest, GivesUpAtTheDeadlineWithTheReason) {
  ManualClock clock;
  const auto started = Server::start({cluster_, clock, registry_, [] { return Context(); }},
                                     {.listen = server_->address()}, Deadline{clock.now()});
  // The clock is years away from that of the certificates: they are made anew, the port is taken.
  EXPECT_EQ(started.error().code(), Code::kConflict);
}

TEST(LocalModels, AreFollowedAndSwitchedByTheConfigMap) {
  ManualClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(clock, random);
  const auto create = [&](std::string_view text) {
    ASSERT_TRUE(cluster.create(yaml(text), kube::DryRun::kNo, Deadline()));
  };
  create("{apiVersion: serving.kserve.io/v1alpha1, kind: LocalModelCache, metadata: {name: c}}");
  create(
      "{apiVersion: serving.kserve.io/v1alpha1, kind: LocalModelNamespaceCache, metadata: {name: "
      "o, namespace: ns}}");
  const SystemClock real;
  const LocalModels models(cluster, real);
  ASSERT_TRUE(models.wait_synced(Deadline::in(real, kPatience)));
  EXPECT_EQ(models.now().of_cluster.size(), 1U);
  EXPECT_EQ(models.now().of_namespaces.size(), 1U);

  EXPECT_TRUE(*uses_local_models(yaml(R"({data: {localModel: '{"enabled": true}'}})")));
  EXPECT_FALSE(*uses_local_models(yaml(R"({data: {localModel: '{"enabled": false}'}})")));
  EXPECT_FALSE(*uses_local_models(yaml("{data: {}}")));
  EXPECT_FALSE(uses_local_models(yaml("{data: {localModel: '{'}}")));
}

TEST(ContextSource, KnowsTheInstallationOfTenSecondsAgo) {
  const SystemClock real;
  ManualClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(real, random);
  Value map = yaml(
      R"({apiVersion: v1, kind: ConfigMap, metadata: {name: inferenceservice-config, namespace: )"
      R"(kserve}, data: {prefix: a-, localModel: '{"enabled": true}'}})");
  const auto read = [](const kube::Object& config_map) -> Result<plan::Settings> {
    plan::Settings out;
    out.config_prefix = config_map.string_at({"data", "prefix"});
    if (out.config_prefix == "bad") return invalid("bad");
    return out;
  };
  ContextSource source(cluster, clock, {}, read);
  EXPECT_EQ(source.get().settings.config_prefix, "kserve-");
  EXPECT_FALSE(source.get().local_models);

  ASSERT_TRUE(cluster.create(map, kube::DryRun::kNo, Deadline()));
  EXPECT_EQ(source.get().settings.config_prefix, "kserve-");
  clock.advance(std::chrono::seconds(11));
  EXPECT_EQ(source.get().settings.config_prefix, "a-");
  EXPECT_TRUE(source.get().local_models);

  map["data"] = yaml("{prefix: bad, localModel: '{'}");
  ASSERT_TRUE(cluster.update(map, kube::DryRun::kNo, Deadline()));
  clock.advance(std::chrono::seconds(11));
  EXPECT_EQ(source.get().settings.config_prefix, "a-");
  EXPECT_TRUE(source.get().local_models);

  map["data"] = yaml("{prefix: b-}");
  ASSERT_TRUE(cluster.update(map, kube::DryRun::kNo, Deadline()));
  clock.advance(std::chrono::seconds(11));
  EXPECT_EQ(source.get().settings.config_prefix, "b-");
  EXPECT_FALSE(source.get().local_models);
}

}  // namespace
}  // namespace baton::webhook
