// session-id-producer and agent-identity: which conversation, and which agent, a request belongs
// to (picker reference 4.5).

#include <algorithm>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// Of "a=1; b=2"; "" when it is not there.
std::string_view cookie(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const auto end = std::min(header.find(';'), header.size());
    const auto pair = trimmed(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return trimmed(pair.substr(equals + 1));
    }
  }
  return {};
}

std::string_view read(const SessionSource& source, const Request& request) {
  if (source.kind == SessionSource::Kind::kHeader) return trimmed(request.header(source.name));
  for (const auto& header : request.headers) {
    if (header.name != "cookie") continue;
    if (const auto value = cookie(header.value, source.name); !value.empty()) return value;
  }
  return {};
}

}  // namespace

std::string_view session_of(std::span<const SessionSource> sources, const Request& request) {
  for (const auto& source : sources) {
    if (const auto id = read(source, request); !id.empty()) return id;
  }
  return {};
}

Plugin make_session_id_producer(Fields& parameters) {
  const auto header = parameters.header("headerName", "");
  const std::string cookie(trimmed(parameters.text("cookieName", "")));
  if (header.empty() == cookie.empty()) {
    parameters.fail("headerName", "give headerName or cookieName, one of them");
  }
  Plugin plugin{.produces = Data::kSession, .reads_headers = true};
  plugin.sessions.push_back(header.empty() ? SessionSource{SessionSource::Kind::kCookie, cookie}
                                           : SessionSource{SessionSource::Kind::kHeader, header});
  return plugin;
}

// Headers in which agents name their sessions; whoever gives no fairness id is that agent.
Plugin make_agent_identity(Fields& parameters) {
  Plugin plugin{.produces = Data::kAgent, .reads_headers = true};
  for (const auto& name : parameters.headers("additionalSessionHeaders")) {
    plugin.sessions.push_back({SessionSource::Kind::kHeader, name});
  }
  for (const auto* name :
       {"x-claude-code-session-id", "x-session-affinity", "session-id", "session_id"}) {
    plugin.sessions.push_back({SessionSource::Kind::kHeader, name});
  }
  return plugin;
}

}  // namespace baton::schedule
