#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/core/testing/temporary_folder.hpp"
#include "net/kube/api_status.hpp"
#include "net/kube/credentials.hpp"
#include "net/kube/exec_credential.hpp"
#include "net/kube/in_cluster.hpp"
#include "net/kube/object.hpp"
#include "net/kube/resource.hpp"

namespace baton::kube {
namespace {

class AccessFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string script(const std::string& body) {
    const std::string path = write("plugin", "#!/bin/sh\n" + body);
    ::chmod(path.c_str(), 0700);
    return path;
  }
  Access with_plugin(const std::string& body) {
    Access access;
    access.exec.push_back({.api_version = "client.authentication.k8s.io/v1",
                           .command = script(body),
                           .args = {"one two"},
                           .env = {{"GREETING", "hello"}},
                           .install_hint = "",
                           .provide_cluster_info = false});
    return access;
  }
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(20)); }

  TemporaryFolder temporary_;
  const std::string folder_ = temporary_.path();
  SystemClock clock_;
  ManualClock manual_;
  const std::vector<std::string> environment_{"PATH=/usr/bin:/bin"};
};

const std::string kPrints =
    R"(printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":)";

TEST_F(AccessFiles, APodReachesTheServerOfItsServiceAccount) {
  write("token", "sesame\n");
  write("ca.crt", "CA");
  write("namespace", "llm");

  const auto access = in_cluster_access("fd00::1", "443", folder_);

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ(server_url(*access), "https://[fd00::1]:443");
  EXPECT_EQ(access->token_file, folder_ + "/token");
  EXPECT_EQ(access->ca.file, folder_ + "/ca.crt");
  EXPECT_EQ(access->ns, "llm");
  EXPECT_EQ(in_cluster_access("", "443", folder_).error().code(), Code::kNotFound);
  EXPECT_EQ(in_cluster_access("10.0.0.1", "443", folder_ + "/no").error().code(), Code::kNotFound);
}

TEST_F(AccessFiles, LooksForTheClusterInTheOrderOfFlagVariablePodAndHome) {
  const auto config = [&](const std::string& name, const std::string& host) {
    return write(name,
                 "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: "
                 "[{name: c, cluster: {server: 'https://" +
                     host + "'}}]\n");
  };
  AccessHints hints;
  hints.kubeconfig = config("flag", "flag");
  hints.kubeconfig_env = folder_ + "/absent:" + config("variable", "variable");
  hints.service_host = "10.0.0.1";
  hints.service_port = "443";
  hints.service_account = folder_;
  write("token", "t");
  write("ca.crt", "CA");
  std::filesystem::create_directory(folder_ + "/.kube");
  config(".kube/config", "home");
  hints.home = folder_;
  const auto host = [&] {
    const auto access = find_access(hints);
    return access ? access->server.host : access.error().message();
  };

  EXPECT_EQ(host(), "flag");
  hints.kubeconfig.clear();
  EXPECT_EQ(host(), "variable");
  hints.kubeconfig_env.clear();
  EXPECT_EQ(host(), "10.0.0.1");
  hints.service_host.clear();
  EXPECT_EQ(host(), "home");
  hints.home = folder_ + "/nobody";
  EXPECT_EQ(host(), "no cluster: no --kubeconfig, not in a pod, and none of these files exist: " +
                        folder_ + "/nobody/.kube/config");
  hints.kubeconfig = folder_ + "/absent";
  EXPECT_EQ(find_access(hints).error().code(), Code::kNotFound);
}

