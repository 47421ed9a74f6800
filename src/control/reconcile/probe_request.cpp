#include "control/reconcile/probe_request.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/json.hpp"
#include "net/http/blocking_client.hpp"
#include "net/kube/object.hpp"
#include "net/tls/context.hpp"

namespace baton::reconcile {

namespace {

constexpr std::size_t kMaxAnswer = 256 << 10;  // bytes of an answer of one token, or of an error
constexpr int kSentences = 16;

struct Parts {
  bool https = false;
  http::Endpoint to;
  std::string path;
};

Result<Parts> parts_of(std::string_view url) {
  Parts out;
  out.https = url.starts_with("https://");
  const auto scheme = url.find("://");
  const auto rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  const auto slash = std::min(rest.find('/'), rest.size());
  std::string host(rest.substr(0, slash));
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  const bool has_port =
      colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  if (!has_port) host += out.https ? ":443" : ":80";
  const auto endpoint = http::parse_endpoint(host);
  if (!endpoint) return invalid(fmt::format("'{}' is no address", url));
  out.to = *endpoint;
  out.path = std::string(rest.substr(slash));
  return out;
}

std::string body_of(const ProbeTarget& target, const std::string& nonce) {
  std::string prompt = nonce;
  for (int i = 0; i < kSentences; ++i) {
    prompt += fmt::format(" Sentence {} of a probe that no pod has seen before it.", i);
  }
  return text::json::dump(text::json::Object{{"model", target.model},
                                             {"prompt", std::move(prompt)},
                                             {"max_tokens", 1},
                                             {"temperature", 0}});
}

class HttpProbe {
 public:
  HttpProbe(const Clock& clock, Random& random) : clock_(clock), random_(random) {}

  Result<http::ResponseHead> send(const ProbeTarget& target, Deadline deadline) {
    BATON_TRY_ASSIGN(const auto parts, parts_of(target.url));
    // A connection each time: a kept one would prove less.
    http::BlockingClient::Config config{.idle_per_endpoint = 0};
    if (parts.https) {
      // Any certificate, as for the kubelet's probes: many sign their own, and nothing is told.
      BATON_TRY_ASSIGN(config.tls, tls::ClientContext::open(
                                       {.verify = tls::ClientContext::Verify::kNone}, clock_));
    }
    http::BlockingClient client(clock_, std::move(config));
    http::RequestHead head{"POST",
                           parts.path + "/v1/completions",
                           {{"Host", http::to_string(parts.to)},
                            {"User-Agent", "baton-probe"},
                            {"Content-Type", "application/json"},
                            {"Connection", "close"}}};
    auto answer =
        client.send(parts.to, head, body_of(target, uuid4(random_)), kMaxAnswer, deadline);
    if (!answer) return std::move(answer).error().error;
    return std::move(answer->head);
  }

 private:
  const Clock& clock_;
  Random& random_;
};

}  // namespace

std::string ProbeTarget::text() const {
  return fmt::format("{} {}", gateway ? "gateway" : "Service", url);
}

std::optional<ProbeTarget> probe_target(const RouterView& view,
                                        const std::vector<Address>& addresses) {
  const auto own =
      fmt::format("/{}/{}", kube::namespace_of(view.merged), kube::name_of(view.merged));
  const Address* best = nullptr;
  for (const auto& one : addresses) {
    const bool under_own_path = one.origin.is_null() || one.url.ends_with(own);
    if (!under_own_path) continue;
    if (best == nullptr || (best->external && !one.external)) best = &one;
  }
  if (best == nullptr) return std::nullopt;
  return ProbeTarget{best->url, std::string(view.merged.string_at({"spec", "model", "name"})),
                     !best->origin.is_null()};
}

SendProbe probe_by_http(const Clock& clock, Random& random) {
  return
      [probe = std::make_shared<HttpProbe>(clock, random)](
          const ProbeTarget& target, Deadline deadline) { return probe->send(target, deadline); };
}

}  // namespace baton::reconcile
