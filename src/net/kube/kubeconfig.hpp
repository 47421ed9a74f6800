#pragma once
// kubeconfig files: contexts, clusters, users. Pure: text in, `Access` out.
// Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "net/kube/access.hpp"

namespace baton::kube {

inline constexpr std::size_t kMaxKubeconfig = std::size_t{4} << 20;  // bytes of one file

// One file, or several merged. Entries are kept as written until they are resolved: only what the
// chosen context uses must make sense.
struct Kubeconfig {
  struct Entry {
    text::json::Value value;
    std::string file;     // it was read from
    std::string pointer;  // where in it: "/users/0/user"
    std::string folder;   // relative paths start there
  };
  std::string current_context;
  std::vector<std::string> files;
  std::map<std::string, Entry> contexts;
  std::map<std::string, Entry> clusters;
  std::map<std::string, Entry> users;
};

// The files of $KUBECONFIG (separated by colons), or ~/.kube/config when it is empty.
std::vector<std::string> kubeconfig_files(std::string_view kubeconfig_env, std::string_view home);

// `file` is its absolute path, for messages and relative paths. kInvalid: "FILE: /pointer: what".
Result<Kubeconfig> parse_kubeconfig(std::string_view text, const std::string& file);

// As kubectl: an entry, and the current context, of an earlier file wins.
void merge(Kubeconfig& into, Kubeconfig later);

// `context` empty: the current one. kInvalid names file and field. Refused: user name and password
// (API servers stopped taking them in 1.19), auth-provider (gone since 1.26), proxy-url,
// impersonation.
Result<Access> resolve(const Kubeconfig& config, std::string_view context);

}  // namespace baton::kube
