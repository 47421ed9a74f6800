// Profile handlers (picker reference 3.5, 4.5).

#include <fmt/format.h>

#include <algorithm>

#include "base/core/nearest.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class SingleProfileHandler final : public Handler {
 public:
  Status check(std::span<const std::string_view> profiles) const override {
    if (profiles.size() == 1) return {};
    return invalid(fmt::format("single-profile-handler needs exactly one profile, there are {}",
                               profiles.size()));
  }
  Status decide(ProfileRunner& profiles, Decision& decision) const override {
    const auto picked = profiles.run("", decision);
    if (!picked) return unavailable("no pod is ready to serve the request");
    decision.primary = *picked;
    return {};
  }
};

// Decode first; prefill elsewhere when the decode endpoint lacks `threshold` bytes or more of the
// prompt (the October 2025 rule, in bytes).
class PdProfileHandler final : public Handler {
 public:
  struct Parameters {
    std::size_t threshold;
    std::string decode, prefill;
  };
  explicit PdProfileHandler(Parameters parameters) : p_(std::move(parameters)) {}

  Status check(std::span<const std::string_view> profiles) const override {
    for (const auto& wanted : {p_.decode, p_.prefill}) {
      if (std::ranges::find(profiles, wanted) != profiles.end()) continue;
      return invalid(fmt::format("pd-profile-handler: there is no profile '{}'{}", wanted,
                                 did_you_mean(wanted, profiles)));
    }
    return {};
  }

  Status decide(ProfileRunner& profiles, Decision& decision) const override {
    const auto picked = profiles.run(p_.decode, decision);
    if (!picked) return unavailable("no decode pod is ready");
    decision.primary = *picked;
    decision.uncached_bytes = profiles.context().uncached_bytes(*picked);
    if (decision.uncached_bytes < p_.threshold) {
      decision.no_prefill = NoPrefill::kBelowThreshold;
      return {};
    }
    decision.prefill = profiles.run(p_.prefill, decision);
    decision.no_prefill = decision.prefill ? NoPrefill::kNone : NoPrefill::kNoPrefillPods;
    return {};
  }

 private:
  Parameters p_;
};

}  // namespace

Plugin make_single_profile_handler(Fields&) {
  return {.part = std::make_unique<SingleProfileHandler>()};
}

Plugin make_pd_profile_handler(Fields& parameters) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  PdProfileHandler::Parameters p{
      .threshold = static_cast<std::size_t>(parameters.integer("threshold", 0, 0, kMost)),
      .decode = parameters.text("decodeProfile", "decode"),
      .prefill = parameters.text("prefillProfile", "prefill"),
  };
  const auto prefix_from = parameters.text("prefixPluginName", "");
  if (const auto type = parameters.text("prefixPluginType", "prefix-cache-scorer");
      type != "prefix-cache-scorer") {
    parameters.fail("prefixPluginType", "only prefix-cache-scorer is offered");
  }
  if (parameters.integer("primaryPort", 0, 0, 65535) != 0) {
    parameters.fail("primaryPort", "data-parallel ports behind one pod are not offered yet");
  }
  for (const std::string_view key : {"deciderPluginName", "prefixMatchInfoProducerName"}) {
    parameters.later(key, "deciders are not offered yet; give the threshold in bytes instead");
  }
  Plugin plugin;
  plugin.counted_block =
      static_cast<std::size_t>(parameters.integer("hashBlockSize", 0, 1, kMaxHashBlockBytes));
  plugin.prefix_from = prefix_from;
  plugin.prefills = true;
  plugin.part = std::make_unique<PdProfileHandler>(std::move(p));
  return plugin;
}

Plugin make_prefill_header_handler(Fields& parameters) {
  parameters.later("encodeProfile", "encode stages are not offered yet");
  return {.part = PrefillHeader{parameters.text("prefillProfile", "prefill")}};
}

}  // namespace baton::schedule
