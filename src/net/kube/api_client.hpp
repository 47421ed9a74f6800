#pragma once
// Requests to one API server: as whom, over which connections, how often again.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "net/http/blocking_client.hpp"
#include "net/kube/access.hpp"
#include "net/kube/credentials.hpp"
#include "net/tls/reload.hpp"

namespace baton::kube {

inline constexpr std::size_t kMaxAnswer = std::size_t{32} << 20;  // bytes of one object or Status
inline constexpr std::ptrdiff_t kMaxInFlight = 64;                // requests waiting for their head
inline constexpr Nanos kMaxRetryAfter = std::chrono::seconds(30);  // a server may ask for longer
inline constexpr std::size_t kMaxWarnings = 256;                   // different ones that are logged

// Thread-safe.
//
// Sent again, at most `attempts` times in all: what was refused before it was done (no connection,
// 429, and 5xx with Retry-After, as client-go does), and GETs that got a 5xx or no answer. A 401 is
// answered once with renewed credentials. There is no other client-side rate limit than
// kMaxInFlight: the server's own fairness decides.
class ApiClient {
 public:
  struct Config {
    Access access;
    std::string user_agent = "baton";
    std::vector<std::string> environment = {};  // "NAME=value", for an exec plugin
    int attempts = 5;
    Nanos attempt_timeout = std::chrono::seconds(30);  // until the head of the answer
    Nanos backoff = Millis(100);                       // doubled each time, plus up to half of it
  };
  // Reads certificates. kNotFound, kInvalid: as files and credentials are.
  static Result<std::unique_ptr<ApiClient>> open(Config config, const Clock& clock, Random& random);
  ~ApiClient();

  struct Request {
    std::string method = "GET";
    std::string target;        // after the access's base path
    std::string body = {};     // JSON
    std::string content = {};  // its media type
  };
  // Any HTTP status is an answer. Errors are of what lies below: kUnavailable, kTimeout, kDenied.
  Result<http::BlockingAnswer> send(const Request& request, Deadline deadline);
  // Returns when the head has come; an answer other than 2xx has its whole body in `refusal`.
  struct Opened {
    std::unique_ptr<http::BlockingResponse> stream;  // null with a refusal
    http::BlockingAnswer refusal;
  };
  Result<Opened> open_stream(const Request& request, Deadline deadline);

  const Access& access() const { return config_.access; }

 private:
  // Connections made with one set of certificates.
  struct Link;
  ApiClient(Config config, const Clock& clock, Random& random);

  Result<std::shared_ptr<Link>> link(const Credentials::Current& now);
  Result<Opened> attempt(const Request& request, const Credentials::Current& now, Deadline deadline,
                         bool& done_nothing);
  Status wait(Nanos pause, Deadline deadline);
  Nanos backoff(int attempt);
  void note_warnings(const http::Headers& headers);

  const Config config_;
  const Clock& clock_;
  Credentials credentials_;
  std::counting_semaphore<kMaxInFlight> slots_{kMaxInFlight};
  std::mutex mutex_;  // guards everything below
  Random& random_;
  std::shared_ptr<Link> link_;
  std::set<std::string, std::less<>> warned_;
};

// What a Warning field says: `299 - "text"` -> text. "" when it is none.
std::string warning_text(std::string_view field);

}  // namespace baton::kube
