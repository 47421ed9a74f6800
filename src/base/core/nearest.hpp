#pragma once
// The nearest right name for a misspelt one, for error messages.

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace baton {

// The candidate within an edit distance of a third of its length; empty when none is near.
// Optimal string alignment distance: a swap of neighbours counts one.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// "", or " (did you mean 'x'?)".
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace baton