TEST_F(AccessFiles, ReadsATokenAgainWhenAMinuteIsOverOrTheServerRefusedIt) {
  Access access;
  access.token_file = write("token", "one\n");
  Credentials credentials(access, manual_, {});
  const auto token = [&] {
    return credentials.current(soon()).value_or(Credentials::Current{}).token;
  };

  EXPECT_EQ(token(), "one");
  write("token", "two");
  EXPECT_EQ(token(), "one");
  manual_.advance(kTokenReread);
  EXPECT_EQ(token(), "two");
  write("token", "three");
  credentials.refused(credentials.current(soon())->version);
  EXPECT_EQ(token(), "three");
  ::unlink(access.token_file.c_str());
  manual_.advance(kTokenReread);
  EXPECT_EQ(token(), "three");  // better than none

  Credentials none(access, manual_, {});
  EXPECT_EQ(none.current(soon()).error().code(), Code::kNotFound);
}

TEST_F(AccessFiles, RunsAPluginWithItsEnvironmentAndKeepsWhatItPrintsUntilItExpires) {
  const Access access =
      with_plugin("echo run >> " + folder_ + "/runs\necho to the terminal >&2\n" +
                  R"(case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 9;; esac)"
                  "\n" +
                  kPrints + R"({"token":"%s-%s","expirationTimestamp":"2023-11-14T22:14:20Z"}}' )" +
                  R"("$GREETING" "${1% *}")" + "\n");
  Credentials credentials(access, manual_, environment_);
  const auto runs = [&] {
    std::ifstream in(folder_ + "/runs");
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  };

  const auto first = credentials.current(soon());
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->token, "hello-one");
  EXPECT_TRUE(credentials.current(soon()));
  EXPECT_EQ(runs(), 1);
  manual_.advance(std::chrono::seconds(51));  // expires a minute after the clock's start
  EXPECT_TRUE(credentials.current(soon()));
  EXPECT_EQ(runs(), 2);
}

TEST_F(AccessFiles, SaysWhatIsWrongWithAPlugin) {
  const auto failure = [&](const std::string& body) {
    const Access access = with_plugin(body);
    const auto made = run_exec_plugin(access.exec.front(), "{}", environment_, soon(), clock_);
    return made ? "made" : made.error().message().substr(folder_.size() + 19);
  };
  EXPECT_EQ(failure("exit 3"), " failed with code 3");
  EXPECT_TRUE(failure("echo no").starts_with(": not JSON: ")) << failure("echo no");
  EXPECT_EQ(failure("echo '{}'"), ": /kind: expected ExecCredential, got ''");
  EXPECT_EQ(failure(kPrints + "{}}'"), ": /status: neither a token nor a client certificate");
  EXPECT_EQ(failure(kPrints + R"({"clientKeyData":"k"}}')"),
            ": /status: clientCertificateData and clientKeyData come together");
  EXPECT_EQ(failure(kPrints + R"({"token":"a b"}}')"),
            ": /status/token: holds white space or control characters");
  EXPECT_EQ(failure(kPrints + R"({"token":"t","expirationTimestamp":"soon"}}')"),
            ": /status/expirationTimestamp: expected a time as 2025-01-31T12:00:00Z, got 'soon'");
  EXPECT_EQ(failure("head -c 2000000 /dev/zero"), " printed more than 1048576 bytes");

  ExecPlugin absent{.api_version = "",
                    .command = "no-such-plugin",
                    .args = {},
                    .env = {},
                    .install_hint = "install it",
                    .provide_cluster_info = false};
  const auto made = run_exec_plugin(absent, "{}", environment_, soon(), clock_);
  EXPECT_EQ(made.error().code(), Code::kNotFound);
  EXPECT_NE(made.error().message().find("(install it)"), std::string::npos);
}

TEST_F(AccessFiles, EndsAPluginThatTakesTooLong) {
  const Access access = with_plugin("exec cat /dev/zero >/dev/null");
  const auto made = run_exec_plugin(access.exec.front(), "{}", environment_,
                                    Deadline::in(clock_, Millis(50)), clock_);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::kTimeout);
}

