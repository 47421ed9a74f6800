// Profile handlers that split a request into stages (picker reference 3.5, 4.5): both generations
// are one handler. October 2025 compares the uncached part of the prompt with a threshold in bytes;
// later ones ask deciders.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/nearest.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

struct StageSettings {
  std::string_view type;
  bool prefill_first = false;
  std::string decode = {}, prefill = {}, encode = {};
  std::string prefill_decider = {}, encode_decider = {};  // plugin names; "": never
  std::optional<std::size_t> threshold = {};              // instead of a prefill decider
  std::optional<std::uint16_t> port = {};
  bool required = false;  // the prefill profile must exist
};

class StagesHandler final : public Handler {
 public:
  explicit StagesHandler(StageSettings stages) : s_(std::move(stages)) {}

  Status bind(std::span<const NamedDecider> deciders) override {
    BATON_TRY(find(deciders, s_.prefill_decider, prefill_));
    return find(deciders, s_.encode_decider, encode_);
  }

  Status check(std::span<const std::string_view> profiles) override {
    const auto there = [&](std::string_view wanted) {
      return std::ranges::find(profiles, wanted) != profiles.end();
    };
    const auto missing = [&](std::string_view wanted) {
      return invalid(fmt::format("{}: there is no profile '{}'{}", s_.type, wanted,
                                 did_you_mean(wanted, profiles)));
    };
    if (!there(s_.decode)) return missing(s_.decode);
    const bool prefills = s_.required || prefill_ != nullptr || s_.prefill != "prefill";
    if (prefills && !there(s_.prefill)) return missing(s_.prefill);
    if (encode_ != nullptr && !there(s_.encode)) return missing(s_.encode);
    return {};
  }

  Status decide(ProfileRunner& profiles, Decision& decision) const override {
    decision.primary_port = s_.port;
    if (s_.prefill_first) {
      encode(profiles, decision, std::nullopt);
      prefill(profiles, decision, std::nullopt);
      return decode(profiles, decision, decision.prefill);
    }
    BATON_TRY(decode(profiles, decision, std::nullopt));
    encode(profiles, decision, decision.primary);
    if (wants_prefill(profiles, decision)) {
      prefill(profiles, decision, decision.primary);
    }
    return {};
  }

 private:
  Status find(std::span<const NamedDecider> deciders, const std::string& wanted,
              const Decider*& into) const {
    if (wanted.empty()) return {};
    std::vector<std::string_view> names;
    for (const auto& each : deciders) {
      if (each.name == wanted) into = each.decider;
      names.push_back(each.name);
    }
    if (into != nullptr) return {};
    return invalid(fmt::format("{}: no decider is named '{}'{}; list it under plugins", s_.type,
                               wanted, did_you_mean(wanted, names)));
  }

  Status decode(ProfileRunner& profiles, Decision& decision, std::optional<Index> peer) const {
    const auto* run = profiles.run(s_.decode, decision, peer);
    if (run == nullptr) return nobody(decision, "no decode pod is ready");
    decision.primary = *run->picked;
    decision.decode_candidates = run->ranked;
    decision.uncached_bytes = profiles.context().uncached_bytes(*run->picked);
    return {};
  }

  bool wants_prefill(const ProfileRunner& profiles, Decision& decision) const {
    if (!s_.threshold && prefill_ == nullptr) return false;
    const bool wants = s_.threshold ? decision.uncached_bytes >= *s_.threshold
                                    : profiles.asks(*prefill_, decision.primary);
    if (!wants) decision.no_prefill = NoPrefill::kBelowThreshold;
    return wants;
  }

  void prefill(ProfileRunner& profiles, Decision& decision, std::optional<Index> peer) const {
    const auto* run = profiles.run(s_.prefill, decision, peer);
    decision.no_prefill = run != nullptr ? NoPrefill::kNone : NoPrefill::kNoPrefillPods;
    if (run == nullptr) return;
    decision.prefill = run->picked;
    decision.prefill_candidates = run->ranked;
  }

  void encode(ProfileRunner& profiles, Decision& decision, std::optional<Index> decode) const {
    if (encode_ == nullptr || !profiles.asks(*encode_, decode)) return;
    if (const auto* run = profiles.run(s_.encode, decision)) decision.encode = run->ranked;
  }

