#pragma once
// The key that routers and sidecars share, in a file (a mounted Secret).

#include <string>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::ticket {

inline constexpr std::size_t kMaxKeyFile = 4096;

// Looks at the file again at most once a second; while it cannot be read the last good key stays.
// Spaces around the key do not count. Confined to its owner.
class KeyFile {
 public:
  // kNotFound, kInvalid: not readable, over kMaxKeyFile, a key under kMinKey bytes.
  static Result<KeyFile> open(std::string path, Mono now);

  const std::string& key(Mono now);

 private:
  KeyFile(std::string path, std::string key, Mono now)
      : path_(std::move(path)), key_(std::move(key)), looked_(now) {}

  std::string path_;
  std::string key_;
  Mono looked_;
};

}  // namespace baton::ticket
