// Filters by role (picker reference 4.5).

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class RoleFilter final : public Filter {
 public:
  explicit RoleFilter(Stages wanted) : wanted_(wanted) {}

  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto& stages = context.snapshot.columns->stages;
    std::erase_if(candidates, [&](Index i) { return (stages[i] & wanted_) == 0; });
  }

 private:
  Stages wanted_;
};

}  // namespace

// Unlabelled pods decode.
Plugin make_decode_filter(Fields&) {
  return {.filter = std::make_unique<RoleFilter>(kDecodes | kUnlabelled)};
}

Plugin make_prefill_filter(Fields&) { return {.filter = std::make_unique<RoleFilter>(kPrefills)}; }

Plugin make_encode_filter(Fields&) { return {.filter = std::make_unique<RoleFilter>(kEncodes)}; }

}  // namespace baton::schedule
