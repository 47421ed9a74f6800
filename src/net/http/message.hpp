#pragma once
// HTTP message heads as values, shared by server, client and forwarding.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace baton::http {

// As it stands in a head.
struct Field {
  std::string_view name;  // spelling as received
  std::string_view value;
  friend bool operator==(const Field&, const Field&) = default;
};

// In order of arrival; names compare without case (RFC 9110 5.1). All text of a head stands in one
// stretch: two allocations a head, however many fields. Views of it, and fields, are valid until
// something is added or set; removing, and moving the whole, keep them.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Field> fields);
  // With room for a few more: a copy is made to be edited.
  Headers(const Headers& other);
  Headers& operator=(const Headers& other) { return *this = Headers(other); }
  Headers(Headers&&) noexcept = default;
  Headers& operator=(Headers&&) noexcept = default;
  ~Headers() = default;

  // Room for so many bytes of names and values.
  void reserve(std::size_t bytes) { text_.reserve(bytes); }
  void add(std::string_view name, std::string_view value);
  // Replaces every field of that name by one.
  void set(std::string_view name, std::string_view value);
  // How many were removed.
  std::size_t remove(std::string_view name);
  // Every field that `unwanted` picks; how many.
  template <class F>
  std::size_t remove_if(F&& unwanted) {
    return std::erase_if(places_, [&](const Place& place) { return unwanted(field(place)); });
  }
  // The first value.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> get_all(std::string_view name) const;
  bool has(std::string_view name) const { return get(name).has_value(); }

  class Iterator {
   public:
    using value_type = Field;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const Headers& of, std::size_t at) : of_(&of), at_(at) {}
    Field operator*() const { return of_->field(of_->places_[at_]); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    Iterator operator++(int) { return {*of_, at_++}; }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Headers* of_ = nullptr;
    std::size_t at_ = 0;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, places_.size()}; }
  std::size_t size() const { return places_.size(); }

 private:
  // In text_, the value behind the name.
  struct Place {
    std::uint32_t at, name, value;  // bytes
  };
  Field field(const Place& place) const {
    const std::string_view text(text_.data() + place.at, place.name + place.value);
    return {text.substr(0, place.name), text.substr(place.name)};
  }
  Place keep(std::string_view name, std::string_view value);

  std::vector<char> text_;
  std::vector<Place> places_;
};

bool equal_names(std::string_view a, std::string_view b);
bool is_one_of(std::string_view name, std::span<const std::string_view> names);
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
