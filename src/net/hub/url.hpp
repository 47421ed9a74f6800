#pragma once
// Addresses of a hub and where it redirects to. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::hub {

enum class Scheme : std::uint8_t { kHttp, kHttps };

struct Url {
  Scheme scheme = Scheme::kHttps;
  http::Endpoint endpoint;
  std::string target;  // path and query; "" or begins with '/'

  friend bool operator==(const Url&, const Url&) = default;
};
std::string to_string(const Url& url);
std::string host_header(const Url& url);  // without the scheme's own port

inline constexpr std::size_t kMaxUrl = 8192;  // signed addresses of storage are about 2,000 bytes

// Absolute, http or https; a fragment is dropped. kInvalid: anything else, user names in it and
// control characters included.
Result<Url> parse_url(std::string_view text);

// A Location or Link seen at `base` (RFC 3986 5.2): absolute, with authority, or a path.
Result<Url> resolve(const Url& base, std::string_view reference);

// Whether both go to the same server: only then may credentials go along.
bool same_origin(const Url& a, const Url& b);

// The reference of `rel="next"` in a Link field (RFC 8288); "" when there is none.
std::string_view next_link(std::string_view field);

}  // namespace baton::hub
