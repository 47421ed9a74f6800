#include "net/kube/credentials.hpp"

#include "base/core/log.hpp"
#include "net/kube/small_file.hpp"

namespace baton::kube {

Credentials::Credentials(const Access& access, const Clock& clock,
                         std::vector<std::string> environment)
    : access_(access), clock_(clock), environment_(std::move(environment)) {
  current_.token = access_.token;
}

Result<Credentials::Current> Credentials::current(Deadline deadline) {
  const std::lock_guard lock(mutex_);
  if (!access_.token_file.empty()) {
    BATON_TRY(refresh_file());
  }
  if (!access_.exec.empty()) {
    BATON_TRY(refresh_exec(deadline));
  }
  return current_;
}

void Credentials::refused(std::uint64_t version) {
  const std::lock_guard lock(mutex_);
  if (version == current_.version) stale_ = true;
}

Status Credentials::refresh_file() {
  const Mono now = clock_.now();
  if (!stale_ && read_at_ && now - *read_at_ < kTokenReread) return {};
  auto token = read_word_file(access_.token_file);
  if (!token && !read_at_) return std::move(token).error().with("token");
  read_at_ = now;
  stale_ = false;
  if (!token) {
    log::warn("token not read again; the previous one stays", {{"error", token.error().message()}});
  } else if (*token != current_.token) {
    current_.token = *std::move(token);
    ++current_.version;
  }
  return {};
}

Status Credentials::refresh_exec(Deadline deadline) {
  if (!stale_ && (!expiry_ || clock_.wall() + kExpiryMargin < *expiry_)) return {};
  const ExecPlugin& plugin = access_.exec.front();
  std::string authority = access_.ca.text;
  if (plugin.provide_cluster_info && !access_.ca.file.empty()) {
    BATON_TRY_ASSIGN(authority, read_small_file(access_.ca.file));
  }
  BATON_TRY_ASSIGN(ExecCredential made,
                   run_exec_plugin(plugin, exec_info(plugin, access_, authority), environment_,
                                   deadline, clock_));
  stale_ = false;
  expiry_ = made.expiry;
  current_.token = std::move(made.token);
  current_.certificate = std::move(made.certificate);
  current_.key = std::move(made.key);
  ++current_.version;
  return {};
}

}  // namespace baton::kube
