#pragma once
// Who may ask a program's own HTTP port for something, as the API server says: whose token it is
// (TokenReview), and whether they may (SubjectAccessReview of a path that is no resource).
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

// Thread-safe. Blocks on the API server; answers are remembered for a while.
class AccessReview {
 public:
  static constexpr Nanos kAllowedFor = std::chrono::minutes(1);
  static constexpr Nanos kDeniedFor = std::chrono::seconds(10);
  static constexpr std::size_t kRemembered = 1024;  // answers; more forget all of them
  static constexpr std::size_t kMaxToken = 16 << 10;

  // Both must outlive it.
  AccessReview(Cluster& cluster, const Clock& clock) : cluster_(cluster), clock_(clock) {}

  enum class Verdict : std::uint8_t {
    kAllowed,
    kUnknown,  // nobody's token: 401
    kDenied,   // somebody's who may not: 403
    kFailed,   // the API server did not say: 500
  };
  struct Answer {
    Verdict verdict = Verdict::kFailed;
    std::string why;  // for the log and the client
  };
  // `verb` in lower case ("get"), `path` without its query.
  Answer ask(std::string_view token, std::string_view verb, std::string_view path,
             Deadline deadline);

 private:
  using Key = std::array<unsigned char, 32>;  // SHA-256: tokens are not kept
  struct Remembered {
    Answer answer;
    Mono until;
  };
  Answer review(std::string_view token, std::string_view verb, std::string_view path,
                Deadline deadline);

  Cluster& cluster_;
  const Clock& clock_;
  std::mutex mutex_;  // guards the rest
  std::map<Key, Remembered> answers_;
};

// The token of "Authorization: Bearer …"; "" for anything else.
std::string_view bearer_token(std::string_view authorization);

}  // namespace baton::kube
