#include "control/node/pre_stop.hpp"

#include <charconv>

#include "control/node/programs.hpp"

namespace baton::node {

std::optional<Nanos> sleeping_pre_stop(const kube::Object& container) {
  const auto* hook = container.find_path({"lifecycle", "preStop"});
  if (hook == nullptr) return std::nullopt;
  if (const auto* pause = hook->find_path({"sleep", "seconds"})) {
    return std::chrono::seconds(pause->if_int().value_or(0));
  }
  const auto* command = hook->find_path({"exec", "command"});
  if (command == nullptr || command->if_array() == nullptr || command->if_array()->size() != 2) {
    return std::nullopt;
  }
  const auto& words = *command->if_array();
  if (!words[0].is_string() || !words[1].is_string()) return std::nullopt;
  int pause = 0;
  const auto& text = *words[1].if_string();
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), pause);
  if (basename(*words[0].if_string()) != "sleep" || ec != std::errc{}) return std::nullopt;
  return std::chrono::seconds(pause);
}

std::optional<std::uint16_t> first_port(const kube::Object& container) {
  const auto* ports = container.find("ports");
  if (ports == nullptr || ports->if_array() == nullptr || ports->if_array()->empty()) {
    return std::nullopt;
  }
  const auto* port = ports->if_array()->front().find("containerPort");
  const auto number = port == nullptr ? std::nullopt : port->if_int();
  if (!number || *number < 1 || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

Scheme scheme_of(const kube::Object& container) {
  for (const auto* probe : {"readinessProbe", "livenessProbe"}) {
    if (container.string_at({probe, "httpGet", "scheme"}) == "HTTPS") return Scheme::kHttps;
  }
  return Scheme::kHttp;
}

double requests_in_work(std::string_view exposition) {
  double sum = 0;
  while (!exposition.empty()) {
    const auto line = exposition.substr(0, exposition.find('\n'));
    exposition.remove_prefix(std::min(exposition.size(), line.size() + 1));
    if (!line.starts_with("vllm:num_requests_running") &&
        !line.starts_with("vllm:num_requests_waiting")) {
      continue;
    }
    const auto value = line.substr(line.rfind(' ') + 1);
    double number = 0;
    if (std::from_chars(value.data(), value.data() + value.size(), number).ec == std::errc{}) {
      sum += number;
    }
  }
  return sum;
}

bool is_busy(const HttpTarget& metrics, const Clock& clock) {
  constexpr std::size_t kMaxMetrics = std::size_t{1} << 20;
  const auto deadline = Deadline::in(clock, std::chrono::seconds(1));
  const auto answer = blocking_get(metrics, deadline, clock, kMaxMetrics);
  return answer && answer->status == 200 && requests_in_work(answer->body) > 0;
}

}  // namespace baton::node
