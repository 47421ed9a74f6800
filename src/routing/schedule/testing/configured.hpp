#pragma once
// For tests: a scheduler from the lines of a configuration below its kind.

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "routing/schedule/scheduler.hpp"

namespace baton::schedule::testing {

inline constexpr std::string_view kHead =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";

inline Result<Scheduler> try_make(std::string_view rest) {
  BATON_TRY_ASSIGN(const auto config,
                   load_picker_config(std::string(kHead) + std::string(rest), "picker.yaml"));
  return Scheduler::make(config);
}

// Of a configuration that must be right.
inline Scheduler make(std::string_view rest) {
  auto made = try_make(rest);
  EXPECT_TRUE(made) << made.error().message();
  return *std::move(made);
}
inline Setup setup(std::string_view rest) { return make(rest).setup(); }

// Why it is refused; "": it is not.
inline std::string problem(std::string_view rest) {
  const auto made = try_make(rest);
  return made ? "" : made.error().message();
}

}  // namespace baton::schedule::testing
