#include "base/observe/build_info.hpp"

#include "base/core/build.hpp"

namespace baton::observe {

void tell_build(Registry& registry) {
  const Build running = build();
  registry
      .gauge("baton_build_info", "which baton runs: always 1",
             {{"version", std::string(running.version)}, {"commit", std::string(running.commit)}})
      .set(1);
}

}  // namespace baton::observe
