#pragma once
// Requests to a hub: redirects, credentials, what its statuses mean, and when to ask again.

#include <expected>
#include <functional>
#include <memory>
#include <optional>

#include "base/core/clock.hpp"
#include "net/http/blocking_client.hpp"
#include "net/hub/settings.hpp"
#include "net/hub/url.hpp"

namespace baton::hub {

inline constexpr int kMaxRedirects = 8;
inline constexpr Nanos kHeadTimeout = std::chrono::seconds(30);  // until an answer begins
inline constexpr Nanos kIdleTimeout = std::chrono::seconds(30);  // between two pieces of a body

// Why a request brought nothing, and whether the same may do so later.
struct Trouble {
  Error error;
  enum class Again : bool { kNo, kYes } again = Again::kNo;
  std::optional<Nanos> wait = std::nullopt;  // what the hub asks for (Retry-After)
  int status = 0;                            // 0: no answer
};
Trouble trouble_of(const http::Failure& failure);

// Retry-After: seconds, or a date (RFC 9110 10.2.3). nullopt when it is neither. Pure.
std::optional<Nanos> retry_after(std::string_view field, Wall now);

// What a status other than 200 and 206 means; `what` is the model, for the message. Pure.
Trouble trouble_of_status(const http::ResponseHead& head, const Url& at, std::string_view what,
                          bool has_token, Wall now);

struct Answer {
  std::unique_ptr<http::BlockingResponse> response;
  // Of the file itself: X-Linked-Etag of the first answer, else ETag; "" when there is none.
  std::string etag;
};

// Confined to one thread.
class Transport {
 public:
  // `what`: the model, for messages. Fails when the system's certificates cannot be read.
  static Result<std::unique_ptr<Transport>> open(const Settings& settings, std::string what,
                                                 const Clock& clock);

  // A GET that ends at 200 or 206. Redirects are followed, also relative ones, never from https to
  // http. The token goes to the hub's own server only.
  std::expected<Answer, Trouble> get(const Url& url, const http::Headers& extra);
  // The whole body.
  std::expected<std::string, Trouble> get_all(const Url& url, std::size_t limit,
                                              http::Headers* headers = nullptr);

  const Settings& settings() const { return settings_; }
  const Clock& clock() const { return clock_; }

 private:
  Transport(Settings settings, std::string what, const Clock& clock,
            std::shared_ptr<const tls::ClientContext> tls);
  http::BlockingClient& client(const Url& url);
  http::RequestHead head_of(const Url& url, const http::Headers& extra) const;

  const Settings settings_;
  const std::string what_;
  const Clock& clock_;
  http::BlockingClient plain_, secure_;
};

// How often, and how long, to try. Confined to one thread.
class Patience {
 public:
  struct Config {
    int tries = 5;                                        // in a row, without any progress
    Nanos first_wait = Millis(500);                       // then doubled
    Nanos longest_wait = std::chrono::minutes(5);         // that a hub may ask for
    std::function<void(Nanos)> sleep;                     // required
    std::function<void(std::string_view)> say = nullptr;  // before each wait
  };
  explicit Patience(Config config) : config_(std::move(config)) {}

  void progressed() { failed_ = 0; }
  // Waits, or returns why there is no next time.
  Status wait_after(const Trouble& trouble);
  void sleep(Nanos time) const { config_.sleep(time); }

 private:
  const Config config_;
  int failed_ = 0;
};

}  // namespace baton::hub
