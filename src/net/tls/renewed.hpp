#pragma once
// A client's context that follows its files.

#include <memory>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/tls/context.hpp"

namespace baton::tls {

// As ClientContext::open(). While anybody holds it, it is reloaded when its files change; where
// they cannot be watched, a warning says so. `clock` outlives it.
Result<std::shared_ptr<const ClientContext>> open_renewed(ClientContext::Config config,
                                                          const Clock& clock);

}  // namespace baton::tls
