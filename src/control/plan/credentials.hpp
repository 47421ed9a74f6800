#pragma once
// What a storage initializer needs to fetch: environment and volumes from the Secrets of its
// account, and certificate authorities. Controller reference 4.8.

#include "control/plan/accounts.hpp"

namespace baton::plan {

// Secrets are told apart by their keys: an S3 secret access key, a GCS credential file, HF_TOKEN.
// Their values never enter the plan, only references to them.
void add_credentials(Build& build, const Account& account, Value& container, Value& pod);

// When the installation names a bundle, or a credential does with AWS_CA_BUNDLE_CONFIGMAP.
void add_ca_bundle(const Build& build, Value& container, Value& pod);

}  // namespace baton::plan
