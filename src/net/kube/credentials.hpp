#pragma once
// What proves who we are to the API server, kept fresh: tokens that rotate in their file, programs
// that print tokens with an expiry.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/kube/access.hpp"
#include "net/kube/exec_credential.hpp"

namespace baton::kube {

// A token file is read again after this long, as client-go does: a service account token is
// replaced when four fifths of its life are over.
inline constexpr Nanos kTokenReread = std::chrono::seconds(60);
// A printed credential is replaced this long before it expires.
inline constexpr Nanos kExpiryMargin = std::chrono::seconds(10);

// Thread-safe. One caller at a time runs the plugin; the others wait for it.
class Credentials {
 public:
  struct Current {
    std::string token;        // for "Authorization: Bearer"; may be empty
    std::string certificate;  // PEM of an exec plugin's client certificate; may be empty
    std::string key;
    std::uint64_t version = 0;  // moves when any of them does
  };

  // `environment` is what an exec plugin inherits.
  Credentials(const Access& access, const Clock& clock, std::vector<std::string> environment);

  // kNotFound, kDenied, kInvalid, kTimeout: as the file or the plugin failed. A token file that
  // cannot be read again leaves the token that was read before.
  Result<Current> current(Deadline deadline);
  // The server refused `version` (401): the next current() reads or runs again.
  void refused(std::uint64_t version);

 private:
  Status refresh_file();
  Status refresh_exec(Deadline deadline);

  const Access access_;
  const Clock& clock_;
  const std::vector<std::string> environment_;
  std::mutex mutex_;  // guards everything below
  Current current_;
  std::optional<Mono> read_at_;  // of the token file
  std::optional<Wall> expiry_;   // of a plugin's credential
  bool stale_ = true;
};

}  // namespace baton::kube
