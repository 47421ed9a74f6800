#include "routing/sidecar/allowlist.hpp"

#include <arpa/inet.h>

#include <array>
#include <fstream>
#include <utility>
#include <vector>

#include "base/core/log.hpp"

namespace baton::sidecar {

namespace {

// nullopt: it is a name, which may mean another address tomorrow.
std::optional<http::Endpoint> canonical(const http::Endpoint& endpoint) {
  auto address = canonical_address(endpoint.host);
  return address ? std::optional(http::Endpoint{*std::move(address), endpoint.port}) : std::nullopt;
}

}  // namespace

std::optional<std::string> canonical_address(std::string_view host) {
  const std::string text(host);
  std::array<char, INET6_ADDRSTRLEN> out{};
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) {
    return ::inet_ntop(AF_INET, &four, out.data(), out.size());
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) != 1) return std::nullopt;
  if (IN6_IS_ADDR_V4MAPPED(&six) != 0) {
    return ::inet_ntop(AF_INET, &six.s6_addr[12], out.data(), out.size());
  }
  return ::inet_ntop(AF_INET6, &six, out.data(), out.size());
}

bool PublishedAllowlist::allows(const http::Endpoint& endpoint) {
  const auto now = of_->current();
  const auto at = canonical(endpoint);
  return now && at && now->contains(*at);
}

bool FileAllowlist::allows(const http::Endpoint& endpoint) {
  if (changed()) load();
  const auto at = canonical(endpoint);
  return at && allowed_.contains(*at);
}

bool FileAllowlist::changed() {
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

void FileAllowlist::load() {
  allowed_.clear();
  std::ifstream file(path_);
  const bool fits = static_cast<std::size_t>(seen_.st_size) <= kMaxAllowlistBytes;
  std::vector<std::string> lines;
  for (std::string line; fits && std::getline(file, line);) lines.push_back(line);
  // What was the moment's fault, as too few descriptors, is tried again at the next question.
  loaded_ = file.is_open() && !file.bad();
  if (!loaded_ || !fits) {
    if (!std::exchange(told_, true)) {
      log::warn("allowlist cannot be read; every prefill endpoint is refused", {{"file", path_}});
    }
    return;
  }
  told_ = false;
  for (std::string& line : lines) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const auto endpoint = http::parse_endpoint(line);
    if (auto at = endpoint ? canonical(*endpoint) : std::nullopt) {
      allowed_.insert(*std::move(at));
    } else {
      log::warn("allowlist line is not ip:port", {{"file", path_}, {"line", line}});
    }
  }
}

}  // namespace baton::sidecar
