#include "flags.hpp"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace baton::bench {

void Flags::read(std::span<char* const> arguments) const {
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view flag = arguments[i];
    const auto found =
        std::ranges::find(flags_, flag, [](const auto& known) { return known.first; });
    if (found == flags_.end()) refuse(fmt::format("no flag '{}'", flag));
    if (i + 1 == arguments.size()) refuse(fmt::format("{} needs a value", flag));
    if (!found->second(arguments[i + 1])) {
      refuse(fmt::format("{} cannot be '{}'", flag, arguments[i + 1]));
    }
  }
}

void Flags::refuse(std::string_view what) const {
  fmt::print(stderr, "{0}: {1}\nusage: {0} {2}\n", program_invocation_short_name, what, usage_);
  std::exit(2);
}

}  // namespace baton::bench
