#include "routing/sidecar/allowlist.hpp"

#include <fstream>
#include <utility>

#include "base/core/log.hpp"

namespace baton::sidecar {

bool Allowlist::allows(const http::Endpoint& endpoint) {
  if (changed()) load();
  return allowed_.contains(endpoint);
}

bool Allowlist::changed() {
  struct stat now{};
  if (::stat(path_.c_str(), &now) != 0) {
    if (loaded_ || !allowed_.empty()) {
      log::warn("allowlist is gone; every prefill endpoint is refused", {{"file", path_}});
    }
    loaded_ = false;
    allowed_.clear();
    return false;
  }
  bool same = loaded_ && now.st_ino == seen_.st_ino && now.st_size == seen_.st_size &&
              now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
              now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec;
  seen_ = now;
  return !same;
}

void Allowlist::load() {
  loaded_ = true;
  allowed_.clear();
  std::ifstream file(path_);
  if (!file || static_cast<std::size_t>(seen_.st_size) > kMaxAllowlistBytes) {
    log::warn("allowlist cannot be read; every prefill endpoint is refused", {{"file", path_}});
    return;
  }
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    if (auto endpoint = http::parse_endpoint(line)) {
      allowed_.insert(std::move(*endpoint));
    } else {
      log::warn("allowlist line is not ip:port", {{"file", path_}, {"line", line}});
    }
  }
}

}  // namespace baton::sidecar