TEST(ExecInfo, ShowsTheClusterOnlyWhenAsked) {
  ExecPlugin plugin;
  plugin.api_version = "client.authentication.k8s.io/v1beta1";
  Access access;
  ASSERT_TRUE(set_server(access, "https://h:6443"));
  EXPECT_EQ(exec_info(plugin, access, "CA"),
            R"({"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential",)"
            R"("spec":{"interactive":false}})");
  plugin.provide_cluster_info = true;
  EXPECT_NE(
      exec_info(plugin, access, "CA")
          .find(R"("cluster":{"server":"https://h:6443","certificate-authority-data":"Q0E="})"),
      std::string::npos);
}

TEST(ApiStatus, TellsApartWhatACallerDoesAboutIt) {
  const auto status = [](int code, const char* reason, const char* name) {
    return api_error(code,
                     R"({"kind":"Status","reason":")" + std::string(reason) +
                         R"(","message":"m","details":{"name":")" + name + "\"}}",
                     "get")
        .code();
  };
  EXPECT_EQ(status(404, "NotFound", "x"), Code::kNotFound);
  EXPECT_EQ(status(404, "NotFound", ""), Code::kNotFound);  // the kind itself
  EXPECT_EQ(status(409, "AlreadyExists", "x"), Code::kConflict);
  EXPECT_EQ(status(409, "Conflict", "x"), Code::kConflict);
  EXPECT_EQ(status(410, "Expired", ""), Code::kConflict);
  EXPECT_EQ(status(422, "Invalid", "x"), Code::kInvalid);
  EXPECT_EQ(status(400, "BadRequest", ""), Code::kInvalid);
  EXPECT_EQ(status(401, "Unauthorized", ""), Code::kDenied);
  EXPECT_EQ(status(403, "Forbidden", "x"), Code::kDenied);
  EXPECT_EQ(status(405, "MethodNotAllowed", ""), Code::kUnsupported);
  EXPECT_EQ(status(429, "TooManyRequests", ""), Code::kExhausted);
  EXPECT_EQ(status(500, "InternalError", ""), Code::kUnavailable);
  EXPECT_EQ(status(504, "Timeout", ""), Code::kTimeout);
}

TEST(ApiStatus, KnowsThatAKindIsNotServed) {
  const auto body = [](const std::string& details) {
    return R"({"kind":"Status","reason":"NotFound","details":{)" + details + "}}";
  };
  EXPECT_TRUE(is_unknown_resource(404, body("")));
  EXPECT_TRUE(is_unknown_resource(404, "404 page not found\n"));
  EXPECT_FALSE(is_unknown_resource(404, body(R"("name":"x","kind":"pods")")));
  EXPECT_FALSE(is_unknown_resource(400, ""));
}

TEST(ApiStatus, ShowsTheMessageAndTheCausesItLeavesOut) {
  EXPECT_EQ(api_error(422, R"({"kind":"Status","message":"is invalid: must be positive","details":
      {"causes":[{"field":"spec.a","message":"must be positive"},
                 {"field":"spec.b","message":"is needed"}]}})",
                      "update of x")
                .message(),
            "update of x: is invalid: must be positive; spec.b: is needed");
  EXPECT_EQ(api_error(404, "404 page not found\n", "get").message(),
            "get: HTTP 404: 404 page not found");
  EXPECT_EQ(api_error(410, R"({"kind":"Status","message":"too old"})", "watch").message(),
            "watch: expired: too old");
  EXPECT_EQ(api_error(502, std::string(1000, 'x'), "get").message().size(),
            std::string("get: HTTP 502: ").size() + 256 + 3);
}

