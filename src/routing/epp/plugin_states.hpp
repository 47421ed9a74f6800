#pragma once
// What plugins know at the moment, as llm-d's picker tells it (picker reference 1.7):
//
//   {"timestamp": RFC 3339, "plugins": {NAME: {"name", "type", "state" | "message"}}}

#include <span>

#include "base/core/clock.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/setup.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::epp {

inline constexpr std::size_t kMostShown = 100;  // endpoints of one plugin

// `blocks`: of prompts, that are remembered of all endpoints together, by Setup::views.
text::json::Value plugin_states(const schedule::Setup& setup, const schedule::Snapshot& snapshot,
                                std::span<const std::size_t> blocks, Wall now);

}  // namespace baton::epp