  StageSettings s_;
  const Decider* prefill_ = nullptr;
  const Decider* encode_ = nullptr;
};

Plugin made(StageSettings stages, bool tells) {
  Plugin plugin;
  plugin.prefills = true;
  plugin.encodes = !stages.encode_decider.empty();
  plugin.data_parallel = stages.port.has_value();
  plugin.tells_stages = tells;
  plugin.handler = std::make_unique<StagesHandler>(std::move(stages));
  return plugin;
}

// The first of two spellings that is given.
std::string either(Fields& fields, std::string_view key, const std::string& otherwise) {
  return fields.has(key) ? fields.text(key, "") : otherwise;
}

}  // namespace

Plugin make_disagg_profile_handler(Fields& parameters) {
  constexpr std::array<std::string_view, 2> kOrders = {"decode-first", "prefill-first"};
  StageSettings s{.type = "disagg-profile-handler"};
  s.prefill_first = parameters.choice("stageOrder", kOrders[0], kOrders) == kOrders[1];
  auto profiles = parameters.object("profiles");
  s.decode = either(parameters, "decodeProfile", profiles.text("decode", "decode"));
  s.prefill = either(parameters, "prefillProfile", profiles.text("prefill", "prefill"));
  s.encode = either(parameters, "encodeProfile", profiles.text("encode", "encode"));
  parameters.take_error(profiles);
  auto deciders = parameters.object("deciders");
  s.prefill_decider = either(parameters, "deciderPluginName", deciders.text("prefill", ""));
  s.prefill_decider = either(parameters, "prefillDeciderPluginName", s.prefill_decider);
  s.encode_decider = either(parameters, "encodeDeciderPluginName", deciders.text("encode", ""));
  parameters.take_error(deciders);
  if (s.prefill_first && !s.prefill_decider.empty()) {
    parameters.fail("stageOrder", "prefill-first always prefills; remove the prefill decider");
  }
  s.required = s.prefill_first;
  return made(std::move(s), true);
}

Plugin make_pd_profile_handler(Fields& parameters) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  StageSettings s{.type = "pd-profile-handler", .required = true};
  s.decode = parameters.text("decodeProfile", "decode");
  s.prefill = parameters.text("prefillProfile", "prefill");
  const auto prefix_from = parameters.text("prefixPluginName", "");
  if (const auto type = parameters.text("prefixPluginType", "prefix-cache-scorer");
      type != "prefix-cache-scorer") {
    parameters.fail("prefixPluginType", "only prefix-cache-scorer is offered");
  }
  if (const auto port = parameters.integer("primaryPort", 0, 0, 65535); port != 0) {
    s.port = static_cast<std::uint16_t>(port);
  }
  if (parameters.has("deciderPluginName")) {
    s.prefill_decider = parameters.text("deciderPluginName", "");
    for (const std::string_view key : {"threshold", "hashBlockSize"}) {
      if (parameters.has(key)) {
        parameters.fail(key, "a decider and the threshold in bytes exclude each other");
      }
    }
  }
  const auto threshold = parameters.integer("threshold", 0, 0, kMost);
  const auto counted = parameters.integer("hashBlockSize", 0, 0, kMaxHashBlockBytes);
  if (parameters.has("hashBlockSize") && counted == 0) {
    parameters.fail("hashBlockSize", fmt::format("0 is outside 1..{}", kMaxHashBlockBytes));
  }
  parameters.unused("prefixMatchInfoProducerName", "the decider's own counts");
  if (s.prefill_decider.empty()) s.threshold = static_cast<std::size_t>(threshold);
  auto plugin = made(std::move(s), false);
  plugin.counted_block = static_cast<std::size_t>(counted);
  plugin.prefix_from = prefix_from;
  return plugin;
}

Plugin make_stage_headers_handler(Fields& parameters) {
  Plugin plugin;
  plugin.headers = StageHeaders{.prefill_profile = parameters.text("prefillProfile", "prefill"),
                                .encode_profile = parameters.text("encodeProfile", "encode")};
  return plugin;
}

}  // namespace baton::schedule
