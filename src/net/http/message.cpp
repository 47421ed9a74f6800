#include "net/http/message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/core/assert.hpp"
#include "base/core/trim.hpp"

namespace baton::http {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::array<std::string_view, 9> kHopByHop = {"Connection",
                                                       "Keep-Alive",
                                                       "Proxy-Authenticate",
                                                       "Proxy-Authorization",
                                                       "Proxy-Connection",
                                                       "TE",
                                                       "Trailer",
                                                       "Transfer-Encoding",
                                                       "Upgrade"};

constexpr std::size_t kMaxCodingShown = 64;
// Room that is made at once: most heads have less.
constexpr std::size_t kFirstFields = 12;
constexpr std::size_t kFirstText = 256;
// And in a copy, for what is added to it.
constexpr std::size_t kMoreFields = 4;
constexpr std::size_t kMoreText = 192;

}  // namespace

bool equal_names(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view each) { return equal_names(each, name); });
}

bool lists_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    std::size_t comma = std::min(list.find(','), list.size());
    if (equal_names(trim(list.substr(0, comma)), token)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

std::optional<std::string> content_coding_problem(const Headers& headers) {
  for (std::string_view list : headers.get_all("content-encoding")) {
    while (!list.empty()) {
      const auto comma = std::min(list.find(','), list.size());
      const auto coding = trim(list.substr(0, comma));
      list.remove_prefix(std::min(comma + 1, list.size()));
      if (coding.empty() || equal_names(coding, "identity")) continue;
      const auto plain = std::ranges::find_if(coding, [](char c) { return c < ' ' || c > '~'; });
      const auto length = static_cast<std::size_t>(plain - coding.begin());
      return fmt::format(
          "Content-Encoding '{}' is not understood: send the body uncompressed, without that "
          "header",
          coding.substr(0, std::min(length, kMaxCodingShown)));
    }
  }
  return std::nullopt;
}

Headers::Headers(std::initializer_list<Field> fields) {
  for (const Field& each : fields) add(each.name, each.value);
}

Headers::Headers(const Headers& other) {
  if (other.places_.empty()) return;
  text_.reserve(other.text_.size() + kMoreText);
  text_ = other.text_;
  places_.reserve(other.places_.size() + kMoreFields);
  places_ = other.places_;
}

// Either may be a view of our own text.
Headers::Place Headers::keep(std::string_view name, std::string_view value) {
  const std::size_t at = text_.size();
  const std::size_t size = at + name.size() + value.size();
  BATON_ASSERT(size <= UINT32_MAX);
  std::vector<char> larger;
  const bool grows = size > text_.capacity();
  if (grows) {
    larger.reserve(std::max({size, 2 * at, kFirstText}));
    larger = text_;
  }
  std::vector<char>& into = grows ? larger : text_;
  into.resize(size);
  std::ranges::copy(name, into.begin() + static_cast<std::ptrdiff_t>(at));
  std::ranges::copy(value, into.end() - static_cast<std::ptrdiff_t>(value.size()));
  if (grows) text_ = std::move(larger);
  return {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(name.size()),
          static_cast<std::uint32_t>(value.size())};
}

void Headers::add(std::string_view name, std::string_view value) {
  if (places_.empty()) places_.reserve(kFirstFields);
  places_.push_back(keep(name, value));
}

void Headers::set(std::string_view name, std::string_view value) {
  const auto named = [&](const Place& place) { return equal_names(field(place).name, name); };
  const auto first = std::ranges::find_if(places_, named);
  if (first == places_.end()) return add(name, value);
  places_.erase(std::remove_if(first + 1, places_.end(), named), places_.end());
  *first = keep(field(*first).name, value);
}

std::size_t Headers::remove(std::string_view name) {
  return remove_if([&](const Field& each) { return equal_names(each.name, name); });
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const Field& each : *this) {
    if (equal_names(each.name, name)) return each.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Headers::get_all(std::string_view name) const {
  std::vector<std::string_view> all;
  for (const Field& each : *this) {
    if (equal_names(each.name, name)) all.push_back(each.value);
  }
  return all;
}

void remove_hop_by_hop(Headers& headers) {
  const auto lists = headers.get_all("Connection");
  headers.remove_if([&](const Field& each) {
    return is_one_of(each.name, kHopByHop) ||
           std::ranges::any_of(lists, [&](auto list) { return lists_token(list, each.name); });
  });
}

std::string_view RequestHead::path() const {
  std::string_view all = target;
  return all.substr(0, all.find('?'));
}

std::string_view reason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

std::string to_string(const Endpoint& endpoint) {
  bool v6 = endpoint.host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", endpoint.host, endpoint.port)
            : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  bool printable = std::all_of(host.begin(), host.end(),
                               [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != '@'; });
  if (host.empty() || !printable) return std::nullopt;
  std::uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  auto [at, failure] = std::from_chars(digits.data(), end, port);
  if (failure != std::errc() || at != end || port == 0) return std::nullopt;
  return Endpoint{std::string(host), port};
}

}  // namespace baton::http
