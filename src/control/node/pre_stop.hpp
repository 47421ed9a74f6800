#pragma once
// preStop hooks that only sleep: they give load balancers time to forget the pod. Here the wait
// ends as soon as the container has no request in work.

#include <optional>

#include "control/node/probe.hpp"

namespace baton::node {

// How long the container's preStop sleeps: `sleep: {seconds}` or exec of /bin/sleep N. nullopt: it
// has none, or one that does something else (which is not run on one machine).
std::optional<Nanos> sleeping_pre_stop(const kube::Object& container);
std::optional<std::uint16_t> first_port(const kube::Object& container);

// How that port is spoken to: as its HTTP probe says.
Scheme scheme_of(const kube::Object& container);

// Whether these metrics tell of running or waiting requests. Blocking, at most a second; an engine
// that does not answer is not busy.
bool is_busy(const HttpTarget& metrics, const Clock& clock);
// The sum of vllm:num_requests_running and vllm:num_requests_waiting in the exposition. Pure.
double requests_in_work(std::string_view exposition);

}  // namespace baton::node
