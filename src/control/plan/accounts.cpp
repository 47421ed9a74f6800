#include "control/plan/accounts.hpp"

#include <fmt/format.h>

#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

constexpr std::string_view kDefault = "default";

}  // namespace

Account named_or_ours(std::initializer_list<const Value*> pods, std::string ours) {
  for (const Value* pod : pods) {
    if (pod == nullptr) continue;
    const std::string_view users = pod->string_at({"serviceAccountName"});
    if (!users.empty() && users != ours) return {std::string(users), false};
  }
  return {std::move(ours), true};
}

const Value* live_account(const Build& build, std::string_view name) {
  if (!build.observed.accounts) return nullptr;
  for (const Value& account : *build.observed.accounts) {
    if (name_of(account) == name && namespace_of(account) == build.ns) return &account;
  }
  return nullptr;
}

Status check_account(const Build& build, const Account& account, std::string_view pointer) {
  if (account.is_ours || account.name.empty() || !build.observed.accounts) return {};
  if (live_account(build, account.name) != nullptr) return {};
  return not_found(fmt::format(
      "{}/serviceAccountName: failed to fetch existing ServiceAccount {}/{}: create it, "
      "or leave the name out",
      pointer, build.ns, account.name));
}

void add_account(Build& build, const Account& account) {
  if (!account.is_ours) return;
  Value out = object("v1", "ServiceAccount", build.ns, account.name,
                     component_labels(build.name, "llminferenceservice-workload"));
  if (const Value* base = live_account(build, kDefault)) {
    for (const std::string_view list : {"secrets", "imagePullSecrets"}) {
      const Value* entries = get(*base, {list});
      if (entries != nullptr && entries->is_array() && !entries->if_array()->empty()) {
        out[list] = *entries;
      }
    }
  }
  build.add(std::move(out));
}

}  // namespace baton::plan
