// header-profile-handler: the request names the profile that it wants (picker reference 4.5).

#include <fmt/format.h>

#include <algorithm>

#include "base/core/nearest.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::size_t kMostTold = 64;  // characters of a client's header in an error

class HeaderProfileHandler final : public Handler {
 public:
  HeaderProfileHandler(std::string header, std::string otherwise)
      : header_(std::move(header)), otherwise_(std::move(otherwise)) {}

  Status check(std::span<const std::string_view> profiles) override {
    profiles_.assign(profiles.begin(), profiles.end());
    if (profiles.size() == 1 || std::ranges::find(profiles, otherwise_) != profiles.end()) {
      return {};
    }
    return invalid(fmt::format("header-profile-handler: defaultProfile: there is no profile '{}'{}",
                               otherwise_, did_you_mean(otherwise_, profiles)));
  }

  // kInvalid: no profile has the name that the header gives.
  Status decide(ProfileRunner& profiles, Decision& decision) const override {
    std::string_view wanted = profiles_.front();
    if (profiles_.size() > 1) {
      wanted = trimmed(profiles.context().request.header(header_));
      if (wanted.empty()) wanted = otherwise_;
      if (std::ranges::find(profiles_, wanted) == profiles_.end()) {
        return invalid(
            fmt::format("{}: there is no profile '{}'", header_, wanted.substr(0, kMostTold)));
      }
    }
    const auto* run = profiles.run(wanted, decision);
    if (run == nullptr) return nobody(decision, "no pod is ready to serve the request");
    decision.primary = *run->picked;
    decision.decode_candidates = run->ranked;
    return {};
  }

 private:
  std::string header_, otherwise_;
  std::vector<std::string> profiles_;
};

}  // namespace

Plugin make_header_profile_handler(Fields& parameters) {
  auto header = parameters.header("headerName", "epp-profile");
  if (header.empty()) header = "epp-profile";
  std::string otherwise(trimmed(parameters.text("defaultProfile", "decode")));
  if (otherwise.empty()) otherwise = "decode";
  return {.handler = std::make_unique<HeaderProfileHandler>(header, otherwise),
          .reads_headers = true};
}

}  // namespace baton::schedule
