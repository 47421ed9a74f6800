#include "net/kube/access.hpp"

#include <fmt/format.h>

namespace baton::kube {

Status set_server(Access& access, std::string_view url) {
  const auto refuse = [&](std::string_view why) {
    return invalid(fmt::format("'{}': {}; expected https://HOST[:PORT][/PATH]", url, why));
  };
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    access.https = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    access.https = false;
    rest.remove_prefix(7);
  } else {
    return refuse("the scheme is not https or http");
  }
  if (rest.find_first_of("?#@") != std::string_view::npos) {
    return refuse("an API server's URL has no query, fragment or user");
  }
  for (const char c : rest) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') return refuse("it holds white space");
  }
  const auto slash = std::min(rest.find('/'), rest.size());
  std::string authority(rest.substr(0, slash));
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  const bool bracketed = authority.starts_with('[');
  const auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']');
  const bool has_port = colon != std::string::npos &&
                        (!bracketed || (bracket != std::string::npos && colon > bracket));
  if (!has_port) authority += access.https ? ":443" : ":80";
  const auto endpoint = http::parse_endpoint(authority);
  if (!endpoint || endpoint->host.empty() || endpoint->port == 0) {
    return refuse(fmt::format("'{}' is no host and port", rest.substr(0, slash)));
  }
  access.server = *endpoint;
  access.base_path = path;
  return {};
}

std::string server_url(const Access& access) {
  return fmt::format("{}://{}{}", access.https ? "https" : "http", http::to_string(access.server),
                     access.base_path);
}

}  // namespace baton::kube
