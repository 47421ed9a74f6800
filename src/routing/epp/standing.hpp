#pragma once
// Whether a server beside the picker does what it is there for: told when it stops, and when it
// does so again, not with every request.

#include <string_view>

#include "base/core/log.hpp"
#include "base/core/result.hpp"

namespace baton::epp {

// Confined to one loop.
class Standing {
 public:
  // What one call came to; `failed` and `again` are sentences for the log.
  void note(const Status& done, std::string_view failed, std::string_view again) {
    if (done.has_value() == !failing_) return;
    failing_ = !failing_;
    if (failing_) {
      log::warn(failed, {{"why", done.error().message()}});
    } else {
      log::info(again);
    }
  }

 private:
  bool failing_ = false;
};

}  // namespace baton::epp
