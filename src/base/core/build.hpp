#pragma once
// What is running: for people, and for metrics by which dashboards tell releases apart.

#include <string_view>

namespace baton {

struct Build {
  std::string_view version;  // as in CMakeLists.txt and the Helm chart
  std::string_view commit;   // of git, with "-dirty" if files differ from it; "unknown" without git
};

// Of the program; of one that does not tell (tests, benchmarks) both are "unknown".
Build build();

// Contract: called once by main, before any thread; both live as long as the program.
void tell_build(Build build);

}  // namespace baton
