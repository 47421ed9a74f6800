#pragma once
// Fingerprints of objects, to tell whether anything that matters changed. Pure.

#include <cstdint>

#include "net/kube/cluster.hpp"

namespace baton::kube {

// XXH3, 64 bits, over every name and value in order: equal values written in another order of
// members differ.
std::uint64_t digest(const Object& value);

// Of what writers decide: all but status and what the server keeps (resourceVersion, uid,
// generation, managedFields, time stamps).
std::uint64_t digest_of_content(const Object& object);

}  // namespace baton::kube
