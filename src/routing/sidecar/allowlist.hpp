#pragma once
// Which prefill endpoints may be dialled: addresses and ports, never names.

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "net/http/message.hpp"

namespace baton::sidecar {

inline constexpr std::size_t kMaxAllowlistBytes = 1 << 20;

// The one spelling of an IP address; an IPv4 address within IPv6 becomes itself. nullopt: a name,
// or a form that only some resolvers take for an address (decimal, octal, hexadecimal, a zone).
std::optional<std::string> canonical_address(std::string_view host);

// Confined to its loop.
class Allowlist {
 public:
  virtual ~Allowlist() = default;
  virtual bool allows(const http::Endpoint& endpoint) = 0;
};

// A file with one "ip:port" a line, kept up to date by whoever knows the pods. Read again when it
// has changed (one stat per question), or could not be read. One that is missing, too large or
// unreadable allows nothing.
class FileAllowlist final : public Allowlist {
 public:
  explicit FileAllowlist(std::string path) : path_(std::move(path)) {}
  bool allows(const http::Endpoint& endpoint) override;

 private:
  bool changed();
  void load();

  std::string path_;
  std::set<http::Endpoint> allowed_;
  struct stat seen_{};
  bool loaded_ = false;  // as seen_
  bool told_ = false;    // that it cannot be read
};

// What somebody on another thread publishes; nothing until then.
class Published {
 public:
  using Endpoints = std::set<http::Endpoint>;
  void publish(Endpoints endpoints) {
    auto next = std::make_shared<const Endpoints>(std::move(endpoints));
    const std::lock_guard lock(mutex_);
    current_ = std::move(next);
  }
  // Null: nothing is known yet.
  std::shared_ptr<const Endpoints> current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Endpoints> current_;  // guarded by mutex_
};

class PublishedAllowlist final : public Allowlist {
 public:
  explicit PublishedAllowlist(std::shared_ptr<const Published> of) : of_(std::move(of)) {}
  bool allows(const http::Endpoint& endpoint) override;

 private:
  std::shared_ptr<const Published> of_;
};

}  // namespace baton::sidecar
