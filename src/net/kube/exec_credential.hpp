#pragma once
// Credentials printed by a program: client.authentication.k8s.io v1 and v1beta1.
// Format: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/kube/access.hpp"

namespace baton::kube {

inline constexpr std::size_t kMaxExecOutput = std::size_t{1} << 20;  // bytes
inline constexpr Nanos kExecTimeout = std::chrono::seconds(60);      // of one run

struct ExecCredential {
  std::string token;
  std::string certificate;  // PEM, beside `key`
  std::string key;
  std::optional<Wall> expiry;  // nullopt: until the server refuses it
};

// What the program finds in KUBERNETES_EXEC_INFO. `authority` is the server's CA as PEM text; it is
// shown only with provideClusterInfo.
std::string exec_info(const ExecPlugin& plugin, const Access& access, std::string_view authority);

// What the program printed. kInvalid names the field.
Result<ExecCredential> parse_exec_credential(const ExecPlugin& plugin, std::string_view output);

// Runs the program with `environment` ("NAME=value") plus the plugin's; its standard error is the
// starter's. kNotFound: no such program (with the install hint). kDenied: it failed, or printed no
// credentials. kTimeout.
Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const std::string& info,
                                       std::vector<std::string> environment, Deadline deadline,
                                       const Clock& clock);

}  // namespace baton::kube
