#pragma once
// The parts of the endpoint picker. Internal to control/plan.

#include "control/plan/accounts.hpp"
#include "control/plan/build.hpp"

namespace baton::plan {

Value picker_labels(const Build& build);

// ServiceAccount, Role and bindings. kNotFound: the user's account is not there.
Status add_picker_account(Build& build);

// Where the picker asks for tokens, "" when the service has no tokenizer pod.
std::string tokenizer_url(const Build& build);
// Its Deployment and Service, when it has one.
Status add_tokenizer(Build& build);

}  // namespace baton::plan