TEST(Resource, ReadsADiscoveryDocument) {
  const auto resources = parse_resources(R"({"kind":"APIResourceList","resources":[
    {"name":"pods","namespaced":true,"kind":"Pod","verbs":["get","list"]},
    {"name":"pods/status","namespaced":true,"kind":"Pod","verbs":["get"]},
    {"name":"pods/binding","namespaced":true,"kind":"Binding","verbs":["create"]},
    {"name":"bindings","namespaced":true,"kind":"Binding","verbs":["create"]},
    {"name":"nodes","namespaced":false,"kind":"Node","verbs":["list"]}]})");
  ASSERT_TRUE(resources);
  EXPECT_EQ(resources->size(), 3u);
  const Resource& pod = resources->at("Pod");
  EXPECT_TRUE(pod.namespaced && pod.has_status);
  EXPECT_EQ(pod.verbs, (std::vector<std::string>{"get", "list"}));
  EXPECT_FALSE(resources->at("Node").namespaced);
  EXPECT_EQ(resources->at("Binding").plural, "bindings");
  EXPECT_FALSE(parse_resources("{}"));
  EXPECT_FALSE(parse_resources("404 page not found"));
}

TEST(Version, IsReadWithAndWithoutAPlus) {
  EXPECT_EQ(*parse_version(R"({"major":"1","minor":"34","gitVersion":"v1.34.4"})"),
            (ServerVersion{1, 34}));
  EXPECT_EQ(*parse_version(R"({"major":"1","minor":"30+"})"), (ServerVersion{1, 30}));
  for (const auto* wrong : {"{}", "[]", "x", R"({"major":"1"})", R"({"major":"1","minor":"3x"})",
                            R"({"major":1,"minor":2})", R"({"major":"1","minor":"99999999999"})"}) {
    EXPECT_FALSE(parse_version(wrong)) << wrong;
  }
}

TEST(Resource, WritesPathsAndQueries) {
  const Type deployment{"apps", "v1", "Deployment"};
  const Resource deployments{"deployments", true, true, {}};
  const Resource nodes{"nodes", false, true, {}};
  EXPECT_EQ(collection_path(deployment, deployments, ""), "/apis/apps/v1/deployments");
  EXPECT_EQ(collection_path(deployment, deployments, "llm"),
            "/apis/apps/v1/namespaces/llm/deployments");
  EXPECT_EQ(object_path({deployment, "llm", "a"}, deployments, "status"),
            "/apis/apps/v1/namespaces/llm/deployments/a/status");
  EXPECT_EQ(object_path({{"", "v1", "Node"}, "", "n:1"}, nodes, ""), "/api/v1/nodes/n%3A1");
  EXPECT_EQ(QueryText()
                .add("labelSelector", selector_text({{"a/b", "c"}, {"d", "e f"}}))
                .add("limit", "5")
                .text(),
            "?labelSelector=a%2Fb%3Dc%2Cd%3De%20f&limit=5");
}

TEST(Resource, RefusesNamesThatWouldLeadElsewhere) {
  const Resource pods{"pods", true, true, {}};
  for (const auto* name : {"", ".", "..", "a/b", "a%2Fb"}) {
    EXPECT_FALSE(check_path({{"", "v1", "Pod"}, "ns", name}, pods)) << name;
    EXPECT_FALSE(check_path({{"", "v1", "Pod"}, name, "pod"}, pods)) << name;
  }
  EXPECT_TRUE(check_path({{"", "v1", "Pod"}, "ns", "system:pod"}, pods));
}

TEST(ObjectText, ReadsTimesWithFractionsAndOffsets) {
  const Wall at = Wall(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(parse_timestamp("2023-11-14T22:13:20Z"), at);
  EXPECT_EQ(parse_timestamp("2023-11-14T23:13:20+01:00"), at);
  EXPECT_EQ(parse_timestamp("2023-11-14T22:13:20.250000Z"), at + Millis(250));
  EXPECT_EQ(micro_timestamp(at + Millis(250)), "2023-11-14T22:13:20.250000Z");
  for (const auto* text :
       {"", "2023-11-14T22:13:20", "2023-11-14T22:13:20.Z", "x", "2023-11-14T22:13:20+1:00"}) {
    EXPECT_FALSE(parse_timestamp(text)) << text;
  }
}

}  // namespace
}  // namespace baton::kube
