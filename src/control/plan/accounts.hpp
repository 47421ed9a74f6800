#pragma once
// ServiceAccounts of engine pods: the user's where one is named, else one of ours or the default.

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "control/plan/build.hpp"

namespace baton::plan {

// The first account that one of the pod specs (null ones are skipped) names, else ours.
Account named_or_ours(std::initializer_list<const Value*> pods, std::string ours);

// kNotFound: the user's account is not there. Nothing is missing where no cluster can be asked.
Status check_account(const Build& build, const Account& account, std::string_view pointer);

// Plans our account, with the Secrets and pull secrets of the namespace's default; nothing for a
// user's.
void add_account(Build& build, const Account& account);

// The live ServiceAccount whose annotations and Secrets say what a pod of `account` may fetch; null
// when there is none.
const Value* live_account(const Build& build, std::string_view name);

}  // namespace baton::plan
