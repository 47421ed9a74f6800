#pragma once
// One token through the real path of a service: gateway or Service, picker, sidecar, prefill,
// decode.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "control/reconcile/addresses.hpp"
#include "net/http/message.hpp"

namespace baton::reconcile {

struct ProbeTarget {
  std::string url;           // "http://host:port/ns/name", to which /v1/completions is added
  std::string model;         // as the path expects it
  bool gateway = true;       // else the Service of the engines
  std::string text() const;  // "gateway http://…"
  friend bool operator==(const ProbeTarget&, const ProbeTarget&) = default;
};

// Under the service's own path, an address within the cluster first; nullopt without any. Pure.
std::optional<ProbeTarget> probe_target(const RouterView& view,
                                        const std::vector<Address>& addresses);

// The head of the answer. On a thread that may block until the deadline. An error: no answer.
using SendProbe = std::function<Result<http::ResponseHead>(const ProbeTarget&, Deadline)>;

// Over HTTP/1.1, plain or with TLS (the system's authorities). The prompt is one that no pod has
// seen, about 1 KB: over every picker's default threshold. `random` must be thread-safe.
SendProbe probe_by_http(const Clock& clock, Random& random);

}  // namespace baton::reconcile
