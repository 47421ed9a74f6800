#pragma once
// The prefill endpoints that may be dialled: a file with one "ip:port" a line, kept up to date by
// whoever knows the pods.

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <string>

#include "net/http/message.hpp"

namespace baton::sidecar {

inline constexpr std::size_t kMaxAllowlistBytes = 1 << 20;

// Confined to its loop. Reads the file again when it has changed (one stat per question). A file
// that is missing, too large or unreadable allows nothing.
class Allowlist {
 public:
  explicit Allowlist(std::string path) : path_(std::move(path)) {}

  bool allows(const http::Endpoint& endpoint);

 private:
  bool changed();
  void load();

  std::string path_;
  std::set<http::Endpoint> allowed_;
  struct stat seen_{};
  bool loaded_ = false;
};

}  // namespace baton::sidecar
