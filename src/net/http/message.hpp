#pragma once
// HTTP message heads as values, shared by server, client and forwarding.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace baton::http {

struct Field {
  std::string name;  // spelling as received
  std::string value;
  friend bool operator==(const Field&, const Field&) = default;
};

// In order of arrival; names compare without case (RFC 9110 5.1).
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  void add(std::string_view name, std::string_view value);
  // Replaces every field of that name by one.
  void set(std::string_view name, std::string_view value);
  // How many were removed.
  std::size_t remove(std::string_view name);
  // The first value.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> get_all(std::string_view name) const;
  bool has(std::string_view name) const { return get(name).has_value(); }

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  std::size_t size() const { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

bool equal_names(std::string_view a, std::string_view b);
// Whether a comma-separated field value names the token.
bool lists_token(std::string_view list, std::string_view token);
// Request bodies are read as they come. The message for a 415 when Content-Encoding names more than
// identity.
std::optional<std::string> content_coding_problem(const Headers& headers);
// Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade and what Connection
// lists (RFC 9110 7.6.1).
void remove_hop_by_hop(Headers& headers);

struct RequestHead {
  std::string method = "GET";
  std::string target = "/";  // origin-form: path and query, as received
  Headers headers;
  // The part of target before '?'.
  std::string_view path() const;
};

struct ResponseHead {
  int status = 200;
  Headers headers;
};

std::string_view reason(int status);  // "" when unknown

struct Endpoint {
  std::string host;  // an IP address, or a name
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};
std::string to_string(const Endpoint& endpoint);  // IPv6 in brackets
// "1.2.3.4:80", "[::1]:80", "name:80".
std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace baton::http
