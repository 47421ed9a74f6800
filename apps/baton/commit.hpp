#pragma once

#include <string_view>

namespace baton {

// Made anew at every build, in a file of its own: nothing else is compiled again for it.
extern const std::string_view kCommit;

}  // namespace baton
