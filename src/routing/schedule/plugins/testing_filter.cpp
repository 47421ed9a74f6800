// header-based-testing-filter: a test says in a header which endpoints may serve it.

#include <algorithm>
#include <charconv>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kHeader = "test-epp-endpoint-selection";

struct Wanted {
  std::string_view host;
  std::uint16_t port = 0;  // 0: any
};

// "10.0.0.1", "10.0.0.1:80", "::1", "[::1]", "[::1]:80". A port that is none leaves no host.
Wanted read_text(std::string_view text) {
  Wanted wanted{.host = text};
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return {};
    wanted.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return {};
  } else if (const auto colon = text.find(':');
             colon != std::string_view::npos && colon == text.rfind(':')) {
    wanted.host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (port.empty()) return wanted;
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), wanted.port);
  if (error != std::errc() || end != port.data() + port.size() || wanted.port == 0) return {};
  return wanted;
}

class TestingFilter final : public Filter {
 public:
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    std::vector<Index> kept;
    auto rest = context.request.header(kHeader);
    while (!rest.empty()) {
      const auto comma = std::min(rest.find(','), rest.size());
      const auto wanted = read_text(trimmed(rest.substr(0, comma)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      for (const Index i : candidates) {
        const auto& endpoint = (*context.snapshot.endpoints)[i];
        if (wanted.host.empty() || endpoint.host != wanted.host) continue;
        if (wanted.port != 0 && endpoint.port != wanted.port) continue;
        if (std::ranges::find(kept, i) == kept.end()) kept.push_back(i);
      }
    }
    candidates = std::move(kept);
  }
};

}  // namespace

Plugin make_testing_filter(Fields&) {
  return {.filter = std::make_unique<TestingFilter>(), .reads_headers = true};
}

}  // namespace baton::schedule
