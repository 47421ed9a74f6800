// Which endpoints the sidecar may be sent to: from the pool's pods, and every other spelling
// refused.

#include "routing/sidecar/pool_members.hpp"

#include <gmock/gmock.h>

#include "base/core/random.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/kube/memory_cluster.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using Endpoints = Published::Endpoints;

kube::Object json(std::string_view text) { return *text::json::parse(text); }

kube::Object ga_pool(std::string_view spec) {
  return json(R"({"apiVersion":"inference.networking.k8s.io/v1","kind":"InferencePool",)"
              R"("metadata":{"name":"pool","namespace":"ns"},"spec":)" +
              std::string(spec) + "}");
}
kube::Object alpha_pool(std::string_view spec) {
  return json(R"({"apiVersion":"inference.networking.x-k8s.io/v1alpha2","kind":"InferencePool",)"
              R"("metadata":{"name":"pool","namespace":"ns"},"spec":)" +
              std::string(spec) + "}");
}
kube::Object pod(const std::string& name, const std::string& app, const std::string& ip,
                 const std::string& phase = "Running") {
  return json(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
              R"(","namespace":"ns","labels":{"app":")" + app + R"("}},"spec":{},)" +
              R"("status":{"phase":")" + phase + R"(","podIP":")" + ip + R"("}})");
}
const std::string kSpec =
    R"({"selector":{"matchLabels":{"app":"llm"}},"targetPorts":[{"number":8000},{"number":9000}]})";

// sidecar:43 the selectors of both groups, what is missing, and what follows from them.
TEST(PoolMembers, AreTheSelectedPodsAtTheTargetPorts) {
  std::vector<kube::Object> pods = {pod("a", "llm", "10.0.0.1"), pod("b", "other", "10.0.0.2"),
                                    pod("c", "llm", ""), pod("d", "llm", "10.0.0.4", "Failed"),
                                    pod("e", "llm", "fd00::5")};

  EXPECT_EQ(
      *members_of(ga_pool(kSpec), pods, 1),
      (Endpoints{{"10.0.0.1", 8000}, {"10.0.0.1", 9000}, {"fd00::5", 8000}, {"fd00::5", 9000}}));
  EXPECT_EQ(
      *members_of(alpha_pool(R"({"selector":{"app":"other"},"targetPortNumber":8000})"), pods, 2),
      (Endpoints{{"10.0.0.2", 8000}, {"10.0.0.2", 8001}}));

  const std::pair<std::string, std::string> wrong[] = {
      {R"({"selector":{"app":"llm"},"targetPorts":[{"number":1}]})", "spec.selector.matchLabels"},
      {R"({"targetPorts":[{"number":1}]})", "spec.selector.matchLabels"},
      {R"({"selector":{"matchLabels":{}},"targetPorts":[{"number":1}]})", "is empty"},
      {R"({"selector":{"matchLabels":{"a":"b"}}})", "no target port"},
      {R"({"selector":{"matchLabels":{"a":"b"}},"targetPorts":[{"number":65536}]})",
       "outside 1..65535"},
      {R"({"selector":{"matchLabels":{"a":"b"}},"targetPorts":[{"number":0}]})",
       "outside 1..65535"}};
  for (const auto& [spec, why] : wrong) {
    auto members = members_of(ga_pool(spec), pods, 1);
    ASSERT_FALSE(members) << spec;
    EXPECT_THAT(members.error().message(), HasSubstr(why)) << spec;
  }
  EXPECT_FALSE(members_of(kube::Object(text::json::Object{}), pods, 1));
  EXPECT_FALSE(members_of(ga_pool("null"), pods, 1));
  EXPECT_FALSE(members_of(alpha_pool(R"({"targetPortNumber":8000})"), pods, 1));
}

TEST(PoolMembers, AreOfTheGroupsAndNamesThatThereAre) {
  EXPECT_EQ(pool_type("inference.networking.k8s.io")->version, "v1");
  EXPECT_EQ(pool_type("inference.networking.x-k8s.io")->version, "v1alpha2");
  EXPECT_FALSE(pool_type("example.com"));
  EXPECT_EQ(parse_pool_name("a/b", "default")->ns, "a");
  EXPECT_EQ(parse_pool_name("b", "default")->ns, "default");
  EXPECT_EQ(parse_pool_name("b", "default")->name, "b");
  for (const char* wrong : {"", "/", "a/", "/b", "a/b/c"}) {
    EXPECT_FALSE(parse_pool_name(wrong, "default")) << wrong;
  }
}

