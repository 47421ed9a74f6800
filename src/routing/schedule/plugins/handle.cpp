// Profile handlers that run one profile (picker reference 4.5).

#include <fmt/format.h>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class SingleProfileHandler final : public Handler {
 public:
  SingleProfileHandler(std::string_view type, std::optional<std::uint16_t> port)
      : type_(type), port_(port) {}
  Status check(std::span<const std::string_view> profiles) override {
    if (profiles.size() == 1) return {};
    return invalid(
        fmt::format("{} needs exactly one profile, there are {}", type_, profiles.size()));
  }
  Status decide(ProfileRunner& profiles, Decision& decision) const override {
    const auto* run = profiles.run("", decision);
    if (run == nullptr) return nobody(decision, "no pod is ready to serve the request");
    decision.primary = *run->picked;
    decision.decode_candidates = run->ranked;
    decision.primary_port = port_;
    return {};
  }

 private:
  std::string_view type_;
  std::optional<std::uint16_t> port_;  // of data parallel ranks
};

}  // namespace

Error nobody(const Decision& decision, std::string_view problem) {
  if (decision.runs.empty() || !decision.runs.back().saturated) {
    return unavailable(std::string(problem));
  }
  return exhausted(fmt::format("every pod is full ({})", decision.runs.back().drained_by));
}

Plugin make_single_profile_handler(Fields&) {
  return {.handler =
              std::make_unique<SingleProfileHandler>("single-profile-handler", std::nullopt)};
}

// The request goes to one port; a header says to which rank behind it.
Plugin make_data_parallel_profile_handler(Fields& parameters) {
  const auto port = parameters.integer("primaryPort", 8000, 0, 65535);
  Plugin plugin{.handler = std::make_unique<SingleProfileHandler>(
                    "data-parallel-profile-handler", static_cast<std::uint16_t>(port))};
  plugin.data_parallel = true;
  return plugin;
}

}  // namespace baton::schedule
