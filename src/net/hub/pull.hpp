#pragma once
// A model from the hub into this machine's cache: one copy, whoever wants it.

#include <string>

#include "net/hub/blob.hpp"

namespace baton::hub {

enum class Want : std::uint8_t {
  kAny,     // a complete model in the cache will do, even if the hub has a newer one
  kNewest,  // asks the hub what the revision means now
};

// The model's folder in the cache, complete and verified. Only one process at a time gets a model;
// the others wait for it, and then find it there. The revision points to the new commit when the
// last file has come: until then an older copy stays what it means.
//
// kDenied, kNotFound, kExhausted, kUnavailable, kTimeout: the message says what to do.
// kUnsupported: offline, and it is not in the cache. kInvalid: the hub's answer is refused.
Result<std::string> pull(const ModelId& id, Want want, const Settings& settings, Patience patience,
                         Listener& listener, const Clock& clock);

}  // namespace baton::hub
