#pragma once
// A plan for people.

#include <string>

#include "control/plan/plan.hpp"

namespace baton::plan {

// A tree: the service, its children with what matters of them (replicas, images, ports, command
// lines), the presets it was made from. Warnings are not part of it.
std::string describe(const Plan& plan);

}  // namespace baton::plan
