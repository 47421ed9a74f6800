#include "net/hub/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace baton::hub {

namespace {

std::uint16_t own_port(Scheme scheme) { return scheme == Scheme::kHttps ? 443 : 80; }

Error no_url(std::string_view text) {
  return invalid(fmt::format("'{}' is no http:// or https:// address", text.substr(0, 300)));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// "." and ".." out of a path (RFC 3986 5.2.4).
std::string without_dots(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const auto part = path.substr(0, path.find('/', 1));
    path.remove_prefix(part.size());
    const bool last = path.empty();
    if (part == "/..") {
      out.erase(std::min(out.rfind('/'), out.size()));
    } else if (part != "/.") {
      out += part;
      continue;
    }
    if (last) out += '/';
  }
  return out;
}

}  // namespace

std::string host_header(const Url& url) {
  if (url.endpoint.port != own_port(url.scheme)) return http::to_string(url.endpoint);
  const bool v6 = url.endpoint.host.contains(':');
  return v6 ? "[" + url.endpoint.host + "]" : url.endpoint.host;
}

std::string to_string(const Url& url) {
  return fmt::format("{}://{}{}", url.scheme == Scheme::kHttps ? "https" : "http", host_header(url),
                     url.target);
}

Result<Url> parse_url(std::string_view text) {
  const bool clean = std::ranges::all_of(
      text, [](unsigned char c) { return c > ' ' && c < 0x7f && c != '\\' && c != '"'; });
  if (!clean || text.size() > kMaxUrl) return no_url(text);
  const auto given = text;
  Url out;
  const auto colon = text.find("://");
  const auto scheme = lower(text.substr(0, colon));
  if (colon == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return no_url(given);
  }
  out.scheme = scheme == "https" ? Scheme::kHttps : Scheme::kHttp;
  text = text.substr(0, text.find('#')).substr(colon + 3);
  const auto end = std::min(text.find_first_of("/?"), text.size());
  std::string authority = lower(text.substr(0, end));
  if (authority.empty() || authority.contains('@')) return no_url(given);
  const bool has_port = authority.back() != ']' && authority.rfind(':') != std::string::npos;
  if (!has_port) authority += fmt::format(":{}", own_port(out.scheme));
  const auto endpoint = http::parse_endpoint(authority);
  if (!endpoint || endpoint->host.empty() ||
      endpoint->host.find_first_of("[]") != std::string::npos) {
    return no_url(given);
  }
  out.endpoint = *endpoint;
  out.target = text.substr(end);
  if (out.target.starts_with('?')) out.target.insert(0, 1, '/');
  return out;
}

Result<Url> resolve(const Url& base, std::string_view reference) {
  if (reference.empty() || reference.size() > kMaxUrl) return no_url(reference);
  if (reference.find("://") < reference.find_first_of("/?#")) return parse_url(reference);
  if (reference.starts_with("//")) {
    return parse_url((base.scheme == Scheme::kHttps ? "https:" : "http:") + std::string(reference));
  }
  // Through parse_url, which checks the characters.
  Url at = base;
  at.target.clear();
  std::string path = base.target.substr(0, base.target.find('?'));
  if (reference.starts_with('/')) {
    path = reference;
  } else if (reference.starts_with('?')) {
    path += reference;
  } else {
    path = path.substr(0, path.rfind('/') + 1);
    if (!path.starts_with('/')) path.insert(0, 1, '/');
    path += reference;
  }
  BATON_TRY_ASSIGN(Url out, parse_url(to_string(at) + path));
  const auto query = std::min(out.target.find('?'), out.target.size());
  out.target =
      without_dots(std::string_view(out.target).substr(0, query)) + out.target.substr(query);
  return out;
}

bool same_origin(const Url& a, const Url& b) {
  return a.scheme == b.scheme && a.endpoint == b.endpoint;
}

std::string_view next_link(std::string_view field) {
  while (!field.empty()) {
    const auto open = field.find('<');
    const auto close = field.find('>', open);
    if (open == std::string_view::npos || close == std::string_view::npos) return "";
    const auto target = field.substr(open + 1, close - open - 1);
    field.remove_prefix(close + 1);
    const auto parameters = field.substr(0, field.find('<'));
    if (parameters.contains("rel=\"next\"") || parameters.contains("rel=next")) return target;
  }
  return "";
}

}  // namespace baton::hub
