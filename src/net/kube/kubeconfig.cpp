#include "net/kube/kubeconfig.hpp"

#include <fmt/format.h>

#include "base/core/nearest.hpp"
#include "base/text/base64.hpp"
#include "base/text/yaml.hpp"

namespace baton::kube {

namespace {

using text::json::Value;
using Entry = Kubeconfig::Entry;

constexpr std::string_view kPlugins = "client.authentication.k8s.io/";

Error at(const Entry& entry, std::string_view field, std::string_view what) {
  return invalid(fmt::format("{}: {}{}{}: {}", entry.file, entry.pointer, field.empty() ? "" : "/",
                             field, what));
}

// A member that must be a string when it is there.
Result<std::string> text_of(const Entry& entry, std::string_view field) {
  const Value* value = entry.value.find(field);
  if (value == nullptr || value->is_null()) return std::string();
  if (const auto* text = value->if_string()) return *text;
  return at(entry, field, fmt::format("expected a string, got {}", value->kind_name()));
}

Result<bool> flag_of(const Entry& entry, std::string_view field) {
  const Value* value = entry.value.find(field);
  if (value == nullptr || value->is_null()) return false;
  if (const auto* flag = value->if_bool()) return *flag;
  return at(entry, field, fmt::format("expected true or false, got {}", value->kind_name()));
}

Status refuse(const Entry& entry, std::string_view field, std::string_view why) {
  const Value* value = entry.value.find(field);
  const bool empty = value == nullptr || value->is_null() ||
                     (value->if_string() != nullptr && value->if_string()->empty());
  return empty ? Status() : Status(at(entry, field, why));
}

std::string absolute(const Entry& entry, std::string path) {
  return path.empty() || path.front() == '/' ? path : entry.folder + "/" + path;
}

// NAME (a file) or NAME-data (base64), the data winning.
Result<Pem> pem_of(const Entry& entry, std::string_view name) {
  const std::string data_field = fmt::format("{}-data", name);
  BATON_TRY_ASSIGN(const std::string data, text_of(entry, data_field));
  BATON_TRY_ASSIGN(const std::string file, text_of(entry, name));
  if (data.empty()) return Pem{"", absolute(entry, file)};
  auto pem = text::parse_base64(data);
  if (!pem) return at(entry, data_field, pem.error().message());
  if (pem->empty()) return at(entry, data_field, "holds nothing");
  return Pem{*std::move(pem), ""};
}

Result<const Entry*> find(const std::map<std::string, Entry>& entries, std::string_view what,
                          const std::string& name, const std::string& where) {
  const auto found = entries.find(name);
  if (found != entries.end()) return &found->second;
  std::vector<std::string_view> names;
  for (const auto& [known, entry] : entries) names.push_back(known);
  std::string message =
      fmt::format("{}: no {} is named '{}'{}", where, what, name, did_you_mean(name, names));
  if (names.empty()) message += fmt::format("; there is no {} at all", what);
  return invalid(std::move(message));
}

Result<ExecPlugin> plugin_of(const Entry& user) {
  Entry exec{*user.value.find("exec"), user.file, user.pointer + "/exec", user.folder};
  if (!exec.value.is_object()) {
    return at(exec, "", fmt::format("expected an object, got {}", exec.value.kind_name()));
  }
  ExecPlugin out;
  BATON_TRY_ASSIGN(out.api_version, text_of(exec, "apiVersion"));
  if (out.api_version != fmt::format("{}v1", kPlugins) &&
      out.api_version != fmt::format("{}v1beta1", kPlugins)) {
    return at(exec, "apiVersion",
              fmt::format("expected {0}v1 or {0}v1beta1, got '{1}'", kPlugins, out.api_version));
  }
  BATON_TRY_ASSIGN(out.command, text_of(exec, "command"));
  if (out.command.empty()) return at(exec, "command", "missing: the program to run");
  // As kubectl: a bare name is looked up in PATH, a path with a slash is relative to the file.
  if (out.command.find('/') != std::string::npos) out.command = absolute(exec, out.command);
  BATON_TRY_ASSIGN(out.install_hint, text_of(exec, "installHint"));
  BATON_TRY_ASSIGN(out.provide_cluster_info, flag_of(exec, "provideClusterInfo"));
  BATON_TRY_ASSIGN(const std::string mode, text_of(exec, "interactiveMode"));
  if (mode == "Always") {
    return at(exec, "interactiveMode",
              "'Always' wants a terminal, and plugins are run without one; expected Never or "
              "IfAvailable");
  }
  if (mode.empty() && !out.api_version.ends_with("/v1beta1")) {
    return at(exec, "interactiveMode", "missing: expected Never or IfAvailable");
  }
  if (!mode.empty() && mode != "Never" && mode != "IfAvailable") {
    return at(exec, "interactiveMode",
              fmt::format("expected Never, IfAvailable or Always, got '{}'", mode));
  }
  if (const Value* args = exec.value.find("args"); args != nullptr && !args->is_null()) {
    if (args->if_array() == nullptr) return at(exec, "args", "expected a list");
    for (std::size_t i = 0; i < args->if_array()->size(); ++i) {
      const auto* arg = (*args->if_array())[i].if_string();
      if (arg == nullptr) return at(exec, fmt::format("args/{}", i), "expected a string");
      out.args.push_back(*arg);
    }
  }
  if (const Value* env = exec.value.find("env"); env != nullptr && !env->is_null()) {
    if (env->if_array() == nullptr) return at(exec, "env", "expected a list");
    for (std::size_t i = 0; i < env->if_array()->size(); ++i) {
      const auto name = (*env->if_array())[i].string_at({"name"});
      if (name.empty() || name.find('=') != std::string_view::npos) {
        return at(exec, fmt::format("env/{}/name", i), "expected the name of a variable");
      }
      out.env[std::string(name)] = (*env->if_array())[i].string_at({"value"});
    }
  }
  return out;
}

Status read_cluster(const Entry& cluster, Access& access) {
  BATON_TRY(refuse(cluster, "proxy-url",
                   "API servers behind a proxy are not supported: remove proxy-url, or give the "
                   "address of a local tunnel as server"));
  BATON_TRY_ASSIGN(const std::string server, text_of(cluster, "server"));
  if (server.empty()) return at(cluster, "server", "missing: the URL of the API server");
  if (auto read = set_server(access, server); !read) {
    return at(cluster, "server", read.error().message());
  }
  BATON_TRY_ASSIGN(access.ca, pem_of(cluster, "certificate-authority"));
  BATON_TRY_ASSIGN(const bool insecure, flag_of(cluster, "insecure-skip-tls-verify"));
  access.verify = !insecure;
  if (insecure && !access.ca.empty()) {
    return at(cluster, "insecure-skip-tls-verify",
              "true beside a certificate authority: one of the two must go");
  }
  BATON_TRY_ASSIGN(access.server_name, text_of(cluster, "tls-server-name"));
  return {};
}

Status read_user(const Entry& user, Access& access) {
  for (const auto* field : {"username", "password"}) {
    BATON_TRY(refuse(user, field,
                     "API servers have not taken user names and passwords since 1.19: use a token, "
                     "a client certificate or an exec plugin"));
  }
  BATON_TRY(refuse(user, "auth-provider",
                   "built-in providers are gone since Kubernetes 1.26: use the provider's exec "
                   "plugin"));
  for (const auto* field : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    BATON_TRY(refuse(user, field, "impersonation is not supported"));
  }
  BATON_TRY_ASSIGN(access.certificate, pem_of(user, "client-certificate"));
  BATON_TRY_ASSIGN(access.key, pem_of(user, "client-key"));
  if (access.certificate.empty() != access.key.empty()) {
    return at(user, access.key.empty() ? "client-key" : "client-certificate",
              "missing: a client certificate and its key come together");
  }
  BATON_TRY_ASSIGN(access.token, text_of(user, "token"));
  BATON_TRY_ASSIGN(const std::string token_file, text_of(user, "tokenFile"));
  access.token_file = absolute(user, token_file);
  if (const Value* exec = user.value.find("exec"); exec != nullptr && !exec->is_null()) {
    BATON_TRY_ASSIGN(ExecPlugin plugin, plugin_of(user));
    access.exec.push_back(std::move(plugin));
  }
  if (!access.exec.empty() && (!access.token.empty() || !access.token_file.empty())) {
    return at(user, "exec", "beside a token: one of the two must go");
  }
  return {};
}

// The named entries of `list`: each {name, MEMBER: {...}}.
Status read_entries(const Value& root, const std::string& file, std::string_view list,
                    std::string_view member, std::map<std::string, Entry>& into) {
  const Value* entries = root.find(list);
  if (entries == nullptr || entries->is_null()) return {};
  const auto fail = [&](std::string_view pointer, std::string_view what) {
    return invalid(fmt::format("{}: /{}{}: {}", file, list, pointer, what));
  };
  if (entries->if_array() == nullptr) {
    return fail("", fmt::format("expected a list, got {}", entries->kind_name()));
  }
  const std::string folder = file.substr(0, std::max<std::size_t>(file.rfind('/'), 1));
  for (std::size_t i = 0; i < entries->if_array()->size(); ++i) {
    const Value& entry = (*entries->if_array())[i];
    const std::string name(entry.string_at({"name"}));
    if (name.empty()) return fail(fmt::format("/{}/name", i), "missing");
    const Value* value = entry.find(member);
    // kubectl writes "user: {}" or leaves it out for a user without credentials.
    Value content = value == nullptr || value->is_null() ? Value(text::json::Object{}) : *value;
    if (!content.is_object()) {
      return fail(fmt::format("/{}/{}", i, member),
                  fmt::format("expected an object, got {}", content.kind_name()));
    }
    const auto pointer = fmt::format("/{}/{}/{}", list, i, member);
    if (!into.emplace(name, Entry{std::move(content), file, pointer, folder}).second) {
      return fail(fmt::format("/{}/name", i), fmt::format("'{}' is there twice", name));
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> kubeconfig_files(std::string_view kubeconfig_env, std::string_view home) {
  std::vector<std::string> out;
  while (!kubeconfig_env.empty()) {
    const auto end = std::min(kubeconfig_env.find(':'), kubeconfig_env.size());
    if (end > 0) out.emplace_back(kubeconfig_env.substr(0, end));
    kubeconfig_env.remove_prefix(std::min(end + 1, kubeconfig_env.size()));
  }
  if (out.empty() && !home.empty()) out.push_back(fmt::format("{}/.kube/config", home));
  return out;
}

Result<Kubeconfig> parse_kubeconfig(std::string_view text, const std::string& file) {
  if (text.size() > kMaxKubeconfig) {
    return invalid(
        fmt::format("{}: {} bytes are over the limit of {}", file, text.size(), kMaxKubeconfig));
  }
  Kubeconfig out;
  out.files.push_back(file);
  BATON_TRY_ASSIGN(const auto documents, text::yaml::parse_all(text, file));
  if (documents.empty()) return out;  // as kubectl: an empty file adds nothing
  if (documents.size() > 1) {
    return invalid(fmt::format("{}:{}: a kubeconfig is one document", file, documents[1].line));
  }
  const Value& root = documents[0].value;
  if (!root.is_object()) {
    return invalid(fmt::format("{}: expected an object, got {}", file, root.kind_name()));
  }
  const auto expect = [&](std::string_view field, std::string_view wanted) -> Status {
    const auto got = root.string_at({field});
    if (got.empty() || got == wanted) return {};
    return invalid(fmt::format("{}: /{}: expected {}, got '{}'", file, field, wanted, got));
  };
  BATON_TRY(expect("apiVersion", "v1"));
  BATON_TRY(expect("kind", "Config"));
  out.current_context = root.string_at({"current-context"});
  BATON_TRY(read_entries(root, file, "contexts", "context", out.contexts));
  BATON_TRY(read_entries(root, file, "clusters", "cluster", out.clusters));
  BATON_TRY(read_entries(root, file, "users", "user", out.users));
  return out;
}

void merge(Kubeconfig& into, Kubeconfig later) {
  if (into.current_context.empty()) into.current_context = std::move(later.current_context);
  into.contexts.merge(later.contexts);
  into.clusters.merge(later.clusters);
  into.users.merge(later.users);
  into.files.insert(into.files.end(), later.files.begin(), later.files.end());
}

Result<Access> resolve(const Kubeconfig& config, std::string_view context) {
  const std::string where = fmt::format("{}", fmt::join(config.files, ":"));
  const std::string name(context.empty() ? config.current_context : context);
  if (name.empty()) {
    return invalid(
        fmt::format("{}: /current-context: missing, and no context was asked for", where));
  }
  BATON_TRY_ASSIGN(const Entry* chosen, find(config.contexts, "context", name, where));
  Access out;
  out.source = fmt::format("context '{}' of {}", name, chosen->file);
  BATON_TRY_ASSIGN(const std::string cluster, text_of(*chosen, "cluster"));
  BATON_TRY_ASSIGN(const std::string user, text_of(*chosen, "user"));
  BATON_TRY_ASSIGN(out.ns, text_of(*chosen, "namespace"));
  if (out.ns.empty()) out.ns = "default";
  if (cluster.empty()) return at(*chosen, "cluster", "missing");
  const auto field = [&](const char* member) {
    return fmt::format("{}: {}/{}", chosen->file, chosen->pointer, member);
  };
  BATON_TRY_ASSIGN(const Entry* server,
                   find(config.clusters, "cluster", cluster, field("cluster")));
  BATON_TRY(read_cluster(*server, out));
  if (!user.empty()) {
    BATON_TRY_ASSIGN(const Entry* who, find(config.users, "user", user, field("user")));
    BATON_TRY(read_user(*who, out));
  }
  return out;
}

}  // namespace baton::kube