class PoolWatchTest : public ::testing::Test {
 protected:
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(20)); }
  void create(const kube::Object& object) {
    auto made = cluster_.create(object, kube::DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
    if (const auto* status = object.find("status")) {
      kube::Object with = *made;
      with["status"] = *status;
      ASSERT_TRUE(cluster_.update_status(with, soon()));
    }
  }
  std::unique_ptr<PoolWatch> watch() {
    return std::make_unique<PoolWatch>(cluster_, clock_, PoolName{"ns", "pool"},
                                       *pool_type("inference.networking.k8s.io"), 1, published_);
  }
  bool publishes(const Endpoints& wanted) {
    return http::testing::eventually([&] {
      auto now = published_->current();
      return now && *now == wanted;
    });
  }

  SystemClock clock_;
  SeededRandom random_{1};
  kube::MemoryCluster cluster_{clock_, random_};
  std::shared_ptr<Published> published_ = std::make_shared<Published>();
};

TEST_F(PoolWatchTest, FollowsThePoolAndItsPods) {
  PublishedAllowlist list(published_);
  EXPECT_FALSE(list.allows({"10.0.0.1", 8000}));  // closed until both are listed
  create(pod("a", "llm", "10.0.0.1"));
  auto following = watch();
  EXPECT_TRUE(publishes({}));  // a pool that is not there allows nothing

  create(ga_pool(R"({"selector":{"matchLabels":{"app":"llm"}},"targetPorts":[{"number":8000}]})"));
  EXPECT_TRUE(publishes({{"10.0.0.1", 8000}}));
  create(pod("b", "llm", "10.0.0.2"));
  EXPECT_TRUE(publishes({{"10.0.0.1", 8000}, {"10.0.0.2", 8000}}));
  EXPECT_TRUE(list.allows({"10.0.0.2", 8000}));
  ASSERT_TRUE(cluster_.remove({{"", "v1", "Pod"}, "ns", "a"}, kube::Grace::kNone, soon()));
  EXPECT_TRUE(publishes({{"10.0.0.2", 8000}}));
  ASSERT_TRUE(cluster_.remove({*pool_type("inference.networking.k8s.io"), "ns", "pool"},
                              kube::Grace::kNone, soon()));
  EXPECT_TRUE(publishes({}));
}

// Every way to name an address or port outside the pool, and inside it by another spelling.
TEST(Ssrf, RefusesEverythingButTheMembers) {
  auto published = std::make_shared<Published>();
  published->publish({{"127.0.0.1", 8000}, {"fd00::5", 8000}});
  PublishedAllowlist list(published);
  auto allows = [&](std::string_view text) {
    auto endpoint = http::parse_endpoint(text);
    return endpoint && list.allows(*endpoint);
  };

  for (const char* member : {"127.0.0.1:8000", "[fd00::5]:8000", "[fd00:0:0::5]:8000",
                             "[FD00::0005]:8000", "[::ffff:127.0.0.1]:8000"}) {
    EXPECT_TRUE(allows(member)) << member;
  }
  for (const char* other : {"127.0.0.1:8001",            // another port
                            "127.0.0.1:80",              //
                            "127.0.0.1",                 // no port
                            "127.0.0.1:",                //
                            "127.0.0.1:08000x",          //
                            "127.0.0.2:8000",            // another address
                            "2130706433:8000",           // decimal
                            "0x7f000001:8000",           // hexadecimal
                            "0x7f.0.0.1:8000",           //
                            "017700000001:8000",         // octal
                            "0177.0.0.1:8000",           //
                            "127.0.0.01:8000",           //
                            "127.1:8000",                // short
                            "0:8000",                    //
                            "localhost:8000",            // names, whatever they mean now
                            "pod-a:8000",                //
                            "127.0.0.1.nip.io:8000",     //
                            "127.0.0.1.:8000",           //
                            "user@127.0.0.1:8000",       // user information
                            "127.0.0.1:8000@evil:80",    //
                            "evil:80@127.0.0.1:8000",    //
                            "127.0.0.1:8000/path",       // more than host:port
                            "127.0.0.1:8000?x",          //
                            "127.0.0.1:8000#x",          //
                            "127.0.0.1 :8000",           //
                            "http://127.0.0.1:8000",     // stripped before, once
                            "https://127.0.0.1:8000",    //
                            "[::1]:8000",                // IPv6 of the same host
                            "[::]:8000",                 //
                            "[::127.0.0.1]:8000",        // the deprecated embedding
                            "[64:ff9b::7f00:1]:8000",    // NAT64
                            "[fd00::5%eth0]:8000",       // a zone
                            "[fd00::6]:8000",            //
                            "fd00::5:8000",              // no brackets
                            "[127.0.0.1]:8000:9000"}) {  //
    EXPECT_FALSE(allows(other)) << other;
  }
}

