#pragma once
// What differs between two texts, line by line, as `diff -u` prints it. Pure.

#include <string>
#include <string_view>

namespace baton::text {

// Hunks with three lines of context, each after its "@@ -1,2 +1,3 @@"; "" when the texts are equal.
// Shortest where the differing middles have at most 4 million pairs of lines; beyond that the
// middle is told as replaced.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace baton::text
