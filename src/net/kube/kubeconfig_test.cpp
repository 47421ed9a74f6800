#include "net/kube/kubeconfig.hpp"

#include <gtest/gtest.h>

namespace baton::kube {
namespace {

const std::string kTwoContexts = R"(
apiVersion: v1
kind: Config
current-context: here
preferences: {}
clusters:
- name: near
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority: pki/ca.crt
    tls-server-name: kubernetes.default
- name: far
  cluster: {server: "https://far.example/k8s/", certificate-authority-data: Q0E=}
- name: open
  cluster: {server: "http://[::1]:8001", insecure-skip-tls-verify: true}
users:
- name: bearer
  user: {token: sesame}
- name: paper
  user: {client-certificate-data: Q0VSVA==, client-key: /keys/k.pem}
- name: file
  user: {tokenFile: token.txt}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: bin/login
      args: [--audience, x]
      env: [{name: A, value: "1"}]
      interactiveMode: Never
      installHint: get it
      provideClusterInfo: true
contexts:
- name: here
  context: {cluster: near, user: bearer, namespace: llm}
- name: there
  context: {cluster: far, user: paper}
- name: tunnel
  context: {cluster: open, user: file}
- name: login
  context: {cluster: near, user: plugin}
)";

Access must_resolve(const std::string& text, std::string_view context) {
  const auto config = parse_kubeconfig(text, "/home/u/.kube/config");
  EXPECT_TRUE(config) << config.error().message();
  if (!config) return {};
  const auto access = resolve(*config, context);
  EXPECT_TRUE(access) << access.error().message();
  return access ? *access : Access{};
}

std::string failure(const std::string& text, std::string_view context = "") {
  const auto config = parse_kubeconfig(text, "/k/config");
  if (!config) return config.error().message();
  const auto access = resolve(*config, context);
  return access ? "resolved" : access.error().message();
}

// A context with one user, and whatever the cluster says.
std::string config_with(const std::string& user, const std::string& cluster) {
  return "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
         "clusters: [{name: c, cluster: " +
         cluster + "}]\nusers: [{name: u, user: " + user + "}]\n";
}
const std::string kServer = "{server: 'https://h:6443'}";

TEST(Kubeconfig, ResolvesTheCurrentContext) {
  const Access access = must_resolve(kTwoContexts, "");

  EXPECT_EQ(server_url(access), "https://10.0.0.1:6443");
  EXPECT_EQ(access.ca.file, "/home/u/.kube/pki/ca.crt");
  EXPECT_EQ(access.server_name, "kubernetes.default");
  EXPECT_EQ(access.token, "sesame");
  EXPECT_EQ(access.ns, "llm");
  EXPECT_TRUE(access.verify);
}

TEST(Kubeconfig, ResolvesTheContextAskedFor) {
  const Access there = must_resolve(kTwoContexts, "there");
  EXPECT_EQ(server_url(there), "https://far.example:443/k8s");
  EXPECT_EQ(there.ca.text, "CA");
  EXPECT_EQ(there.certificate.text, "CERT");
  EXPECT_EQ(there.key.file, "/keys/k.pem");
  EXPECT_EQ(there.ns, "default");

  const Access tunnel = must_resolve(kTwoContexts, "tunnel");
  EXPECT_EQ(server_url(tunnel), "http://[::1]:8001");
  EXPECT_FALSE(tunnel.verify);
  EXPECT_EQ(tunnel.token_file, "/home/u/.kube/token.txt");
}

TEST(Kubeconfig, ReadsAnExecPluginWithItsCommandRelativeToTheFile) {
  const Access access = must_resolve(kTwoContexts, "login");
  ASSERT_EQ(access.exec.size(), 1u);
  const ExecPlugin& plugin = access.exec.front();
  EXPECT_EQ(plugin.command, "/home/u/.kube/bin/login");
  EXPECT_EQ(plugin.args, (std::vector<std::string>{"--audience", "x"}));
  EXPECT_EQ(plugin.env, (std::map<std::string, std::string>{{"A", "1"}}));
  EXPECT_EQ(plugin.install_hint, "get it");
  EXPECT_TRUE(plugin.provide_cluster_info);
  EXPECT_EQ(must_resolve(config_with("{exec: {apiVersion: client.authentication.k8s.io/v1beta1, "
                                     "command: login}}",
                                     kServer),
                         "")
                .exec.front()
                .command,
            "login");
}

TEST(Kubeconfig, MergesFilesSoThatAnEarlierOneWins) {
  auto first = parse_kubeconfig("contexts: [{name: a, context: {cluster: c, namespace: one}}]\n",
                                "/one/config");
  auto second = parse_kubeconfig(
      "current-context: a\ncontexts: [{name: a, context: {cluster: c, namespace: two}}]\n"
      "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca}}]\n",
      "/two/config");
  ASSERT_TRUE(first && second);
  merge(*first, *std::move(second));

  const auto access = resolve(*first, "");

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ(access->ns, "one");
  EXPECT_EQ(access->ca.file, "/two/ca");  // relative to the file that names it
  EXPECT_EQ(server_url(*access), "https://h:443");
}

TEST(Kubeconfig, FindsItsFiles) {
  using Files = std::vector<std::string>;
  EXPECT_EQ(kubeconfig_files("", "/home/u"), (Files{"/home/u/.kube/config"}));
  EXPECT_EQ(kubeconfig_files("/a::/b:", "/home/u"), (Files{"/a", "/b"}));
  EXPECT_EQ(kubeconfig_files("", ""), Files{});
}

TEST(Kubeconfig, NamesFileAndFieldOfWhatIsWrong) {
  const std::pair<std::string, std::string> cases[] = {
      {failure("- a"), "/k/config: expected an object, got array"},
      {failure("kind: Pod"), "/k/config: /kind: expected Config, got 'Pod'"},
      {failure("apiVersion: v2"), "/k/config: /apiVersion: expected v1, got 'v2'"},
      {failure("a: 1\n---\nb: 2\n"), "/k/config:3: a kubeconfig is one document"},
      {failure("users: {}"), "/k/config: /users: expected a list, got object"},
      {failure("users: [{name: u}, {name: u}]"), "/k/config: /users/1/name: 'u' is there twice"},
      {failure("users: [{user: {}}]"), "/k/config: /users/0/name: missing"},
      {failure("users: [{name: u, user: 3}]"),
       "/k/config: /users/0/user: expected an object, got number"},
      {failure("kind: Config"),
       "/k/config: /current-context: missing, and no context was asked for"},
      {failure(kTwoContexts, "ther"),
       "/k/config: no context is named 'ther' (did you mean 'there'?)"},
      {failure("{}", "x"), "/k/config: no context is named 'x'; there is no context at all"},
      {failure("contexts: [{name: x, context: {cluster: c}}]", "x"),
       "/k/config: /contexts/0/context/cluster: no cluster is named 'c'; there is no cluster at "
       "all"},
      {failure(config_with("{}", "{}")),
       "/k/config: /clusters/0/cluster/server: missing: the URL of the API server"},
      {failure(config_with("{}", "{server: 'h:6443'}")),
       "/k/config: /clusters/0/cluster/server: 'h:6443': the scheme is not https or http; expected "
       "https://HOST[:PORT][/PATH]"},
      {failure(config_with("{}", "{server: 'https://h', certificate-authority-data: '!'}")),
       "/k/config: /clusters/0/cluster/certificate-authority-data: not base64: byte 0x21 at offset "
       "0"},
      {failure(config_with("{}", "{server: 'https://h', insecure-skip-tls-verify: 'yes'}")),
       "/k/config: /clusters/0/cluster/insecure-skip-tls-verify: expected true or false, got "
       "string"},
      {failure(config_with(
           "{}",
           "{server: 'https://h', insecure-skip-tls-verify: true, certificate-authority: f}")),
       "/k/config: /clusters/0/cluster/insecure-skip-tls-verify: true beside a certificate "
       "authority: one of the two must go"},
      {failure(config_with("{token: 3}", kServer)),
       "/k/config: /users/0/user/token: expected a string, got number"},
      {failure(config_with("{client-certificate: c}", kServer)),
       "/k/config: /users/0/user/client-key: missing: a client certificate and its key come "
       "together"},
      {failure(config_with("{exec: {command: x}}", kServer)),
       "/k/config: /users/0/user/exec/apiVersion: expected client.authentication.k8s.io/v1 or "
       "client.authentication.k8s.io/v1beta1, got ''"},
  };
  for (const auto& [got, wanted] : cases) EXPECT_EQ(got, wanted);
}

TEST(Kubeconfig, RefusesWhatIsNotSupportedWithASentence) {
  const std::string exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, ";
  const std::pair<std::string, std::string> cases[] = {
      {failure(config_with("{}", "{server: 'https://h', proxy-url: 'http://p'}")),
       "/clusters/0/cluster/proxy-url: API servers behind a proxy are not supported"},
      {failure(config_with("{username: u, password: p}", kServer)),
       "/users/0/user/username: API servers have not taken user names and passwords since 1.19"},
      {failure(config_with("{auth-provider: {name: gcp}}", kServer)),
       "/users/0/user/auth-provider: built-in providers are gone"},
      {failure(config_with("{as: root}", kServer)),
       "/users/0/user/as: impersonation is not supported"},
      {failure(config_with(exec + "interactiveMode: Always}}", kServer)),
       "/users/0/user/exec/interactiveMode: 'Always' wants a terminal"},
      {failure(config_with(exec + "}}", kServer)),
       "/users/0/user/exec/interactiveMode: missing: expected Never or IfAvailable"},
      {failure(config_with(exec + "interactiveMode: Never}, token: t}", kServer)),
       "/users/0/user/exec: beside a token: one of the two must go"},
  };
  for (const auto& [got, wanted] : cases) {
    EXPECT_NE(got.find(wanted), std::string::npos) << got;
  }
}

TEST(Access, ReadsServerUrlsAndRefusesOthers) {
  Access access;
  ASSERT_TRUE(set_server(access, "https://[fd00::1]/"));
  EXPECT_EQ(server_url(access), "https://[fd00::1]:443");
  for (const auto* url :
       {"", "https://", "https://:1", "https://h:0", "https://h:99999", "https://u@h",
        "https://h?x", "https://h#x", "https://h y", "ftp://h", "https://[::1", "https://h\n/"}) {
    EXPECT_FALSE(set_server(access, url)) << url;
  }
}

}  // namespace
}  // namespace baton::kube
