#include "control/node/probe.hpp"

#include <fmt/format.h>

namespace baton::node {

namespace {

Nanos seconds_of(const kube::Object& probe, std::string_view member, std::int64_t otherwise) {
  const auto* value = probe.find(member);
  return std::chrono::seconds(value == nullptr ? otherwise : value->if_int().value_or(otherwise));
}

int count_of(const kube::Object& probe, std::string_view member, int otherwise) {
  const auto* value = probe.find(member);
  const auto count = value == nullptr ? otherwise : value->if_int().value_or(otherwise);
  return static_cast<int>(std::max<std::int64_t>(count, 1));
}

// A number, or the name of a port of the container.
Result<std::uint16_t> port_of(const kube::Object& action, const kube::Object& container) {
  const auto* port = action.find("port");
  std::optional<std::int64_t> number = port == nullptr ? std::nullopt : port->if_int();
  if (port != nullptr && port->is_string()) {
    const auto* ports = container.find("ports");
    if (ports != nullptr && ports->if_array() != nullptr) {
      for (const auto& entry : *ports->if_array()) {
        if (entry.string_at({"name"}) == *port->if_string() && entry.find("containerPort")) {
          number = entry.find("containerPort")->if_int();
        }
      }
    }
  }
  if (!number || *number < 1 || *number > 65535) {
    return invalid(fmt::format("probe port {}: no such port",
                               port == nullptr ? "null" : text::json::dump(*port)));
  }
  return static_cast<std::uint16_t>(*number);
}

}  // namespace

Result<ProbeSpec> probe_spec(const kube::Object& probe, const kube::Object& container,
                             const std::string& address) {
  ProbeSpec spec;
  spec.host = address;
  spec.initial_delay = seconds_of(probe, "initialDelaySeconds", 0);
  spec.period = std::max<Nanos>(seconds_of(probe, "periodSeconds", 10), std::chrono::seconds(1));
  spec.timeout = std::max<Nanos>(seconds_of(probe, "timeoutSeconds", 1), std::chrono::seconds(1));
  spec.success_threshold = count_of(probe, "successThreshold", 1);
  spec.failure_threshold = count_of(probe, "failureThreshold", 3);
  if (const auto* command = probe.find_path({"exec", "command"}); command && command->if_array()) {
    spec.kind = ProbeSpec::Kind::kExec;
    for (const auto& word : *command->if_array()) {
      spec.command.emplace_back(word.is_string() ? *word.if_string() : "");
    }
    if (spec.command.empty()) return invalid("exec probe without a command");
    return spec;
  }
  const kube::Object* action = probe.find("httpGet");
  if (action != nullptr) {
    if (action->string_at({"scheme"}) == "HTTPS") spec.scheme = Scheme::kHttps;
    if (const auto path = action->string_at({"path"}); !path.empty()) spec.path = path;
  } else {
    spec.kind = ProbeSpec::Kind::kTcp;
    action = probe.find("tcpSocket");
    if (action == nullptr) {
      spec.kind = ProbeSpec::Kind::kGrpc;
      action = probe.find("grpc");
    }
    if (action == nullptr) return unsupported("probe: expected httpGet, tcpSocket, grpc or exec");
  }
  if (spec.kind == ProbeSpec::Kind::kGrpc) spec.service = action->string_at({"service"});
  BATON_TRY_ASSIGN(spec.port, port_of(*action, container));
  return spec;
}

ProbeTracker::ProbeTracker(ProbeSpec spec, Style style, Mono now)
    : spec_(std::move(spec)),
      style_(style),
      due_(style == Style::kEager ? now : now + std::max(spec_.initial_delay, spec_.period)),
      counts_from_(now + spec_.initial_delay) {}

ProbeTracker::State ProbeTracker::record(Outcome outcome, Mono now) {
  if (outcome == Outcome::kSuccess) {
    failures_ = 0;
    if (++successes_ >= spec_.success_threshold) state_ = State::kPassed;
  } else {
    successes_ = 0;
    if (now >= counts_from_) {
      counts_from_ = now + spec_.period;
      if (++failures_ >= spec_.failure_threshold) state_ = State::kFailed;
    }
  }
  const bool eager = style_ == Style::kEager && state_ != State::kPassed;
  due_ = now + (eager ? std::min(kEagerPeriod, spec_.period) : spec_.period);
  return state_;
}

}  // namespace baton::node