using SidecarSsrf = SidecarTest;

// sidecar:43 disabled allows everything; enabled, members are dialled and others answered with 403.
TEST_F(SidecarSsrf, AnswersWith403AndDialsNobody) {
  auto published = std::make_shared<Published>();
  start({.pool = published});
  prefill_.script(prefilled());
  decode_.script(decoded());

  EXPECT_EQ(chat().status, 403);  // not synced
  published->publish({{prefill_.endpoint().host, prefill_.endpoint().port}});
  EXPECT_EQ(chat().status, 200);
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port", "http://" + http::to_string(prefill_.endpoint()));
  EXPECT_EQ(get(head, "{}").status, 200);
  for (const std::string& target :
       {"localhost:" + std::to_string(prefill_.endpoint().port), http::to_string(other_.endpoint()),
        http::to_string(decode_.endpoint()),
        "http://http://" + http::to_string(prefill_.endpoint())}) {
    head.headers.set("x-prefiller-host-port", target);
    EXPECT_EQ(get(head, "{}").status, 403) << target;
  }
  EXPECT_EQ(other_.calls(), 0U);
  EXPECT_EQ(prefill_.calls(), 2U);

  sidecar_.reset();
  start({});
  other_.script(prefilled());
  head.headers.set("x-prefiller-host-port", http::to_string(other_.endpoint()));
  EXPECT_EQ(get(head, "{}").status, 200);
  EXPECT_EQ(other_.calls(), 1U);
}

// Every header that names an endpoint, and what is asked before the legs: only members are dialled.
TEST_F(SidecarSsrf, ChecksEncodersKvSourcesAndBootstrapServicesToo) {
  auto published = std::make_shared<Published>();
  published->publish({decode_.endpoint()});
  decode_.script(decoded());
  const std::string outside = http::to_string(other_.endpoint());
  const std::string image =
      R"({"messages":[{"content":[{"type":"image_url","image_url":{"url":"http://i/"}}]}]})";
  Config config;
  config.pool = published;
  config.pull = Pull::kYes;
  config.ec_connector = EcConnector::kExample;
  start(config);
  for (const std::string& target : {outside, "localhost:" + std::to_string(other_.endpoint().port),
                                    "2130706433:" + std::to_string(other_.endpoint().port),
                                    "user@" + outside, std::string("[::ffff:7f00:1]:1")}) {
    EXPECT_EQ(
        get({"POST", "/v1/chat/completions", {{"x-encoder-hosts-ports", target}}}, image).status,
        200);
    EXPECT_EQ(
        get({"POST", "/v1/completions", {{"x-kv-cache-source-host-port", target}}}, "{}").status,
        200);
    EXPECT_EQ(decode_.request(decode_.calls() - 1).body, "{}") << target;
  }
  sidecar_.reset();
  config.pull = Pull::kNo;
  config.connector = "mooncake";
  config.ports.mooncake_bootstrap = other_.endpoint().port;
  start(config);
  EXPECT_EQ(chat().status, 403);  // the prefiller is no member: its host is not asked either
  EXPECT_EQ(other_.calls(), 0U);
  EXPECT_EQ(prefill_.calls(), 0U);
}

// A redirect leads nowhere: it is an answer like any other.
TEST_F(SidecarSsrf, FollowsNoRedirect) {
  prefill_.script(
      {.status = 307, .body = "over there", .headers = {{"Location", "http://[::1]/"}}});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 307);
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(decode_.calls(), 0U);
}

}  // namespace
}  // namespace baton::sidecar
