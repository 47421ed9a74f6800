#include "net/kube/exec_credential.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/async/process.hpp"
#include "base/text/base64.hpp"
#include "base/text/json.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

using text::json::Value;

// The two ends of a pipe, the writing one inherited by nobody by accident.
struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() {
    if (read >= 0) ::close(read);
    close_write();
  }
  void close_write() {
    if (write >= 0) ::close(write);
    write = -1;
  }
};

// Until the end, the deadline or the limit.
Result<std::string> read_output(int fd, const std::string& command, Deadline deadline,
                                const Clock& clock) {
  std::string out;
  char piece[4096];
  while (true) {
    const auto left = std::chrono::ceil<Millis>(deadline.left(clock.now()));
    pollfd waiting{fd, POLLIN, 0};
    const int ready =
        ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0 && deadline.passed(clock.now())) {
      return timed_out(fmt::format("exec plugin {} did not finish in time", command));
    }
    if (ready <= 0) continue;
    const auto got = ::read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    out.append(piece, static_cast<std::size_t>(got));
    if (out.size() > kMaxExecOutput) {
      return denied(
          fmt::format("exec plugin {} printed more than {} bytes", command, kMaxExecOutput));
    }
  }
}

}  // namespace

std::string exec_info(const ExecPlugin& plugin, const Access& access, std::string_view authority) {
  Value info;
  info["apiVersion"] = plugin.api_version;
  info["kind"] = "ExecCredential";
  auto& spec = info["spec"];
  spec["interactive"] = false;
  if (plugin.provide_cluster_info) {
    auto& cluster = spec["cluster"];
    cluster["server"] = server_url(access);
    if (!access.server_name.empty()) cluster["tls-server-name"] = access.server_name;
    if (!access.verify) cluster["insecure-skip-tls-verify"] = true;
    if (!authority.empty()) cluster["certificate-authority-data"] = text::base64(authority);
  }
  return text::json::dump(info);
}

Result<ExecCredential> parse_exec_credential(const ExecPlugin& plugin, std::string_view output) {
  const auto refuse = [&](std::string_view what) {
    return invalid(fmt::format("exec plugin {}: {}", plugin.command, what));
  };
  const auto parsed = text::json::parse(output);
  if (!parsed) return refuse(parsed.error().message());
  if (parsed->string_at({"kind"}) != "ExecCredential") {
    return refuse(
        fmt::format("/kind: expected ExecCredential, got '{}'", parsed->string_at({"kind"})));
  }
  if (parsed->string_at({"apiVersion"}) != plugin.api_version) {
    return refuse(fmt::format("/apiVersion: expected {} as the kubeconfig says, got '{}'",
                              plugin.api_version, parsed->string_at({"apiVersion"})));
  }
  ExecCredential out;
  out.token = parsed->string_at({"status", "token"});
  out.certificate = parsed->string_at({"status", "clientCertificateData"});
  out.key = parsed->string_at({"status", "clientKeyData"});
  if (out.certificate.empty() != out.key.empty()) {
    return refuse("/status: clientCertificateData and clientKeyData come together");
  }
  if (out.token.empty() && out.certificate.empty()) {
    return refuse("/status: neither a token nor a client certificate");
  }
  for (const char c : out.token) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') {
      return refuse("/status/token: holds white space or control characters");
    }
  }
  const auto expiry = parsed->string_at({"status", "expirationTimestamp"});
  if (!expiry.empty()) {
    out.expiry = parse_timestamp(expiry);
    if (!out.expiry) {
      return refuse(
          fmt::format("/status/expirationTimestamp: expected a time as "
                      "2025-01-31T12:00:00Z, got '{}'",
                      expiry));
    }
  }
  return out;
}

Result<ExecCredential> run_exec_plugin(const ExecPlugin& plugin, const std::string& info,
                                       std::vector<std::string> environment, Deadline deadline,
                                       const Clock& clock) {
  deadline = deadline.earlier(Deadline::in(clock, kExecTimeout));
  const auto set = [&](const std::string& name, const std::string& value) {
    std::erase_if(environment, [&](const std::string& v) { return v.starts_with(name + "="); });
    environment.push_back(name + "=" + value);
  };
  for (const auto& [name, value] : plugin.env) set(name, value);
  set("KUBERNETES_EXEC_INFO", info);

  Pipe pipe;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return unavailable(
        fmt::format("exec plugin {}: pipe: {}", plugin.command, std::strerror(errno)));
  }
  pipe.read = ends[0];
  pipe.write = ends[1];
  async::Process::Spec spec;
  spec.argv = {plugin.command};
  spec.argv.insert(spec.argv.end(), plugin.args.begin(), plugin.args.end());
  spec.env = std::move(environment);
  spec.output = pipe.write;
  spec.errors = async::Process::Spec::Errors::kStarters;
  auto process = async::Process::start(spec);
  if (!process) {
    const auto hint = plugin.install_hint.empty() ? "" : fmt::format(" ({})", plugin.install_hint);
    const Error& why = process.error();
    return Error(why.code(), fmt::format("exec plugin: {}{}", why.message(), hint));
  }
  pipe.close_write();
  BATON_TRY_ASSIGN(const std::string output,
                   read_output(pipe.read, plugin.command, deadline, clock));
  const auto exit = (*process)->wait(deadline, clock);
  if (!exit) return timed_out(fmt::format("exec plugin {} did not finish in time", plugin.command));
  if (exit->code != 0) {
    return denied(fmt::format("exec plugin {} failed with code {}", plugin.command, exit->code));
  }
  auto parsed = parse_exec_credential(plugin, output);
  if (!parsed) return denied(parsed.error().message());
  return parsed;
}

}  // namespace baton::kube
