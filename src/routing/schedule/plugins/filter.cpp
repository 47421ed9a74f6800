// Filters by role (picker reference 4.5).

#include <algorithm>
#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

enum class Unlabelled : bool { kDrop, kKeep };

class RoleFilter final : public Filter {
 public:
  RoleFilter(std::span<const std::string_view> roles, Unlabelled unlabelled)
      : roles_(roles), unlabelled_(unlabelled) {}

  void keep(const Context& context, std::vector<Index>& candidates) const override {
    std::erase_if(candidates, [&](Index i) {
      const auto role = (*context.snapshot.endpoints)[i].role();
      if (role.empty()) return unlabelled_ == Unlabelled::kDrop;
      return std::ranges::find(roles_, role) == roles_.end();
    });
  }

 private:
  std::span<const std::string_view> roles_;
  Unlabelled unlabelled_;
};

constexpr std::array<std::string_view, 4> kDecodeRoles = {"decode", "prefill-decode", "both",
                                                          "encode-prefill-decode"};
constexpr std::array<std::string_view, 5> kPrefillRoles = {
    "prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"};

}  // namespace

Plugin make_decode_filter(Fields&) {
  return {.part = std::make_unique<RoleFilter>(kDecodeRoles, Unlabelled::kKeep)};
}

Plugin make_prefill_filter(Fields&) {
  return {.part = std::make_unique<RoleFilter>(kPrefillRoles, Unlabelled::kDrop)};
}

}  // namespace baton::schedule
